# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to be done so that the disks are as a request wants them; nothing here ever loses one unasked."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..._pve.errors import InvalidRequest
from ..._pve.properties import truth
from ..._pve.sizes import format_size, gibibytes
from ..._pve.vm_config import DRIVE, meaning_of
from .devices import StateDiskWish
from .disks import DiskWish, Drive, parse_drive
from .drive_options import check_limits

# Storages round a size up: LVM to extents of 4 MiB, ZFS to blocks.
ROUNDING = 4 * 1024**2


@dataclass
class DiskChanges:
    """What a request makes of the disks, by the kind of call that PVE needs for it."""

    set: dict[str, str] = field(default_factory=dict)
    detach: list[str] = field(default_factory=list)
    destroy: list[str] = field(default_factory=list)
    move: dict[str, dict[str, str]] = field(default_factory=dict)
    resize: dict[str, int] = field(default_factory=dict)


def disk_changes(
    wishes: t.Iterable[DiskWish],
    state_disks: t.Iterable[StateDiskWish],
    values: t.Mapping[str, str],
    label: str,
) -> DiskChanges:
    """Compare the disks that a request names with those that are there; raises InvalidRequest."""
    changes = DiskChanges()
    for wish in wishes:
        current = values.get(wish.slot)
        if wish.state != "present":
            _take_away(changes, wish, current)
        elif current is None:
            changes.set[wish.slot] = _new_disk(wish)
        else:
            _converge(changes, wish, parse_drive(current), label)
    for state_disk in state_disks:
        _converge_state_disk(changes, state_disk, values.get(state_disk.key), label)
    return changes


def _take_away(changes: DiskChanges, wish: DiskWish, current: str | None) -> None:
    if current is None:
        return
    if wish.state == "detached" or parse_drive(current).is_cdrom:
        changes.detach.append(wish.slot)
    else:
        changes.destroy.append(wish.slot)


def _new_disk(wish: DiskWish) -> str:
    """The value that makes a new drive: an ISO, an existing volume, an import, or an empty disk."""
    values = {name: value for name, value in wish.parts.items() if value is not None}
    check_limits(wish.slot, values)
    if wish.iso is not None:
        return DRIVE.write({"file": wish.iso, "media": "cdrom", **values})
    if wish.volume is not None:
        return DRIVE.write({"file": wish.volume, **values})
    if wish.storage is None or (wish.size is None and wish.import_from is None):
        raise InvalidRequest(
            f"disks: {wish.slot} is not there yet: give storage and size (or import_from), volume, or iso to make it"
        )
    if wish.format is not None:
        values["format"] = wish.format
    if wish.import_from is not None:
        # An import has the size of its image; what it lacks is grown afterwards.
        return DRIVE.write({"file": f"{wish.storage}:0", "import-from": wish.import_from, **values})
    return DRIVE.write({"file": f"{wish.storage}:{gibibytes(wish.size or 0)}", **values})


def _converge(changes: DiskChanges, wish: DiskWish, drive: Drive, label: str) -> None:
    if (wish.iso is not None) != drive.is_cdrom and (wish.iso is not None or _wants_disk(wish)):
        kind = "a CD-ROM drive" if drive.is_cdrom else "a disk"
        raise InvalidRequest(f"disks: {wish.slot} of {label} is {kind}, which cannot be made the other kind: detach it")
    if wish.volume is not None and wish.volume != drive.file:
        raise InvalidRequest(
            f"disks: {wish.slot} of {label} holds the volume {drive.file}, not {wish.volume}: detach it first"
        )
    parts: dict[str, str | None] = dict(wish.parts)
    if wish.iso is not None and wish.iso != drive.file:
        parts.update(file=wish.iso, size=None)
    target = DRIVE.merge(drive.text, parts)
    if wish.parts:
        check_limits(wish.slot, DRIVE.parse(target))
    if not meaning_of(wish.slot).same(drive.text, target):
        changes.set[wish.slot] = target
    _converge_place(changes, wish, drive)
    _converge_size(changes, wish, drive, label)


def _wants_disk(wish: DiskWish) -> bool:
    return any(value is not None for value in (wish.storage, wish.size, wish.format, wish.import_from, wish.volume))


def _converge_place(changes: DiskChanges, wish: DiskWish, drive: Drive) -> None:
    storage = wish.storage if wish.storage != drive.storage else None
    image_format = wish.format if wish.format not in (None, drive.format) else None
    if storage or image_format:
        place = {"storage": storage or drive.storage or ""}
        changes.move[wish.slot] = {**place, "format": image_format} if image_format else place


def _converge_size(changes: DiskChanges, wish: DiskWish, drive: Drive, label: str) -> None:
    if wish.size is None or wish.size == drive.size:
        return
    if drive.size is None:
        # Only of a disk that is still to be imported nobody knows the size.
        if drive.is_order:
            changes.resize[wish.slot] = wish.size
        return
    if wish.size < drive.size < wish.size + ROUNDING:
        return
    if wish.size < drive.size:
        raise InvalidRequest(
            f"disks: {wish.slot}: size {format_size(wish.size)} is less than the {format_size(drive.size)} "
            f"that {label} has: PVE cannot shrink a disk"
        )
    changes.resize[wish.slot] = wish.size


def _converge_state_disk(changes: DiskChanges, wish: StateDiskWish, current: str | None, label: str) -> None:
    if current is None:
        changes.set[wish.key] = wish.allocation(label)
        return
    there = {**DRIVE.defaults, **DRIVE.parse(current)}
    for name, value in wish.properties.items():
        found = there[name]
        if truth(found) != truth(value):
            raise InvalidRequest(
                f"{wish.option} of {label} has {name} {found}, not {value}: that cannot be changed, "
                f"only a new one can be made once the old one is gone"
            )
    # A disk that is still to be made has no size yet, and PVE enrols its certificates then.
    if wish.certificates not in (None, there["ms-cert"]) and "size" in there:
        if truth(there["pre-enrolled-keys"]) != "1":
            raise InvalidRequest(f"efi_disk of {label} has no enrolled keys, so ms_cert cannot be set")
        changes.set[wish.key] = DRIVE.merge(current, {"ms-cert": wish.certificates})
    if wish.storage not in (None, parse_drive(current).storage):
        changes.move[wish.key] = {"storage": wish.storage}
