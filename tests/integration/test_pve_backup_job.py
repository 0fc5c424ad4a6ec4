# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pve_backup_job against the embedded PVE."""

from __future__ import annotations

import pytest

NIGHTLY = {"schedule": "sat 03:00", "storage": "local", "guests": ["web", "101"]}


@pytest.fixture
def job(pve, run_module):
    def run(check=False, **arguments):
        return run_module("pve_backup_job", {"job": "nightly", **arguments}, check=check, diff=True)

    return run


@pytest.fixture
def change(job):
    def run(**arguments):
        predicted, real, again = job(check=True, **arguments), job(**arguments), job(**arguments)
        assert (predicted.failed, real.failed, again.failed) == (False, False, False), (predicted, real, again)
        assert (predicted.changed, real.changed, again.changed) == (True, True, False)
        assert (predicted.diff, predicted["steps"]) == (real.diff, real["steps"])
        return real

    return run


def test_a_job_is_made_changed_and_deleted(pve, change):
    made = change(**NIGHTLY, keep_last=3, mode="stop", comment="weekly", mailto=["a@example.org"], enabled=False)
    assert pve.server.backup_jobs["nightly"] == {
        "enabled": 0,
        "schedule": "sat 03:00",
        "storage": "local",
        "vmid": "100,101",
        "mode": "stop",
        "comment": "weekly",
        "mailto": "a@example.org",
        "prune-backups": "keep-last=3",
    }
    assert (made["job"]["vmids"], made["job"]["enabled"], made["job"]["retention"]) == (
        [100, 101],
        False,
        "keep-last=3",
    )
    changed = change(enabled=True, keep_daily=7, schedule="mon..fri 22:30")
    assert changed.diff == {
        "before": {"enabled": "0", "prune-backups": "keep-last=3", "schedule": "sat 03:00"},
        "after": {"enabled": "1", "prune-backups": "keep-daily=7", "schedule": "mon..fri 22:30"},
    }
    assert changed["steps"] == ["change the backup job nightly"]
    assert change(state="absent")["job"] is None
    assert pve.server.backup_jobs == {}


def test_the_selection_is_one_thing(pve, change):
    change(**NIGHTLY)
    pve.add_pool("prod")
    change(all_guests=True, exclude=["db"])
    assert {key: pve.server.backup_jobs["nightly"].get(key) for key in ("vmid", "all", "exclude")} == {
        "vmid": None,
        "all": 1,
        "exclude": "101",
    }
    change(pool="prod")
    change(guests=["ct"])
    assert (pve.server.backup_jobs["nightly"]["vmid"], "pool" in pve.server.backup_jobs["nightly"]) == ("200", False)


def test_guests_are_added_and_removed(pve, change, job):
    assert "there is no job nightly from which guests" in job(**NIGHTLY, guests_mode="remove").msg
    change(**{**NIGHTLY, "guests": ["web"]}, guests_mode="add")
    assert change(guests=["db"], guests_mode="add").diff == {"before": {"vmid": "100"}, "after": {"vmid": "100,101"}}
    assert job(guests=["100", "db"], guests_mode="add").changed is False
    change(guests=["web"], guests_mode="remove")
    pve.server.backup_jobs["nightly"]["vmid"] = "101,555"
    change(guests=["555"], guests_mode="remove")
    assert job(guests=["db"], guests_mode="remove").msg == (
        "job nightly would have no guests any more: delete it with state=absent"
    )
    job(all_guests=True)
    assert "backs all guests up, and lists none: leave out guests_mode=add" in job(guests=["db"], guests_mode="add").msg


def test_a_limit_that_is_not_named_stays(pve, change, job):
    job(**NIGHTLY, max_workers=4)
    change(pbs_entries_max=1000)
    assert pve.server.backup_jobs["nightly"]["performance"] == "max-workers=4,pbs-entries-max=1000"
    assert job(max_workers=4).changed is False
    change(max_workers=8)
    assert pve.server.backup_jobs["nightly"]["performance"] == "max-workers=8,pbs-entries-max=1000"


def test_pve_would_not_exclude_anything_from_the_guests_of_a_pool(pve, job):
    pve.add_pool("prod")
    job(schedule="daily", storage="local", pool="prod")
    assert "job nightly does not back up all guests, and PVE excludes none" in job(exclude=["db"]).msg
    assert "exclude does not go with pool, but with all_guests" in job(pool="prod", exclude=["db"]).msg


