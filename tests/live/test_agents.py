# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands and files over the guest agent; the system of the template needs busybox and the agent, and no Python."""

from __future__ import annotations

import hashlib
import random
import threading

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.calls import AgentCalls
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.posix_shell import PosixShell
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.running import GuestRunner
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.transfers import (
    fetch_file,
    put_file,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import GuestHandle, Selector, get_guest
from tests.support.clients import client_of

from .world import IS_LIVE

NEVER = float("inf")
# So long a command runs that a move is to overtake.
SECONDS = 90 if IS_LIVE else 1
RAW = """
- hosts: guest
  gather_facts: false
  tasks:
    - name: raw
      ansible.builtin.raw: echo out; echo err >&2; exit 3
      register: result
      failed_when: result.rc != 3
    - name: script
      ansible.builtin.raw: 'cat >/dev/null; printf "%s" "Grüße ✓"'
"""


@pytest.fixture
def boot(world, run, new_vm, tmp_path):
    """Start a new guest whose system has an agent, and return its number."""
    world.need("template", "shuts_down")

    def start(**options):
        clone = {"source": str(world.settings.template), **options}
        run.once("pve_vm", {**new_vm, "memory": 256, "agent": True, "clone": clone})
        run.once("pve_vm_power", {"vmid": new_vm["vmid"], "wait_for": ["agent"]})
        world.run_programs(new_vm["vmid"], tmp_path / "guest")
        return new_vm["vmid"]

    return start


@pytest.fixture
def shared(world):
    """Where a guest is cloned to that is to be moved."""
    world.need("other_node", "shared_storage")
    return {"full": True, "storage": world.settings.shared_storage}


@pytest.fixture
def runner_of(world):
    """What runs commands in a guest without a module around it."""
    runners = []

    def connect(vmid):
        client = client_of(world.target, NEVER, api_timeout=60)
        runners.append(GuestRunner(AgentCalls(GuestHandle(client, get_guest(client, Selector(vmid)))), PosixShell()))
        return runners[-1]

    yield connect
    for runner in runners:
        runner.close()
        runner.calls.client.close()


def test_a_command_and_its_failure(run, boot):
    vmid = boot()
    done = run.once("pve_guest_exec", {"vmid": vmid, "argv": ["printf", "%s|", "a b", "Grüße ✓"], "stdin": "unread"})
    assert (done["stdout"], done["rc"]) == ("a b|Grüße ✓|", 0)
    failed = run.module("pve_guest_exec", {"vmid": vmid, "command": "cat; echo err >&2; exit 7", "stdin": "in"})
    assert (failed.failed, failed["rc"], failed["stdout"], failed["stderr"]) == (True, 7, "in", "err")
    missing = run.module("pve_guest_exec", {"vmid": vmid, "argv": ["no-such-program"]})
    assert missing["rc"] == 127


def test_a_small_file(world, run, boot):
    vmid = boot()
    path = f"{world.home(vmid)}/motd"
    made = {"vmid": vmid, "path": path, "content": "eins ✓\n", "mode": "0640"}
    run.changes("pve_guest_file", made)
    run.once("pve_guest_file", {**made, "content": "zwei\n" * 100_000})
    assert run.once("pve_guest_file", {"vmid": vmid, "path": path, "state": "read"})["size"] == 500_000
    assert run.once("pve_guest_file", {"vmid": vmid, "path": path, "state": "absent"}).changed


def test_what_the_agent_knows(run, boot):
    vmid = boot()
    found = run.once("pve_guest_agent_info", {"vmid": vmid})
    assert "guest-exec" in found["agent"]["version"]["commands"]
    assert found["agent"]["vcpus"]["online"] >= 1


def test_raw_over_the_connection_and_a_new_start(run, boot, play, tmp_path):
    vmid = boot()
    hosts = tmp_path / "hosts.ini"
    hosts.write_text(f"guest ansible_connection=cloudbridge.proxmox.pve_agent pve_vmid={vmid}\n")
    for _turn in range(2):
        result = play(RAW, "-i", str(hosts))
        assert not result.failed, result.stdout + result.stderr
        assert (result.task("raw").result["stdout"], result.task("raw").result["stderr"]) == ("out\n", "err\n")
        assert result.task("script").result["stdout"] == "Grüße ✓"
        run.once("pve_vm_power", {"vmid": vmid, "state": "restarted", "wait_for": ["agent"]})


def test_a_large_file_there_and_back(world, boot, runner_of, tmp_path):
    vmid = boot()
    runner, path = runner_of(vmid), f"{world.home(vmid)}/large ✓"
    data = random.Random(1).randbytes(world.settings.agent_file)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(data)
    with source.open("rb") as file:
        put_file(runner, file, path)
    with target.open("wb") as file:
        fetch_file(runner, path, file.write)
    assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(data).digest()
    runner.run(runner.shell.delete(path))


def test_large_output_is_complete(world, boot, runner_of):
    runner, size = runner_of(boot()), world.settings.agent_output
    result = runner.run(f"head -c {size} /dev/zero | tr '\\0' x; head -c 300000 /dev/zero >&2")
    assert (result.status, result.stdout, result.stderr) == (0, b"x" * size, bytes(300_000))


def test_a_command_goes_on_while_the_guest_moves(world, run, boot, shared, runner_of):
    vmid = boot(**shared)
    runner, found = runner_of(vmid), []
    command = threading.Thread(
        target=lambda: found.append(runner.run(f"echo begun; sleep {SECONDS}; echo out; exit 4"))
    )
    command.start()
    run.once("pve_migrate", {"vmid": vmid, "node": world.settings.other_node})
    assert found == [], "the command ended before the guest had moved"
    command.join(600)
    assert [(result.status, result.stdout) for result in found] == [(4, b"begun\nout\n")]
    assert runner.calls.handle.guest.node == world.settings.other_node == world.node_of(vmid)


def test_a_guest_moves_between_two_commands(world, run, boot, shared, runner_of):
    vmid = boot(**shared)
    runner = runner_of(vmid)
    assert runner.run("echo one").stdout == b"one\n"
    run.once("pve_migrate", {"vmid": vmid, "node": world.settings.other_node})
    assert runner.run("echo two").stdout == b"two\n"


@pytest.mark.parametrize("way", ["stopped", "disabled", "silent"])
def test_an_agent_that_is_not_there(world, run, new_vm, disk, way):
    run.once("pve_vm", {**new_vm, "disks": [disk], "agent": way != "disabled"})
    vmid = new_vm["vmid"]
    if way != "stopped":
        run.once("pve_vm_power", {"vmid": vmid})
    if way == "silent":
        world.silence(vmid)
    words = {"stopped": "is stopped", "disabled": "no guest agent in its configuration", "silent": "does not answer"}
    run.refused("pve_guest_exec", {"vmid": vmid, "argv": ["true"]}, words[way])
