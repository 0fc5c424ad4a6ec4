# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pve_snapshot as a process of its own, against the embedded PVE."""

from __future__ import annotations

import threading
import time

import pytest
import requests

MODULE = "pve_snapshot"
LIST = "GET /nodes/pve1/qemu/100/snapshot"


@pytest.fixture
def snapshot(run_module):
    def run(check=False, **arguments):
        arguments.setdefault("vmid", 100)
        return run_module(MODULE, arguments, check=check, diff=True)

    return run


@pytest.fixture
def change(snapshot):
    """Run in check mode, for real, and again; return what the real run answered."""

    def run(**arguments):
        predicted = snapshot(check=True, **arguments)
        real = snapshot(**arguments)
        again = snapshot(**arguments)
        assert (predicted.failed, real.failed, again.failed) == (False, False, False), (predicted, real, again)
        assert (predicted.changed, real.changed, again.changed) == (True, True, False)
        assert predicted.diff == real.diff
        assert predicted["steps"] == real["steps"]
        assert predicted["deleted"] == real["deleted"]
        assert again["steps"] == []
        return real

    return run


@pytest.fixture
def with_snapshots(pve):
    """Give VM 100 snapshots in a row, a second apart."""

    def make(*names, vmid=100):
        def add():
            guest = pve.server.guest(vmid)
            for number, name in enumerate(names):
                taken = {key: value for key, value in guest.config.items() if key != "snapshots"}
                guest.snapshots[name] = {**taken, "snaptime": 1_700_000_000 + number}
                guest.config["parent"] = name

        pve.call(add)

    return make


def writes(pve):
    return [line for line in pve.summary() if not line.startswith("GET")]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"name": "web", "hostname": "db"}, "name and hostname"),
        ({"vmid": 100, "snapshot": "a1", "snapname": "a2"}, "snapshot and snapname"),
    ],
)
def test_an_option_and_its_alias_that_differ_change_nothing(pve, run_module, arguments, named):
    result = run_module(MODULE, {"snapshot": "clean", **arguments})
    assert result.msg == f"{named} are one option, and were given different values: give one"
    assert (result.failed, result["error"]["kind"], pve.summary()) == (True, "invalid_request", [])


def test_it_is_named_by_its_place_in_a_list(pve, run_module):
    guests = [{"vmid": 300}, {"vmid": 301, "disks": [{"slot": "scsi0", "disk": "scsi1", "size": "1G"}]}]
    for module, arguments, place in (
        ("pve_vms", {"guests": guests}, "guests[1].disks[0]"),
        ("pve_vm", guests[1], "disks[0]"),
        (
            "pve_vms",
            {"guests": guests[:1], "defaults": {"clone": {"snapshot": "a", "snapname": "b"}}},
            "defaults.clone",
        ),
    ):
        result = run_module(module, arguments)
        named = "snapshot and snapname" if "clone" in place else "slot and disk"
        assert result.msg == f"{place}: {named} are one option, and were given different values: give one"
    assert pve.summary() == []


def test_an_option_and_its_alias_that_say_the_same_are_taken(pve, run_module):
    result = run_module(MODULE, {"name": "web", "hostname": "web", "snapshot": "clean"})
    assert (result.failed, list(pve.snapshots(100))) == (False, ["clean"])


def test_take_a_snapshot(pve, change):
    result = change(snapshot="clean", description="first\n")
    assert pve.snapshots(100)["clean"]["description"].rstrip() == "first"
    taken = result["snapshot"]
    assert (taken["name"], taken["description"], taken["vmstate"], taken["parent"]) == ("clean", "first", False, None)
    assert abs(taken["created"] - time.time()) < 60
    assert [entry["name"] for entry in result["snapshots"]] == ["clean"]
    assert result.diff == {"before": {"snapshots": []}, "after": {"snapshots": ["clean"]}}
    assert result["steps"] == ["take snapshot 'clean' of guest 100 (web)"]
    assert [task["type"] for task in result["tasks"]] == ["qmsnapshot"]
    assert (result["vmid"], result["node"], result["guest"]["name"]) == (100, "pve1", "web")
    assert result["pending"] == []


