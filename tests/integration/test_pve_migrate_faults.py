# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moves that HA carries out, that break off, or find a lock, and the lock that each module can wait for."""

from __future__ import annotations

import contextlib
import re

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.migration.ensure_migration import (
    ensure_migration,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.migration.migration_request import (
    MigrationRequest,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.plan import Applier
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import PveError
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import Selector
from tests.support.clients import breaking_off, client_of

HA_ROUND = 0.15


def moves(pve) -> list[dict[str, str]]:
    """The forms of the moves that were asked for."""
    return [form for kind in ("qemu", "lxc") for form in pve.forms("POST", f"/nodes/[^/]+/{kind}/[0-9]+/migrate")]


def move(pve, vmid, node):
    """As pve_migrate does it, without its process."""
    with contextlib.closing(client_of(pve, 60, api_timeout=10)) as client:
        ensure_migration(Applier(client), MigrationRequest(Selector(vmid), (node,)))


# ---- HA


class TestHa:
    @pytest.fixture
    def cluster(self, pve_cluster):
        pve_cluster.knobs.ha_seconds = HA_ROUND
        return pve_cluster

    @pytest.mark.parametrize(
        ("state", "after"), [("started", "running"), ("request_start", "running"), ("stopped", "stopped")]
    )
    def test_it_is_waited_for_until_it_is_there(self, cluster, run_module, state, after):
        status = "running" if state == "started" else "stopped"
        cluster.add_guest(110, "app", storage="shared", status=status, ha_state=state)
        if state == "request_start":
            cluster.call(lambda: cluster.server._act_later(cluster.server.vm(110)))
        run = run_module("pve_migrate", {"vmid": 110, "node": "pve2"})
        assert not run.failed, run.msg
        assert (run["node"], run["guest"]["status"]) == ("pve2", after)
        assert run["guest"]["ha_state"] in ("started", "stopped")
        assert run["tasks"][0]["type"] == "hamigrate"
        assert not run_module("pve_migrate", {"vmid": 110, "node": "pve2"}).changed

    def test_a_move_that_was_lost_is_asked_for_again(self, cluster, run_module):
        cluster.add_guest(110, "app", storage="shared", status="running", ha_state="started")
        cluster.knobs.ha_loses = 1
        run = run_module("pve_migrate", {"vmid": 110, "node": "pve2"})
        assert not run.failed, run.msg
        assert run["node"] == "pve2"
        assert len(moves(cluster)) == 2

    def test_a_move_that_ha_gives_up_says_why(self, cluster, run_module):
        cluster.add_guest(110, "app", storage="shared", status="running", ha_state="started")
        log = ["2026-11-26 21:01:10 ERROR: migration aborted (duration 00:00:01): the other side has gone"]
        cluster.next_task_fails("qmigrate", "migration aborted", log, vmid=110)
        result = run_module("pve_migrate", {"vmid": 110, "node": "pve2"})
        assert result.failed
        assert "could not be moved from node pve1 to pve2: the other side has gone" in result.msg
        assert "it is on node pve1 and running" in result.msg

    def test_a_container(self, cluster, run_module):
        cluster.add_container(210, "app", status="running", ha_state="started", config={"rootfs": "shared:210/a.raw"})
        run = run_module("pve_migrate", {"vmid": 210, "node": "pve2"})
        assert not run.failed, run.msg
        assert (run["node"], run["guest"]["status"]) == ("pve2", "running")


# ---- when it breaks off


class TestBreakOff:
    @pytest.fixture
    def cluster(self, pve_cluster):
        pve_cluster.add_guest(110, "app", storage="shared", status="running")
        return pve_cluster

    def test_a_lost_answer_is_looked_up(self, cluster, run_module):
        cluster.fault("POST", "/migrate$", "lose_answer")
        run = run_module("pve_migrate", {"vmid": 110, "node": "pve2"})
        assert not run.failed, run.msg
        assert (run["node"], len(moves(cluster))) == ("pve2", 1)

    @pytest.mark.parametrize("kind", ["drop", "lose_answer"])
    def test_at_each_request(self, cluster, kind):
        """Whatever request is cut off, the run ends well, or the next one brings it to its end."""
        for times, end in enumerate(breaking_off(cluster, kind), 1):
            with contextlib.suppress(PveError):
                move(cluster, 110, "pve2")
            end()
            move(cluster, 110, "pve2")
            assert (cluster.guest(110).node, cluster.status(110), cluster.guest(110).lock) == ("pve2", "running", None)
            assert len([task for task in cluster.tasks("qmigrate") if task["exitstatus"] == "OK"]) == times
            cluster.move_guest(110, "pve1")
        assert times > len(["list", "status", "cluster", "preconditions", "config", "move", "task", "status"])

    def test_the_time_is_over_and_the_next_run_waits_for_the_move(self, cluster, run_module):
        cluster.task_seconds["qmigrate"] = 600
        late = run_module("pve_migrate", {"vmid": 110, "node": "pve2", "timeout": 2})
        assert late.failed
        assert late["error"]["kind"] == "timed_out"
        assert "it is on node pve1 and running, locked until PVE's task has ended: run this again" in late.msg
        cluster.before("GET", "/110/status/current$", cluster.server.hurry.set, after=1)
        again = run_module("pve_migrate", {"vmid": 110, "node": "pve2"})
        assert (again.failed, again.changed, again["node"]) == (False, False, "pve2")
        assert len(moves(cluster)) == 1

    def test_a_move_that_fails_says_where_it_is(self, cluster, run_module):
        cluster.next_task_fails("qmigrate", "migration aborted", ["ERROR: online migrate failure - aborting"])
        result = run_module("pve_migrate", {"vmid": 110, "node": "pve2"})
        assert result.msg == (
            "guest 110 (app) could not be moved from node pve1 to pve2: online migrate failure - aborting; "
            "it is on node pve1 and running"
        )
        assert result["error"]["kind"] == "task_failed"

    def test_it_is_moved_with_problems(self, cluster, run_module):
        cluster.before("GET", "/tasks/[^/]+/status$", lambda: cluster.move_guest(110, "pve2"))
        cluster.next_task_fails("qmigrate", "migration problems", ["ERROR: removing local copy of 'a:b' failed"])
        run = run_module("pve_migrate", {"vmid": 110, "node": "pve2"})
        assert (run.failed, run.changed, run["node"]) == (False, True, "pve2")

    def test_a_lock_that_is_left_is_named(self, cluster, run_module):
        cluster.before("GET", "/tasks/[^/]+/status$", lambda: cluster.lock_guest(110, "migrate"))
        cluster.next_task_fails("qmigrate", "unexpected status")
        result = run_module("pve_migrate", {"vmid": 110, "node": "pve2"})
        assert "still locked for the move" in result.msg
        assert "type 'qm unlock 110' on pve1" in result.msg

    def test_it_does_not_run_any_more(self, cluster, run_module):
        cluster.before(
            "GET",
            "/tasks/[^/]+/status$",
            lambda: cluster.call(lambda: setattr(cluster.guest(110), "status", "stopped")),
        )
        result = run_module("pve_migrate", {"vmid": 110, "node": "pve2"})
        assert "was moved to node pve2 and does not run there: start it" in result.msg


# ---- locks


class TestLocks:
    def test_a_busy_lock_is_waited_for_although_the_task_only_says_that_it_was_aborted(self, pve_cluster, run_module):
        pve_cluster.lock_timeouts(100, 2)
        run = run_module("pve_migrate", {"vmid": 100, "node": "pve2"})
        assert not run.failed, run.msg
        assert (run["node"], len(moves(pve_cluster))) == ("pve2", 3)

    def test_the_lock_of_a_backup_is_waited_for(self, pve_cluster, run_module):
        pve_cluster.lock_guest(100, "backup")
        pve_cluster.before("GET", "/100/status/current$", lambda: pve_cluster.lock_guest(100, None), after=2)
        run = run_module("pve_migrate", {"vmid": 100, "node": "pve2", "wait_for_lock": 60})
        assert not run.failed, run.msg
        assert run["node"] == "pve2"

    def test_a_lock_that_stays_is_named(self, pve_cluster, run_module):
        pve_cluster.lock_guest(100, "backup")
        run = run_module("pve_migrate", {"vmid": 100, "node": "pve2", "wait_for_lock": 1})
        assert "is locked (backup), and was not moved: it still was after 1 s, wait until that has ended" in run.msg

    def test_a_move_to_another_node_is_waited_for_and_then_corrected(self, pve_cluster, run_module):
        pve_cluster.lock_guest(100, "migrate")

        def arrive():
            pve_cluster.lock_guest(100, None)
            pve_cluster.move_guest(100, "pve3")

        pve_cluster.before("GET", "/100/status/current$", arrive, after=1)
        run = run_module("pve_migrate", {"vmid": 100, "node": "pve2"})
        assert not run.failed, run.msg
        assert (run["node"], run["diff"]["before"]) == ("pve2", {"node": "pve3"})


WAITING = [
    ("pve_vm", {"vmid": 100, "cores": 3}),
    ("pve_vm", {"vmid": 100, "name": "web", "state": "absent"}),
    ("pve_container", {"vmid": 200, "cores": 3}),
    ("pve_vm_power", {"vmid": 100}),
    ("pve_snapshot", {"vmid": 100, "snapshot": "one"}),
    ("pve_vms_power", {"guests": [{"vmid": 100, "wait_for_lock": 60}]}),
]


@pytest.mark.parametrize(("module", "arguments"), WAITING)
def test_each_module_that_changes_guests_waits_for_a_lock(pve_cluster, run_module, module, arguments):
    vmid = arguments.get("vmid", 100)
    pve_cluster.lock_guest(vmid, "backup")
    many = "guests" in arguments
    at_once = run_module(module, {**arguments, "guests": [{"vmid": 100}]} if many else arguments)
    assert re.search(r"is locked \(backup\): wait for what is being done to it, or set wait_for_lock$", at_once.msg)
    # It is read once by the module itself, at the most, before PVE refuses the change.
    pve_cluster.before("GET", f"/{vmid}/status/current$", lambda: pve_cluster.lock_guest(vmid, None), after=2)
    run = run_module(module, arguments if many else {**arguments, "wait_for_lock": 60})
    assert not run.failed, run.msg
    assert run.changed
    refused = run_module(
        module,
        {**arguments, "guests": [{"vmid": 100, "wait_for_lock": -1}]} if many else {**arguments, "wait_for_lock": -1},
    )
    assert "wait_for_lock must be at least 0 seconds, not -1" in refused.msg
