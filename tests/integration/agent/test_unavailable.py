# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said when a guest agent cannot be used, and what is sat out."""

from __future__ import annotations

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.running import GuestRunner
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import (
    AgentUnavailable,
    NotFound,
    PermissionDenied,
)
from tests.integration.agent.conftest import NEVER, VMID, runner_for
from tests.support.clients import client_of

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


def test_a_backup_that_begins_is_sat_out(pve, runner, agent):
    agent.frozen = True
    pve.before("POST", "/agent/exec$", lambda: setattr(agent, "frozen", False), after=1)
    assert runner.run("echo out").stdout == b"out\n"


def test_an_agent_that_falls_silent_meanwhile_is_sat_out(pve, runner, agent):
    pve.fault("GET", "/agent/exec-status$", "status", status=500, message=SILENT, times=2)
    assert runner.run("echo out").stdout == b"out\n"


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
