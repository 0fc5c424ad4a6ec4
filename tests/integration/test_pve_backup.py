# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pve_backup and pve_backups against the embedded PVE: what is made, kept, pruned, annotated and deleted."""

from __future__ import annotations

import time

import pytest

HOUR = 3600
DAY = 24 * HOUR
VZDUMP = "POST /nodes/pve1/vzdump"
PRUNE = "DELETE /nodes/pve1/storage/local/prunebackups"


@pytest.fixture
def backup(run_module):
    def run(check=False, **arguments):
        if not {"vmid", "name", "backup"} & arguments.keys():
            arguments["vmid"] = 100
        if "backup" not in arguments:
            arguments.setdefault("storage", "local")
        return run_module("pve_backup", arguments, check=check, diff=True)

    return run


@pytest.fixture
def change(backup):
    """Run in check mode, for real, and again; return what the real run answered."""

    def run(twice=True, **arguments):
        predicted = backup(check=True, **arguments)
        real = backup(**arguments)
        assert (predicted.failed, real.failed) == (False, False), (predicted, real)
        assert (predicted.changed, real.changed) == (True, True)
        assert predicted.diff == real.diff
        assert predicted["steps"] == real["steps"]
        assert predicted["deleted"] == real["deleted"]
        if twice:
            again = backup(**arguments)
            assert (again.failed, again.changed, again["steps"]) == (False, False, []), again
        return real

    return run


def writes(pve):
    return [line for line in pve.summary() if not line.startswith("GET")]