def test_a_snapshot_that_is_there_takes_two_requests_on_one_connection(pve, snapshot):
    snapshot(snapshot="clean")
    pve.reset_record()
    result = snapshot(snapshot="clean")
    assert result.changed is False
    assert pve.summary() == ["GET /cluster/resources", LIST]
    assert pve.connection_count == 1
    assert (result["guest"]["status"], result["guest"]["name"]) == ("stopped", "web")
    assert "pending" not in result.result


def test_by_name_it_takes_two_requests_too_and_a_change_confirms_the_name(pve, run_module):
    run_module(MODULE, {"name": "web", "snapshot": "clean"})
    pve.reset_record()
    assert run_module(MODULE, {"name": "web", "snapshot": "clean"}).changed is False
    assert pve.summary() == ["GET /cluster/resources", LIST]
    pve.reset_record()
    assert run_module(MODULE, {"name": "web", "snapshot": "other"}).changed is True
    before_the_change = pve.summary()[: pve.summary().index("POST /nodes/pve1/qemu/100/snapshot")]
    assert before_the_change == ["GET /cluster/resources", LIST, "GET /nodes/pve1/qemu/100/status/current"]
    assert pve.connection_count == 1


def test_a_guest_that_was_renamed_a_moment_ago_is_not_touched(pve, run_module):
    pve.before("GET", "/snapshot$", lambda: pve.server.guest(100).config.update(name="renamed"))
    pve.before("GET", "/snapshot$", lambda: setattr(pve.server.guest(100), "name", "renamed"))
    result = run_module(MODULE, {"name": "web", "snapshot": "clean"})
    assert result.failed
    assert "named 'renamed', not 'web': nothing was changed" in result.msg
    assert writes(pve) == []


def test_vmid_and_name_must_fit(pve, run_module):
    result = run_module(MODULE, {"vmid": 100, "name": "db", "snapshot": "clean"})
    assert result.msg == "guest 100 on node pve1 is named 'web', not 'db': nothing was changed"
    assert writes(pve) == []


def test_the_description_is_changed_in_place(pve, change, snapshot):
    snapshot(snapshot="clean", description="first")
    result = change(snapshot="clean", description="second")
    assert result.diff == {"before": {"description": "first"}, "after": {"description": "second"}}
    assert result["snapshot"]["description"] == "second"
    assert result["tasks"] == []
    assert snapshot(snapshot="clean").changed is False
    assert snapshot(snapshot="clean", description="second\n\n").changed is False


def test_the_memory_of_a_running_guest(pve, change):
    result = change(vmid=101, snapshot="ram", vmstate=True)
    assert result["snapshot"]["vmstate"] is True
    assert result.warnings == []
    assert result["guest"]["status"] == "running"


def test_a_stopped_guest_has_no_memory_to_save(change):
    result = change(snapshot="clean", vmstate=True)
    assert result["snapshot"]["vmstate"] is False
    assert result.warnings == [
        "guest 100 (web) does not run, so snapshot 'clean' holds no memory, although vmstate is true"
    ]


@pytest.mark.parametrize(("taken", "wanted", "words"), [(True, False, "with"), (False, True, "without")])
def test_memory_cannot_be_added_or_taken_away_afterwards(snapshot, taken, wanted, words):
    assert snapshot(vmid=101, snapshot="ram", vmstate=taken).changed
    for check in (True, False):
        result = snapshot(vmid=101, snapshot="ram", vmstate=wanted, check=check)
        assert result.msg == (
            f"snapshot 'ram' of guest 101 (db) was taken {words} the guest's memory, which vmstate="
            f"{str(wanted).lower()} cannot change afterwards: delete it first, or leave vmstate out"
        )


def test_retention_deletes_the_oldest_that_match_one_after_the_other(pve, change, with_snapshots):
    with_snapshots("nightly-1", "mine", "nightly-2", "nightly-3")
    pve.knobs.task_seconds["qmdelsnapshot"] = 0.1
    result = change(snapshot="nightly-4", keep_last=2, keep_pattern="nightly-*")
    assert list(pve.snapshots(100)) == ["mine", "nightly-3", "nightly-4"]
    assert result["deleted"] == ["nightly-1", "nightly-2"]
    assert result["steps"] == [
        "take snapshot 'nightly-4' of guest 100 (web)",
        "delete snapshot 'nightly-1' of guest 100 (web)",
        "delete snapshot 'nightly-2' of guest 100 (web)",
    ]
    assert result.diff == {
        "before": {
            "snapshots": ["nightly-1", "mine", "nightly-2", "nightly-3"],
            "parents": {"mine": "nightly-1", "nightly-3": "nightly-2"},
        },
        "after": {
            "snapshots": ["mine", "nightly-3", "nightly-4"],
            "parents": {"mine": None, "nightly-3": "mine"},
        },
    }
    assert [task["exit_status"] for task in result["tasks"]] == ["OK"] * 3
    assert [entry["name"] for entry in result["snapshots"]] == ["mine", "nightly-3", "nightly-4"]


