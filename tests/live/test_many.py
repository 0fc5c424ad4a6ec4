# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several guests in one task."""

from __future__ import annotations

import pytest

from .world import NAME_PREFIX


@pytest.fixture
def new_vms(world, new_vm):
    """The options of pve_vms for two small new guests."""
    vmids = world.free_vmids(2)
    defaults = {key: value for key, value in new_vm.items() if key not in ("vmid", "name")}
    return {"defaults": defaults, "guests": [{"vmid": vmid, "name": f"{NAME_PREFIX}{vmid}"} for vmid in vmids]}


def test_they_are_made_changed_and_deleted(world, run, new_vms, disk):
    new_vms["defaults"]["disks"] = [disk]
    vmids = [guest["vmid"] for guest in new_vms["guests"]]
    run.changes("pve_vms", new_vms)
    new_vms["guests"][1]["memory"] = 96
    run.changes("pve_vms", new_vms)
    assert [str(world.config(vmid)["memory"]) for vmid in vmids] == ["64", "96"]
    run.changes("pve_vms", {"defaults": {"state": "absent"}, "guests": [{"vmid": vmid} for vmid in vmids]})
    assert [world.node_of(vmid) for vmid in vmids] == [None, None]


def test_one_that_cannot_be_made_does_not_keep_the_other(world, run, new_vms):
    one, two = new_vms["guests"]
    one["disks"] = [{"slot": "scsi0", "storage": "cbl-none", "size": "16M"}]
    result = run.module("pve_vms", new_vms)
    assert result.failed
    assert str(one["vmid"]) in result.msg
    assert world.node_of(two["vmid"]) == world.settings.node


def test_they_start_have_snapshots_and_stop(world, run, new_vms, disk):
    new_vms["defaults"]["disks"] = [disk]
    run.once("pve_vms", new_vms)
    vmids = [guest["vmid"] for guest in new_vms["guests"]]
    guests = [{"vmid": vmid} for vmid in vmids]
    run.changes("pve_vms_power", {"guests": guests})
    assert [world.status(vmid) for vmid in vmids] == ["running", "running"]
    run.changes("pve_snapshots", {"guests": guests, "defaults": {"snapshot": "one"}})
    assert [world.snapshots(vmid) for vmid in vmids] == [{"one"}, {"one"}]
    selected = {"select": {"pool": world.settings.pool, "names": [f"{NAME_PREFIX}*"]}}
    run.changes("pve_snapshots", {**selected, "defaults": {"snapshot": "one", "state": "absent"}})
    run.changes("pve_vms_power", {**selected, "defaults": {"state": "stopped", "stop_method": "stop"}})
    assert [world.status(vmid) for vmid in vmids] == ["stopped", "stopped"]
