# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node whose guests go elsewhere for its maintenance, and come back: none lost, none stopped that is to run."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.maintenance.ensure_maintenance import (
    ensure_maintenance,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.maintenance.maintenance_request import (
    MaintenanceRequest,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.migration.migration_request import (
    MigrationOptions,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.plan import Applier
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import PveError
from tests.support import modules, playbooks
from tests.support.clients import breaking_off, client_of
from tests.support.collection_tree import REPOSITORY
from tests.support.embedded_pve import EmbeddedPve, PveHandle, running_embedded_pve, seed
from tests.support.service import wait_until

GIB = 1024**3
NODES = ("pve1", "pve2", "pve3")
STOPPED = (103, 107, 111)
CONTAINERS = (117, 118)
BY_HA = 119
GUESTS = range(100, 120)
AT_MOST = 4
ALL = os.environ.get("CLOUDBRIDGE_TEST_EXAMPLES") == "search"
PLAN = "cloudbridge.proxmox.node_maintenance : Show the plan"


def twenty_guests(server: EmbeddedPve) -> None:
    """20 guests and a template on pve1: live, stopped, containers, local disks, and one of HA."""
    for vmid in GUESTS:
        if vmid in CONTAINERS:
            seed.add_container(server, vmid, f"app{vmid}", status="running")
            continue
        options: dict[str, Any] = {"status": "stopped" if vmid in STOPPED else "running"}
        options["config"] = {"memory": str(1024 * (1 + vmid % 3)), "tags": "db;prod" if vmid % 5 == 0 else "prod"}
        options["storage"] = "local-lvm" if vmid % 4 == 0 else "shared"
        seed.add_guest(server, vmid, f"app{vmid}", **options)
    server.guest(BY_HA).ha_state = "started"
    seed.add_template(server, 9000, "debian-template")
    seed.add_guest(server, 200, "elsewhere", node="pve2", status="running", storage="shared")


@pytest.fixture
def cluster():
    with running_embedded_pve(twenty_guests, nodes=NODES) as pve:
        pve.set_node_facts("pve2", mem=4 * GIB)
        pve.set_node_facts("pve3", mem=14 * GIB)
        yield pve


@pytest.fixture
def run(cluster, run_module):
    def run(state: str = "evacuated", check: bool = False, **options: Any):
        arguments = {"node": "pve1", "state": state, "parallel": AT_MOST, "with_local_disks": True, **options}
        return run_module("pve_node_maintenance", arguments, check=check, diff=True, on=cluster)

    return run


def places(pve: PveHandle) -> dict[int, str]:
    return {vmid: str(pve.guest(vmid).node) for vmid in pve.vmids()}


def statuses(pve: PveHandle) -> dict[int, str]:
    return {vmid: pve.status(vmid) for vmid in pve.vmids()}


def tags(pve: PveHandle) -> set[str]:
    return {tag for vmid in GUESTS for tag in str(pve.config(vmid).get("tags", "")).split(";")} - {"db", "prod", ""}


def moved_tags() -> set[str]:
    return {f"evacuated-pve1-{vmid}" for vmid in GUESTS}


def test_twenty_guests_leave_and_come_back(cluster, run):
    before = statuses(cluster)
    check = run(check=True)
    assert not check.failed, check.msg
    assert places(cluster) == {**dict.fromkeys(GUESTS, "pve1"), 200: "pve2", 9000: "pve1"}
    assert not tags(cluster)
    gone = run()
    assert not gone.failed, gone.msg
    assert (check["plan"], check["table"], check["diff"]) == (gone["plan"], gone["table"], gone["diff"])
    assert gone["summary"] == "20 guests: 20 changed, 0 unchanged"
    assert statuses(cluster) == before
    where = places(cluster)
    assert where[9000] == "pve1"
    assert Counter(where[vmid] for vmid in GUESTS).keys() == {"pve2", "pve3"}
    assert {line["vmid"]: line["to"] for line in gone["plan"]} == {vmid: where[vmid] for vmid in (*GUESTS, 9000)}
    assert tags(cluster) == moved_tags()

    again = run()
    assert (again.failed, again.changed, again["results"]) == (False, False, [])
    assert [line["action"] for line in again["plan"]] == ["stay"]

    foretold = run("returned", check=True)
    back = run("returned")
    assert not back.failed, back.msg
    assert (foretold["plan"], foretold["diff"]) == (back["plan"], back["diff"])
    assert places(cluster) == {**dict.fromkeys(GUESTS, "pve1"), 200: "pve2", 9000: "pve1"}
    assert statuses(cluster) == before
    assert not tags(cluster)
    last = run("returned")
    assert (last.failed, last.changed, last["plan"]) == (False, False, [])


def test_only_some_guests_leave_and_come_back(cluster, run):
    """Of those with the tag and the pool; the others are not even looked at."""
    meant = [100, 105]
    cluster.add_pool("own", *meant, 101)
    select = {"pool": "own", "tags": ["db"]}
    assert not run(node="pve3", select={"names": ["app*"]})["plan"]
    gone = run(select=select)
    assert not gone.failed, gone.msg
    assert [line["vmid"] for line in gone["plan"]] == meant
    assert [vmid for vmid in GUESTS if places(cluster)[vmid] != "pve1"] == meant
    assert not run(select=select).changed
    assert not run("returned", select={"tags": ["web"]})["plan"]
    assert not run("returned", select=select).failed
    assert places(cluster) == {**dict.fromkeys(GUESTS, "pve1"), 200: "pve2", 9000: "pve1"}
    assert not tags(cluster)


def test_a_guest_that_was_renamed_a_moment_ago_goes_along(cluster, run):
    """The cluster's list has its old name yet; who chose guests by their names did not mean it."""
    cluster.knobs.resources_lag = 600

    def rename() -> None:
        guest = cluster.server.guest(100)
        guest.config["name"] = "renamed"
        cluster.server.note_rename(guest, "renamed")

    cluster.call(rename)
    result = run(select={"tags": ["db"]})
    assert not result.failed, result.msg
    assert places(cluster)[100] != "pve1"
    refused = run("returned", select={"names": ["app100"]})
    assert "is named 'renamed', not 'app100': nothing was changed" in refused.msg


def test_the_plan_has_an_order_and_says_how(cluster, run):
    cluster.call(lambda: cluster.server.guest(114).config.update(startup="order=1"))
    found = run(check=True, first=["db"])
    lines = {line["vmid"]: line for line in found["plan"]}
    assert [line["vmid"] for line in found["plan"]][:5] == [100, 105, 110, 115, 114]
    assert [lines[vmid]["how"] for vmid in (100, 103, 117, BY_HA, 9000)] == [
        "live",
        "offline",
        "restart",
        "live, by HA",
        None,
    ]
    assert lines[9000]["reason"] == "it is a template"
    heading, first, *_others = found["table"]
    assert heading.split() == ["guest", "status", "action", "from", "to", "how", "reason"]
    assert first.split()[:4] == ["100", "(app100)", "running", "move"]


def test_no_more_than_so_many_at_a_time(cluster, run):
    cluster.knobs.task_seconds.update(qmigrate=0.2, vzmigrate=0.2)
    found = []

    def note():
        found.append(1 + sum(":qmigrate:" in upid or ":vzmigrate:" in upid for upid in cluster.server.running_tasks))

    cluster.before("POST", "/migrate$", note, times=None)
    assert not run().failed
    assert len(found) == len(GUESTS)
    assert 1 < max(found) <= AT_MOST


@pytest.mark.parametrize("state", ["evacuated", "returned"])
def test_killed_in_the_middle_and_run_again_it_comes_to_the_same_end(cluster, run, tmp_path, state):
    before = statuses(cluster)
    if state == "returned":
        assert not run().failed
    cluster.knobs.task_seconds.update(qmigrate=0.3, vzmigrate=0.3)
    arguments = {"node": "pve1", "state": state, "parallel": AT_MOST, "with_local_disks": True}
    process = modules.module_process("pve_node_maintenance", home=tmp_path, connection=cluster.environment)
    cluster.before("POST", "/migrate$", process.kill, after=7)
    modules.begin(process, arguments)
    assert process.wait() == -signal.SIGKILL
    assert 0 < sum(places(cluster)[vmid] == "pve1" for vmid in GUESTS) < len(GUESTS)
    again = run(state)
    assert not again.failed, again.msg
    assert statuses(cluster) == before
    at_home = [vmid for vmid in GUESTS if places(cluster)[vmid] == "pve1"]
    assert at_home == ([] if state == "evacuated" else list(GUESTS))
    assert tags(cluster) == (moved_tags() if state == "evacuated" else set())
    assert {cluster.guest(vmid).lock for vmid in GUESTS} == {None}
    assert not run(state).changed


def test_the_playbooks_show_the_plan(cluster, tmp_path):
    """All variables come from the command line, and are texts; the guide's test carries it out."""
    before = places(cluster)
    given = {"node": "pve1", "parallel": "4", "first": "db,web", "with_local_disks": "true"}

    def play(name, *, check=False, **variables):
        words = [word for key, value in {**given, **variables}.items() for word in ("-e", f"{key}={value}")]
        path = REPOSITORY / "playbooks" / f"{name}.yml"
        done = playbooks.play(path, *words, home=tmp_path, connection=cluster.environment, check=check)
        assert not done.failed, done.stdout
        return done

    checked = play("evacuate_node", check=True, nodes="pve2,pve3")
    table = checked.task(PLAN).result["msg"]
    assert table[0].split() == ["guest", "status", "action", "from", "to", "how", "reason"]
    assert len(table) == 1 + len(GUESTS) + 1
    assert places(cluster) == before
    moves = "cloudbridge.proxmox.node_maintenance : Move the guests"
    assert checked.task(moves).changed
    cluster.call(lambda: cluster.server.guest(200).config.update(tags="web;evacuated-pve1-200"))
    back = play("return_guests", check=True, tagged="web").task(PLAN).result["msg"]
    assert [line.split()[0] for line in back] == ["guest", "200"]


def test_two_runs_at_the_same_time_do_not_hurt_each_other(cluster, run):
    """As when Ansible was killed, whose worker goes on, and somebody runs it again."""
    before = statuses(cluster)
    cluster.knobs.task_seconds.update(qmigrate=0.2, vzmigrate=0.2)
    with ThreadPoolExecutor(2) as pool:
        for result in pool.map(lambda _number: run(), range(2)):
            assert not result.failed, result.msg
    assert [vmid for vmid in GUESTS if places(cluster)[vmid] == "pve1"] == []
    assert (statuses(cluster), tags(cluster)) == (before, moved_tags())
    assert len([task for task in cluster.tasks("qmigrate") if task["exitstatus"] == "OK"]) == 18


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/100/config$"), ("PUT", "/100/config$"), ("POST", "/100/migrate$")]
)
def test_a_guest_that_somebody_else_has_just_moved_stays_there(cluster, run, method, path):
    """Between the plan and the move: whichever request meets it, it is not moved once more."""

    def move_it() -> None:
        guest = cluster.server.guest(100)
        guest.node = "pve2" if guest.node == "pve1" else guest.node

    cluster.before(method, path, move_it, times=None)
    result = run()
    assert not result.failed, result.msg
    assert places(cluster)[100] == "pve2"
    assert [task for task in cluster.tasks("qmigrate") if task["id"] == "100" and task["exitstatus"] == "OK"] == []


class TestUnmovable:
    @pytest.fixture(autouse=True)
    def _devices(self, cluster):
        cluster.call(lambda: cluster.server.guest(101).config.update(hostpci0="0000:01:00"))
        cluster.call(lambda: cluster.server.guest(103).config.update(hostpci0="0000:02:00"))

    def test_they_fail_and_the_others_go(self, cluster, run):
        result = run()
        assert result.failed
        assert result.msg.startswith("2 of 20 guests failed: guest 101: guest 101 (app101) cannot be moved from node")
        assert "it uses devices of this node (hostpci0)" in result.msg
        assert {line["vmid"]: line["action"] for line in result["plan"] if line["reason"]} == {
            101: "fail",
            103: "fail",
            9000: "stay",
        }
        assert [vmid for vmid in GUESTS if places(cluster)[vmid] == "pve1"] == [101, 103]
        assert "evacuated" not in str(cluster.config(101)["tags"])

    def test_they_are_stopped_only_when_that_is_asked_for_and_started_again(self, cluster, run):
        before = statuses(cluster)
        result = run(unmovable="stop")
        assert not result.failed, result.msg
        assert {line["vmid"]: line["action"] for line in result["plan"] if line["from"] == line["to"]} == {
            101: "stop",
            103: "stay",
            9000: "stay",
        }
        assert (cluster.status(101), cluster.status(103)) == ("stopped", "stopped")
        assert "halted-pve1-101" in str(cluster.config(101)["tags"])
        assert not run(unmovable="stop").changed
        assert not run("returned").failed
        assert statuses(cluster) == before
        assert not tags(cluster)

    def test_a_stop_that_fails_leaves_no_tag(self, cluster, run):
        """The return would start a guest that somebody has stopped meanwhile."""
        cluster.next_task_fails("qmshutdown", "VM quit/powerdown failed - got timeout", vmid=101)
        result = run(unmovable="stop", select={"names": ["app101"]})
        assert result.msg.startswith(
            "1 of 1 guest failed: guest 101: task qmshutdown of 101 on node pve1 failed: VM quit"
        )
        assert (cluster.status(101), cluster.config(101)["tags"]) == ("running", "prod")
        assert not result.changed

    def test_they_are_left(self, cluster, run):
        result = run(unmovable="leave")
        assert not result.failed, result.msg
        assert (cluster.status(101), places(cluster)[101]) == ("running", "pve1")
        reasons = {line["vmid"]: line["reason"] for line in result["plan"] if line["action"] == "stay"}
        assert "it uses devices of this node (hostpci0)" in reasons[101]


def test_a_guest_that_comes_to_the_node_meanwhile_is_named(cluster, run):
    """Those that are not meant are not named."""

    def come() -> None:
        cluster.add_guest(800, "late", status="running", storage="shared", config={"tags": "late"})
        cluster.add_guest(801, "other", status="running", storage="shared")

    cluster.before("POST", "/migrate$", come)
    result = run(select={"names": ["app100", "late"]})
    words = "guest 800 (late) came to node pve1 after the plan was made: run the evacuation again"
    assert result.msg == f"1 of 2 guests failed: guest 800: {words}"
    last = result["plan"][-1]
    assert (last["vmid"], last["action"], last["from"], last["to"], last["reason"]) == (
        800,
        "fail",
        "pve1",
        "pve1",
        words,
    )
    assert result["summary"] == "2 guests: 1 changed, 0 unchanged, 1 failed"
    assert not run(select={"names": ["app100", "late"]}).failed


def test_a_last_look_that_fails_is_a_warning(cluster, run):
    """What has been done is not lost for it."""
    cluster.before("POST", "/migrate$", lambda: cluster.fault("GET", "/resources$", "status", None, status=403))
    result = run(select={"names": ["app100"]})
    assert (result.failed, result.changed) == (False, True), result.msg
    (warning,) = result["warnings"]
    assert warning.startswith("whether guests came to node pve1 meanwhile could not be looked at: ")


def test_what_fits_nowhere_stays(cluster, run):
    for node in ("pve2", "pve3"):
        cluster.set_node_facts(node, mem=31 * GIB)
    result = run()
    assert result.failed
    assert "of memory is free, and it needs" in result.msg
    assert set(statuses(cluster).values()) == {"running", "stopped"}
    assert not run(overcommit_memory=True).failed


def test_stopped_guests_may_stay(cluster, run):
    assert not run(move_stopped=False).failed
    assert [vmid for vmid in GUESTS if places(cluster)[vmid] == "pve1"] == list(STOPPED)


def test_a_guest_returns_to_the_node_that_it_came_from_first(cluster, run):
    cluster.call(lambda: cluster.server.guest(101).config.update(tags="evacuated-pve2-101"))
    assert not run().failed
    assert "evacuated-pve1" not in str(cluster.config(101)["tags"])
    assert not run("returned").failed
    assert places(cluster)[101] != "pve1"
    assert not run("returned", node="pve2").failed
    assert places(cluster)[101] == "pve2"


@pytest.mark.parametrize("tag", ["evacuated-people", "evacuated-people-101", "evacuated-pve2-100", "evacuated-pve1"])
def test_a_tag_that_looks_alike_is_left_alone(cluster, run, tag):
    """It names no node of the cluster, or another guest, as that of a clone does."""
    cluster.call(lambda: cluster.server.guest(101).config.update(tags=tag))
    select = {"names": ["app101"]}
    for node in ("pve1", "pve2"):
        assert not run("returned", node=node, select=select)["plan"]
    assert not run(select=select).failed
    assert sorted(cluster.config(101)["tags"].split(";")) == sorted([tag, "evacuated-pve1-101"])
    assert not run("returned", select=select).failed
    assert (places(cluster)[101], cluster.config(101)["tags"]) == ("pve1", tag)


@pytest.mark.parametrize("tag", ["evacuated-pve1-102", "halted-pve1-102"])
def test_a_clone_of_a_guest_in_maintenance_is_no_guest_of_it(cluster, run, tag):
    """Nor is what is restored from a backup of that time under another number: both have the tags of the other one."""
    cluster.add_guest(700, "copy", node="pve2", storage="shared", config={"tags": tag})
    back = run("returned")
    assert (back.failed, back.changed, back["plan"]) == (False, False, [])
    assert (cluster.status(700), places(cluster)[700]) == ("stopped", "pve2")


def test_a_move_that_fails_leaves_no_tag(cluster, run):
    cluster.next_task_fails("qmigrate", "migration aborted", ["ERROR: the other side has gone"], vmid=102)
    result = run()
    assert "1 of 20 guests failed: guest 102: guest 102 (app102) could not be moved" in result.msg
    assert "evacuated" not in str(cluster.config(102)["tags"])
    assert not run().failed


def test_a_rule_of_ha_stands_in_the_way_unless_its_maintenance_mode_is_on(cluster, run):
    """HA then moves the guest by itself, and the run waits for that."""
    cluster.add_ha_rule("home", f"vm:{BY_HA}", nodes="pve1:2,pve2:1")
    result = run()
    assert f"guest {BY_HA} (app{BY_HA}) cannot be moved from node pve1 to pve2: HA brings it back" in result.msg
    assert places(cluster)[BY_HA] == "pve1"
    cluster.knobs.ha_seconds = 0.3
    cluster.enable_ha_maintenance("pve1")
    again = run()
    assert not again.failed, again.msg
    assert places(cluster)[BY_HA] != "pve1"
    assert f"evacuated-pve1-{BY_HA}" in str(cluster.config(BY_HA)["tags"])


class TestHasOwnMaintenanceMode:
    """As a real PVE 9.2 did it: HA brings back what it moved, unless the resource has failback 0."""

    @pytest.fixture
    def away(self, cluster, run):
        """HA has moved its guest, the play the others."""
        cluster.knobs.ha_seconds = 0.1
        cluster.enable_ha_maintenance("pve1")
        result = run(select={"names": [f"app{BY_HA}", "app100"]})
        assert not result.failed, result.msg
        assert {places(cluster)[vmid] for vmid in (100, BY_HA)} <= {"pve2", "pve3"}
        return cluster

    @pytest.mark.parametrize("failback", [1, 0])
    def test_the_return_gets_along_with_has_own(self, away, run, failback):
        away.call(lambda: setattr(away.server.guest(BY_HA), "ha_failback", failback))
        away.disable_ha_maintenance("pve1")
        result = run("returned")
        assert not result.failed, result.msg
        assert {places(away)[vmid] for vmid in (100, BY_HA)} == {"pve1"}
        assert (away.status(BY_HA), tags(away)) == ("running", set())
        assert not run("returned").changed

    def test_what_ha_has_moved_before_is_brought_back_too(self, cluster, run):
        """HA itself would leave it where it is."""
        cluster.knobs.ha_seconds = 0.05
        cluster.call(lambda: setattr(cluster.server.guest(BY_HA), "ha_failback", 0))
        cluster.enable_ha_maintenance("pve1")
        wait_until(lambda: cluster.guest(BY_HA).node == "pve2" and cluster.guest(BY_HA).ha_state == "started")
        select = {"names": [f"app{BY_HA}"]}
        check, result, again = run(check=True, select=select), run(select=select), run(select=select)
        assert not result.failed, result.msg
        (line,) = result["plan"]
        assert (line["action"], line["from"], line["to"]) == ("note", "pve2", "pve2")
        assert (check["plan"], check["diff"], again.changed) == (result["plan"], result["diff"], False)
        cluster.disable_ha_maintenance("pve1")
        assert not run("returned").failed
        assert (places(cluster)[BY_HA], tags(cluster)) == ("pve1", set())

    def test_the_return_waits_until_ha_has_noticed_the_end_of_it(self, away, run):
        away.before("GET", "/manager_status$", lambda: away.disable_ha_maintenance("pve1"), after=1)
        result = run("returned")
        assert not result.failed, result.msg
        assert places(away)[BY_HA] == "pve1"

    def test_a_return_before_its_end_says_how_to_end_it(self, away, run):
        result = run("returned")
        assert f"guest {BY_HA} (app{BY_HA}) cannot be moved from node" in result.msg
        assert "end it with ha-manager crm-command node-maintenance disable pve1" in result.msg
        assert places(away)[100] == "pve1"

    def test_a_mode_that_is_enabled_meanwhile_ends_the_wait(self, cluster, run_module):
        cluster.knobs.ha_seconds = 0.1
        cluster.before("POST", f"/{BY_HA}/migrate$", lambda: cluster.enable_ha_maintenance("pve2"))
        result = run_module("pve_migrate", {"vmid": BY_HA, "node": "pve2"}, on=cluster)
        assert "HA does not move guest 119 (app119): node pve2 is in HA's maintenance mode" in result.msg

    def test_guests_go_to_no_other_node_in_that_mode(self, cluster, run):
        cluster.enable_ha_maintenance("pve3")
        found = run(check=True)
        assert {line["to"] for line in found["plan"]} == {"pve2", "pve1"}


MIXED = {110: "running", 111: "running", 112: "stopped", 210: "running"}


def some_guests(server: EmbeddedPve) -> None:
    """Live, with local disks, stopped, and a container."""
    seed.add_guest(server, 110, "app110", status="running", storage="shared")
    seed.add_guest(server, 111, "app111", status="running")
    seed.add_guest(server, 112, "app112")
    seed.add_container(server, 210, "app210", status="running")


def maintain(pve: PveHandle, state: str) -> bool:
    """As the module does it, without its process; whether it changed something. Raises what one guest failed with."""
    options = MigrationOptions(with_local_disks=True)
    with contextlib.closing(client_of(pve, 60, api_timeout=10)) as client:
        outcome = ensure_maintenance(Applier(client), MaintenanceRequest("pve1", state, options=options))
    for guest in outcome.guests:
        if guest.error is not None:
            raise guest.error
    return outcome.changed


@pytest.mark.parametrize(("kind", "step"), [("drop", 1 if ALL else 7), ("lose_answer", 1 if ALL else 11)])
def test_connections_that_break_off_at_any_request_lose_nobody(kind, step):
    """Whichever it is, the run ends well, or the next one brings it to its end; CLOUDBRIDGE_TEST_EXAMPLES: each."""
    with running_embedded_pve(some_guests, nodes=NODES) as pve:
        states = itertools.cycle(["evacuated", "returned"])
        for end, state in zip(breaking_off(pve, kind, step), states, strict=False):
            with contextlib.suppress(PveError):
                maintain(pve, state)
            end()
            maintain(pve, state)
            assert not maintain(pve, state)
            assert {vmid: pve.status(vmid) for vmid in MIXED} == MIXED
            assert {pve.guest(vmid).node == "pve1" for vmid in MIXED} == {state == "returned"}
            assert {"tags" in pve.config(vmid) for vmid in MIXED} == {state == "evacuated"}
            assert {pve.guest(vmid).lock for vmid in MIXED} == {None}


def test_a_quorum_that_is_lost_in_the_middle_stops_the_rest_and_leaves_nothing(cluster, run):
    """The first guests have gone; the others stay, are told of, and go when the quorum is there again."""
    before = statuses(cluster)
    cluster.before("POST", "/migrate$", cluster.lose_quorum, after=6)
    result = run()
    assert (result.failed, result.changed) == (True, True)
    assert "of 20 guests failed" in result.msg
    assert "the cluster has no quorum" in result.msg
    assert statuses(cluster) == before
    assert {cluster.guest(vmid).lock for vmid in GUESTS} == {None}
    assert 0 < sum(places(cluster)[vmid] == "pve1" for vmid in GUESTS) < len(GUESTS)
    cluster.regain_quorum()
    again = run()
    assert not again.failed, again.msg
    assert (statuses(cluster), tags(cluster)) == (before, moved_tags())
    assert [vmid for vmid in GUESTS if places(cluster)[vmid] == "pve1"] == []


def test_a_move_whose_time_is_over_keeps_its_tag_and_is_completed_by_the_next_run(cluster, run):
    """The one guest of pve2: PVE goes on with its move, and it must not be forgotten where it belongs."""
    cluster.task_seconds["qmigrate"] = 600
    late = run(node="pve2", guest_timeout=2, wait_for_lock=60)
    assert "PVE goes on with it" in late.msg
    assert cluster.config(200)["tags"] == "evacuated-pve2-200"
    cluster.before("GET", "/200/status/current$", cluster.server.hurry.set, after=1)
    again = run(node="pve2")
    assert (again.failed, again.changed) == (False, False), again.msg
    assert places(cluster)[200] != "pve2"
    assert not run("returned", node="pve2").failed
    assert (places(cluster)[200], "tags" in cluster.config(200)) == ("pve2", False)


@pytest.mark.parametrize(
    ("prepare", "options", "words"),
    [
        (lambda _pve: None, {"node": "pve9"}, "there is no node pve9"),
        (lambda _pve: None, {"nodes": ["pve1"]}, "nodes has pve1, which is the node that the guests leave"),
        (lambda _pve: None, {"parallel": 0}, "parallel must be at least 1, not 0"),
        (lambda _pve: None, {"select": {"tags": []}}, "select needs one of tags, pool and names"),
        (lambda _pve: None, {"state": "returned", "nodes": ["pve2"]}, "nodes is for state=evacuated"),
        (
            lambda pve: [pve.set_node_offline(node) for node in ("pve2", "pve3")],
            {},
            "no node beside pve1 is online and not in HA's maintenance mode, so its guests can go nowhere",
        ),
        (lambda pve: pve.set_node_offline("pve1"), {"state": "returned"}, "node pve1 is offline: nothing was changed"),
        (lambda pve: pve.lose_quorum(), {}, "the cluster has no quorum, so nothing can be changed"),
    ],
)
def test_what_is_refused(cluster, run, prepare, options, words):
    prepare(cluster)
    result = run(**options)
    assert result.failed
    assert words in result.msg
    assert not result.changed
    assert not tags(cluster)