def test_retention_alone_prunes(pve, change, with_snapshots):
    with_snapshots("test-1", "test-2", "keep", "test-3")
    result = change(state="absent", keep_last=1, keep_pattern="test-*")
    assert list(pve.snapshots(100)) == ["keep", "test-3"]
    assert result["deleted"] == ["test-1", "test-2"]
    assert result["snapshot"] is None


def test_delete_a_snapshot_and_keep_its_children(pve, change, with_snapshots):
    with_snapshots("a1", "a2", "a3")
    result = change(snapshot="a2", state="absent")
    assert list(pve.snapshots(100)) == ["a1", "a3"]
    assert result.diff == {
        "before": {"snapshots": ["a1", "a2", "a3"], "parents": {"a3": "a2"}},
        "after": {"snapshots": ["a1", "a3"], "parents": {"a3": "a1"}},
    }
    assert result["snapshots"][1]["parent"] == "a1"


def test_delete_a_snapshot_with_its_children(pve, change, with_snapshots):
    with_snapshots("a1", "a2", "a3")
    result = change(snapshot="a2", state="absent", children="delete")
    assert result["deleted"] == ["a3", "a2"]
    assert list(pve.snapshots(100)) == ["a1"]
    assert result["snapshot"] is None


def test_what_is_absent_takes_two_requests(pve, snapshot):
    assert snapshot(snapshot="clean", state="absent").changed is False
    assert pve.summary() == ["GET /cluster/resources", LIST]


def test_roll_back(pve, snapshot):
    snapshot(snapshot="clean")
    pve.call(lambda: pve.server.guest(100).config.update(memory="4096"))
    predicted = snapshot(snapshot="clean", state="rolled_back", check=True)
    assert pve.config(100)["memory"] == "4096"
    result = snapshot(snapshot="clean", state="rolled_back")
    assert (predicted.changed, result.changed) == (True, True)
    assert pve.config(100)["memory"] == "2048"
    assert result["steps"] == predicted["steps"] == ["roll guest 100 (web) back to snapshot 'clean'"]
    expected = {
        "before": {"state": "changed since snapshot 'clean'"},
        "after": {"state": "rolled back to snapshot 'clean'"},
    }
    assert result.diff == predicted.diff == expected
    assert result["guest"]["status"] == "stopped"
    assert snapshot(snapshot="clean", state="rolled_back").changed is True


def test_a_running_guest_is_stopped_by_a_rollback_without_memory(pve, snapshot):
    snapshot(vmid=101, snapshot="clean")
    result = snapshot(vmid=101, snapshot="clean", state="rolled_back")
    assert result.diff["before"]["power"] == "running"
    assert result.diff["after"]["power"] == "stopped"
    assert result["guest"]["status"] == pve.status(101) == "stopped"


def test_a_rollback_with_memory_leaves_the_guest_running(pve, snapshot):
    snapshot(vmid=101, snapshot="ram", vmstate=True)
    pve.call(lambda: pve.server.halt_guest(pve.server.guest(101)))
    result = snapshot(vmid=101, snapshot="ram", state="rolled_back")
    assert result.diff["after"]["power"] == "running"
    assert result["guest"]["status"] == "running"


@pytest.mark.parametrize("vmid", [100, 200])
def test_start_after_a_rollback(pve, snapshot, vmid):
    snapshot(vmid=vmid, snapshot="clean")
    result = snapshot(vmid=vmid, snapshot="clean", state="rolled_back", start_after=True)
    assert not result.failed, result
    assert result["guest"]["status"] == pve.status(vmid) == "running"
    assert pve.forms("POST", "/rollback$")[0]["start"] in (1, "1", True)


