# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of stopped and running guests, with and without memory."""

from __future__ import annotations

import pytest


@pytest.fixture
def vmid(run, new_vm, disk):
    run.once("pve_vm", {**new_vm, "disks": [disk]})
    return new_vm["vmid"]


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
def test_a_snapshot_is_taken_rolled_back_and_deleted(world, run, vmid, running):
    if running:
        run.once("pve_vm_power", {"vmid": vmid})
    run.changes("pve_snapshot", {"vmid": vmid, "snapshot": "one", "description": "first"})
    assert world.snapshots(vmid) == {"one"}
    run.once("pve_vm", {"vmid": vmid, "cores": 2})
    run.once("pve_snapshot", {"vmid": vmid, "snapshot": "one", "state": "rolled_back"})
    assert "cores" not in world.config(vmid)
    assert world.status(vmid) == "stopped"
    found = run.once("pve_snapshot_info", {"vmid": vmid})
    assert "one" in str(found.result)
    run.changes("pve_snapshot", {"vmid": vmid, "snapshot": "one", "state": "absent"})
    assert world.snapshots(vmid) == set()


def test_a_snapshot_with_memory_brings_the_guest_back_running(world, run, vmid):
    run.once("pve_vm_power", {"vmid": vmid})
    run.changes("pve_snapshot", {"vmid": vmid, "snapshot": "live", "vmstate": True})
    run.once("pve_vm_power", {"vmid": vmid, "state": "stopped", "stop_method": "stop"})
    run.once("pve_snapshot", {"vmid": vmid, "snapshot": "live", "state": "rolled_back"})
    assert world.status(vmid) == "running"


def test_a_disk_that_a_snapshot_holds_is_not_deleted(world, run, vmid):
    run.once("pve_snapshot", {"vmid": vmid, "snapshot": "held"})
    disk = world.config(vmid)["scsi0"]
    result = run.module("pve_vm", {"vmid": vmid, "disks": [{"slot": "scsi0", "state": "absent"}]})
    assert result.failed
    assert world.config(vmid)["scsi0"] == disk
    assert world.pending(vmid) == set()
