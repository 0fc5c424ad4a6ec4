# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Have a backup of a guest that is young enough; annotate, protect, prune and delete backups."""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass, replace

from ..._pve.client import PveClient
from ..._pve.commands import Command
from ..._pve.errors import InvalidRequest, NotFound, Refused, TaskFailed
from ..._pve.guests import Guest, GuestHandle, Selector, find_guest
from ..._pve.locks import outlast_lock
from ..._pve.storages import read_storages
from ..._pve.tasks import parse_upid, wait_for_task
from ..facts import Status, guest_result, listed_result, read_status
from ..plan import Applier, Change, Outcome, Plan, PlanStep, outcome
from ..selection import select_guest
from .archives import Backup, named_backup, read_backups, read_creation, read_notes
from .backup_request import BackupRequest
from .refusals import with_advice
from .retention import NEW, Retention, candidates, parse_retention, pruned
from .vzdump import BackupOptions, logged_archive, plan_backup, read_backup_options


def ensure_backup(applier: Applier, request: BackupRequest) -> Outcome:
    """Bring the backups of a guest into the state asked for. Four requests when they are; raises a PveError."""
    with with_advice():
        if request.backup is not None:
            return _ensure_named(applier, request)
        return _ensure_newest(applier, request)


@dataclass
class _Held:
    """The backups of a guest on the storage that is meant, as its node sees them."""

    handle: GuestHandle
    storage: str

    @property
    def guest(self) -> Guest:
        return self.handle.guest

    def read(self) -> list[Backup]:
        found = read_backups(self.handle.client, self.guest.node, self.storage, self.guest.vmid)
        # A container may have the number that a virtual machine had before.
        return [backup for backup in found if backup.kind in ("", self.guest.kind)]

    @property
    def path(self) -> tuple[str, ...]:
        return ("storage", self.storage)


def _ensure_newest(applier: Applier, request: BackupRequest) -> Outcome:
    client = applier.client
    handle, status = select_guest(client, request.selector, applier.guests)
    # The cluster's list does not know the name of a young guest.
    handle.guest = handle.guest._replace(name=status.name)
    held = _Held(handle, request.storage)
    before = held.read()
    chosen, made = _young(request, held, before), None
    if request.state == "present" and chosen is None:
        status, options, waited = _wait_until_free(applier, handle, status)
        if waited:
            before = held.read()
            chosen = _young(request, held, before)
        if chosen is None:
            made = _back_up(applier, handle, status, request, options, before)
    if chosen is not None:
        applier.apply(_plan_attributes(request, _with_notes(client, request, chosen)))
    after = held.read() if applier.done else before
    if made is not None and applier.done:
        made = made or _newest_since(after, applier.tasks[-1].start)
    known = len(applier.done)
    gone = _prune(applier, held, request, before, after, made)
    if len(applier.done) > known:
        after = held.read()
    if applier.done:
        chosen = next((backup for backup in after if backup.volid == (made or (chosen and chosen.volid))), None)
    if made is not None or gone:
        applier.changes.append(_difference(before, made, gone))
    guest = guest_result(handle.guest, read_status(handle) if applier.done else status)
    return _outcome(applier, guest, chosen, after, gone)


def _young(request: BackupRequest, held: _Held, backups: t.Sequence[Backup]) -> Backup | None:
    """The newest backup, if it is young enough; one whose verification failed is none, nor is one of a former guest."""
    now = held.handle.client.server_time
    good = [backup for backup in backups if backup.is_good]
    if not good or not request.max_age or good[-1].created < now - request.max_age:
        return None
    return good[-1] if good[-1].created >= read_creation(held.handle) else None


def _newest_since(backups: t.Sequence[Backup], start: int) -> str:
    """The newest backup, if it was made since then, for a log that does not say its name."""
    return backups[-1].volid if backups and backups[-1].created >= start else NEW


def _wait_until_free(applier: Applier, handle: GuestHandle, status: Status) -> tuple[Status, BackupOptions, bool]:
    """Wait for a backup of the guest that runs already: it may be the one that is wanted, and bars the next one.

    Any other lock is waited for as far as the task says. The last value says whether something was waited for.
    """
    options = read_backup_options(handle)
    if options.running and applier.check_mode:
        # The real run waits for it.
        return status._replace(lock=""), replace(options, running=()), False
    for upid in options.running:
        with contextlib.suppress(TaskFailed):
            wait_for_task(applier.client, parse_upid(upid))
    if options.running:
        status = read_status(handle)
    if outlast_lock(handle, status.lock):
        handle.follow()
        status = read_status(handle)
    elif not options.running:
        return status, options, False
    return status, read_backup_options(handle), True


