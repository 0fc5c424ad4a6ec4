# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups that are made, pruned, protected, restored beside a guest and over it, and proved."""

from __future__ import annotations

import time

import pytest

from .world import NAME_PREFIX


@pytest.fixture
def storage(world):
    world.need("backup_storage")
    return world.settings.backup_storage


@pytest.fixture
def vmid(world, run, new_vm, disk, storage):
    run.once("pve_vm", {**new_vm, "disks": [disk]})
    yield new_vm["vmid"]
    clear(world, run, new_vm["vmid"])


def clear(world, run, vmid):
    """Delete the backups of a guest."""
    for volid in world.backups(vmid):
        run.once("pve_backup", {"backup": volid, "protected": False, "node": world.settings.node})
        run.once("pve_backup", {"backup": volid, "state": "absent", "node": world.settings.node})


def own_guests(world, expected):
    """The guests of the suite, once the cluster's list, which can be a moment late, has these and no others."""
    end = time.monotonic() + 30
    while True:
        found = {guest["vmid"] for guest in world.guests() if guest["vmid"] in world.settings.vmids}
        if found == expected or time.monotonic() > end:
            return found
        time.sleep(1)


def another(world):
    """The options of one more guest of the suite's."""
    return {"vmid": world.free_vmid(), "name": f"{NAME_PREFIX}restored", "pool": world.settings.pool}


def test_backups_are_made_pruned_protected_and_deleted(world, run, vmid, storage):
    made = run.changes("pve_backup", {"vmid": vmid, "storage": storage, "max_age": "1d", "keep_last": 3})
    first = made["backup"]["volid"]
    assert world.backups(vmid) == {first}
    # The names of two backups within a second would be the same.
    time.sleep(1.1)
    newer = run.once("pve_backup", {"vmid": vmid, "storage": storage, "max_age": "0"})["backup"]["volid"]
    listed = run.once("pve_backup_info", {"vmid": vmid, "storage": storage})["backups"]
    assert [one["volid"] for one in listed] == [first, newer]
    pruned = run.changes("pve_backup", {"vmid": vmid, "storage": storage, "state": "absent", "keep_last": 1})
    assert (pruned["deleted"], world.backups(vmid)) == ([first], {newer})
    run.changes("pve_backup", {"vmid": vmid, "backup": newer, "protected": True, "notes": "kept for\nthe auditors"})
    run.refused(
        "pve_backup", {"vmid": vmid, "backup": newer, "state": "absent"}, "is protected: set protected to false"
    )
    run.changes("pve_backup", {"vmid": vmid, "backup": newer, "protected": False})
    run.changes("pve_backup", {"vmid": vmid, "backup": newer, "state": "absent"})
    assert world.backups(vmid) == set()


def test_a_backup_is_restored_beside_its_guest_and_over_it(world, run, new_vm, vmid, storage):
    volid = run.once("pve_backup", {"vmid": vmid, "storage": storage, "max_age": "1d"})["backup"]["volid"]
    beside = another(world)
    run.changes("pve_restore", {**beside, "backup": volid, "onboot": False, "config": {"cores": 2}})
    restored = world.config(beside["vmid"])
    assert (restored["name"], str(restored["cores"])) == (beside["name"], "2")
    run.once("pve_vm", {"vmid": vmid, "cores": 4, "description": "changed"})
    over = {"backup": volid, "vmid": vmid, "name": new_vm["name"], "force": True}
    run.refused("pve_restore", {**over, "name": "somebody-else"}, "it was not touched")
    result = run.changes("pve_restore", over)
    assert result["checked"] == "restored beside it"
    assert str(world.config(vmid).get("cores", "1")) != "4"
    assert own_guests(world, {vmid, beside["vmid"]}) == {vmid, beside["vmid"]}


def test_a_backup_is_proved_by_booting_it(world, run, storage):
    world.need("template", "shuts_down")
    clone = {**another(world), "node": world.settings.node}
    run.once("pve_vm", {**clone, "clone": {"source": str(world.settings.template), "full": True}, "agent": True})
    run.once("pve_backup", {"vmid": clone["vmid"], "storage": storage, "max_age": "1d"})
    vmids = f"{world.settings.first_vmid}-{world.settings.last_vmid}"
    try:
        found = run.changes_nothing(
            "pve_backup_verify", {"vmid": clone["vmid"], "storage": storage, "vmids": vmids, "pool": clone["pool"]}
        )
    finally:
        clear(world, run, clone["vmid"])
    assert (found["report"]["result"], found["report"]["booted_by"]) == ("good", "the guest agent")
    assert own_guests(world, {clone["vmid"]}) == {clone["vmid"]}