class TestMaxAge:
    def test_a_backup_is_made_when_there_is_none(self, pve, change):
        result = change(max_age="1d")
        assert pve.backups() == [result["backup"]["volid"]]
        assert result.diff == {"before": {"backups": []}, "after": {"backups": ["a new backup"]}}
        assert result["steps"] == ["back guest 100 (web) up to local (snapshot)"]
        assert [task["type"] for task in result["tasks"]] == ["vzdump"]
        assert (result["backup"]["vmid"], result["backup"]["type"], result["backup"]["size"]) == (100, "qemu", 36653)
        assert (result["guest"]["name"], result["vmid"], result["node"]) == ("web", 100, "pve1")

    def test_a_young_one_will_do_and_takes_four_requests(self, pve, backup):
        held = pve.add_backup(100, age=2 * HOUR)
        pve.reset_record()
        result = backup(max_age="3h")
        assert (result.changed, result["backup"]["volid"]) == (False, held)
        assert pve.summary() == [
            "GET /cluster/resources",
            "GET /nodes/pve1/qemu/100/status/current",
            "GET /nodes/pve1/storage/local/content",
            "GET /nodes/pve1/qemu/100/config",
        ]

    def test_one_of_a_guest_that_had_the_number_before_will_not(self, pve, change):
        held = pve.add_backup(100, age=HOUR)
        pve.guest(100).config["meta"] = f"creation-qemu=10.2.2,ctime={int(time.time()) - HOUR // 2}"
        result = change(max_age="1d")
        assert result.diff == {"before": {"backups": [held]}, "after": {"backups": [held, "a new backup"]}}

    def test_an_old_one_will_not(self, pve, change):
        held = pve.add_backup(100, age=2 * HOUR)
        result = change(max_age=str(HOUR))
        assert result.diff == {"before": {"backups": [held]}, "after": {"backups": [held, "a new backup"]}}

    def test_0_makes_one_each_time(self, pve, change, backup):
        pve.add_backup(100, age=60)
        change(twice=False, max_age="0")
        assert backup(check=True, max_age="0").changed is True

    def test_one_whose_verification_failed_is_no_backup(self, pve, change):
        pve.add_backup(100, age=60, verification={"state": "failed", "upid": "UPID:x"})
        change(max_age="1d")

    def test_that_of_another_kind_of_guest_with_the_number_is_none(self, pve, change):
        pve.add_backup(100, age=60, kind="lxc", node="pve1", config={})
        assert change(max_age="1d")["backup"]["type"] == "qemu"

    def test_a_container(self, pve, change):
        result = change(vmid=200, max_age="1d", mode="stop", exclude_paths=["/tmp/?*", "/var/cache"])
        assert result["backup"]["volid"].endswith(".tar.zst")
        assert pve.forms("POST", "/vzdump$")[0]["exclude-path"] in (["/tmp/?*", "/var/cache"], "/var/cache")

    def test_all_options_of_vzdump(self, pve, backup):
        options = {"mode": "suspend", "compress": "gzip", "notes": "two\nlines", "protected": True, "bandwidth": 1000}
        more = {"fleecing_storage": "local-lvm", "change_detection": "data", "zstd_threads": 2, "max_workers": 4}
        more |= {"pbs_entries_max": 9, "mailto": ["a@example.org", "b@example.org"], "notification_mode": "auto"}
        result = backup(max_age="0", **options, **more)
        assert not result.failed, result
        assert pve.forms("POST", "/vzdump$") == [
            {
                "vmid": "100",
                "storage": "local",
                "mode": "suspend",
                "compress": "gzip",
                "notes-template": "two\\nlines",
                "protected": "1",
                "remove": "0",
                "bwlimit": "1000",
                "fleecing": "enabled=1,storage=local-lvm",
                "pbs-change-detection-mode": "data",
                "zstd": "2",
                "performance": "max-workers=4,pbs-entries-max=9",
                "mailto": "a@example.org,b@example.org",
                "notification-mode": "auto",
            }
        ]
        assert (result["backup"]["protected"], pve.backup(result["backup"]["volid"])["notes"]) == (True, "two\nlines")

    def test_the_right_node_is_asked_when_the_guest_has_moved_meanwhile(self, pve_cluster, run_module):
        pve_cluster.before("POST", "/vzdump$", lambda: pve_cluster.move_guest(100, "pve2"))
        result = run_module("pve_backup", {"vmid": 100, "storage": "local", "max_age": "1d"}, on=pve_cluster)
        assert not result.failed, result
        assert (result["node"], result["backup"]["node"]) == ("pve2", "pve2")
        assert pve_cluster.backup(result["backup"]["volid"])["node"] == "pve2"

    def test_one_that_runs_already_is_waited_for_and_will_do(self, pve, api, backup):
        pve.task_seconds["vzdump"] = 1.0
        api.data("POST", "/nodes/pve1/vzdump", vmid=100, storage="local", compress="zstd")
        result = backup(max_age="1h")
        assert (result.failed, result.changed, result["backup"]["volid"]) == (False, False, pve.backups()[0])
        assert len(pve.tasks("vzdump")) == 1

    def test_one_that_runs_already_and_fails_is_made_again(self, pve, api, backup):
        pve.task_seconds["vzdump"] = 1.0
        pve.next_task_fails("vzdump", "job errors")
        api.data("POST", "/nodes/pve1/vzdump", vmid=100, storage="local", compress="zstd")
        result = backup(max_age="1h")
        assert (result.failed, result.changed) == (False, True), result
        assert len(pve.backups()) == 1

    def test_a_lost_answer_makes_no_second_one(self, pve, backup):
        pve.fault("POST", "/vzdump$", "lose_answer")
        result = backup(max_age="1d")
        assert (result.failed, len(pve.backups()), len(pve.tasks("vzdump"))) == (False, 1, 1)

    def test_when_the_time_is_over_it_says_that_pve_goes_on(self, pve, backup):
        pve.task_seconds["vzdump"] = 600
        result = backup(max_age="1d", timeout=3)
        assert (result["error"]["kind"], result.changed) == ("timed_out", True)
        assert "PVE goes on with it, look at UPID:pve1:" in result.msg


