# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The custom action Backup: what is made, what stands against it, and what is left when it takes too long."""

from __future__ import annotations

import json
import re
import time

import pytest

from tests.support.cloudstack import payload

UUID = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
NOTES = f"CloudStack instance: i-2-45-VM\nCloudStack UUID: {UUID}\nCloudStack deployment: 0123456789abcdef"
MARK = {"tags": "cloudstack", "description": NOTES, "smbios1": f"uuid={UUID}"}
ARCHIVE = r"local:backup/vzdump-qemu-105-\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d\.vma\.zst"
OTHERS = (
    "stop reboot CreateSnapshot RestoreSnapshot DeleteSnapshot Reset Suspend Shutdown ResizeDisk AttachISO Migrate "
    "Backup delete start"
).split()
VZDUMP = "POST /nodes/pve1/vzdump"


@pytest.fixture
def world(pve):
    pve.add_guest(105, "i-2-45-VM", config=MARK, status="running")
    return pve


@pytest.fixture
def back_up(world, calls):
    def call(wait=60, **parameters):
        return calls("Backup", order(world, **parameters), wait=wait)

    return call


def order(pve, host=None, **parameters):
    data = payload("ListSnapshots", pve, parameters={"storage": "local", **parameters}, host=host or {})
    return {**data, "action": "Backup"}


def archives(pve):
    return [volid for volid in pve.volumes("local") if ":backup/" in volid]


def volume(pve):
    (name,) = archives(pve)
    return pve.server.storages["local"]["volumes"][name.partition(":")[2]]


def writes(pve):
    return [line for line in pve.summary() if not line.startswith("GET ")]


class TestWhatIsMade:
    def test_the_answer_names_the_volume(self, world, back_up):
        answer = back_up()
        assert answer.ok, answer.output
        assert archives(world) == [answer["volid"]]
        assert re.fullmatch(ARCHIVE, answer["volid"])
        assert answer["printmessage"] == "true"
        assert answer["message"] == [{"volid": answer["volid"], "size": "0.0 MiB", "warnings": "-"}]
        assert world.status(105) == "running"
        assert "lock" not in world.config(105)

    def test_nothing_but_what_was_asked_for_is_sent(self, world, back_up):
        assert back_up().ok
        assert writes(world) == [VZDUMP]
        assert world.forms("POST", "/vzdump$") == [
            {
                "vmid": "105",
                "storage": "local",
                "mode": "snapshot",
                "compress": "zstd",
                "notes-template": "CloudStack instance i-2-45-VM",
                "remove": "0",
            }
        ]

    @pytest.mark.parametrize(("compress", "suffix"), [("0", "vma"), ("gzip", "vma.gz"), ("lzo", "vma.lzo")])
    def test_otherwise_compressed_in_another_mode(self, world, back_up, compress, suffix):
        answer = back_up(compress=compress, mode="stop")
        assert answer["volid"].endswith(suffix)
        assert world.forms("POST", "/vzdump$")[0]["mode"] == "stop"

    def test_notes_arrive_as_they_are(self, world, back_up):
        for notes in ("two\nlines", "a\\nb \\ c", "ü & = ; %41 \" ' $(id) {vmid}", "x" * 1024):
            assert back_up(notes=notes).ok
            assert volume(world)["notes"] == notes
            world.call(world.server.storages["local"]["volumes"].popitem)

    def test_protected_when_the_operator_lets_it(self, world, bridge, back_up):
        assert back_up(protected=True)["kind"] == "invalid_request"
        bridge.set_policy({"allow_protected_backups": True})
        assert back_up(protected="true").ok
        assert volume(world)["protected"] == 1

    def test_a_storage_of_the_operator_when_none_is_named(self, world, calls):
        assert "no backup_storage" in calls("Backup", order(world, storage=None)).error
        host = {"backup_storage": "local", "allowed_backup_storages": "none-at-all"}
        assert calls("Backup", order(world, host=host, storage=None)).ok

    def test_a_stopped_instance_stays_stopped_for_cloudstack(self, world, bridge, calls):
        world.call(lambda: world.server.halt_guest(world.guest(105)))
        world.task_seconds["vzdump"] = 1.5
        process = bridge.start("Backup", order(world))
        while world.config(105).get("lock") != "backup":
            time.sleep(0.02)
        assert world.guest(105).qmpstatus == "prelaunch"
        assert calls("status", payload("status", world))["power_state"] == "poweroff"
        assert calls("statuses", payload("statuses", world))["power_state"] == {"i-2-45-VM": "poweroff"}
        assert json.loads(process.communicate(timeout=60)[0])["status"] == "success"

    def test_a_running_one_is_on_while_it_is_backed_up(self, world, calls):
        world.lock_guest(105, "backup")
        assert calls("status", payload("status", world))["power_state"] == "poweron"
        assert calls("statuses", payload("statuses", world))["power_state"] == {"i-2-45-VM": "poweron"}

    def test_warnings_are_shown(self, world, back_up):
        world.next_task_warns("vzdump", "guest agent does not answer")
        answer = back_up()
        assert "guest agent does not answer" in answer["message"][0]["warnings"]

    def test_wherever_the_guest_is(self, pve_cluster, calls):
        pve_cluster.add_guest(105, "i-2-45-VM", config=MARK, node="pve3", storage="shared")
        assert calls("Backup", order(pve_cluster)).ok
        # PVE says OK, and does nothing, where the guest is not.
        pve_cluster.before("POST", "/vzdump$", lambda: pve_cluster.move_guest(105, "pve2"))
        pve_cluster.before("POST", "/vzdump$", lambda: time.sleep(1.1))
        assert calls("Backup", order(pve_cluster)).ok
        assert [task["node"] for task in pve_cluster.tasks("vzdump")] == ["pve3", "pve2"]