def test_a_rollback_whose_start_comes_to_nothing_is_a_failure(pve, snapshot):
    snapshot(snapshot="clean")
    pve.call(lambda: setattr(pve.server, "run_guest", lambda vm: None))
    result = snapshot(snapshot="clean", state="rolled_back", start_after=True)
    assert result.failed
    assert result.msg == (
        "guest 100 (web) on node pve1 was rolled back but is stopped, although start_after is true: "
        "look at its start tasks"
    )
    assert result.changed is True
    assert result["steps"] == ["roll guest 100 (web) back to snapshot 'clean'"]


@pytest.fixture
def start_in_a_task_of_its_own(pve):
    """As PVE does it: the rollback ends well, and a second task starts the guest."""

    def plant():
        run_guest = pve.server.run_guest
        pve.call(lambda: setattr(pve.server, "run_guest", lambda vm: None))
        headers = {"Authorization": f"PVEAPIToken={pve.token_id}={pve.token_secret}"}

        def post():
            url = f"{pve.url}/api2/json/nodes/pve1/qemu/100/status/start"
            requests.post(url, headers=headers, verify=pve.cafile, timeout=10)

        def start():
            pve.server.run_guest = run_guest
            threading.Thread(target=post).start()

        pve.before("GET", "/qemu/100/status/current", start)

    return plant


def test_the_task_that_starts_the_guest_is_waited_for(pve, snapshot, start_in_a_task_of_its_own):
    snapshot(snapshot="clean")
    pve.knobs.task_seconds["qmstart"] = 0.5
    start_in_a_task_of_its_own()
    result = snapshot(snapshot="clean", state="rolled_back", start_after=True)
    assert not result.failed, result
    assert result["guest"]["status"] == "running"
    assert [task["type"] for task in result["tasks"]] == ["qmrollback", "qmstart"]


def test_a_start_that_fails_says_why(pve, snapshot, start_in_a_task_of_its_own):
    snapshot(snapshot="clean")
    pve.next_task_fails("qmstart", "start failed: QEMU exited with code 1")
    start_in_a_task_of_its_own()
    result = snapshot(snapshot="clean", state="rolled_back", start_after=True)
    assert result.msg == "task qmstart of 100 on node pve1 failed: start failed: QEMU exited with code 1"
    assert result.changed is True
    assert result["steps"] == ["roll guest 100 (web) back to snapshot 'clean'"]


def test_an_ha_guest_is_waited_for(pve, snapshot):
    pve.add_guest(110, "ha", ha_state="stopped")
    snapshot(vmid=110, snapshot="clean")
    result = snapshot(vmid=110, snapshot="clean", state="rolled_back", start_after=True)
    assert not result.failed, result
    assert result["guest"]["status"] == "running"


@pytest.mark.parametrize("check", [True, False])
def test_a_rollback_to_what_is_not_there(pve, snapshot, with_snapshots, check):
    with_snapshots("a1", "a2")
    result = snapshot(snapshot="clean", state="rolled_back", check=check)
    assert result.msg == ("guest 100 (web) on node pve1 has no snapshot 'clean' to roll back to: it has a1, a2")
    assert result["error"]["kind"] == "not_found"
    assert writes(pve) == []


def test_what_pve_says_against_a_rollback_is_passed_on(pve, snapshot, with_snapshots):
    with_snapshots("a1", "a2")
    words = "can't rollback, 'a1' is not most recent snapshot on 'vm-100-disk-0'"
    pve.next_task_fails("qmrollback", words)
    result = snapshot(snapshot="a1", state="rolled_back")
    assert f"task qmrollback of 100 on node pve1 failed: {words}" in result.msg
    assert result["error"]["kind"] == "task_failed"
    assert result["error"]["upid"].startswith("UPID:pve1:")


def test_containers(pve, change, snapshot):
    result = change(vmid=200, snapshot="clean", description="first")
    assert [task["type"] for task in result["tasks"]] == ["vzsnapshot"]
    assert result["guest"]["type"] == "lxc"
    assert snapshot(vmid=200, snapshot="clean", vmstate=True).msg == (
        "guest 200 (ct) is a container, whose memory cannot be saved: leave vmstate out"
    )
    assert snapshot(vmid=200, snapshot="clean", description="second").changed
    assert snapshot(vmid=200, snapshot="clean", state="rolled_back").changed
    assert change(vmid=200, snapshot="clean", state="absent")["deleted"] == ["clean"]