def _back_up(
    applier: Applier,
    handle: GuestHandle,
    status: Status,
    request: BackupRequest,
    options: BackupOptions,
    before: t.Sequence[Backup],
) -> str:
    """Make a backup; returns its name, empty when PVE does not say it, and in check mode none that exists."""
    plan = plan_backup(request.new, handle.guest, status, options)
    _check_limit(applier.client, handle.guest, request, before)
    if not applier.apply(Plan(plan.steps), handle):
        return NEW
    return logged_archive(applier.client, request.storage, applier.tasks[-1])


def _check_limit(client: PveClient, guest: Guest, request: BackupRequest, before: t.Sequence[Backup]) -> None:
    """Raise Refused when the storage holds as many backups as it may, as PVE would (PVE::VZDump)."""
    if request.new.prune or request.new.protected:
        return
    limit = _retention_of_storage(client, guest.node, request.storage).limit
    count = sum(not backup.protected for backup in before)
    if limit and count >= limit:
        raise Refused(
            f"storage {request.storage} lets a guest have {limit} backups, and {guest.label} has {count}: "
            f"set keep_as_storage to have older ones pruned by the storage's own settings, or delete one"
        )


def _retention_of_storage(client: PveClient, node: str, storage: str) -> Retention:
    """The retention in the storage's settings; one request."""
    defaults = client.read("nodes", node, "vzdump", "defaults", storage=storage)
    return parse_retention(str(defaults.get("prune-backups") or ""))


def _with_notes(client: PveClient, request: BackupRequest, backup: Backup) -> Backup:
    """The backup with all of its notes, where these are asked for."""
    return backup if request.notes is None else replace(backup, notes=read_notes(client, backup))


def _plan_attributes(request: BackupRequest, backup: Backup) -> Plan:
    """Notes and protection of a backup that there is."""
    if request.protected is None or request.protected == backup.protected:
        protection: dict[str, t.Any] = {}
    else:
        protection = {"protected": request.protected}
    notes = {} if request.notes is None or request.notes == backup.notes else {"notes": request.notes}
    changes = [Change("notes", backup.notes or "", request.notes)] if notes else []
    changes += [Change("protected", backup.protected, request.protected)] if protection else []
    if not changes:
        return Plan()
    command = Command(
        "PUT", ("storage", backup.storage, "content", backup.volid), {**notes, **protection}, node=backup.node
    )
    words = " and ".join(
        [*(["annotate"] if notes else []), *(["protect" if request.protected else "unprotect"] if protection else [])]
    )
    return Plan((PlanStep(f"{words} backup {backup.volid}", command),), tuple(changes))


def _prune(
    applier: Applier,
    held: _Held,
    request: BackupRequest,
    before: t.Sequence[Backup],
    after: t.Sequence[Backup],
    made: str | None,
) -> list[str]:
    """Prune as the request says, and return the names of what is gone; the real run asks PVE what it would prune."""
    retention, client, guest = request.retention, applier.client, held.guest
    if retention is None:
        return []
    if retention.as_storage and made is not None and not applier.check_mode:
        # vzdump has done it.
        left = {backup.volid for backup in after}
        return [backup.volid for backup in before if backup.volid not in left]
    by_vzdump = retention.as_storage and made is not None
    if retention.as_storage:
        retention = _retention_of_storage(client, guest.node, held.storage)
    if applier.check_mode and made is not None:
        gone = pruned(candidates(after, client.server_time, bool(request.protected)), retention)
    else:
        gone = _marked(held, retention) if after else []
    if gone and not by_vzdump:
        applier.apply(Plan((_prune_step(held, retention, gone),)), held.handle)
    return gone


def _marked(held: _Held, retention: Retention) -> list[str]:
    """What PVE would prune, the oldest first; one request."""
    if not retention.limit:
        return []
    query = {"prune-backups": retention.text, "vmid": held.guest.vmid, "type": held.guest.kind}
    entries = held.handle.client.read("nodes", held.guest.node, *held.path, "prunebackups", **query)
    entries = sorted(entries, key=lambda entry: (int(entry.get("ctime") or 0), str(entry["volid"])))
    return [str(entry["volid"]) for entry in entries if entry.get("mark") == "remove"]


