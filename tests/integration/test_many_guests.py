# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The power state and the snapshots of many guests, listed or selected."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.many.many_request import (
    Entry,
    ManyRequest,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.many.running import ensure_many
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.plan import Applier, Outcome
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import Selector
from tests.support import canaries, playbooks
from tests.support.clients import client_of

QEMU_FAILED = "start failed: QEMU exited with code 1"


def writes(pve) -> list[str]:
    return [line for line in pve.summary() if not line.startswith("GET")]


def add_apps(pve) -> None:
    pve.add_guest(110, "app1", config={"tags": "prod;web"})
    pve.add_guest(111, "app2", config={"tags": "prod"}, status="running")
    pve.add_guest(112, "app3", config={"tags": "test"})
    pve.add_template(9010, "app-template")


def found(result) -> list[int]:
    return [entry["vmid"] for entry in result["results"]]


def test_a_mistake_of_the_program_waits_for_the_guests_that_are_begun(pve) -> None:
    client = client_of(pve, 60, api_timeout=60)
    both_begun, ended = threading.Barrier(2), []

    def operation(applier: Applier, vmid: int) -> Outcome:
        if vmid == 102:
            ended.append("a guest that was not begun")
        both_begun.wait(60)
        if vmid == 101:
            raise ZeroDivisionError(vmid)
        time.sleep(0.2)
        ended.append("the other one")
        return Outcome(changed=False)

    entries = tuple(Entry(f"guests[{vmid}]", Selector(vmid), vmid, 60) for vmid in (100, 101, 102))
    with pytest.raises(ZeroDivisionError):
        ensure_many(Applier(client), ManyRequest(entries, operation, parallel=2))
    client.close()
    assert ended == ["the other one"]


class TestPower:
    def test_check_mode_run_and_second_run_agree(self, pve, run_module) -> None:
        arguments = {"guests": [{"vmid": 100}, {"name": "db"}, {"name": "ct", "state": "stopped"}]}
        check = run_module("pve_vms_power", arguments, check=True, diff=True)
        assert not check.failed, check.msg
        assert writes(pve) == []
        run = run_module("pve_vms_power", arguments, diff=True)
        assert (check.changed, check["diff"], check["summary"]) == (run.changed, run["diff"], run["summary"])
        assert [entry["changed"] for entry in check["results"]] == [entry["changed"] for entry in run["results"]]
        assert [entry["guest"]["status"] for entry in run["results"]] == ["running", "running", "stopped"]
        again = run_module("pve_vms_power", arguments)
        assert (again.failed, again.changed) == (False, False)

    def test_a_result_is_that_of_the_module_for_one(self, pve, run_module) -> None:
        many = run_module("pve_vms_power", {"guests": [{"vmid": 101}, {"vmid": 100, "state": "stopped"}]})
        for entry, options in zip(many["results"], ({"vmid": 101}, {"vmid": 100, "state": "stopped"}), strict=True):
            one = run_module("pve_vm_power", options).result
            assert entry == {**one, "guest": {**one["guest"], "uptime": entry["guest"]["uptime"]}, **entry}
            assert entry.keys() == one.keys() - {"invocation"}

    def test_the_cluster_is_read_once_and_each_guest_once(self, pve, run_module) -> None:
        result = run_module("pve_vms_power", {"guests": [{"vmid": 101}, {"name": "web", "state": "stopped"}]})
        assert not result.changed
        assert len(pve.summary()) == 1 + 2

    def test_one_that_does_not_start_does_not_keep_the_others(self, pve, run_module) -> None:
        add_apps(pve)
        pve.next_task_fails("qmstart", QEMU_FAILED, vmid=110)
        result = run_module("pve_vms_power", {"select": {"names": ["app*"]}})
        assert result.failed
        assert result.msg.startswith("1 of 3 guests failed: guest 110: ")
        assert QEMU_FAILED in result.msg
        assert [pve.status(vmid) for vmid in (110, 111, 112)] == ["stopped", "running", "running"]

    def test_a_busy_lock_is_waited_for(self, pve, run_module) -> None:
        pve.lock_timeouts(100, 2)
        result = run_module("pve_vms_power", {"guests": [{"vmid": 100}]})
        assert not result.failed, result.msg
        assert pve.status(100) == "running"


