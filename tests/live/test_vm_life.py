# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests that are made, cloned, changed and deleted."""

from __future__ import annotations

import pytest

from .cases import filled
from .test_vm_options import names_of
from .world import NAME_PREFIX


def test_a_guest_is_made_and_deleted(world, run, new_vm, disk):
    options = {**new_vm, "disks": [disk]}
    run.changes("pve_vm", options)
    vmid = new_vm["vmid"]
    assert world.node_of(vmid) == world.settings.node
    assert world.config(vmid)["name"] == new_vm["name"]
    run.changes("pve_vm", {"vmid": vmid, "name": new_vm["name"], "state": "absent"})
    assert world.node_of(vmid) is None


def test_a_running_guest_is_deleted_only_by_force(world, run, new_vm):
    run.once("pve_vm", new_vm)
    vmid = new_vm["vmid"]
    run.once("pve_vm_power", {"vmid": vmid})
    run.refused("pve_vm", {"vmid": vmid, "state": "absent"}, str(vmid), "force")
    run.changes("pve_vm", {"vmid": vmid, "state": "absent", "force": True})
    assert world.node_of(vmid) is None


def test_another_name_is_not_touched(run, new_vm):
    run.once("pve_vm", new_vm)
    other = {"vmid": new_vm["vmid"], "name": f"{NAME_PREFIX}other"}
    run.refused("pve_vm", {**other, "memory": 128}, other["name"], new_vm["name"])
    run.refused("pve_vm", {**other, "state": "absent"}, other["name"])
    run.changes("pve_vm", {**other, "rename": True})


def test_a_protected_guest_is_not_deleted(run, new_vm):
    run.once("pve_vm", {**new_vm, "protection": True})
    run.refused("pve_vm", {"vmid": new_vm["vmid"], "state": "absent", "force": True}, "protect")


def test_a_disk_does_not_shrink(run, new_vm, disk):
    run.once("pve_vm", {**new_vm, "disks": [disk]})
    run.refused("pve_vm", {"vmid": new_vm["vmid"], "disks": [{"slot": "scsi0", "size": "8M"}]}, "8M", "16M")


def test_a_guest_becomes_a_template_and_is_cloned(world, run, new_vm, disk):
    run.once("pve_vm", {**new_vm, "disks": [disk]})
    run.changes("pve_vm", {"vmid": new_vm["vmid"], "state": "template"})
    clone = {
        "vmid": world.free_vmid(),
        "name": f"{NAME_PREFIX}clone",
        "pool": world.settings.pool,
        "clone": {"source": str(new_vm["vmid"])},
        "cores": 2,
    }
    run.changes("pve_vm", clone)
    assert world.config(clone["vmid"])["cores"] == 2
    run.once("pve_vm", {"vmid": clone["vmid"], "state": "absent"})


@pytest.mark.parametrize("full", [True, False], ids=["full", "linked"])
def test_the_template_is_cloned(world, run, full):
    world.need("template")
    vmid = world.free_vmid()
    names = names_of(world)
    clone = {"source": str(world.settings.template), "full": full, **({"storage": "{storage}"} if full else {})}
    options = {"vmid": vmid, "name": f"{NAME_PREFIX}{vmid}", "pool": world.settings.pool, "clone": filled(clone, names)}
    run.changes("pve_vm", options)
    run.changes("pve_vm_power", {"vmid": vmid})
    assert world.status(vmid) == "running"


def test_what_a_task_does_not_name_stays(world, run, new_vm, disk):
    run.once("pve_vm", {**new_vm, "disks": [disk], "tags": ["one"], "description": "notes"})
    before = world.config(new_vm["vmid"])
    run.changes("pve_vm", {"vmid": new_vm["vmid"], "cores": 2})
    assert world.config(new_vm["vmid"]) == {**before, "cores": 2}