def _prune_step(held: _Held, retention: Retention, gone: t.Sequence[str]) -> PlanStep:
    guest = held.guest
    command = Command(
        "DELETE",
        (*held.path, "prunebackups"),
        {"prune-backups": retention.text, "vmid": guest.vmid, "type": guest.kind},
        node=guest.node,
        task_type="prunebackups",
        task_id=f"{guest.vmid}@{held.storage}",
        done=lambda: not {backup.volid for backup in held.read()} & set(gone),
    )
    count = f"{len(gone)} backup{'' if len(gone) == 1 else 's'}"
    return PlanStep(f"prune {count} of {guest.label} on {held.storage} ({retention.text})", command)


def _difference(before: t.Sequence[Backup], made: str | None, gone: t.Collection[str]) -> Change:
    """The list of backups before and after; the new one has no name yet in check mode, and has none here."""
    names = [backup.volid for backup in before]
    after = [name for name in names if name not in gone]
    return Change("backups", names, after if made is None else [*after, NEW])


def _ensure_named(applier: Applier, request: BackupRequest) -> Outcome:
    """Annotate, protect or delete one backup; the guest may be gone long ago."""
    client = applier.client
    name = named_backup("backup", request.backup or "")
    guest = _guest_of(applier, request, name.vmid)
    node = _node_of(client, request, guest)
    found = read_backups(client, node, request.storage, name.vmid)
    chosen = next((backup for backup in found if backup.volid == request.backup), None)
    gone: list[str] = []
    if request.state == "absent" and chosen is not None:
        _check_deletable(chosen)
        applier.apply(_plan_delete(client, chosen))
        gone, chosen = [chosen.volid], None
    elif request.state == "present":
        if chosen is None:
            raise NotFound(f"there is no backup {request.backup} on node {node}: pve_backup_info lists what there is")
        applier.apply(_plan_attributes(request, _with_notes(client, request, chosen)))
    if applier.done:
        found = read_backups(client, node, request.storage, name.vmid)
        chosen = next((backup for backup in found if backup.volid == request.backup), None)
    return _outcome(applier, listed_result(guest) if guest else None, chosen, found, gone)


def _guest_of(applier: Applier, request: BackupRequest, vmid: int) -> Guest | None:
    """The guest whose backup it is, if it is still there; raises a PveError when the request means another one."""
    client = applier.client
    if request.selector.name is None:
        return find_guest(client, Selector(vmid), guests=applier.guests)
    handle, status = select_guest(client, request.selector, applier.guests)
    if handle.guest.vmid != vmid:
        raise InvalidRequest(f"backup {request.backup} is one of guest {vmid}, not of {handle.guest.label}")
    return handle.guest._replace(name=status.name)


def _node_of(client: PveClient, request: BackupRequest, guest: Guest | None) -> str:
    """A node that sees the storage which holds the backup; raises InvalidRequest when several have one each."""
    storages = [storage for storage in read_storages(client) if storage.name == request.storage]
    if request.node is not None:
        storages = [storage for storage in storages if storage.node == request.node]
    if not storages:
        where = f" on node {request.node}" if request.node else ""
        raise NotFound(f"there is no storage {request.storage}{where}, or no right to see it (Datastore.Audit)")
    if guest is not None and request.node is None and any(storage.node == guest.node for storage in storages):
        return guest.node
    if storages[0].shared:
        return next((storage.node for storage in storages if storage.active), storages[0].node)
    if len(storages) > 1:
        names = ", ".join(storage.node for storage in storages)
        raise InvalidRequest(
            f"storage {request.storage} is not shared, and {names} have one each: say by node which one is meant"
        )
    return storages[0].node


def _check_deletable(backup: Backup) -> None:
    if backup.protected:
        raise Refused(f"backup {backup.volid} is protected: set protected to false on it first")


def _plan_delete(client: PveClient, backup: Backup) -> Plan:
    command = Command(
        "DELETE",
        ("storage", backup.storage, "content", backup.volid),
        node=backup.node,
        task_type="imgdel",
        task_id=f"{backup.vmid}@{backup.storage}",
        # PVE answers well for one that is not there.
        done=lambda: (
            backup.volid
            not in {other.volid for other in read_backups(client, backup.node, backup.storage, backup.vmid)}
        ),
    )
    return Plan((PlanStep(f"delete backup {backup.volid}", command),), (Change("backup", backup.volid, None),))


def _outcome(
    applier: Applier,
    guest: t.Mapping[str, t.Any] | None,
    chosen: Backup | None,
    held: t.Sequence[Backup],
    gone: t.Sequence[str],
) -> Outcome:
    return outcome(
        applier,
        guest,
        backup=chosen.as_result() if chosen else None,
        backups=[backup.as_result() for backup in held],
        deleted=list(gone),
    )
