# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Defects of other Proxmox VE extensions that no other test here is about: what must not happen with this one."""

from __future__ import annotations

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.registry import find_action
from tests.support.cloudstack import PAYLOADS, payload

UUID = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
NOTES = f"CloudStack instance: i-2-45-VM\nCloudStack UUID: {UUID}\nCloudStack deployment: 0123456789abcdef"
MARK = {"tags": "cloudstack", "description": NOTES, "smbios1": f"uuid={UUID}"}
# Refusals that speak of something that is missing, which is not the guest.
NOT_THE_GUEST = (
    {"status": 500, "message": "storage 'ceph' does not exist"},
    {"status": 500, "message": "hostname lookup 'pve1' failed - failed to get address info for: pve1"},
    {"status": 404, "message": "Not Found"},
    {"status": 403, "message": "Permission check failed (/vms/105, VM.Audit)"},
)


@pytest.fixture
def world(pve_cluster):
    pve_cluster.add_guest(105, "i-2-45-VM", config=MARK, status="running", storage="shared")
    return pve_cluster


def writes(pve):
    return [line for line in pve.summary() if not line.startswith("GET ")]


@pytest.mark.parametrize("action", ["stop", "delete"])
def test_what_is_missing_is_not_always_the_guest(world, calls, action):
    """The peers say that the instance is stopped, or deleted, for any text like these."""
    for refusal in NOT_THE_GUEST:
        world.fault("GET", "/qemu/105/", "status", times=None, **refusal)
        answer = calls(action, payload(action, world))
        world.server.faults.clear()
        assert (answer.exit_code, world.status(105)) == (1, "running"), refusal
        assert answer["kind"] != "internal"
    assert writes(world) == []


@pytest.mark.parametrize("action", ["stop", "delete"])
def test_a_page_of_a_proxy_is_not_an_answer_of_pve(world, calls, action):
    world.fault("GET", "/qemu/105/status/current$", "html", status=404, message="<h1>404</h1>", times=None)
    answer = calls(action, payload(action, world), wait=3)
    assert (answer.exit_code, world.status(105)) == (1, "running")
    assert writes(world) == []


@pytest.mark.parametrize("state", ["stopped", "started"])
def test_ha_has_really_done_it_before_the_answer_comes(world, calls, state):
    """PVE's task ends when HA has been asked."""
    world.set_ha_state(105, state)
    world.knobs.ha_seconds = 0.4
    assert calls("stop", payload("stop", world)).ok
    assert world.status(105) == "stopped"
    assert calls("start", payload("start", world)).ok
    assert world.status(105) == "running"


def test_the_end_is_not_one_while_a_replication_job_holds_the_guest(world, calls):
    world.next_task_fails("qmdestroy", "unable to remove VM 105 - used in replication jobs")
    answer = calls("delete", payload("delete", world))
    assert answer.error.startswith("unable to remove VM 105 - used in replication jobs")
    assert 105 in world.vmids()


def test_no_success_without_credentials_and_no_payload_is_touched(world, bridge, calls):
    """The seed answers these with exit code 0, and an empty number or an unknown state."""
    for path in sorted(PAYLOADS.glob("*.json")):
        action = "create" if path.stem.startswith("create_") else path.stem
        if find_action(action) is None:
            continue
        data = payload(path.stem, world, host={"secret": "00000000-wrong"})
        for file in bridge.payloads.glob("*"):
            file.unlink()
        before = bridge.write(data)
        content = before.read_bytes()
        answer = calls(action, before)
        assert (answer.exit_code, answer["status"]) == (1, "error"), path.stem
        assert answer["kind"] == "authentication", answer.output
        assert before.read_bytes() == content
    assert world.tasks() == []
