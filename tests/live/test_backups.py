# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups that are made, pruned, protected, restored beside a guest and over it, and proved."""

from __future__ import annotations

import signal
import time

import pytest

from tests.support import modules, playbooks
from tests.support.collection_tree import REPOSITORY
from tests.support.embedded_pve import PveHandle

from .conftest import MODULE_SECONDS
from .world import IS_LIVE, NAME_PREFIX


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
    end = time.monotonic() + (30 if expected and IS_LIVE else 0)
    while True:
        found = {guest["vmid"] for guest in world.guests() if guest["vmid"] in world.settings.vmids}
        if found == expected or time.monotonic() > end:
            return found
        time.sleep(1)


def runs(world, vmid):
    """Whether a guest runs at this moment: the cluster's list says it ten seconds late."""
    answer = world.api("GET", f"/nodes/{world.settings.node}/qemu/{vmid}/status/current")
    return answer.status_code == 200 and answer.json()["data"]["status"] == "running"


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
    # What PVE would prune once there is one more, without and with the real run.
    more = {"vmid": vmid, "storage": storage, "max_age": "0", "keep_last": 1, "keep_daily": 1}
    foretold = run.module("pve_backup", more, check=True)
    time.sleep(1.1)
    real = run.once("pve_backup", more)
    assert (foretold["deleted"], foretold["steps"], foretold.diff) == (real["deleted"], real["steps"], real.diff)
    assert (real["deleted"], world.backups(vmid)) == ([first, newer], {real["backup"]["volid"]})
    first = real["backup"]["volid"]
    time.sleep(1.1)
    newer = run.once("pve_backup", {"vmid": vmid, "storage": storage, "max_age": "0"})["backup"]["volid"]
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
    assert world.status(beside["vmid"]) == "stopped"
    run.once("pve_vm", {"vmid": beside["vmid"], "name": beside["name"], "state": "absent"})
    run.changes("pve_restore", {**beside, "backup": volid, "disconnected": True, "start": True})
    assert world.status(beside["vmid"]) == "running"
    run.once("pve_vm_power", {"vmid": beside["vmid"], "state": "stopped", "stop_method": "stop"})
    run.once("pve_vm", {"vmid": vmid, "cores": 4, "description": "changed"})
    over = {"backup": volid, "vmid": vmid, "name": new_vm["name"], "force": True}
    run.refused("pve_restore", {**over, "name": "somebody-else"}, "it was not touched")
    result = run.changes("pve_restore", over)
    assert result["checked"] == "restored beside it"
    assert str(world.config(vmid).get("cores", "1")) != "4"
    assert own_guests(world, {vmid, beside["vmid"]}) == {vmid, beside["vmid"]}


def test_a_container_is_backed_up_restored_over_and_proved(world, run, new_container, storage):
    run.once("pve_container", new_container)
    vmid, name = new_container["vmid"], new_container["name"]
    try:
        made = run.changes("pve_backup", {"vmid": vmid, "storage": storage, "max_age": "1d", "mode": "stop"})
        volid = made["backup"]["volid"]
        assert made["backup"]["type"] == "lxc"
        run.once("pve_container", {"vmid": vmid, "memory": 96})
        over = {"backup": volid, "vmid": vmid, "name": name, "force": True}
        assert run.changes("pve_restore", over)["checked"] == "restored beside it"
        assert str(world.config(vmid)["memory"]) == "64"
        if IS_LIVE:
            # The embedded one has no system in a container whose number nobody knows before.
            found = run.changes_nothing("pve_backup_verify", verification(world, new_container, storage))
            assert (found["report"]["result"], found["report"]["booted_by"]) == ("good", "a shell")
        assert own_guests(world, {vmid}) == {vmid}
    finally:
        clear(world, run, vmid)


