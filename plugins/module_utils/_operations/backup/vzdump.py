# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Back a virtual machine up with PVE's vzdump."""

from __future__ import annotations

import contextlib
import re
import typing as t
from dataclasses import dataclass, field
from types import MappingProxyType

from ..._pve.client import PveClient
from ..._pve.commands import Command, run_command
from ..._pve.errors import ErrorReason, InvalidRequest, Locked, PveError, Refused, TaskFailed, one_line
from ..._pve.guests import Guest, GuestHandle
from ..._pve.locks import outlast_lock
from ..._pve.storage_names import check_storage_name
from ..._pve.tasks import Task, parse_upid, read_log, stop_task
from ..facts import Status
from ..own_tasks import Moment, own_tasks
from ..plan import Applier, Change, Plan, PlanStep

TASK = "vzdump"
MODES = ("snapshot", "suspend", "stop")
COMPRESSIONS = ("0", "gzip", "lzo", "zstd")
MOST_NOTES = 1024
_CREATING = re.compile(r"creating (?P<kind>vzdump|Proxmox Backup Server) archive '(?P<path>[^']+)'")
# The task itself only says 'job errors' (PVE::VZDump exec_backup).
_FAILED = re.compile(r"ERROR: Backup of VM \d+ failed - (?P<why>.+)")


@dataclass(frozen=True)
class NewBackup:
    """Where to and how; notes are kept with the archive. prune lets PVE delete older archives of the guest for it."""

    storage: str
    mode: str = "snapshot"
    compress: str = "zstd"
    notes: str = ""
    protected: bool = False
    prune: bool = False
    # Options of vzdump that few people need, by PVE's names.
    more: t.Mapping[str, t.Any] = field(default_factory=dict)

    @property
    def form(self) -> dict[str, t.Any]:
        """The request as vzdump takes it."""
        return {
            "storage": self.storage,
            "mode": self.mode,
            "compress": self.compress,
            "notes-template": _escaped(self.notes) or None,
            "protected": 1 if self.protected else None,
            # Left to itself, PVE prunes by the settings of the storage.
            "remove": None if self.prune else 0,
            **self.more,
        }


@dataclass(frozen=True)
class BackupOptions:
    """The storages of the node that take backups, and the backups of the guest that run, by their UPIDs."""

    storages: t.Mapping[str, bool] = field(default_factory=dict)
    running: tuple[str, ...] = ()


@dataclass(frozen=True)
class Archive:
    """A backup that was made. volid is empty when PVE does not say what it is called; size is in bytes."""

    volid: str
    size: int | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class BackupStep(PlanStep):
    """A run of vzdump, which does nothing and says OK when the guest is not on the node that was asked."""

    def run(self, client: PveClient, handle: GuestHandle | None) -> Task | None:
        if handle is None:
            raise TypeError("a backup is about a guest")
        try:
            task = self._run(client, handle)
        except TaskFailed as error:
            # It may have waited for other backups of the node, and somebody has locked the guest in that time.
            if error.pve_reason is not ErrorReason.LOCKED or not client.wait_for_lock:
                raise
            outlast_lock(handle, handle.read_lock())
            task = self._run(client, handle)
        if task is None:
            raise Refused(f"PVE backed nothing up: {handle.guest.label} is not on node {handle.guest.node}")
        return task

    def _run(self, client: PveClient, handle: GuestHandle) -> Task | None:
        try:
            task = run_command(client, self.command, handle)
            if task is None and handle.follow():
                task = run_command(client, self.command, handle)
        except TaskFailed as error:
            raise _explained(error) from error
        return task


def new_backup(
    storage: str,
    mode: str = "snapshot",
    compress: str = "zstd",
    notes: str = "",
    protected: bool = False,
    prune: bool = False,
    more: t.Mapping[str, t.Any] = MappingProxyType({}),
) -> NewBackup:
    """Check what is asked for; raises InvalidRequest."""
    check_storage_name("storage", storage)
    for name, value, choices in (("mode", mode, MODES), ("compress", compress, COMPRESSIONS)):
        if value not in choices:
            raise InvalidRequest(f"{name} must be one of {', '.join(choices)}, not {value[:100]!r}")
    if "{{" in notes:
        raise InvalidRequest("notes cannot hold '{{', between which and '}}' PVE looks for something to replace")
    if len(_escaped(notes)) > MOST_NOTES:
        raise InvalidRequest(f"notes are longer than the {MOST_NOTES} characters that PVE takes")
    return NewBackup(storage, mode, compress, notes, protected, prune, more)


def _escaped(notes: str) -> str:
    """Notes in one line, as PVE wants them (PVE::VZDump, notes-template)."""
    return notes.replace("\\", "\\\\").replace("\n", "\\n")


