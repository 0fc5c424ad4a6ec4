# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The executable that CloudStack calls: an instance from its first to its last day, and each action on the way."""

from __future__ import annotations

import pytest

from tests.support import canaries
from tests.support.cloudstack import payload

pytestmark = pytest.mark.shows_secrets(canaries.CONSOLE)

CUSTOM = "ListSnapshots"


@pytest.fixture
def call(world, extension):
    """Call an action on the instance with this number."""
    world.need("bridge")
    settings = world.settings

    def make(action, vmid, file=None, parameters=None, **details):
        names = {
            "node": settings.node,
            "network_bridge": settings.bridge,
            "pool": settings.pool,
            "storage": settings.storage,
            "is_full_clone": "true",
            "verify_tls_certificate": None if world.target.cafile else "false",
            **details,
        }
        data = payload(
            file or action,
            world.target,
            host=names,
            details={"proxmox_vmid": str(vmid)},
            parameters=parameters or {},
            virtualmachine={"template_id": str(settings.template), "cloudstack.vlan": None},
        )
        # A VLAN that the network does not have, and a limit that not each kernel can set, are not what this is about.
        untagged = {"broadcastUri": "vlan://untagged", "isolationUri": "vlan://untagged", "networkRateMbps": -1}
        for nic in data.get("cloudstack.vm.details", {}).get("nics", []):
            nic.update(untagged)
        if file == CUSTOM:
            data["action"] = action
        return extension.call(action, data, 300)

    return make


@pytest.fixture
def vmid(world, call):
    """An instance that runs."""
    world.need("template")
    number = world.free_vmid()
    made = call("create", number, "create_template")
    assert made.ok, made.document
    assert world.status(number) == "running"
    return number


def test_an_instance_lives(world, call, vmid):
    assert call("status", vmid)["power_state"] == "poweron"
    assert "i-2-45-VM" in str(call("statuses", vmid).document)
    assert call("stop", vmid).ok
    assert world.status(vmid) == "stopped"
    assert call("stop", vmid).ok
    assert call("status", vmid)["power_state"] == "poweroff"
    assert call("start", vmid).ok
    assert call("start", vmid).ok
    assert world.status(vmid) == "running"
    assert call("reboot", vmid).ok
    assert call("delete", vmid).ok
    assert world.node_of(vmid) is None
    assert call("delete", vmid).ok


def test_prepare_gives_a_free_number(world, call):
    answer = call("prepare", world.free_vmid(), vmid_range=f"{world.settings.first_vmid}-{world.settings.last_vmid}")
    assert answer.ok, answer.document
    assert int(answer["details"]["proxmox_vmid"]) in world.settings.vmids


def test_snapshots(world, call, vmid):
    assert call("CreateSnapshot", vmid, parameters={"snap_name": "one"}).ok
    assert world.snapshots(vmid) == {"one"}
    assert "one" in str(call("ListSnapshots", vmid).document)
    assert call("RestoreSnapshot", vmid, parameters={"snap_name": "one"}).ok
    assert call("DeleteSnapshot", vmid, parameters={"snap_name": "one"}).ok
    assert world.snapshots(vmid) == set()


def test_custom_actions(world, call, vmid):
    assert call("Suspend", vmid, CUSTOM).ok
    assert world.status(vmid) == "paused"
    assert call("Resume", vmid, CUSTOM).ok
    assert call("Reset", vmid, CUSTOM).ok
    assert world.status(vmid) == "running"
    if world.settings.iso:
        assert call("AttachISO", vmid, CUSTOM, parameters={"iso_path": world.settings.iso}).ok
        assert call("DetachISO", vmid, CUSTOM).ok


def test_a_console_is_offered(call, vmid):
    answer = call("getconsole", vmid)
    assert answer.ok, answer.document
    assert answer["console"]["port"]


def test_migrate(world, call, vmid):
    world.need("other_node", "shared_storage")
    moved = call("Migrate", vmid, CUSTOM, parameters={"target_node": world.settings.other_node})
    if moved.ok:
        assert world.node_of(vmid) == world.settings.other_node
    else:
        assert world.node_of(vmid) == world.settings.node
        assert moved.error


def test_a_foreign_guest_is_not_touched(world, run, call, new_vm):
    run.once("pve_vm", new_vm)
    before = world.config(new_vm["vmid"])
    for action in ("start", "delete"):
        answer = call(action, new_vm["vmid"])
        assert not answer.ok
    assert world.config(new_vm["vmid"]) == before
    assert world.status(new_vm["vmid"]) == "stopped"