def test_a_backup_job_is_made_changed_and_deleted(world, run, vmid, storage):
    """It is disabled, so that it never runs."""
    name = f"{NAME_PREFIX}job-{vmid}"
    job = {"job": name, "schedule": "sat 03:00", "storage": storage, "guests": [str(vmid)], "enabled": False}
    try:
        made = run.changes(
            "pve_backup_job", {**job, "mode": "stop", "keep_last": 3, "keep_weekly": 2, "max_workers": 2}
        )
        assert (made["job"]["vmids"], made["job"]["enabled"]) == ([vmid], False)
        for same in ({"schedule": "SAT 3:00"}, {"keep_weekly": 2, "keep_last": 3}, {"guests": [job["guests"][0]]}):
            run.changes_nothing("pve_backup_job", {"job": name, **same})
        run.changes(
            "pve_backup_job", {"job": name, "schedule": "mon..fri 22:30", "keep_daily": 7, "comment": "of a test"}
        )
        run.changes("pve_backup_job", {"job": name, "pbs_entries_max": 1048576})
        run.changes_nothing("pve_backup_job", {"job": name, "max_workers": 2})
        other = str(world.settings.template or vmid)
        if world.settings.template:
            run.changes("pve_backup_job", {"job": name, "guests": [other], "guests_mode": "add"})
            run.changes("pve_backup_job", {"job": name, "guests": [other], "guests_mode": "remove"})
        (listed,) = run.once("pve_backup_job_info", {"job": name, "vmid": vmid})["jobs"]
        assert (listed["covers"], listed["schedule"], listed["retention"]) == ([vmid], "mon..fri 22:30", "keep-daily=7")
    finally:
        run.once("pve_backup_job", {"job": name, "state": "absent"})
    run.changes_nothing("pve_backup_job", {"job": name, "state": "absent"})


@pytest.fixture
def proved(world, run, storage):
    """A guest with an operating system that has a backup."""
    world.need("template", "shuts_down")
    clone = {**another(world), "node": world.settings.node}
    run.once("pve_vm", {**clone, "clone": {"source": str(world.settings.template), "full": True}, "agent": True})
    run.once("pve_backup", {"vmid": clone["vmid"], "storage": storage, "max_age": "1d"})
    yield clone
    clear(world, run, clone["vmid"])


def verification(world, clone, storage):
    vmids = f"{world.settings.first_vmid}-{world.settings.last_vmid}"
    return {"vmid": clone["vmid"], "storage": storage, "vmids": vmids, "pool": clone["pool"]}


def test_a_backup_is_proved_by_booting_it(world, run, proved, storage):
    found = run.changes_nothing("pve_backup_verify", verification(world, proved, storage))
    assert (found["report"]["result"], found["report"]["booted_by"]) == ("good", "the guest agent")
    assert own_guests(world, {proved["vmid"]}) == {proved["vmid"]}


def test_the_playbook_makes_a_table_of_it(world, proved, storage, tmp_path):
    if not IS_LIVE:
        pytest.skip("tests/integration/test_playbooks.py has it")
    options = verification(world, proved, storage)
    words = {"guest_names": proved["name"], **{key: options[key] for key in ("storage", "vmids", "pool")}}
    done = playbooks.play(
        REPOSITORY / "playbooks" / "verify_backups.yml",
        *(word for key, value in words.items() for word in ("-e", f"{key}={value}")),
        home=tmp_path,
        connection=world.connection,
        timeout=MODULE_SECONDS,
    )
    assert not done.failed, done.stdout
    head, row = done.task("Show the table").result["msg"]
    assert (head.split()[-1], row.split()[:2]) == ("RESULT", [str(proved["vmid"]), proved["name"]])
    assert row.endswith(" good")
    assert own_guests(world, {proved["vmid"]}) == {proved["vmid"]}


def test_what_a_proof_that_is_killed_leaves_goes_with_the_next_one(world, run, proved, storage, tmp_path):
    arguments, vmid = verification(world, proved, storage), proved["vmid"]
    before = world.config(vmid)
    process = modules.module_process("pve_backup_verify", home=tmp_path, connection=world.connection)
    if isinstance(world.target, PveHandle):
        world.target.before("POST", "/status/start$", process.kill)
    modules.begin(process, arguments)
    while process.poll() is None:
        if IS_LIVE and any(runs(world, one) for one in own_guests(world, set()) - {vmid}):
            process.kill()
        time.sleep(0.1)
    assert process.returncode == -signal.SIGKILL
    assert len(own_guests(world, set())) == 2
    found = run.once("pve_backup_verify", arguments)
    assert (found.changed, found["report"]["result"]) == (True, "good")
    assert own_guests(world, {vmid}) == {vmid}
    assert (world.config(vmid), world.status(vmid)) == (before, "stopped")
