# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What needs a second node."""

from __future__ import annotations

import pytest

from .world import NAME_PREFIX


@pytest.fixture(autouse=True)
def _two_nodes(world):
    world.need("other_node")


def test_a_guest_is_made_on_the_other_node(world, run, new_vm):
    run.changes("pve_vm", {**new_vm, "node": world.settings.other_node})
    assert world.node_of(new_vm["vmid"]) == world.settings.other_node


def test_a_guest_is_found_wherever_it_is(world, run, new_vm):
    run.once("pve_vm", {**new_vm, "node": world.settings.other_node})
    run.changes("pve_vm", {"name": new_vm["name"], "cores": 2})
    run.changes("pve_vm_power", {"name": new_vm["name"]})
    assert world.node_of(new_vm["vmid"]) == world.settings.other_node


def test_a_clone_is_made_on_the_other_node(world, run, new_vm, disk):
    world.need("shared_storage")
    on_shared = {**disk, "storage": world.settings.shared_storage}
    run.once("pve_vm", {**new_vm, "disks": [on_shared]})
    clone = {"vmid": world.free_vmid(), "name": f"{NAME_PREFIX}clone", "pool": world.settings.pool}
    options = {**clone, "node": world.settings.other_node, "clone": {"source": new_vm["name"], "full": True}}
    run.changes("pve_vm", options)
    assert world.node_of(clone["vmid"]) == world.settings.other_node


def test_a_clone_that_local_disks_make_impossible_fails_in_check_mode_too(world, run, new_vm, disk):
    run.once("pve_vm", {**new_vm, "disks": [disk]})
    vmid = world.free_vmid()
    options = {
        "vmid": vmid,
        "name": f"{NAME_PREFIX}clone",
        "pool": world.settings.pool,
        "node": world.settings.other_node,
        "clone": {"source": new_vm["name"], "full": True},
    }
    assert run.module("pve_vm", options, check=True).failed
    run.refused("pve_vm", options)
    assert world.node_of(vmid) is None
