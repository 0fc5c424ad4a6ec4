# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pve_task_info as a process of its own, against the embedded PVE."""

from __future__ import annotations

import time

import pytest
import requests

MODULE = "pve_task_info"
UNKNOWN = "UPID:pve1:00000001:00000001:6B000000:qmstart:100:root@pam:"


@pytest.fixture
def look(run_module):
    def run(check=False, **arguments):
        result = run_module(MODULE, arguments, check=check)
        assert result.changed is False
        return result

    return run


@pytest.fixture
def begin(pve):
    """Start a task as another client does, and return its UPID."""

    def post(path):
        headers = {"Authorization": f"PVEAPIToken={pve.token_id}={pve.token_secret}"}
        answer = requests.post(f"{pve.url}/api2/json{path}", headers=headers, verify=pve.cafile, timeout=10)
        pve.reset_record()
        return answer.json()["data"]

    return post


def types(result):
    return [task["type"] for task in result["tasks"]]


def test_a_task_that_ended_well(pve, look, begin):
    upid = begin("/nodes/pve1/qemu/100/status/start")
    result = look(upid=upid)
    task = result["task"]
    assert (task["upid"], task["node"], task["type"], task["id"]) == (upid, "pve1", "qmstart", "100")
    assert (task["user"], task["running"], task["exit_status"]) == (pve.token_id, False, "OK")
    assert task["start"] <= task["end"] <= time.time() + 1
    assert result["log"][-1] == "TASK OK"
    assert pve.connection_count == 1
    assert len(pve.summary()) == 3


def test_a_running_task_is_not_waited_for_unless_asked(pve, look, begin):
    pve.knobs.task_seconds["qmstart"] = 60.0
    task = look(upid=begin("/nodes/pve1/qemu/100/status/start"))["task"]
    assert (task["running"], task["exit_status"], task["end"]) == (True, "", None)


def test_a_running_task_is_waited_for_when_asked(pve, look, begin):
    pve.knobs.task_seconds["qmstop"] = 1.0
    result = look(upid=begin("/nodes/pve1/qemu/101/status/stop"), wait=True)
    assert (result["task"]["running"], result["task"]["exit_status"]) == (False, "OK")


def test_a_wait_ends_at_the_timeout(pve, look, begin):
    pve.knobs.task_seconds["qmstart"] = 20.0
    result = look(upid=begin("/nodes/pve1/qemu/100/status/start"), wait=True, timeout=1)
    assert result.failed
    assert result.msg.startswith("task qmstart of 100 still runs after ")
    assert result["error"]["kind"] == "timed_out"


def test_a_failed_task(pve, look, begin):
    pve.next_task_fails("qmstart", "start failed: QEMU exited with code 1", log=["kvm: no such device"])
    upid = begin("/nodes/pve1/qemu/100/status/start")
    seen = look(upid=upid)
    assert not seen.failed
    assert seen["task"]["exit_status"] == "start failed: QEMU exited with code 1"
    waited = look(upid=upid, wait=True)
    assert waited.failed
    assert waited.msg == (
        "task qmstart of 100 on node pve1 failed: start failed: QEMU exited with code 1 (log: kvm: no such device)"
    )
    assert (waited["error"]["upid"], waited["error"]["log_tail"]) == (upid, ["kvm: no such device"])
    forgiven = look(upid=upid, wait=True, fail_on_error=False)
    assert not forgiven.failed
    assert forgiven["task"] == seen["task"]
    assert forgiven["log"] == ["kvm: no such device", "TASK ERROR: start failed: QEMU exited with code 1"]


def test_a_task_with_warnings(pve, look, begin):
    pve.next_task_warns("qmstart", "no efidisk configured")
    result = look(upid=begin("/nodes/pve1/qemu/100/status/start"), wait=True)
    assert result["task"]["exit_status"] == "WARNINGS: 1"
    assert result["task"]["warnings"] == ["WARN: no efidisk configured"]


