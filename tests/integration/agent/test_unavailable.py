# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said when a guest agent cannot be used, and what is sat out."""

from __future__ import annotations

import itertools
import re

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.access import guest_for_connection
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.running import GuestRunner
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import (
    AgentUnavailable,
    Ambiguous,
    NotFound,
    PermissionDenied,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import QEMU, Selector, read_guests
from tests.integration.agent.conftest import NEVER, VMID, runner_for
from tests.support.clients import client_of
from tests.support.windows_stand_in import become_windows

SILENT = "QEMU guest agent is not running"


def change(pve, **attributes):
    guest = pve.guest(VMID)
    pve.call(lambda: [setattr(guest, name, value) for name, value in attributes.items()])


def set_config(pve, **settings):
    guest = pve.guest(VMID)
    pve.call(lambda: guest.config.update(settings))


def not_enabled(pve, agent):
    set_config(pve, agent="0")


def silent(pve, agent):
    change(pve, agent_hangs=True)


def stopped(pve, agent):
    pve.call(lambda: pve.server.halt_guest(pve.guest(VMID)))


def forbidden(pve, agent):
    agent.forbidden.add("guest-exec")


def gone(pve, agent):
    pve.remove_guest(VMID)


@pytest.mark.parametrize(
    ("prepare", "kind", "words"),
    [
        (
            not_enabled,
            AgentUnavailable,
            r"guest 101 \(db\) on node pve1 has no guest agent in its .*pve_vm with vmid: 101 and agent: true",
        ),
        (silent, AgentUnavailable, r"agent of guest 101 .* does not answer: .*not installed .*pve_console_script can"),
        (stopped, AgentUnavailable, r"guest 101 .* is stopped: a task cloudbridge.proxmox.pve_vm_power"),
        (forbidden, AgentUnavailable, r"configured not to do this: allow guest-exec, .*sysconfig/qemu-ga"),
        (gone, NotFound, r"guest 101 \(db\) is gone"),
    ],
)
def test_the_reason_and_what_to_do(pve, runner, agent, prepare, kind, words):
    prepare(pve, agent)
    pve.reset_record()
    with pytest.raises(kind, match=words):
        runner.run("true")
    assert sum("agent/exec" in line for line in pve.summary()) == 1


@pytest.mark.parametrize(
    "answer",
    [
        "nonsense",
        [],
        {"exited": "yes"},
        {"exited": [1]},
        {"exited": 1, "out-data": {"a": 1}},
        {"exited": 1, "out-data": "\u263a"},
        {"exited": 1, "err-data": "\u263a" * 5000},
    ],
    ids=itertools.count(),
)
def test_an_answer_that_makes_no_sense(runner, agent, answer):
    async def status(pid):
        return answer

    agent.status = status
    with pytest.raises(AgentUnavailable, match=r"agent of guest 101 \(db\) answers what makes no sense: ") as raised:
        runner.run("true")
    assert len(str(raised.value)) < 400
    runner.pid = None


@pytest.mark.parametrize("pid", ["x", -1, [], "9" * 5000], ids=itertools.count())
def test_an_answer_about_a_start_that_makes_no_sense(runner, agent, pid):
    async def execute(argv, data):
        return pid

    agent.execute = execute
    with pytest.raises(AgentUnavailable, match=r"agent of guest 101 \(db\) answers what makes no sense: "):
        runner.run("true")
    assert runner.may_have_begun


def test_of_a_guest_s_words_a_message_has_few(runner, agent):
    """A size of so many digits is none, either."""

    async def execute(argv, data):
        return 4711

    async def status(pid):
        words = "first\nsecond \x1b[31m\n" * 20000
        return {"exited": 1, "exitcode": 0, "out-data": "9" * 5000 + " 0 0\n", "err-data": words}

    agent.execute, agent.status = execute, status
    with pytest.raises(
        AgentUnavailable, match=r"could not begin the command: first second \[31m first second "
    ) as raised:
        runner.run("true")
    assert len(str(raised.value)) < 300
    assert str(raised.value).isprintable()
    runner.pid = None


def test_a_missing_privilege(pve, agent):
    pve.add_token("limited@pve!tok", "9a5e6c52-3f0f-4c4e-8a55-0d1c5b3d1f10")
    pve.grant("limited@pve", "/vms", "VM.Audit", "VM.GuestAgent.Audit")
    client = client_of(
        pve,
        NEVER,
        api_timeout=60,
        api_token_id="limited@pve!tok",
        api_token_secret="9a5e6c52-3f0f-4c4e-8a55-0d1c5b3d1f10",
    )
    with pytest.raises(PermissionDenied, match=r"lacks the privilege VM\.GuestAgent\.Unrestricted on /vms/101"):
        runner_for(client).run("true")
    client.close()


# What each situation is about: the guest, who asks, and what is said, by a module and over the connection.
SITUATIONS = {
    "stopped": ({"vmid": 100}, r"guest 100 \(web\) on node pve1 is stopped: a task .*pve_vm_power with state: started"),
    "template": ({"vmid": 9000}, r"guest 9000 \(debian-template\) on node pve1 is a template, in which nothing runs"),
    "container": ({"vmid": 200}, r"guest 200 .*is a container"),
    "absent": ({"vmid": 4711}, r"there is no virtual machine 4711 that .* can see: check the vmid"),
    "nameless": ({"name": "no-such-guest"}, r"no-such-guest"),
    "silent": (
        {"vmid": 102},
        r"agent of guest 102 .* does not answer: .*not installed .*pve_console_script can install",
    ),
    "disabled": ({"vmid": 103}, r"guest 103 .* has no guest agent in its .*pve_vm with vmid: 103 and agent: true"),
    "forbidden": ({"vmid": 104}, r"agent of guest 104 .*configured not to do this: allow guest-exec"),
}
MODULES = {
    "pve_guest_exec": {"argv": ["true"]},
    "pve_guest_file": {"path": "/etc/motd", "content": "x"},
    "pve_guest_password": {"user": "root", "password": "long enough"},
    "pve_guest_agent_info": {},
}
LIMITED = "limited@pve!tok"
SECRET = "9a5e6c52-3f0f-4c4e-8a55-0d1c5b3d1f10"
INVENTORY = """
[guests]
stopped pve_vmid=100
template pve_name=debian-template
container pve_vmid=200
absent pve_vmid=4711
no-such-guest
silent pve_vmid=102 pve_node=pve1
disabled pve_vmid=103
forbidden pve_vmid=104
limited pve_vmid=101 pve_api_user=limited@pve pve_api_token_id=tok pve_api_token_secret="{{ lookup('env', 'LIMITED') }}"
renamed pve_vmid=101 pve_name=web
reused pve_vmid=101 pve_node=pve1 pve_name=web
negative pve_vmid=101 pve_command_timeout=-1
called-otherwise pve_vmid=105 pve_node=pve1 ansible_shell_type=powershell
windows pve_vmid=105 ansible_shell_type=powershell

[guests:vars]
ansible_connection=cloudbridge.proxmox.pve_agent
"""
TASKS = """
- hosts: guests
  gather_facts: false
  tasks:
    - name: raw
      ansible.builtin.raw: exit 4
      ignore_unreachable: true
      failed_when: false
"""


@pytest.fixture
def situations(pve, tmp_path):
    pve.call(lambda: pve.guest(100).config.update(agent="1"))
    pve.add_guest(102, "mute", status="running", config={"agent": "1"})
    pve.add_guest(103, "off", status="running", config={"agent": "0"}, agent={})
    pve.add_guest(104, "closed", status="running")
    pve.run_agent(104, tmp_path / "closed").forbidden |= {"guest-exec", "guest-set-user-password"}
    pve.add_guest(105, "desktop", status="running")
    become_windows(pve.run_agent(105, tmp_path / "desktop"))
    pve.add_token(LIMITED, SECRET)
    pve.grant("limited@pve", "/vms", "VM.Audit")
    return pve


@pytest.mark.parametrize("module", MODULES)
def test_each_module_says_why_and_what_to_do(situations, run_module, module):
    for name, (guest, words) in SITUATIONS.items():
        if (module, name) == ("pve_guest_agent_info", "forbidden"):
            continue  # It does not use these commands.
        result = run_module(module, {**guest, **MODULES[module]}, check=module == "pve_guest_file")
        assert result.failed, name
        assert re.search(words, result.msg), (name, result.msg)
    limited = {"PROXMOX_USER": "limited@pve", "PROXMOX_TOKEN_ID": "tok", "PROXMOX_TOKEN_SECRET": SECRET}
    refused = run_module(module, {"vmid": 101, **MODULES[module]}, env=limited)
    assert re.search(r"lacks the privilege VM\.GuestAgent\.\w+.* on /vms/101", refused.msg), refused.msg


def test_hosts_are_unreachable_with_the_same_words(situations, play, tmp_path):
    (tmp_path / "hosts.ini").write_text(INVENTORY)
    result = play(TASKS, "-i", str(tmp_path / "hosts.ini"), "-f", "10", env={"LIMITED": SECRET})
    said = {task.host: task for task in result.tasks}
    for name, (guest, words) in SITUATIONS.items():
        task = said[guest.get("name", name)]
        assert task.outcome == "unreachable", (name, task)
        assert re.search(words, task.msg), (name, task.msg)
    assert "lacks the privilege VM.GuestAgent.Unrestricted on /vms/101" in said["limited"].msg
    for name in ("renamed", "reused"):
        assert said[name].outcome == "unreachable"
        assert "guest 101 on node pve1 is named 'db', not 'web': nothing was changed" in said[name].msg
    assert (
        "pve_command_timeout of negative must be a number of seconds, or 0 for no limit, not -1" in said["negative"].msg
    )
    assert said["windows"].result["rc"] == said["called-otherwise"].result["rc"] == 4


def test_a_backup_that_begins_is_sat_out(pve, runner, agent):
    agent.frozen = True
    pve.before("POST", "/agent/exec$", lambda: setattr(agent, "frozen", False), after=1)
    assert runner.run("echo out").stdout == b"out\n"


def test_an_agent_that_falls_silent_meanwhile_is_sat_out(pve, runner, agent):
    pve.fault("GET", "/agent/exec-status$", "status", status=500, message=SILENT, times=2)
    assert runner.run("echo out").stdout == b"out\n"


def test_a_guest_whose_name_another_one_has_now(pve):
    """The cluster's list has the old names for 10 s."""
    pve.add_guest(102, "db-new", status="running")
    pve.resources_lag = 10
    client = client_of(pve, NEVER, api_timeout=60)
    assert {guest.vmid: guest.name for guest in read_guests(client)}[VMID] == "db"
    client.write("PUT", "nodes", "pve1", "qemu", VMID, "config", name="db-old")
    client.write("PUT", "nodes", "pve1", "qemu", 102, "config", name="db")
    with pytest.raises(Ambiguous, match="guest 101 on node pve1 is named 'db-old', not 'db': nothing was changed"):
        guest_for_connection(client, Selector(name="db", kind=QEMU), None)
    client.close()


class TestMoves:
    @pytest.fixture
    def pve(self, pve_cluster):
        return pve_cluster

    def test_between_two_commands(self, pve, runner: GuestRunner):
        runner.run("true")
        pve.move_guest(VMID, "pve3")
        assert runner.run("echo out").stdout == b"out\n"
        assert runner.calls.handle.guest.node == "pve3"

    def test_in_the_middle_of_a_command(self, pve, runner):
        pve.before("GET", "/agent/exec-status$", lambda: pve.move_guest(VMID, "pve3"))
        assert runner.run("sleep 0.2; echo out; exit 4").stdout == b"out\n"
        assert runner.calls.handle.guest.node == "pve3"

    def test_in_the_middle_of_a_file(self, pve, runner):
        pve.before("POST", "/agent/file-write$", lambda: pve.move_guest(VMID, "pve3"), after=1)
        assert len(runner.run("cat", bytes(200_000)).stdout) == 200_000

    def test_to_another_guest_of_its_number(self, pve, runner, agent, tmp_path):
        runner.run("true")
        pve.remove_guest(VMID)
        pve.add_guest(VMID, "somebody-else", node="pve3", status="running", config={"agent": "1"})
        other = pve.run_agent(VMID, tmp_path)
        for _again in range(2):
            with pytest.raises(Ambiguous, match=r"guest 101 \(db\) has left .* pve3 is another one, named 'somebody-"):
                runner.run("true")
        runner.close()
        assert not other.started
