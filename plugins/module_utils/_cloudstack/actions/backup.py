# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup: an archive of the instance on a storage that the operator allows."""

from __future__ import annotations

import typing as t

from ..._operations.backup.vzdump import (
    COMPRESSIONS,
    MODES,
    MOST_NOTES,
    Archive,
    NewBackup,
    abandon_backup,
    back_up_guest,
    new_backup,
)
from ..._operations.own_tasks import Moment
from ..._pve.errors import InvalidRequest, TimedOut
from ..answer import table
from ..details import Detail
from ..owned import OwnGuest, own_guest
from ..parameters import STORAGE, lines, parameter
from ..policy import check_backup
from ..run import Run

MODE = Detail("mode", default="snapshot", choices=MODES)
COMPRESS = Detail("compress", default="zstd", choices=COMPRESSIONS)
PROTECTED = Detail("protected", "flag", default=False)
NOTES = "notes"
MEBIBYTE = 1024 * 1024


def backup(run: Run) -> dict[str, t.Any]:
    """Back up the instance. If that takes too long, it is cancelled, and PVE removes the unfinished archive."""
    request = _request(run)
    guest = own_guest(run)
    _check_number(guest, request.storage)
    before = Moment.now(run.client)
    try:
        archive = back_up_guest(guest.applier, guest.handle, guest.status, request)
    except BaseException as error:
        archive = run.call_off(error, "backup", lambda: abandon_backup(guest.handle, request.storage, before))
        if archive is None and isinstance(error, TimedOut):
            raise TimedOut(
                f"the wait of {run.time.wait:g} s was too short for a backup of {guest.label}: "
                f"it was stopped, and PVE removes what there was of it"
            ) from None
        if archive is None:
            raise
    return _answer(archive)


def _request(run: Run) -> NewBackup:
    storage = parameter(run, STORAGE) or run.details.text("backup_storage")
    if not storage:
        raise InvalidRequest("the parameter storage is missing, and the site policy names no backup_storage")
    mode, protected = parameter(run, MODE), parameter(run, PROTECTED)
    check_backup(run.details, storage, mode, protected)
    return new_backup(
        storage,
        mode,
        parameter(run, COMPRESS),
        lines(run, NOTES, MOST_NOTES) or f"CloudStack instance {run.instance.name}",
        protected,
        prune=bool(run.details.flag("prune_backups")),
    )


def _check_number(own: OwnGuest, storage: str) -> None:
    guest, most = own.handle.guest, own.run.details.number("max_backups")
    if most is None:
        return
    path = ("nodes", guest.node, "storage", storage, "content")
    held = len(own.run.client.read(*path, content="backup", vmid=guest.vmid))
    if held >= most:
        raise InvalidRequest(f"{own.label} has {held} backups on storage {storage}, and the site policy allows {most}")


def _answer(archive: Archive | None) -> dict[str, t.Any]:
    """A table, because CloudStack's UI shows no message that is a text."""
    if archive is None:
        return {"message": "Backup created"}
    size = "-" if archive.size is None else f"{archive.size / MEBIBYTE:.1f} MiB"
    row = {"volid": archive.volid or "PVE does not say", "size": size, "warnings": "; ".join(archive.warnings) or "-"}
    return {**table([row]), "volid": archive.volid}