def back_up_guest(applier: Applier, handle: GuestHandle, status: Status, request: NewBackup) -> Archive | None:
    """Back a guest up that has been read; None in check mode. Raises a PveError."""
    plan = plan_backup(request, handle.guest, status, read_backup_options(handle))
    if not applier.apply(plan, handle):
        return None
    return find_archive(handle, request.storage, applier.tasks[-1])


def read_backup_options(handle: GuestHandle) -> BackupOptions:
    """Ask where backups can go, and which of the guest run; two requests."""
    client, guest = handle.client, handle.guest
    entries = client.read("nodes", guest.node, "storage", content="backup")
    usable = {
        str(entry["storage"]): bool(int(entry.get("active") or 0)) and bool(int(entry.get("enabled", 1) or 0))
        for entry in entries
    }
    tasks = client.read("nodes", guest.node, "tasks", source="active", typefilter=TASK, vmid=guest.vmid)
    return BackupOptions(usable, tuple(str(task["upid"]) for task in tasks))


def plan_backup(request: NewBackup, guest: Guest, status: Status, options: BackupOptions) -> Plan:
    """Say what has to be sent; raises InvalidRequest, Refused or Locked with what stands against it."""
    if options.running:
        # Also the run of somebody whose answer was lost: one archive is enough.
        raise Locked(f"a backup of {guest.label} runs already: wait for it, it is {options.running[0]}")
    if status.lock:
        raise Locked(f"{guest.label} is locked ({status.lock}): wait for what is being done to it")
    if request.storage not in options.storages:
        there = ", ".join(sorted(options.storages)) or "none that may be used"
        raise InvalidRequest(f"storage {request.storage} takes no backups on node {guest.node}, which has {there}")
    if not options.storages[request.storage]:
        raise Refused(f"storage {request.storage} is not active on node {guest.node}: enable it, look at its server")
    command = Command(
        "POST",
        (TASK,),
        {"vmid": guest.vmid, **request.form},
        node=guest.node,
        task_type=TASK,
        task_id=str(guest.vmid),
        once=True,
    )
    title = f"back {guest.label} up to {request.storage} ({request.mode})"
    return Plan((BackupStep(title, command),), (Change("backup", None, request.storage),))


def find_archive(handle: GuestHandle, storage: str, task: Task) -> Archive:
    """Say what a backup that ended well has made, by its log and the storage; it is there, whatever these say."""
    client, guest = handle.client, handle.guest
    volid = logged_archive(client, storage, task)
    try:
        content = client.read("nodes", task.node, "storage", storage, "content", content="backup", vmid=guest.vmid)
    except PveError:
        content = []
    made = [entry for entry in content if int(entry.get("ctime") or 0) >= task.start]
    newest = max(made, key=lambda entry: int(entry["ctime"]), default=None)
    if not volid and newest is not None:
        volid = str(newest["volid"])
    size = next((int(entry["size"]) for entry in content if entry.get("volid") == volid and "size" in entry), None)
    return Archive(volid, size, task.warnings)


def logged_archive(client: PveClient, storage: str, task: Task) -> str:
    """The volume that a backup has made, by its log; empty when that does not say it."""
    with contextlib.suppress(PveError):
        return archive_in(read_log(client, parse_upid(task.upid)), storage)
    return ""


def archive_in(log: t.Iterable[str], storage: str) -> str:
    """The volume that a log of vzdump says is made; empty when it says of none."""
    for line in log:
        found = _CREATING.search(line)
        if found:
            path = found["path"]
            return f"{storage}:backup/{path.rpartition('/')[2] if found['kind'] == TASK else path}"
    return ""


def abandon_backup(handle: GuestHandle, storage: str, before: Moment) -> Archive | None:
    """Stop the backup that this run has begun, within the client's deadline; PVE removes what there is of the archive.

    before is the moment before it was asked for. Returns the archive when it was complete before it could be stopped,
    and stays. Raises a PveError when nobody knows what has become of it.
    """
    archive = None
    for upid in own_tasks(handle, TASK, before):
        task = stop_task(handle.client, upid)
        if task.exit_status == "OK" or task.exit_status.startswith("WARNINGS"):
            archive = find_archive(handle, storage, task)
    return archive


def _explained(error: TaskFailed) -> TaskFailed:
    """The failure with the reason that only the log tells, and what the log says before it."""
    tail = error.cause.log_tail
    for number, line in enumerate(tail):
        found = _FAILED.search(line)
        if found:
            upid, why = parse_upid(error.cause.upid), one_line(found["why"])
            before = one_line(" | ".join(tail[max(0, number - 2) : number]))
            log = f" (log: {before})" if before else ""
            message = f"task {upid.type} of {upid.id} on node {upid.node} failed: {why}{log}"
            return TaskFailed(message, error.cause._replace(pve_message=why))
    return error