class TestOlderArchives:
    def test_they_are_pruned_only_when_the_operator_says_so(self, world, bridge, back_up):
        """The storage keeps one: a tenant must not push the operator's own backups out with his."""
        world.server.storages["local"]["prune-backups"] = "keep-last=1"
        first = back_up()["volid"]
        answer = back_up()
        assert answer.error.startswith("There is a max backup limit of 1 enforced by the target storage")
        assert archives(world) == [first]
        bridge.set_policy({"prune_backups": True})
        time.sleep(1.1)
        second = back_up()["volid"]
        assert archives(world) == [second] != [first]

    def test_no_more_than_the_operator_allows(self, world, bridge, back_up):
        bridge.set_policy({"max_backups": 1})
        assert back_up().ok
        assert "has 1 backups on storage local, and the site policy allows 1" in back_up().error
        assert writes(world) == [VZDUMP]


REFUSED = (
    ({"storage": "local-lvm"}, "takes no backups on node pve1, which has local"),
    ({"storage": "nowhere"}, "takes no backups on node pve1, which has local"),
    ({"storage": "secret-store"}, "the site policy does not allow the backup storage"),
    ({"storage": "local,script=/bin/sh"}, "parameters: storage"),
    ({"mode": "stop"}, "the site policy does not allow backups in the mode"),
    ({"mode": "live"}, "must be one of snapshot, suspend, stop"),
    ({"compress": "1"}, "must be one of 0, gzip, lzo, zstd"),
    ({"notes": "{{cluster}}"}, "notes cannot hold"),
    ({"notes": "x" * 1025}, "notes has 1025 characters"),
    ({"notes": "\\" * 600}, "longer than the 1024"),
    ({"notes": "a\x00"}, "no text"),
    ({"notes": ["a"]}, "not a text"),
    ({"protected": "maybe"}, "neither true nor false"),
    ({"protected": True}, "cannot be pruned"),
)


class TestWhatIsRefused:
    def test_before_anything_is_made(self, world, bridge, back_up):
        bridge.set_policy(
            {"allowed_backup_storages": ["local*", "no*"], "allowed_backup_modes": ["snapshot", "suspend"]}
        )
        for parameters, words in REFUSED:
            answer = back_up(**parameters)
            assert (answer["kind"], words in answer.error) == ("invalid_request", True), answer.output
        assert writes(world) == []

    def test_a_storage_that_is_down(self, world, back_up):
        world.server.storages["local"]["active"] = 0
        assert "storage local is not active" in back_up().error
        assert writes(world) == []

    def test_a_guest_that_is_locked(self, world, back_up):
        for lock in ("backup", "snapshot", "migrate", "suspended"):
            world.lock_guest(105, lock)
            answer = back_up()
            assert answer["kind"] == "locked"
            assert f"is locked ({lock})" in answer.error
        assert writes(world) == []


class TestWhatFails:
    def test_a_lock_that_came_between(self, world, back_up):
        world.before("POST", "/vzdump$", lambda: world.lock_guest(105, "snapshot"))
        answer = back_up()
        assert answer.error.startswith("VM is locked (snapshot) (task vzdump of 105 on node pve1 failed")

    def test_a_full_storage(self, world, back_up):
        world.fill_storage("local")
        answer = back_up()
        assert answer["kind"] == "task_failed"
        assert answer.error.startswith("vma_queue_write: write error - Broken pipe (task vzdump")
        assert "No space left on device" in answer.error
        assert archives(world) == []

    def test_a_storage_whose_content_was_changed_meanwhile(self, world, back_up):
        world.before("POST", "/vzdump$", lambda: world.server.storages["local"].update(content="iso"))
        assert "can't use storage 'local' for backups - wrong content type" in back_up().error

    @pytest.mark.parametrize(("path", "privilege"), [("/vms", "VM.Backup"), ("/storage", "Datastore.AllocateSpace")])
    def test_without_a_privilege(self, world, calls, path, privilege):
        rights = {"/vms": {"VM.Audit", "VM.Backup"}, "/storage": {"Datastore.Audit", "Datastore.AllocateSpace"}}
        world.add_token("cloud@pve!csext", world.token_secret)
        for place, held in rights.items():
            world.grant("cloud@pve", place, *(held - {privilege if place == path else ""}))
        answer = calls("Backup", order(world, host={"user": "cloud@pve", "token": "csext"}))
        assert answer.exit_code == 1
        assert privilege in answer.error
        assert path in answer.error
        assert archives(world) == []


