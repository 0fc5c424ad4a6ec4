# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Worker tasks: how long they run, how they end, and the lists that show them (50-tasks.json)."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from fakepve.model import PveError, TaskError
from fakepve.server import USER

from .base import EmbeddedBase, owner_of, parameter_error
from .knobs import Knobs
from .parameters import request_parameters

UPID = re.compile(r"UPID:[A-Za-z0-9-]+:[0-9A-F]{8}:[0-9A-F]{8,9}:[0-9A-F]{8}:[^:\s]+:[^:\s]*:[^:\s]+:")
# The lock a guest shows while such a task runs.
TASK_LOCKS = {
    "qmsnapshot": "snapshot",
    "qmdelsnapshot": "snapshot-delete",
    "qmrollback": "rollback",
    "qmigrate": "migrate",
    "vzmigrate": "migrate",
    "vzdump": "backup",
    "vzsnapshot": "snapshot",
    "vzdelsnapshot": "snapshot-delete",
    "vzrollback": "rollback",
}
MOVES = ("qmigrate", "vzmigrate")
LIST_LIMIT = 50
# What takes its half-made guest away when it is interrupted, and takes a moment for it (PVE::API2::Qemu clone_vm).
MAKING_TASKS = ("qmcreate", "qmclone", "vzcreate", "vzrestore", "vzclone")
LOOKS_AFTER_TERM = 5

TASK_STATUSES = ("ok", "error", "warning", "unknown")


def kind_of_status(task: dict[str, Any]) -> str:
    exitstatus = str(task.get("exitstatus", "unexpected status"))
    if exitstatus == "OK":
        return "ok"
    if exitstatus.startswith("WARNINGS: "):
        return "warning"
    return "unknown" if exitstatus == "unexpected status" else "error"


@dataclass
class Outcome:
    """How the next task of a type ends instead of OK."""

    task_type: str
    text: str
    log: list[str] = field(default_factory=list)
    warnings: int = 0
    vmid: int | None = None
    times: int = 1


