# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PVE's tasks: UPIDs, the one waiter, and the errors of failed tasks."""

from __future__ import annotations

import contextlib
import re
import typing as t
from dataclasses import dataclass

from .client import PveClient
from .errors import (
    Cause,
    InvalidRequest,
    PermissionDenied,
    PveError,
    Refused,
    TaskDenied,
    TaskFailed,
    TimedOut,
    TransportError,
    denial_of,
    one_line,
    with_advice,
    with_denial,
)
from .numbers import in_full

# A node does not know a task yet whose UPID it has only just given out.
NEW_TASK_SECONDS = 2.0
# PVE gives a task five seconds from its TERM to its KILL. A second TERM ends what the task cleans up after the first
# (PVE::RESTEnvironment kill_process_group, PVE::API2::Qemu clone_vm).
STOP_PAUSE_SECONDS = 6.0
EMPTY_LOG = "no content"  # PVE::Tools::dump_logfile
LOG_TAIL = 10

# A move that fails says in its log why, and as its end only that it was aborted (PVE::AbstractMigrate, migrate).
MOVE_ABORTED = "migration aborted"
_STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")
# How a move ends of which the log says why; a full storage is named before the long command that failed because of it.
_MOVE_ENDS = (MOVE_ABORTED, "migration problems")
_MOVE_REASONS = (
    re.compile(r"(?:ERROR: )?(.*(?:[Nn]o space left on device|insufficient free space|not enough space).*)"),
    re.compile(r"(can't migrate local (?:disk|volume) '.*)"),
    re.compile(r"ERROR: migration aborted \(duration [\d:]+\): (?!Problem found|can't migrate CT)(.*)"),
    re.compile(r"ERROR: (?!migration aborted|Problem found|migration finished)(.*)"),
)

# PVE::Tools::upid_decode
_UPID = re.compile(
    r"UPID:(?P<node>[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?):(?P<pid>[0-9A-Fa-f]{8}):(?P<pstart>[0-9A-Fa-f]{8,9}):"
    r"(?P<start>[0-9A-Fa-f]{8}):(?P<type>[^:\s]+):(?P<id>[^:\s]*):(?P<user>[^:\s]+):"
)


@dataclass(frozen=True)
class Upid:
    """The name of a task, taken apart."""

    text: str
    node: str
    start: int
    type: str
    id: str
    user: str


@dataclass(frozen=True)
class Task:
    """A task that has ended well, or is looked at while it runs."""

    upid: str
    node: str
    type: str
    id: str
    user: str
    running: bool
    exit_status: str
    start: int
    warnings: tuple[str, ...] = ()

    def as_result(self) -> dict[str, t.Any]:
        """The task as modules return it."""
        return {
            "upid": self.upid,
            "node": self.node,
            "type": self.type,
            "id": self.id,
            "user": self.user,
            "running": self.running,
            "exit_status": self.exit_status,
            "start": self.start,
            "warnings": list(self.warnings),
        }


def parse_upid(text: str) -> Upid:
    """Take a UPID apart; raises InvalidRequest when it is none."""
    match = _UPID.fullmatch(text)
    if not match:
        raise InvalidRequest(f"{text!r} is not a UPID")
    return Upid(text, match["node"], int(match["start"], 16), match["type"], match["id"], match["user"])


def read_task(client: PveClient, upid: Upid) -> Task:
    """Ask the task's own node how the task is; another node answers 'no such task'."""
    status = client.read("nodes", upid.node, "tasks", upid.text, "status")
    return Task(
        upid=upid.text,
        node=upid.node,
        type=upid.type,
        id=upid.id,
        user=upid.user,
        running=status.get("status") == "running",
        exit_status=str(status.get("exitstatus") or ""),
        start=upid.start,
    )


def read_log(client: PveClient, upid: Upid) -> list[str]:
    """Return the lines of a task's log, however many there are: its end says how the task ended."""
    entries = client.read("nodes", upid.node, "tasks", upid.text, "log", limit=0)
    lines = [str(entry.get("t", "")) for entry in entries]
    return [] if lines == [EMPTY_LOG] else lines


def pause_after(waited: float) -> float:
    """Seconds until the next look at a task that was waited for so long.

    Its end is noticed within a fifth of a second, or within a hundredth of the time that it took.
    """
    return min(max(0.1, 0.1 * waited), max(0.2, 0.01 * waited), 2.0)


def wait_for_task(client: PveClient, upid: Upid) -> Task:
    """Wait until a task has ended well.

    Raises TaskFailed with the tail of the log as soon as it has failed, TimedOut at the client's deadline, and
    TransportError when the news of it stay away; of the latter two PVE goes on with the task.
    """
    left = client.deadline.remaining
    what = f"task {upid.type} of {upid.id or upid.node}"
    try:
        while True:
            task = _read_visible_task(client, upid, left)
            if task is not None and not task.running:
                return ended_task(client, upid, task)
            client.deadline.pause(pause_after(left - client.deadline.remaining))
    except TimedOut as error:
        raise TimedOut(
            f"{what} still runs after {left:.0f} s, and the time of {in_full(client.deadline.seconds)} s is over: "
            f"PVE goes on with it, look at {upid.text}",
            Cause(upid=upid.text),
        ) from error
    except TransportError as error:
        raise TransportError(
            f"{error}; {what} was started and may still run, look at {upid.text}", Cause(upid=upid.text)
        ) from error