class TestInfo:
    @pytest.fixture
    def ids(self, run_module):
        def run(**arguments):
            found = run_module("pve_backup_job_info", arguments)
            assert not found.failed, found
            return {one["id"]: one["covers"] for one in found["jobs"]}

        return run

    def test_which_guests_each_job_backs_up(self, pve_cluster, run_module, job, ids):
        pve_cluster.add_pool("prod", 200)
        daily = {"schedule": "daily", "storage": "local"}
        for name, selection in (
            ("some", {"guests": ["100", "101"], "enabled": False}),
            ("every", {"all_guests": True, "exclude": ["101"]}),
            ("pooled", {"pool": "prod"}),
            ("here", {"all_guests": True, "node": "pve2"}),
        ):
            assert job(job=name, **daily, **selection).changed
        pve_cluster.server.backup_jobs["gone"] = {"enabled": 1, "schedule": "daily", "storage": "local", "vmid": "555"}
        every = [vmid for vmid in pve_cluster.vmids() if vmid != 101]
        on_pve2 = [vmid for vmid in pve_cluster.vmids() if pve_cluster.guest(vmid).node == "pve2"]
        assert ids() == {"every": every, "gone": [], "here": on_pve2, "pooled": [200], "some": [100, 101]}
        assert sorted(ids(vmid=101)) == ["here", "some"]
        assert sorted(ids(name="web")) == ["every", "some"]
        assert ids(vmid=555) == {"gone": []}
        assert list(ids(job="pooled")) == ["pooled"]
        one = run_module("pve_backup_job_info", {"job": "some"})["jobs"][0]
        assert (one["enabled"], one["vmids"], one["next_run"]) == (False, [100, 101], 1795834800)


@pytest.mark.parametrize(
    "same",
    [
        {"schedule": "SAT  3:00"},
        {"guests": ["101", "100"]},
        {"enabled": True},
        {"mode": "snapshot"},
        {"compress": "0"},
        {"repeat_missed": False},
        {"keep_last": 3, "keep_weekly": 2},
        {"fleecing_storage": "local-lvm"},
    ],
)
def test_what_means_the_same_changes_nothing(job, same):
    job(**NIGHTLY, keep_weekly=2, keep_last=3, fleecing_storage="local-lvm")
    assert job(**same).changed is False


def test_it_takes_one_request_when_nothing_is_to_be_done(pve, job):
    job(**NIGHTLY)
    pve.reset_record()
    assert job(schedule="sat 03:00", storage="local").changed is False
    assert pve.summary() == ["GET /cluster/backup"]
    assert job(job="other", state="absent").changed is False


def test_a_lost_answer(pve, job):
    pve.fault("POST", "/cluster/backup$", "lose_answer")
    assert (job(**NIGHTLY).failed, list(pve.server.backup_jobs)) == (False, ["nightly"])


WRONG = (
    ({"storage": "local", "guests": ["web"]}, "there is no job nightly, and a new one needs schedule"),
    ({"schedule": "daily", "guests": ["web"]}, "there is no job nightly, and a new one needs storage"),
    ({"schedule": "daily", "storage": "local"}, "and a new one needs guests, all_guests or pool"),
    ({**NIGHTLY, "guests": ["nobody"]}, "there is no guest named 'nobody'"),
    ({**NIGHTLY, "storage": "nope"}, "there is no storage nope"),
    ({**NIGHTLY, "storage": "vmstore"}, "storage vmstore takes no backups: name another one"),
    ({**NIGHTLY, "node": "pve9"}, "there is no node pve9: the cluster has pve1"),
    ({**NIGHTLY, "schedule": "whenever"}, "schedule is no calendar event of PVE: write it as in sat 03:00"),
    # What YAML makes of 22:30 without quotes.
    ({**NIGHTLY, "schedule": 1350}, "schedule 1350 is no time: write it in quotes, as '22:30' if that is meant"),
    ({**NIGHTLY, "guests": None, "pool": "nope"}, "name a pool that there is"),
    ({**NIGHTLY, "pool": "prod"}, "guests and pool do not go together"),
    ({**NIGHTLY, "exclude": ["db"]}, "exclude does not go with guests"),
    ({"guests_mode": "add"}, "guests_mode=add needs guests"),
    ({"guests": []}, "guests is empty"),
    ({"all_guests": False}, "all_guests=false says of no guest that it is meant"),
    ({"job": "a b"}, "job 'a b' is no name of a job"),
)


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_each_refusal_says_what_to_do(pve, job, arguments, words):
    result = job(**{key: value for key, value in arguments.items() if value is not None})
    assert words in result.msg
    assert pve.server.backup_jobs == {}
