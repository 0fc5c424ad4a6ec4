# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look at tasks: one with its log, waited for if asked, or a list of them."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._pve.client import PveClient
from .._pve.errors import InvalidRequest, NotFound, Refused, TaskFailed
from .._pve.tasks import Task, Upid, ended_task, parse_upid, read_log, read_task, wait_for_task
from .plan import Applier, Outcome
from .selection import check_vmid

# PVE::API2::Tasks: of the states that a task can end in, these two are failures.
FAILED_STATES = "error,unknown"
LIST_PAGE = 500
_LIST_OPTIONS = ("node", "vmid", "type", "user", "since", "errors_only", "running")


@dataclass(frozen=True)
class TasksRequest:
    """One task by its UPID, or the conditions for a list; None is no condition."""

    upid: Upid | None = None
    wait: bool = False
    fail_on_error: bool = True
    node: str | None = None
    vmid: int | None = None
    type: str | None = None
    user: str | None = None
    since: int | None = None
    errors_only: bool = False
    running: bool = False
    limit: int = 50

    def fits(self, task: Task) -> bool:
        return (
            (not self.errors_only or _has_failed(task))
            and (not self.running or task.running)
            and self.vmid in (None, int(task.id) if task.id.isdigit() else 0)
            and self.type in (None, task.type)
            and self.user in (None, task.user, task.user.partition("!")[0])
            and task.start >= (self.since or 0)
        )


def _has_failed(task: Task) -> bool:
    return not task.running and task.exit_status != "OK" and not task.exit_status.startswith("WARNINGS")


def tasks_request(parameters: t.Mapping[str, t.Any]) -> TasksRequest:
    """Check the options of a look at tasks; raises InvalidRequest."""
    upid, vmid, limit = parameters["upid"], parameters["vmid"], parameters["limit"]
    errors_only, running = bool(parameters["errors_only"]), bool(parameters["running"])
    if upid is not None:
        for name in _LIST_OPTIONS:
            if parameters[name]:
                raise InvalidRequest(f"{name} does not go with upid: it is a condition for a list of tasks")
        return TasksRequest(parse_upid(upid), bool(parameters["wait"]), bool(parameters["fail_on_error"]))
    if parameters["wait"]:
        raise InvalidRequest("wait only goes with upid: say which task to wait for")
    if errors_only and running:
        raise InvalidRequest("errors_only does not go with running: a task that runs has not failed")
    if vmid is not None:
        check_vmid("vmid", vmid)
    if limit < 1:
        raise InvalidRequest(f"limit must be at least 1, not {limit}")
    return TasksRequest(
        node=parameters["node"],
        vmid=vmid,
        type=parameters["type"],
        user=parameters["user"],
        since=parameters["since"],
        errors_only=errors_only,
        running=running,
        limit=limit,
    )


def look_at_tasks(applier: Applier, request: TasksRequest) -> Outcome:
    """Return one task with its log, or a list; raises a PveError, TaskFailed for one that was waited for."""
    client = applier.client
    if request.upid is None:
        tasks = _read_node(client, request) if request.node else _read_cluster(client, request)
        return Outcome(changed=False, facts={"tasks": tasks})
    task = _look_at(client, request.upid, request)
    log = read_log(client, request.upid)
    end = None if task.running else _read_end(client, request.upid)
    return Outcome(changed=False, facts={"task": {**task.as_result(), "end": end}, "log": log})


def _look_at(client: PveClient, upid: Upid, request: TasksRequest) -> Task:
    try:
        if request.wait:
            return wait_for_task(client, upid)
        task = read_task(client, upid)
        return task if task.running or _has_failed(task) else ended_task(client, upid, task)
    except TaskFailed:
        if request.fail_on_error:
            raise
        return read_task(client, upid)
    except Refused as error:
        if error.cause.field_errors.get("upid") == "no such task":
            raise NotFound(f"node {upid.node} knows no task {upid.text}: it may be too old", error.cause) from error
        raise


def _read_end(client: PveClient, upid: Upid) -> int | None:
    """Look up when a task ended, which only lists tell."""
    entries = client.read(
        "nodes",
        upid.node,
        "tasks",
        typefilter=upid.type,
        since=upid.start,
        until=upid.start,
        source="all",
        limit=LIST_PAGE,
    )
    return next((_end_of(entry) for entry in entries if entry["upid"] == upid.text), None)


def _end_of(entry: t.Mapping[str, t.Any]) -> int | None:
    return int(entry["endtime"]) if entry.get("endtime") else None


def _read_node(client: PveClient, request: TasksRequest) -> list[dict[str, t.Any]]:
    """Let the node pick, which looks through all the tasks that it remembers."""
    source = "active" if request.running else "archive" if request.errors_only else "all"
    entries = client.read(
        "nodes",
        request.node or "",
        "tasks",
        vmid=request.vmid,
        typefilter=request.type,
        userfilter=request.user,
        since=request.since,
        statusfilter=FAILED_STATES if request.errors_only else None,
        source=source,
        limit=request.limit,
    )
    return _listed(entries, request)


def _read_cluster(client: PveClient, request: TasksRequest) -> list[dict[str, t.Any]]:
    """Pick from the cluster's list, which holds only the newest tasks of each node."""
    return _listed(client.read("cluster", "tasks"), request)


def _listed(entries: t.Iterable[t.Mapping[str, t.Any]], request: TasksRequest) -> list[dict[str, t.Any]]:
    tasks = [(_task(entry), _end_of(entry)) for entry in entries]
    fitting = [(task, end) for task, end in tasks if request.fits(task)]
    fitting.sort(key=lambda item: item[0].start, reverse=True)
    return [{**task.as_result(), "end": end} for task, end in fitting[: request.limit]]


def _task(entry: t.Mapping[str, t.Any]) -> Task:
    """A task of a list, whose exit status is its status; the user in the UPID is whole, with the token."""
    upid = parse_upid(str(entry["upid"]))
    status = str(entry.get("status") or "")
    running = status in ("", "RUNNING", "running")
    return Task(
        upid=upid.text,
        node=upid.node,
        type=upid.type,
        id=upid.id,
        user=upid.user,
        running=running,
        exit_status="" if running else status,
        start=upid.start,
    )
