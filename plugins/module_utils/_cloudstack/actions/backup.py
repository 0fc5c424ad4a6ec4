# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup: an archive of the instance on a storage that the operator allows."""

from __future__ import annotations

import typing as t

from ..._operations.backup import (
    COMPRESSIONS,
    MODES,
    MOST_NOTES,
    Archive,
    BackupRequest,
    abandon_backup,
    back_up_guest,
    backup_request,
)
from ..._operations.own_tasks import Moment
from ..._pve.errors import InvalidRequest, PveError, TimedOut, TransportError
from ..._pve.guests import GuestHandle
from ..answer import table
from ..details import STORAGE, Detail
from ..owned import own_guest
from ..parameters import lines, parameter
from ..policy import check_backup
from ..run import Run

PLACE = Detail("storage", pattern=STORAGE)
MODE = Detail("mode", default="snapshot", choices=MODES)
COMPRESS = Detail("compress", default="zstd", choices=COMPRESSIONS)
PROTECTED = Detail("protected", "flag", default=False)
NOTES = "notes"
MEBIBYTE = 1024 * 1024


def backup(run: Run) -> dict[str, t.Any]:
    """Back the instance up. When that takes too long it is called off, and nothing is left of it."""
    request = _request(run)
    applier = run.applier()
    handle, state = own_guest(run, applier)
    if state.status is None:
        raise TypeError("the status of the guest has not been read")
    _check_number(run, handle, request.storage)
    before = Moment.now(applier.client)
    try:
        archive = back_up_guest(applier, handle, state.status, request)
    except BaseException as error:  # noqa: BLE001 - whatever ends the wait
        archive = _call_off(run, handle, request.storage, before, error)
    return _answer(archive)


def _request(run: Run) -> BackupRequest:
    storage = parameter(run, PLACE) or run.details.text("backup_storage")
    if not storage:
        raise InvalidRequest("the parameter storage is missing, and the site policy names no backup_storage")
    mode, protected = parameter(run, MODE), parameter(run, PROTECTED)
    check_backup(run.details, storage, mode, protected)
    return backup_request(
        storage,
        mode,
        parameter(run, COMPRESS),
        lines(run, NOTES, MOST_NOTES) or f"CloudStack instance {run.instance.name}",
        protected,
        prune=bool(run.details.flag("prune_backups")),
    )


def _check_number(run: Run, handle: GuestHandle, storage: str) -> None:
    most = run.details.number("max_backups")
    if most is None:
        return
    path = ("nodes", handle.guest.node, "storage", storage, "content")
    held = len(run.client.read(*path, content="backup", vmid=handle.guest.vmid))
    if held >= most:
        raise InvalidRequest(
            f"{handle.guest.label} has {held} backups on storage {storage}, and the site policy allows {most}"
        )


def _call_off(run: Run, handle: GuestHandle, storage: str, before: Moment, error: BaseException) -> Archive | None:
    """Stop a backup that nobody waits for any longer; returns it when it came to its end all the same."""
    if run.dry_run or (isinstance(error, PveError) and not isinstance(error, (TimedOut, TransportError))):
        raise error
    run.begin_cleanup()
    try:
        archive = abandon_backup(handle, storage, before)
    except PveError as problem:
        run.context.left_behind = f"the backup may still come into being: {problem}"
        raise error from None
    if archive is not None:
        return archive
    if isinstance(error, TimedOut):
        raise TimedOut(
            f"the wait of {run.time.wait:g} s was too short for a backup of {handle.guest.label}: "
            f"it was stopped, and PVE removes what there was of it"
        ) from None
    raise error


def _answer(archive: Archive | None) -> dict[str, t.Any]:
    """A table, because CloudStack's UI shows no message that is a text."""
    if archive is None:
        return {"message": "Backup created"}
    size = "-" if archive.size is None else f"{archive.size / MEBIBYTE:.1f} MiB"
    row = {"volid": archive.volid or "PVE does not say", "size": size, "warnings": "; ".join(archive.warnings) or "-"}
    return {**table([row]), "volid": archive.volid}