def test_a_locked_guest(pve, snapshot):
    pve.lock_guest(100, "backup")
    result = snapshot(snapshot="clean")
    assert "VM is locked (backup)" in result.msg
    assert result["error"]["kind"] == "task_failed"


def test_a_guest_that_is_still_being_cloned_is_waited_for(pve, snapshot):
    pve.lock_guest(100, "clone")
    pve.before("GET", "/config$", lambda: pve.server.set_lock(pve.server.guest(100), None), after=1)
    assert snapshot(snapshot="clean").changed


def test_an_incomplete_snapshot(pve, snapshot, with_snapshots):
    with_snapshots("a1")
    pve.call(lambda: pve.server.guest(100).snapshots["a1"].update(snapstate="prepare"))
    assert snapshot(snapshot="a1").msg == (
        "snapshot 'a1' of guest 100 (web) is incomplete (PVE marks it 'prepare'): "
        "wait for the task that works on it, or delete it with state=absent"
    )
    assert snapshot(snapshot="a1", state="absent").changed


def test_a_guest_that_moves_meanwhile_is_followed(pve_cluster, run_module):
    pve_cluster.before("POST", "/snapshot$", lambda: setattr(pve_cluster.server.guest(100), "node", "pve2"))
    result = run_module(MODULE, {"vmid": 100, "snapshot": "clean"})
    assert not result.failed, result
    assert (result.changed, result["node"]) == (True, "pve2")
    assert list(pve_cluster.snapshots(100)) == ["clean"]


@pytest.mark.parametrize("kind", ["lose_answer", "596"])
@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("POST", {"snapshot": "a3"}),
        ("PUT", {"snapshot": "a1", "description": "other"}),
        ("DELETE", {"snapshot": "a1", "state": "absent"}),
        ("POST", {"snapshot": "a1", "state": "rolled_back"}),
    ],
)
def test_nothing_is_sent_twice_when_an_answer_is_lost(pve, snapshot, with_snapshots, kind, method, arguments):
    with_snapshots("a1", "a2")
    pve.fault(method, "/snapshot", kind)
    result = snapshot(**arguments)
    assert not result.failed, result
    assert result.changed
    assert len(writes(pve)) == 1


def test_a_request_that_never_arrived_is_sent_again(pve, snapshot):
    pve.fault("POST", "/snapshot", "drop")
    result = snapshot(snapshot="clean")
    assert not result.failed, result
    assert list(pve.snapshots(100)) == ["clean"]


def test_a_busy_lock_is_waited_for(pve, snapshot):
    pve.lock_timeouts(100)
    assert snapshot(snapshot="clean").changed
    assert list(pve.snapshots(100)) == ["clean"]


def test_somebody_else_deletes_it_first(pve, snapshot, with_snapshots):
    with_snapshots("a1")
    pve.before("DELETE", "/snapshot/a1", lambda: pve.server.guest(100).snapshots.pop("a1"))
    assert not snapshot(snapshot="a1", state="absent").failed


def test_somebody_else_takes_the_name_first(pve, snapshot, with_snapshots):
    pve.before("POST", "/snapshot$", lambda: with_snapshots("clean"))
    assert "snapshot name 'clean' already used" in snapshot(snapshot="clean").msg


def test_a_failure_in_the_middle_says_what_was_done(pve, snapshot, with_snapshots):
    with_snapshots("n1", "n2")
    pve.next_task_fails("qmdelsnapshot", "storage 'vmstore' is not online")
    result = snapshot(snapshot="n3", keep_last=1, keep_pattern="n*")
    assert "storage 'vmstore' is not online" in result.msg
    assert result.changed is True
    assert result["steps"] == ["take snapshot 'n3' of guest 100 (web)"]