class TestOnce:
    @pytest.mark.parametrize("seconds", [0, 0.5])
    def test_a_lost_answer_makes_one(self, world, back_up, seconds):
        world.task_seconds["vzdump"] = seconds
        world.fault("POST", "/vzdump$", "lose_answer")
        assert back_up().ok
        assert len(world.tasks("vzdump")) == len(archives(world)) == 1

    def test_a_retry_while_the_first_one_runs_makes_none(self, world, bridge, calls):
        """Before it has the lock, a backup waits for others of its node."""
        world.task_seconds["vzdump"] = 60
        first = bridge.start("Backup", order(world), wait=600)
        while not world.tasks("vzdump"):
            time.sleep(0.02)
        world.lock_guest(105, None)
        answer = calls("Backup", order(world))
        assert answer["kind"] == "locked"
        assert f"runs already: wait for it, it is {world.tasks('vzdump')[0]['upid']}" in answer.error
        assert len(world.tasks("vzdump")) == 1
        first.terminate()
        first.communicate(timeout=60)


class TestTheDeadline:
    @pytest.mark.parametrize("lost", [False, True])
    def test_one_that_takes_too_long_is_called_off(self, world, back_up, lost):
        world.task_seconds["vzdump"] = 60
        if lost:
            world.fault("POST", "/vzdump$", "lose_answer")
        answer = back_up(wait=4)
        assert (answer.exit_code, answer["kind"]) == (1, "timed_out")
        assert "the wait of 4 s was too short" in answer.error
        assert "it was stopped" in answer.error
        assert answer.seconds < 4
        (task,) = world.tasks("vzdump")
        assert task["exitstatus"] == "interrupted by signal"
        assert archives(world) == []
        assert "lock" not in world.config(105)

    def test_one_that_is_complete_at_the_last_moment_stays(self, world, back_up):
        world.task_seconds["vzdump"] = 2.2
        # It ends while the order to stop it is under way.
        world.fault("DELETE", "/tasks/", "delay", seconds=0.9)
        answer = back_up(wait=4)
        assert answer.ok, answer.output
        assert archives(world) == [answer["volid"]]

    def test_somebody_ends_the_process(self, world, bridge):
        world.task_seconds["vzdump"] = 60
        process = bridge.start("Backup", order(world), wait=600)
        while not world.tasks("vzdump"):
            time.sleep(0.02)
        process.terminate()
        assert json.loads(process.communicate(timeout=60)[0])["status"] == "error"
        assert world.tasks("vzdump")[0]["status"] == "stopped"
        assert archives(world) == []

    def test_what_cannot_be_stopped_is_said(self, world, back_up):
        world.task_seconds["vzdump"] = 60
        world.fault("DELETE", "/tasks/", "status", status=500, message="no", times=None)
        answer = back_up(wait=4)
        assert answer.exit_code == 1
        assert "the backup may still come into being" in answer.error


def test_what_the_other_actions_say_meanwhile(pve_cluster, calls):
    pve_cluster.add_guest(105, "i-2-45-VM", config=MARK, status="running", storage="shared")
    pve_cluster.call(lambda: pve_cluster.server._take(pve_cluster.guest(105), "old", {}))
    pve_cluster.lock_guest(105, "backup")
    before = pve_cluster.config(105)
    parameters = {"disk_size_gb": 20, "iso_path": "local:iso/debian-13.iso", "target_node": "pve2", "storage": "local"}
    for action in OTHERS:
        if action == "start":
            pve_cluster.call(lambda: pve_cluster.server.halt_guest(pve_cluster.guest(105)))
        name = {"CreateSnapshot": "new"}.get(action, "old")
        base = action if action in ("start", "stop", "reboot", "delete") else "ListSnapshots"
        answer = calls(
            action,
            payload(base, pve_cluster, parameters={**parameters, "snap_name": name}, host={"allowed_nodes": "pve*"}),
        )
        assert answer.exit_code == 1, answer.output
        assert "is locked (backup)" in answer.error, action
        assert "a backup of it is being made: try again when that is done" in answer.error, action
        assert pve_cluster.config(105) == before