class TestLocks:
    """Somebody else works on the guest."""

    def test_one_that_goes_is_waited_for(self, pve, backup):
        pve.lock_guest(100, "snapshot")
        assert backup(max_age="1d").msg == (
            "guest 100 (web) is locked (snapshot): wait for what is being done to it, or set wait_for_lock"
        )
        pve.before("GET", "/100/status/current$", lambda: pve.lock_guest(100, None), after=2)
        result = backup(max_age="1d", wait_for_lock=60)
        assert (result.failed, result.changed, len(pve.backups())) == (False, True, 1), result

    def test_one_that_stays(self, pve, backup):
        pve.lock_guest(100, "snapshot")
        for check in (True, False):
            result = backup(check=check, max_age="1d", wait_for_lock=1)
            assert result.msg == (
                "guest 100 (web) is locked (snapshot), and still was after 1 s: look at what is being done to it"
            )

    def test_that_of_a_hibernated_guest_is_not_waited_for(self, pve, backup):
        pve.lock_guest(100, "suspended")
        assert backup(max_age="1d", wait_for_lock=600).msg == (
            "guest 100 (web) is locked (suspended), as it is hibernated: resume it first"
        )

    def test_what_the_backup_of_somebody_else_has_made_will_do(self, pve, backup):
        """With few rights its task is not seen, and its lock is."""
        pve.lock_guest(100, "backup")

        def end():
            pve.lock_guest(100, None)
            pve.add_backup(100)

        pve.before("GET", "/100/status/current$", end, after=2)
        assert backup(max_age="1d", wait_for_lock=60).changed is False

    def test_one_that_comes_while_it_waits_for_other_backups_of_the_node(self, pve, backup):
        pve.next_task_fails("vzdump", "job errors", ["ERROR: Backup of VM 100 failed - VM is locked (snapshot)"])
        assert "failed: VM is locked (snapshot)" in backup(max_age="1d").msg
        pve.next_task_fails("vzdump", "job errors", ["ERROR: Backup of VM 100 failed - VM is locked (snapshot)"])
        result = backup(max_age="1d", wait_for_lock=60)
        assert (result.failed, len(pve.backups())) == (False, 1), result


class TestRetention:
    def test_a_new_one_and_the_oldest_goes(self, pve, change):
        held = [pve.add_backup(100, age=age * DAY) for age in (4, 3, 2)]
        other = pve.add_backup(101, age=9 * DAY)
        result = change(max_age="1d", keep_last=2)
        assert result["deleted"] == held[:2]
        assert result["steps"] == [
            "back guest 100 (web) up to local (snapshot)",
            "prune 2 backups of guest 100 (web) on local (keep-last=2)",
        ]
        assert result.diff == {"before": {"backups": held}, "after": {"backups": [held[2], "a new backup"]}}
        assert pve.backups() == [other, held[2], result["backup"]["volid"]]

    def test_only_pruned(self, pve, change):
        held = [pve.add_backup(100, age=age * DAY) for age in (4, 3, 2)]
        result = change(state="absent", keep_last=1)
        assert (result["deleted"], pve.backups(), result["backup"]) == (held[:2], held[2:], None)

    def test_protected_ones_stay_and_do_not_count(self, pve, change):
        held = [pve.add_backup(100, age=age * DAY, protected=age == 4) for age in (5, 4, 3)]
        result = change(max_age="1d", keep_last=1)
        assert result["deleted"] == [held[0], held[2]]
        assert pve.backups() == [held[1], result["backup"]["volid"]]

    def test_by_day_week_month_and_year(self, pve, change):
        for age in (0.02, 0.04, 1.1, 1.2, 2, 8, 15, 33, 40, 70, 400, 800):
            pve.add_backup(100, age=int(age * DAY))
        change(max_age="0", twice=False, keep_daily=2, keep_weekly=2, keep_monthly=2, keep_yearly=2)

    def test_as_the_storage_says(self, pve, change):
        pve.call(lambda: pve.server.storages["local"].update({"prune-backups": "keep-last=2"}))
        held = [pve.add_backup(100, age=age * DAY) for age in (4, 3)]
        result = change(max_age="1d", keep_as_storage=True)
        assert (result["deleted"], writes(pve)) == (held[:1], [VZDUMP])

    def test_as_the_storage_says_without_a_new_one(self, pve, change):
        pve.call(lambda: pve.server.storages["local"].update({"prune-backups": "keep-last=1"}))
        held = [pve.add_backup(100, age=age * HOUR) for age in (4, 3)]
        result = change(max_age="1d", keep_as_storage=True)
        assert (result["deleted"], writes(pve)) == (held[:1], [PRUNE])

    def test_a_lost_answer_to_pruning(self, pve, backup):
        pve.add_backup(100, age=2 * HOUR)
        held = pve.add_backup(100, age=HOUR)
        pve.fault("DELETE", "/prunebackups$", "lose_answer")
        result = backup(state="absent", keep_last=1)
        assert (result.failed, result.changed, pve.backups()) == (False, True, [held])

    def test_where_the_storage_is_full_of_backups_check_mode_says_it_too(self, pve, backup):
        pve.call(lambda: pve.server.storages["local"].update({"prune-backups": "keep-last=1"}))
        pve.add_backup(100, age=2 * DAY)
        for check in (True, False):
            result = backup(check=check, max_age="1d")
            assert result.msg == (
                "storage local lets a guest have 1 backups, and guest 100 (web) has 1: set keep_as_storage to have "
                "older ones pruned by the storage's own settings, or delete one"
            )
        assert writes(pve) == []