def test_warnings_of_a_task_reach_the_user(pve, snapshot):
    pve.next_task_warns("qmsnapshot", "guest agent does not answer")
    assert snapshot(snapshot="clean").warnings == ["WARN: guest agent does not answer"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"snapshot": "1bad"},
            "snapshot must be 2 to 40 letters, digits, '_' and '-' and begin with a letter, not '1bad'",
        ),
        ({"snapshot": "a"}, "snapshot must be 2 to 40 letters, digits, '_' and '-' and begin with a letter, not 'a'"),
        (
            {"snapshot": "a.b"},
            "snapshot must be 2 to 40 letters, digits, '_' and '-' and begin with a letter, not 'a.b'",
        ),
        (
            {"snapshot": "ab\n"},
            "snapshot must be 2 to 40 letters, digits, '_' and '-' and begin with a letter, not 'ab\\n'",
        ),
        ({"snapshot": "current"}, "snapshot must not be 'current': PVE keeps that name for itself"),
        ({"snapshot": "Pending"}, "snapshot must not be 'Pending': PVE keeps that name for itself"),
        (
            {"snapshot": "ab", "description": "0"},
            "description: PVE does not store the text '0': give another one, or '' for none",
        ),
        ({}, "snapshot is required with state=present"),
        ({"state": "rolled_back"}, "snapshot is required with state=rolled_back"),
        (
            {"state": "absent"},
            "snapshot is required with state=absent unless keep_last and keep_pattern say which snapshots to delete",
        ),
        (
            {"snapshot": "ab", "keep_last": 2},
            "keep_pattern is required with keep_last 2: which snapshots may be deleted",
        ),
        (
            {"snapshot": "ab", "keep_pattern": "a*"},
            "keep_last is required with keep_pattern 'a*': how many snapshots are kept",
        ),
        ({"snapshot": "ab", "keep_pattern": "a*", "keep_last": 0}, "keep_last must be at least 1, not 0"),
        (
            {"snapshot": "ab", "keep_pattern": "x*", "keep_last": 1},
            "keep_pattern 'x*' does not match the snapshot 'ab', so that one would never be deleted: let both fit",
        ),
        (
            {"snapshot": "ab", "state": "rolled_back", "keep_pattern": "a*", "keep_last": 1},
            "keep_last only goes with state=present and state=absent, not with state=rolled_back",
        ),
        (
            {"snapshot": "ab", "state": "absent", "description": "x"},
            "description only goes with state=present, not with state=absent",
        ),
        (
            {"snapshot": "ab", "state": "rolled_back", "vmstate": True},
            "vmstate only goes with state=present, not with state=rolled_back",
        ),
        (
            {"snapshot": "ab", "start_after": True},
            "start_after only goes with state=rolled_back, not with state=present",
        ),
        ({"snapshot": "ab", "children": "delete"}, "children only goes with state=absent, not with state=present"),
        (
            {"state": "absent", "children": "delete", "keep_pattern": "a*", "keep_last": 1},
            "children only goes with snapshot: name the snapshot whose children are deleted",
        ),
        ({"snapshot": "ab", "vmid": 99}, "vmid must be from 100 to 999999999, not 99"),
        ({"snapshot": "ab", "vmid": None}, "say which guest is meant by vmid or by name"),
        ({"snapshot": "ab", "timeout": 0}, "timeout must be more than 0 seconds, not 0"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_sent(pve, snapshot, arguments, message):
    result = snapshot(**arguments)
    assert result.failed
    assert result.msg == message
    assert pve.summary() == []


def test_a_guest_that_is_not_there(snapshot):
    result = snapshot(vmid=555, snapshot="clean")
    assert result.failed
    assert result.msg.startswith("there is no guest 555 that ")


@pytest.mark.parametrize("slow", ["", "/nodes/pve1/time$"])
def test_an_ha_guest_that_does_not_start_in_time(pve, snapshot, slow):
    pve.add_guest(110, "ha", ha_state="stopped")
    snapshot(vmid=110, snapshot="clean")
    pve.call(lambda: setattr(pve.server, "run_guest", lambda vm: None))
    if slow:
        pve.fault("GET", slow, "delay", after=1, seconds=6.0)
    result = snapshot(vmid=110, snapshot="clean", state="rolled_back", start_after=True, timeout=5)
    assert result["error"]["kind"] == "timed_out"
    assert result.msg.startswith("guest 110 (ha) on node pve1 was rolled back but is stopped")


def test_no_time_is_lost_beside_pve_s_own(pve, snapshot):
    pve.knobs.task_seconds["qmsnapshot"] = 1.0
    assert snapshot(snapshot="clean").changed
    when = {exchange.summary: exchange.when for exchange in pve.exchanges}
    began, ended = (
        when[line] for line in ("POST /nodes/pve1/qemu/100/snapshot", "GET /nodes/pve1/qemu/100/status/current")
    )
    assert ended - began < 1.0 + 0.3