def test_a_long_log_is_read_to_its_end(pve, look, begin):
    upid = begin("/nodes/pve1/qemu/100/status/start")
    lines = [f"line {number}" for number in range(1200)]
    pve.call(lambda: pve.server.tasks[upid].update(log=list(lines)))
    assert look(upid=upid)["log"] == lines


def test_a_task_that_says_nothing_has_no_log(pve, look, begin):
    """PVE's log of it is one line, "no content" (50-tasks.json: "running log")."""
    upid = begin("/nodes/pve1/qemu/100/status/start")
    pve.call(lambda: pve.server.tasks[upid].update(log=[]))
    assert look(upid=upid)["log"] == []


def test_an_unknown_task(look):
    result = look(upid=UNKNOWN)
    assert result.msg == f"node pve1 knows no task {UNKNOWN}: it may be too old"
    assert result["error"]["kind"] == "not_found"


@pytest.fixture
def history(pve, begin):
    """Five tasks: three that ended well (one of them with warnings), one that failed, one that still runs."""
    begin("/nodes/pve1/qemu/100/status/start")
    begin("/nodes/pve1/qemu/100/status/stop")
    begin("/nodes/pve1/qemu/101/status/start")
    pve.next_task_warns("qmreset", "careful")
    begin("/nodes/pve1/qemu/101/status/reset")
    pve.knobs.task_seconds["vzstart"] = 30.0
    begin("/nodes/pve1/lxc/200/status/start")
    pve.reset_record()


@pytest.mark.parametrize("node", [None, "pve1"])
@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, {"qmstart", "qmstop", "qmreset", "vzstart"}),
        ({"vmid": 100}, {"qmstart", "qmstop"}),
        ({"type": "qmstop"}, {"qmstop"}),
        ({"errors_only": True}, {"qmstart"}),
        ({"errors_only": True, "vmid": 100}, set()),
        ({"running": True}, {"vzstart"}),
        ({"user": "root@pam"}, {"qmstart", "qmstop", "qmreset", "vzstart"}),
        ({"user": "root@pam!ansible"}, {"qmstart", "qmstop", "qmreset", "vzstart"}),
        ({"user": "root@pam!other"}, set()),
        ({"user": "somebody@pve"}, set()),
        ({"since": 1_600_000_000}, {"qmstart", "qmstop", "qmreset", "vzstart"}),
        ({"since": 2_500_000_000}, set()),
    ],
)
def test_lists(pve, look, history, node, conditions, expected):
    result = look(node=node, **conditions)
    assert not result.failed, result
    assert set(types(result)) == expected
    assert pve.summary() == ["GET /nodes/pve1/tasks" if node else "GET /cluster/tasks"]
    assert pve.connection_count == 1
    for task in result["tasks"]:
        assert task["running"] is (task["type"] == "vzstart")
        assert (task["end"] is None) is task["running"]
        assert bool(task["exit_status"]) is not task["running"]


def test_a_limit_takes_the_newest(look, history):
    assert len(look(node="pve1", limit=2)["tasks"]) == 2
    newest = look(limit=1)["tasks"]
    assert len(newest) == 1
    assert newest[0]["start"] == max(task["start"] for task in look(check=True)["tasks"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"upid": "garbage"}, "'garbage' is not a UPID"),
        ({"upid": UNKNOWN, "vmid": 100}, "vmid does not go with upid: it is a condition for a list of tasks"),
        ({"upid": UNKNOWN, "running": True}, "running does not go with upid: it is a condition for a list of tasks"),
        ({"wait": True}, "wait only goes with upid: say which task to wait for"),
        (
            {"errors_only": True, "running": True},
            "errors_only does not go with running: a task that runs has not failed",
        ),
        ({"vmid": 99}, "vmid must be from 100 to 999999999, not 99"),
        ({"limit": 0}, "limit must be at least 1, not 0"),
        ({"timeout": 0}, "timeout must be more than 0 seconds, not 0"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_sent(pve, look, arguments, message):
    result = look(**arguments)
    assert (result.failed, result.msg) == (True, message)
    assert pve.summary() == []