class TestOneThatThereIs:
    def test_notes_and_protection_of_the_young_one(self, pve, change):
        held = pve.add_backup(100, age=60, notes="old\nnotes")
        result = change(max_age="1h", notes="old\nbut new", protected=True)
        assert result.diff == {
            "before": {"notes": "old\nnotes", "protected": False},
            "after": {"notes": "old\nbut new", "protected": True},
        }
        assert result["steps"] == [f"annotate and protect backup {held}"]
        assert (pve.backup(held)["notes"], pve.backup(held)["protected"]) == ("old\nbut new", True)

    def test_one_that_is_named(self, pve, change):
        held = pve.add_backup(100, age=90 * DAY, protected=True)
        result = change(backup=held, protected=False, notes="")
        assert result["steps"] == [f"unprotect backup {held}"]
        assert change(backup=held, state="absent")["deleted"] == [held]
        assert pve.backups() == []

    def test_the_backup_of_a_guest_that_is_gone(self, pve, change):
        held = pve.add_backup(555, age=DAY, kind="qemu", node="pve1")
        assert "guest" not in change(backup=held, notes="kept").result
        change(backup=held, state="absent")

    def test_a_protected_one_is_not_deleted(self, pve, backup):
        held = pve.add_backup(100, protected=True)
        for check in (True, False):
            result = backup(check=check, backup=held, state="absent")
            assert result.msg == f"backup {held} is protected: set protected to false on it first"
        assert pve.backups() == [held]

    def test_one_that_is_not_there(self, pve, backup):
        gone = "local:backup/vzdump-qemu-100-2026_01_31-03_00_00.vma.zst"
        assert backup(backup=gone, state="absent").changed is False
        assert backup(backup=gone, notes="a").msg == (
            f"there is no backup {gone} on node pve1: pve_backup_info lists what there is"
        )

    def test_on_one_of_several_nodes(self, pve_cluster, run_module):
        held = pve_cluster.add_backup(555, kind="qemu", node="pve3")
        for arguments, words in (
            ({}, "storage local is not shared, and pve1, pve2, pve3 have one each: say by node which one is meant"),
            ({"node": "pve9"}, "there is no storage local on node pve9, or no right to see it (Datastore.Audit)"),
        ):
            result = run_module("pve_backup", {"backup": held, "state": "absent", **arguments}, on=pve_cluster)
            assert result.msg == words
        result = run_module("pve_backup", {"backup": held, "state": "absent", "node": "pve3"}, on=pve_cluster)
        assert (result.changed, pve_cluster.backups()) == (True, [])