class TestSelection:
    @pytest.mark.parametrize(
        ("select", "vmids"),
        [
            ({"tags": ["prod"]}, [110, 111]),
            ({"tags": ["prod", "WEB"]}, [110]),
            ({"names": ["app[12]", "db"]}, [101, 110, 111]),
            ({"names": ["app*"], "status": "stopped"}, [110, 112]),
            ({"names": ["*"], "guest_type": "lxc"}, [200]),
            ({"node": "pve1", "tags": ["test"]}, [112]),
            ({"pool": "apps"}, [112]),
        ],
    )
    def test_it_finds_what_meets_all_conditions_and_no_templates(
        self, pve, run_module, select: dict[str, Any], vmids: list[int]
    ) -> None:
        add_apps(pve)
        pve.add_pool("apps", 112)
        result = run_module("pve_vms_power", {"select": select}, check=True)
        assert not result.failed, result.msg
        assert found(result) == vmids

    def test_what_no_guest_meets_is_said(self, pve, run_module) -> None:
        some = run_module("pve_vms_power", {"select": {"names": ["web", "ap1"]}}, check=True)
        assert found(some) == [100]
        assert some.warnings == ["no guest has a name that fits 'ap1'"]
        none = run_module("pve_vms_power", {"select": {"tags": ["nobody"]}}, check=True)
        assert (found(none), none.warnings) == ([], ["no guest meets what select asks for"])

    @pytest.mark.parametrize(
        ("arguments", "msg"),
        [
            ({}, "give one of guests and select"),
            ({"guests": [], "select": {"node": "pve1"}}, "give one of guests and select"),
            ({"select": {}}, "select needs one of tags, pool, node, names and status; names ['*'] selects all guests"),
            (
                {"select": {"node": "pve9"}, "defaults": {"shutdown_timeout": 0}},
                "defaults: shutdown_timeout must be more than 0 seconds, not 0",
            ),
        ],
    )
    def test_what_cannot_be_meant(self, pve, run_module, arguments: dict[str, Any], msg: str) -> None:
        result = run_module("pve_vms_power", arguments)
        assert result.msg == msg
        assert pve.summary() == []

    def test_a_node_that_is_not_there(self, run_module) -> None:
        result = run_module("pve_vms_power", {"select": {"node": "pve9"}})
        assert (result.msg, result["error"]["kind"]) == ("there is no node pve9: the cluster has pve1", "not_found")


class TestSnapshots:
    ARGUMENTS = {
        "select": {"names": ["app*", "web"]},
        "defaults": {"snapshot": "nightly-1", "keep_last": 1, "keep_pattern": "nightly-*"},
    }

    def test_check_mode_run_and_second_run_agree(self, pve, run_module) -> None:
        add_apps(pve)
        check = run_module("pve_snapshots", self.ARGUMENTS, check=True, diff=True)
        assert not check.failed, check.msg
        assert writes(pve) == []
        run = run_module("pve_snapshots", self.ARGUMENTS, diff=True)
        assert (check.changed, check["diff"], check["summary"]) == (run.changed, run["diff"], run["summary"])
        assert found(run) == [100, 110, 111, 112]
        assert all(entry["snapshot"]["name"] == "nightly-1" for entry in run["results"])
        before = len(pve.summary())
        again = run_module("pve_snapshots", self.ARGUMENTS)
        assert (again.failed, again.changed) == (False, False)
        assert len(pve.summary()) - before <= 1 + 2 * 4

    def test_the_module_for_one_finds_them(self, pve, run_module) -> None:
        guests = [{"vmid": 100, "snapshot": "a1"}, {"name": "db", "snapshot": "b1"}]
        many = run_module("pve_snapshots", {"guests": guests})
        assert not many.failed, many.msg
        for entry, options in zip(many["results"], guests, strict=True):
            one = run_module("pve_snapshot", options)
            assert not one.changed
            assert (entry["snapshot"], entry["snapshots"]) == (one["snapshot"], one["snapshots"])

    def test_one_fails_and_the_others_have_theirs(self, pve, run_module) -> None:
        pve.next_task_fails("qmsnapshot", "snapshot feature is not available", vmid=100)
        guests = [{"vmid": 100}, {"vmid": 101}]
        result = run_module("pve_snapshots", {"guests": guests, "defaults": {"snapshot": "s1"}})
        assert result.msg.startswith("1 of 2 guests failed: guest 100: ")
        assert "s1" not in pve.snapshots(100)
        assert "s1" in pve.snapshots(101)

    def test_two_entries_of_one_guest_are_refused(self, pve, run_module) -> None:
        guests = [{"vmid": 101, "snapshot": "a1"}, {"name": "db", "snapshot": "b1"}]
        result = run_module("pve_snapshots", {"guests": guests})
        assert result.msg == (
            "guests[0] (guest 101) and guests[1] (guest named 'db') mean one guest: nothing was changed"
        )
        assert writes(pve) == []


class TestProgress:
    TASK = "- cloudbridge.proxmox.pve_vms_power: {guests: [{vmid: 101}, {vmid: 100}, {vmid: 555}], parallel: 1}"

    def lines(self, pve, home: Path, env: dict[str, str | None]) -> str:
        ours, theirs = os.openpty()
        try:
            result = playbooks.play(self.TASK, home=home, connection=pve.environment, env=env, stderr=theirs)
            os.write(theirs, b"end")
            text = os.read(ours, 65536).decode()
        finally:
            os.close(ours)
            os.close(theirs)
        canaries.see("the terminal", text)
        assert result.failed
        (task,) = result.tasks
        assert task.result["summary"] == "3 guests: 1 changed, 1 unchanged, 1 failed"
        assert "1/3" not in result.stdout
        return text.removesuffix("end")

    def test_a_terminal_hears_of_each_guest(self, pve, tmp_path) -> None:
        text = self.lines(pve, tmp_path, {"ANSIBLE_NOCOLOR": None, "CI": None})
        assert [line.partition(": there")[0] for line in text.splitlines()] == [
            "1/3 guest 101 (db): ok",
            "2/3 guest 100 (web): changed",
            "3/3 guest 555: failed",
        ]

    @pytest.mark.parametrize("env", [{"CI": "true", "ANSIBLE_NOCOLOR": None}, {"CI": None}])
    def test_it_is_off_where_nobody_looks_on(self, pve, tmp_path, env: dict[str, str | None]) -> None:
        assert self.lines(pve, tmp_path, env) == ""
