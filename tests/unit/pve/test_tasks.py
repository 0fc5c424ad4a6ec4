# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks: UPIDs, the pauses of the waiter, and how the end of a task is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import (
    InvalidRequest,
    TaskDenied,
    TaskFailed,
    Unreachable,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.tasks import (
    Task,
    ended_task,
    parse_upid,
    pause_after,
)

RECORDED = "UPID:pve1:00000C82:000736A9:6B01FE75:qmstart:100:root@pam!ci:"

nodes = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?", fullmatch=True)
words = st.from_regex(r"[^:\s]{1,20}", fullmatch=True)
numbers = st.integers(0, 2**32 - 1)


def test_a_recorded_upid():
    upid = parse_upid(RECORDED)
    assert (upid.node, upid.type, upid.id, upid.user) == ("pve1", "qmstart", "100", "root@pam!ci")
    assert upid.start == 1795292789
    assert upid.text == RECORDED


@given(nodes, numbers, st.integers(0, 2**36 - 1), numbers, words, words | st.just(""), words)
def test_upids_are_taken_apart(node, pid, pstart, start, kind, number, user):
    text = f"UPID:{node}:{pid:08X}:{pstart:08X}:{start:08X}:{kind}:{number}:{user}:"
    upid = parse_upid(text)
    assert (upid.text, upid.node, upid.start) == (text, node, start)
    assert (upid.type, upid.id, upid.user) == (kind, number, user)


@given(st.text(max_size=80))
def test_what_is_no_upid_is_refused(text):
    with pytest.raises(InvalidRequest, match="is not a UPID"):
        parse_upid(text)


@pytest.mark.parametrize(
    "text",
    [
        RECORDED[:-1],
        RECORDED + "x",
        RECORDED + "\n",
        RECORDED.replace("pve1", ""),
        RECORDED.replace("pve1", "../x"),
        RECORDED.replace("qmstart", "qm start"),
        RECORDED.replace("00000C82", "00000C8G"),
        RECORDED.lower(),
    ],
)
def test_what_is_nearly_a_upid_is_refused(text):
    with pytest.raises(InvalidRequest):
        parse_upid(text)


@given(st.floats(0, 100_000))
def test_the_pause_grows_with_the_time_waited(waited):
    pause = pause_after(waited)
    assert 0.1 <= pause <= 2.0
    assert pause <= max(0.2, 0.01 * waited)
    assert pause <= pause_after(waited + 1)


@given(st.floats(0, 20))
def test_the_end_of_a_short_task_is_noticed_within_a_fifth_of_a_second(length):
    looks, now = 0, 0.0
    while now < length:
        now += pause_after(now)
        looks += 1
    assert now - length <= 0.2 + 1e-6
    assert looks <= 12 + 5 * length


class Logs:
    """As much of a client as ended_task needs."""

    def __init__(self, *lines):
        self.lines = lines
        self.asked = []

    def read(self, *path, limit=50):
        self.asked.append(path)
        lines = self.lines[: limit or None]
        return [{"n": number, "t": text} for number, text in enumerate(lines, 1)]


def ended(exit_status, *lines):
    upid = parse_upid(RECORDED)
    task = Task(upid.text, upid.node, upid.type, upid.id, upid.user, False, exit_status, upid.start)
    logs = Logs(*lines)
    return ended_task(logs, upid, task), logs


def test_a_good_end_costs_no_look_at_the_log():
    task, logs = ended("OK")
    assert task.exit_status == "OK"
    assert logs.asked == []


def test_warnings_are_a_good_end():
    task, _logs = ended("WARNINGS: 1", "starting", "WARN: no efidisk configured!", "TASK WARNINGS: 1")
    assert task.warnings == ("WARN: no efidisk configured!",)
    assert task.as_result()["warnings"] == ["WARN: no efidisk configured!"]


def test_warnings_whose_lines_are_gone_are_still_told():
    assert ended("WARNINGS: 2", "x")[0].warnings == ("WARNINGS: 2",)


@pytest.mark.parametrize(
    ("exit_status", "lines", "sentence"),
    [
        (
            "start failed: QEMU exited with code 1",
            ["kvm: cannot set up", "TASK ERROR: start failed"],
            "task qmstart of 100 on node pve1 failed: start failed: QEMU exited with code 1 (log: kvm: cannot set up)",
        ),
        (
            "VM 100 already running",
            ["TASK ERROR: x"],
            "task qmstart of 100 on node pve1 failed: VM 100 already running",
        ),
        ("received interrupt", ["no content"], "task qmstart of 100 on node pve1 failed: received interrupt"),
        ("", [], "task qmstart of 100 on node pve1 failed: PVE does not say why"),
        ("two\nlines", ["a", "b", "c", "d"], "task qmstart of 100 on node pve1 failed: two lines (log: b | c | d)"),
    ],
)
def test_a_failed_task_is_told_with_the_end_of_its_log(exit_status, lines, sentence):
    with pytest.raises(TaskFailed) as caught:
        ended(exit_status, *lines)
    assert str(caught.value) == sentence
    details = caught.value.details()
    assert details["upid"] == RECORDED
    assert details["kind"] == "task_failed"
    assert details["log_tail"] == [line for line in lines if not line.startswith(("TASK ERROR", "no content"))]


@pytest.mark.parametrize(
    ("exit_status", "privilege", "path", "begin"),
    [
        (
            "403 Permission check failed (/storage/local, Datastore.AllocateSpace)",
            "Datastore.AllocateSpace",
            "/storage/local",
            "root@pam!ci lacks the privilege Datastore.AllocateSpace on /storage/local for task qmstart of 100 on node",
        ),
        (
            "unable to create VM 300 - 403 Permission check failed (/, Sys.Modify for modifying tag 'gold')",
            "Sys.Modify",
            "/",
            "root@pam!ci lacks the privilege Sys.Modify on / for modifying tag 'gold', and so for task qmstart of 100",
        ),
        (
            "only root can modify 'serial1' config for real devices",
            "",
            "",
            "PVE refused task qmstart of 100 on node pve1: only root can modify 'serial1' config for real devices: it",
        ),
    ],
)
def test_a_right_that_only_a_task_finds_missing_is_told_as_any_other(exit_status, privilege, path, begin):
    with pytest.raises(TaskDenied) as caught:
        ended(exit_status, "INFO: x")
    assert str(caught.value).startswith(begin)
    details = caught.value.details()
    assert (details["kind"], details["privilege"], details["path"]) == ("permission", privilege, path)
    assert (details["upid"], details["log_tail"]) == (RECORDED, ["INFO: x"])


def test_a_log_that_cannot_be_read_hides_no_failure():
    class NoLogs(Logs):
        def read(self, *path, limit=50):
            raise Unreachable("no route to host")

    task = Task(RECORDED, "pve1", "qmstart", "100", "root@pam!ci", False, "broken", 0)
    with pytest.raises(TaskFailed, match=r"failed: broken$"):
        ended_task(NoLogs(), parse_upid(RECORDED), task)


def test_the_end_of_a_long_log_is_asked_for():
    with pytest.raises(TaskFailed) as caught:
        ended("broken", *(f"line {number}" for number in range(2000)))
    assert caught.value.cause.log_tail[-1] == "line 1999"
    assert len(caught.value.cause.log_tail) == 10