class TestTheGuestThatIsMeant:
    def test_by_name(self, pve, backup):
        assert backup(name="web", max_age="1d").changed is True
        assert backup(vmid=100, name="db", max_age="1d").msg == (
            "guest 100 on node pve1 is named 'web', not 'db': nothing was changed"
        )

    def test_a_backup_of_another_guest_is_refused(self, pve, backup):
        held = pve.add_backup(101)
        assert backup(vmid=100, backup=held, state="absent").msg == (
            f"backup {held} is one of guest 101, not of guest 100"
        )
        assert backup(name="web", backup=held, state="absent").msg == (
            f"backup {held} is one of guest 101, not of guest 100 (web)"
        )
        assert pve.backups() == [held]

    def test_one_on_a_node_that_is_away(self, pve_cluster, run_module):
        pve_cluster.server.nodes["pve2"]["online"] = False
        result = run_module("pve_backup", {"vmid": 101, "storage": "local", "max_age": "1d"}, on=pve_cluster)
        assert result["error"]["kind"] == "unreachable"
        assert "node pve2 is offline" in result.msg


def refuse_space(pve):
    pve.fill_storage("local")


def limit_protected(pve):
    pve.call(lambda: pve.server.storages["local"].update({"max-protected-backups": 0}))


REFUSED = (
    (
        lambda pve: pve.lock_guest(100, "migrate"),
        {},
        "guest 100 (web) is locked (migrate): wait for what is being done",
    ),
    (lambda pve: None, {"storage": "vmstore"}, "storage vmstore takes no backups on node pve1, which has local"),
    (refuse_space, {}, "a storage is full: delete or prune backups on it, or name another storage"),
    (limit_protected, {"protected": True}, "set protected to false on one of them, or raise max-protected-backups"),
    (
        lambda pve: pve.fault(
            "GET", "/storage$", "status", status=403, message="Permission check failed (/, Sys.Audit)"
        ),
        {},
        "lacks the privilege Sys.Audit on /",
    ),
    (
        lambda pve: pve.next_task_fails("vzdump", "403 Permission check failed (/vms/100, VM.Backup)"),
        {},
        "lacks the privilege VM.Backup on /vms/100 for task vzdump of 100 on node pve1: grant it with a role",
    ),
    (
        lambda pve: pve.call(lambda: pve.server.storages["local"].update({"active": 0})),
        {},
        "storage 'local' is not online: look at its server and its mount",
    ),
)


@pytest.mark.parametrize(("prepare", "arguments", "words"), REFUSED)
def test_each_refusal_says_what_to_do(pve, backup, prepare, arguments, words):
    prepare(pve)
    result = backup(max_age="1d", **arguments)
    assert result.failed
    assert words in result.msg
    assert "\n" not in result.msg
    assert pve.backups() == []


WRONG = (
    ({"max_age": "1d", "storage": ""}, "storage is required"),
    ({}, "max_age is required: how old the newest backup may be, as in 24h; 0 makes a new one"),
    ({"max_age": "soon"}, "max_age 'soon' is no time span"),
    ({"max_age": "1d", "keep_last": 1, "keep_as_storage": True}, "keep_as_storage does not go with keep_last"),
    ({"max_age": "1d", "keep_last": 0}, "keep_last are all 0, by which PVE prunes nothing"),
    ({"max_age": "1d", "keep_daily": -1}, "keep_daily must not be negative, but is -1"),
    ({"max_age": "1d", "bandwidth": -1}, "bandwidth must not be negative, but is -1"),
    ({"max_age": "1d", "fleecing_storage": "a b"}, "fleecing_storage 'a b' is not the name of a storage"),
    ({"max_age": "1d", "notes": "{{vmid}}"}, "notes cannot hold '{{'"),
    ({"max_age": "1d", "node": "pve1"}, "node only goes with backup"),
    ({"state": "absent"}, "state=absent needs backup, or one of keep_last to keep_yearly to prune by"),
    ({"state": "absent", "keep_last": 1, "notes": "a"}, "notes only goes with state=present"),
    ({"backup": "local:iso/a.iso", "notes": ""}, "backup 'local:iso/a.iso' is not the name of a backup"),
)


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_what_is_wrong_in_the_options_is_said_before_anything_is_sent(pve, backup, arguments, words):
    result = backup(**arguments)
    assert words in result.msg
    assert (result["error"]["kind"], pve.summary()) == ("invalid_request", [])