def _read_visible_task(client: PveClient, upid: Upid, left: float) -> Task | None:
    """Read the task; None while its node does not know it yet."""
    try:
        return read_task(client, upid)
    except Refused as error:
        young = left - client.deadline.remaining < NEW_TASK_SECONDS
        if young and error.cause.field_errors.get("upid") == "no such task":
            return None
        raise


def ended_task(client: PveClient, upid: Upid, task: Task) -> Task:
    """Return a task that ended well, with its warnings; raise TaskFailed for any other."""
    if task.exit_status == "OK":
        return task
    try:
        log = read_log(client, upid)
    except PveError:
        log = []  # How the task ended is known, and must not be lost with its log.
    if task.exit_status.startswith("WARNINGS"):
        warnings = tuple(line for line in log if line.startswith("WARN"))
        return Task(**{**task.__dict__, "warnings": warnings or (task.exit_status,)})
    tail = tuple(line for line in log if line.strip() and not line.startswith("TASK ERROR"))[-LOG_TAIL:]
    reason = reason_of_end(task.exit_status, log)
    words = one_line(reason) or "PVE does not say why"
    last = f" (log: {one_line(' | '.join(tail[-3:]))})" if tail else ""
    what = f"task {upid.type} of {upid.id or upid.node} on node {upid.node}"
    cause = with_denial(Cause(pve_message=reason, upid=upid.text, log_tail=tail))
    denial = denial_of(upid.user, what, cause)
    if denial:
        raise TaskDenied(denial, cause)
    raise TaskFailed(with_advice(f"{what} failed: {words}{last}", reason), cause)


def reason_of_end(exit_status: str, log: t.Sequence[str]) -> str:
    """Why a task has failed: its end says it, but for moves, of which the log does."""
    if exit_status not in _MOVE_ENDS:
        return exit_status
    lines = [_STAMP.sub("", line) for line in log]
    for pattern in _MOVE_REASONS:
        found = dict.fromkeys(match[1].strip() for match in map(pattern.match, lines) if match)
        if found:
            return "; ".join(found)
    return exit_status


def stop_task(client: PveClient, upid: Upid, asked_before: bool = False) -> Task:
    """Stop a task and return it once it has ended, however it did; raises TimedOut when it runs on until the deadline.

    asked_before says that somebody else may have asked PVE for it a moment ago.
    """
    left, asked = client.deadline.remaining, asked_before
    try:
        while True:
            task = _watch(client, upid, left, STOP_PAUSE_SECONDS if asked else 0.0)
            if not task.running:
                return task
            asked = True
            # Whether it got there, or was carried out, only the task itself can tell.
            with contextlib.suppress(TransportError):
                client.write("DELETE", "nodes", upid.node, "tasks", upid.text)
    except TimedOut as error:
        raise TimedOut(
            f"task {upid.type} of {upid.id or upid.node} was asked to stop and has not ended within {left:.0f} s, "
            f"look at {upid.text}",
            Cause(upid=upid.text),
        ) from error


def _watch(client: PveClient, upid: Upid, left: float, seconds: float) -> Task:
    """Look at a task until it has ended, for so many seconds; raises TimedOut at the client's deadline."""
    watch = client.deadline.within(seconds)
    while True:
        task = _read_visible_task(client, upid, left)
        if task is not None and (not task.running or watch.expired):
            return task
        client.deadline.pause(pause_after(watch.seconds - watch.remaining))


def find_own_task(client: PveClient, node: str, task_type: str, task_id: str, since: int) -> Upid | None:
    """Find a task of this type and guest that the caller has started since that second and does not know yet.

    since is in the seconds since 1970 of the server that answers (PveClient.server_time), whose clock may differ from
    that of the node. Of several, which only other runs with the same token can have started, it is the newest.
    """
    since += _clock_difference(client, node)
    vmid = task_id if task_id.isdigit() else None
    entries = client.read("nodes", node, "tasks", typefilter=task_type, vmid=vmid, since=since, source="all")
    upids = (parse_upid(entry["upid"]) for entry in entries)
    mine = [
        upid
        for upid in upids
        if (upid.type, upid.id, upid.user) == (task_type, task_id, client.identity)
        and upid.start >= since
        and upid.text not in client.own_upids
    ]
    return max(mine, key=lambda upid: upid.start, default=None)


# What runs with a guest and holds no lock of it.
_CONSOLES = ("vncproxy", "spiceproxy")


def find_holder(client: PveClient, node: str, vmid: int, lock: str) -> Upid | None:
    """The task that holds the lock of a guest; None when the caller may not see it, or when there is none.

    A backup of several guests is no guest's task (PVE::API2::VZDump, vzdump).
    """
    try:
        entries = client.read("nodes", node, "tasks", source="active")
    except (PermissionDenied, Refused, TransportError, TimedOut):
        return None
    running = [parse_upid(str(entry["upid"])) for entry in entries if not entry.get("endtime")]
    own = [upid for upid in running if upid.id == str(vmid) and upid.type not in _CONSOLES]
    backups = [upid for upid in running if lock == "backup" and upid.type == "vzdump" and not upid.id]
    held = [upid for upid in (*own, *backups) if upid.text not in client.own_upids]
    return min(held, key=lambda upid: upid.start, default=None)


def _clock_difference(client: PveClient, node: str) -> int:
    """How many seconds the node's clock is ahead of the server's; 0 when the node does not say."""
    try:
        now = int(client.read("nodes", node, "time")["time"])
    except (Refused, PermissionDenied):
        return 0
    # Both are cut to whole seconds, and neither is read at the very same moment.
    difference = now - client.server_time
    return difference - 1 if difference else 0
