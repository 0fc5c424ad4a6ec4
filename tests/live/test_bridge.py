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
        if file == CUSTOM or action == "SyncNetworks":
            data["action"] = action
        return extension.call(action, data, 600)

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


def test_migrate(world, call):
    world.need("template", "other_node", "shared_storage")
    vmid, target = world.free_vmid(), {"target_node": world.settings.other_node}
    assert call("create", vmid, "create_template", storage=world.settings.shared_storage).ok
    assert not call("Migrate", vmid, CUSTOM, parameters=target).ok
    assert world.node_of(vmid) == world.settings.node
    moved = call("Migrate", vmid, CUSTOM, parameters=target, allowed_nodes=world.settings.other_node)
    assert moved.ok, moved.document
    assert (world.node_of(vmid), world.status(vmid)) == (world.settings.other_node, "running")
    assert call("status", vmid)["power_state"] == "poweron"


def test_disks(world, run, call, vmid):
    # A disk leaves a running guest only once its system is there.
    world.need("shuts_down")
    run.once("pve_vm_power", {"vmid": vmid, "wait_for": ["agent"]})
    resized = call("ResizeDisk", vmid, CUSTOM, parameters={"disk": "scsi0", "disk_size_gb": 9})
    assert resized.ok, resized.document
    assert "size=9G" in world.config(vmid)["scsi0"]
    attached = call("AttachDisk", vmid, CUSTOM, parameters={"disk_size_gb": 1})
    assert attached.ok, attached.document
    disk = {"disk": attached["disk"]}
    assert "size=1G" in world.config(vmid)[attached["disk"]]
    assert attached["disk"] in str(call("GuestInfo", vmid, CUSTOM)["message"])
    assert call("DetachDisk", vmid, CUSTOM, parameters=disk).ok
    assert attached["disk"] not in world.config(vmid)
    again = call("AttachDisk", vmid, CUSTOM, parameters={"unused_disk": "unused0"})
    assert again.ok, again.document
    assert "size=1G" in world.config(vmid)[again["disk"]]
    assert call("DetachDisk", vmid, CUSTOM, parameters={"disk": again["disk"], "delete_data": True}).ok
    assert not {again["disk"], "unused0"} & set(world.config(vmid))


def test_backup(world, call, vmid):
    world.need("backup_storage")
    made = call("Backup", vmid, CUSTOM, parameters={"storage": world.settings.backup_storage, "notes": "cbl"})
    assert made.ok, made.document
    try:
        assert world.status(vmid) == "running"
        assert made["volid"] in world.backups(vmid)
    finally:
        world.delete_backup(made["volid"])


def test_shutdown(world, run, call, vmid):
    world.need("shuts_down")
    run.once("pve_vm_power", {"vmid": vmid, "wait_for": ["agent"]})
    assert call("Shutdown", vmid, CUSTOM).ok
    assert world.status(vmid) == "stopped"


def test_sync_networks(world, run, call, vmid):
    assert call("stop", vmid).ok
    cards = {key: value for key, value in world.config(vmid).items() if key.startswith("net")}
    assert cards
    run.once("pve_vm", {"vmid": vmid, "networks": [{"slot": "net5", "bridge": world.settings.bridge}]})
    synced = call("SyncNetworks", vmid, "start")
    assert synced.ok, synced.document
    assert {key: value for key, value in world.config(vmid).items() if key.startswith("net")} == cards
    assert "net5" in str(synced["message"])


def test_import_takes_a_guest_that_is_there(world, run, call, new_vm, disk):
    run.once("pve_vm", {**new_vm, "disks": [disk]})
    vmid = new_vm["vmid"]
    assert not call("start", vmid).ok
    imported = call("Import", vmid, CUSTOM, import_map=f"i-2-45-VM={vmid}")
    assert imported.ok, imported.document
    assert world.config(vmid)["name"] == new_vm["name"]
    assert call("start", vmid).ok
    assert world.status(vmid) == "running"
    assert call("delete", vmid).ok
    assert world.node_of(vmid) is None


def test_a_foreign_guest_is_not_touched(world, run, call, new_vm):
    run.once("pve_vm", new_vm)
    before = world.config(new_vm["vmid"])
    for action in ("start", "delete"):
        answer = call(action, new_vm["vmid"])
        assert not answer.ok
    assert world.config(new_vm["vmid"]) == before
    assert world.status(new_vm["vmid"]) == "stopped"