class Tasks(EmbeddedBase):
    def __init__(self, host: str, port: int, knobs: Knobs) -> None:
        super().__init__(host, port, knobs)
        self.outcomes: list[Outcome] = []
        self.running_tasks: dict[str, asyncio.Task[Any]] = {}
        # Set, it ends the time that tasks take.
        self.hurry = asyncio.Event()
        # How often a task got TERM, and the tasks that got KILL.
        self.terms: dict[str, int] = {}
        self.killed: set[str] = set()

    async def task(
        self,
        node: str,
        ttype: str,
        tid: Any,
        user: str,
        body: Callable[[], Awaitable[Any]],
        vm: Any = None,
        lock: bool = True,
        log: Any = (),
        background: bool = False,
        alone: Any = None,
    ) -> str:
        """Start a task; it takes its seconds, then does its work. The client going away does not stop it."""
        upid, pid, start = self._upid(node, ttype, tid, user)
        record: dict[str, Any] = {
            "upid": upid,
            "node": node,
            "pid": pid,
            "pstart": pid * 7,
            "starttime": start,
            "type": ttype,
            "id": str(tid),
            "user": user,
            "status": "running",
            # A list that the body goes on writing to is the log itself.
            "log": log if isinstance(log, list) else list(log),
        }
        self.tasks[upid] = record
        self.tasklog.append(record)
        seconds = self.knobs.task_seconds.get(ttype, self.knobs.default_task_seconds)
        work = self._run(record, body, alone or (vm if lock else None), vm, seconds)
        if seconds or self.time_scale or background:
            self.running_tasks[upid] = self.in_background(work)
            await asyncio.sleep(0)
        else:
            await work
        return str(upid)

    async def _run(self, record: dict[str, Any], body: Any, lock_guest: Any, guest: Any, seconds: float) -> None:
        outcome = self._take_outcome(record)
        status = "OK"
        try:
            try:
                text = self._busy_lock(record)
                if text:
                    raise TaskError(text)
                if lock_guest is not None:
                    await self._lock(lock_guest, record, guest)
                await self._take_time(record, guest, seconds)
                if outcome is not None:
                    record["log"].extend(outcome.log)
                    if not outcome.warnings:
                        self._abandon(record, guest)
                        raise TaskError(outcome.text)
                note = await body()
                if note:
                    record["log"].extend(str(note).splitlines())
                if outcome is not None:
                    status = f"WARNINGS: {outcome.warnings}"
            finally:
                if lock_guest is not None:
                    self.release(lock_guest, record["upid"])
        except TaskError as problem:
            status = str(problem)
        except PveError as problem:
            status = problem.message
        except asyncio.CancelledError:
            status = await self._interrupted(record, guest)
        except Exception as problem:  # noqa: BLE001 - a mistake of ours must not leave the task running
            self.internal_errors.append(problem)
            status = f"internal error of the embedded PVE: {problem!r}"
        self.running_tasks.pop(record["upid"], None)
        self._end(record, status)

    def _busy_lock(self, record: dict[str, Any]) -> str | None:
        """How a task ends that a test has a busy lock for; a move says in its log alone why it was aborted."""
        text = self.lock_timed_out(int(record["id"])) if record["id"].isdigit() else None
        if text is None or record["type"] not in MOVES:
            return text
        record["log"].append(f"ERROR: migration aborted (duration 00:00:10): {text}")
        return "migration aborted"

    async def _lock(self, lock_guest: Any, record: dict[str, Any], guest: Any) -> None:
        try:
            await self.acquire(lock_guest, record["upid"], None if lock_guest is guest else 1.0)
        except TaskError:
            self._abandon(record, guest)
            raise

    async def _interrupted(self, record: dict[str, Any], guest: Any) -> str:
        """What a worker does after a TERM; another one, or a KILL, leaves a stub (97b-tasks-stop-twice.json)."""
        upid = record["upid"]
        makes_guest = guest is not None and record["type"] in MAKING_TASKS
        if makes_guest and upid not in self.killed and not self.stopping:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(self.knobs.clean_up_seconds)
        if makes_guest and (upid in self.killed or self.terms.get(upid, 0) > 1):
            self._leave_stub(guest)
        else:
            self._abandon(record, guest)
        return "unexpected status" if upid in self.killed else "received interrupt"

    def _leave_stub(self, guest: Any) -> None:
        """The locked guest stays, and the volume that its first disk was being copied to."""
        copied = getattr(guest, "being_copied", None)
        if copied is not None:
            storage, size, volume_format = copied
            self.allocate(storage, guest.vmid, size, guest.node, volume_format)

    @staticmethod
    def _end(record: dict[str, Any], status: str) -> None:
        record["status"] = "stopped"
        record["exitstatus"] = status
        record["endtime"] = int(time.time())
        shown = status if status == "OK" or status.startswith("WARNINGS:") else f"ERROR: {status}"
        record["log"].append(f"TASK {shown}")

    async def _take_time(self, record: dict[str, Any], guest: Any, seconds: float) -> None:
        """Let the task run, the guest locked as PVE shows it meanwhile."""
        if not seconds:
            return
        lock = TASK_LOCKS.get(record["type"])
        locked = guest is not None and lock is not None and not guest.lock
        if locked:
            self.set_lock(guest, lock)
        try:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.hurry.wait(), seconds)
        finally:
            if locked:
                self.set_lock(guest, None)

    def _abandon(self, record: dict[str, Any], guest: Any) -> None:
        """A create or clone that fails takes its half-made guest away."""
        if guest is not None and record["type"] in MAKING_TASKS:
            self.forget_guest(guest)

    def _take_outcome(self, record: dict[str, Any]) -> Outcome | None:
        for outcome in self.outcomes:
            if outcome.task_type == record["type"] and outcome.vmid in (None, int(record["id"] or 0)):
                outcome.times -= 1
                if outcome.times <= 0:
                    self.outcomes.remove(outcome)
                return outcome
        return None

    def cancel_task(self, upid: str) -> None:
        running = self.running_tasks.get(upid)
        if running is not None:
            self.terms[upid] = self.terms.get(upid, 0) + 1
            running.cancel()

    def _routes_embedded_tasks(self) -> list[tuple[str, str, Any]]:
        return [
            ("DELETE", "/nodes/{node}/tasks/{upid}", self._task_stop),
            ("GET", "/cluster/tasks", self._cluster_tasks),
            ("GET", "/nodes/{node}/time", self._node_time),
        ]

    def _task_view(self, task: dict[str, Any], listing: bool = False) -> dict[str, Any]:
        """`user` and `tokenid` apart; the list has the exit status in `status`."""
        view = {key: value for key, value in task.items() if key != "log"}
        view["user"], _mark, token = task["user"].partition("!")
        if token:
            view["tokenid"] = token
        if not listing:
            view.pop("endtime", None)
            return view
        view.pop("status")
        exitstatus = view.pop("exitstatus", None)
        if exitstatus is not None:
            view["status"] = exitstatus
        return view

    def _get_task(self, request: Any) -> dict[str, Any]:
        upid = request.match_info["upid"]
        if not UPID.fullmatch(upid):
            raise parameter_error(upid="unable to parse worker upid")
        task = self.tasks.get(upid)
        if task is None or task["node"] != request.match_info["node"]:
            raise parameter_error(upid="no such task")
        if not self._task_owner(request[USER], task):
            self.require(request[USER], "/nodes/" + task["node"], "Sys.Audit")
        return dict(task)

    async def _task_log(self, request: Any) -> web.Response:
        """An unknown UPID has a log nevertheless (50-tasks.json: "unknown upid log")."""
        values = self._verify(request, await request_parameters(request))
        upid = request.match_info["upid"]
        if UPID.fullmatch(upid) and upid not in self.tasks:
            lines = ["unable to open file - No such file or directory"]
        else:
            lines = self._get_task(request)["log"] or ["no content"]
        start, limit = values.get("start", 0), values.get("limit", LIST_LIMIT) or len(lines)
        numbered = [{"n": number, "t": text} for number, text in enumerate(lines, 1)]
        return web.json_response({"data": numbered[start : start + limit], "total": len(lines)})

    async def _task_list(self, request: Any) -> web.Response:
        node, user = request.match_info["node"], request[USER]
        values = self._verify(request, await request_parameters(request))
        audit = self.allowed(user, "/nodes/" + node, "Sys.Audit")
        wanted = [name for name in re.split(r"[,;\s]+", values.get("statusfilter", "")) if name]
        for name in wanted:
            if name not in TASK_STATUSES:
                raise parameter_error(statusfilter=f"invalid format - invalid status '{name}'\n")
        chosen = [
            task
            for task in reversed(self.tasklog)
            if task["node"] == node
            and (audit or self._task_owner(user, task))
            and self._wanted(task, values)
            and (not wanted or kind_of_status(task) in wanted)
        ]
        if values.get("source") == "active":
            views = [dict(self._task_view(task, True), status="RUNNING", saved="0") for task in chosen]
        else:
            views = [self._task_view(task, True) for task in chosen]
        start, limit = values.get("start", 0), values.get("limit", LIST_LIMIT)
        return web.json_response({"data": views[start : start + limit], "total": len(views)})

    @staticmethod
    def _wanted(task: dict[str, Any], values: dict[str, Any]) -> bool:
        source, active = values.get("source", "archive"), task["status"] == "running"
        exitstatus = str(task.get("exitstatus", ""))
        return not (
            (source == "active" and not active)
            or (source == "archive" and active)
            or (values.get("vmid") is not None and task["id"] != str(values["vmid"]))
            or (values.get("typefilter") and task["type"] != values["typefilter"])
            or (values.get("userfilter") and values["userfilter"] not in task["user"])
            or (values.get("since") is not None and task["starttime"] < values["since"])
            or (values.get("until") is not None and task["starttime"] > values["until"])
            or (values.get("errors") and exitstatus == "OK")
        )

    async def _cluster_tasks(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        recent = [task for task in reversed(self.tasklog) if self._task_owner(user, task) or self._audits(user, task)]
        return [dict(self._task_view(task, True), saved="1") for task in recent[:25]]

    def _audits(self, user: str, task: dict[str, Any]) -> bool:
        return bool(self.allowed(user, "/nodes/" + task["node"], "Sys.Audit"))

    def _upid(self, node: str, ttype: str, tid: Any, user: str) -> tuple[str, int, int]:
        """A task is dated by the clock of its node."""
        upid, pid, start = super()._upid(node, ttype, tid, user)
        ahead = int(self.knobs.clock_ahead.get(node, 0))
        return upid.replace(f":{start:08X}:", f":{start + ahead:08X}:"), pid, start + ahead

    async def _node_time(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        self.require(user, "/nodes/" + values["node"], "Sys.Audit")
        now = int(time.time() + self.knobs.clock_ahead.get(values["node"], 0))
        return {"time": now, "localtime": now, "timezone": "UTC"}

    async def _task_stop(self, values: dict[str, Any], user: str) -> None:
        if not UPID.fullmatch(values["upid"]):
            raise parameter_error(upid="unable to parse worker upid")
        task = self.tasks.get(values["upid"])
        if task is None or task["node"] != values["node"]:
            raise parameter_error(upid="no such task")
        if owner_of(user) != owner_of(task["user"]):
            self.require(user, "/nodes/" + task["node"], "Sys.Modify")
        await self._stop_worker(task)

    async def _stop_worker(self, task: dict[str, Any]) -> None:
        """TERM, a look each second for five seconds, then KILL (PVE::RESTEnvironment, kill_process_group)."""
        if task["status"] != "running":
            return
        if self.knobs.lost_terms:
            self.knobs.lost_terms -= 1
        else:
            self.cancel_task(task["upid"])
            # A worker that has nothing to clean up is gone before the first look.
            await asyncio.sleep(0)
        for _look in range(LOOKS_AFTER_TERM):
            if task["status"] != "running":
                return
            await asyncio.sleep(self.knobs.stop_look_seconds)
        if task["status"] == "running":
            self.killed.add(task["upid"])
            self.cancel_task(task["upid"])