def test_many_guests(pve, run_module):
    young = pve.add_backup(101, age=60)
    arguments = {"select": {"names": ["*"]}, "defaults": {"storage": "local", "max_age": "1d", "keep_last": 3}}
    result = run_module("pve_backups", arguments)
    assert not result.failed, result
    assert result["summary"] == "3 guests: 2 changed, 1 unchanged"
    assert [one["backup"]["vmid"] for one in result["results"]] == [100, 101, 200]
    assert result["results"][1]["backup"]["volid"] == young
    assert run_module("pve_backups", arguments).changed is False


class TestInfo:
    def test_all_and_what_is_known_of_them(self, pve, run_module):
        first = pve.add_backup(100, age=2 * DAY, notes="before\nthe upgrade", protected=True)
        second = pve.add_backup(100, age=DAY, verification={"state": "ok", "upid": "UPID:x"})
        gone = pve.add_backup(555, age=HOUR, kind="qemu", node="pve1")
        result = run_module("pve_backup_info", {})
        assert [one["volid"] for one in result["backups"]] == [first, second, gone]
        one = result["backups"][0]
        age, created = one.pop("age"), one.pop("created")
        assert 2 * DAY <= age < 3 * DAY
        assert created == pve.backup(first)["ctime"]
        assert one == {
            "volid": first,
            "storage": "local",
            "node": "pve1",
            "vmid": 100,
            "type": "qemu",
            "guest": "web",
            "guest_exists": True,
            "size": 36653,
            "format": "vma.zst",
            "notes": "before",
            "protected": True,
            "verification": None,
            "encrypted": False,
        }
        assert [one["verification"] for one in result["backups"]] == [None, "ok", None]
        assert [one["guest_exists"] for one in result["backups"]] == [True, True, False]

    def test_conditions(self, pve_cluster, run_module):
        volids = {
            "web": [pve_cluster.add_backup(100, age=age * DAY) for age in (3, 2)],
            "db": [pve_cluster.add_backup(101, age=DAY)],
            "ct": [pve_cluster.add_backup(200, age=DAY)],
        }
        bad = pve_cluster.add_backup(100, age=DAY, verification={"state": "failed", "upid": "UPID:x"})
        web = [*volids["web"], bad]
        for arguments, expected in (
            ({"name": "web"}, web),
            ({"vmid": 101}, volids["db"]),
            ({"guest_type": "lxc"}, volids["ct"]),
            ({"node": "pve2"}, volids["db"]),
            ({"newest": True}, [volids["web"][1], *volids["db"], *volids["ct"]]),
            ({"vmid": 555}, []),
        ):
            result = run_module("pve_backup_info", arguments, on=pve_cluster)
            assert [one["volid"] for one in result["backups"]] == expected, arguments

    def test_a_node_that_is_away_is_a_warning(self, pve_cluster, run_module):
        held = pve_cluster.add_backup(100)
        pve_cluster.server.nodes["pve2"]["online"] = False
        result = run_module("pve_backup_info", {}, on=pve_cluster)
        assert [one["volid"] for one in result["backups"]] == [held]
        assert any("storage local on node pve2 could not be listed" in text for text in result.warnings)

    def test_nothing_is_seen_without_the_right_to_and_that_is_said(self, pve, run_module):
        pve.add_backup(100)
        pve.add_token("audit@pve!one", "5d1e0b6e-6f0a-4f3c-8f57-1d2f6c1f7a11")
        pve.grant("audit@pve!one", "/", "Datastore.Audit", "VM.Audit")
        env = {
            "PROXMOX_USER": "audit@pve",
            "PROXMOX_TOKEN_ID": "one",
            "PROXMOX_TOKEN_SECRET": "5d1e0b6e-6f0a-4f3c-8f57-1d2f6c1f7a11",
        }
        result = run_module("pve_backup_info", {}, env=env)
        assert result["backups"] == []
        assert any("grant Datastore.AllocateSpace on /storage/local, and VM.Backup" in text for text in result.warnings)

    def test_what_is_not_there(self, pve, run_module):
        assert "there is no storage nope" in run_module("pve_backup_info", {"storage": "nope"}).msg
        assert "there is no guest named 'nobody'" in run_module("pve_backup_info", {"name": "nobody"}).msg
