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
from ..._pve.vm_config import DRIVE, value_type_of
from ..guest.state import GuestState
from .devices import DesiredStateDisk
from .disks import DesiredDisk, Drive, parse_drive
from .drive_options import check_limits

# Storages round a size up: LVM to extents of 4 MiB, ZFS to blocks.
ROUNDING = 4 * 1024**2


@dataclass
class DiskProgress:
    """What a run has done to disks that the guest itself does not tell; the next plan of the run needs it."""

    # The pending value of a drive, taken back so that the drive can be moved; its options are to be set again.
    taken_back: dict[str, str] = field(default_factory=dict)
    grown: set[str] = field(default_factory=set)
    # Volumes of drives that were to be deleted before they came into effect: PVE keeps them as unused disks.
    doomed: set[str] = field(default_factory=set)


@dataclass
class DiskChanges:
    """What a request makes of the disks, by the kind of call that PVE needs for it, in this order."""

    take_back: dict[str, str] = field(default_factory=dict)
    move: dict[str, dict[str, str]] = field(default_factory=dict)
    resize: dict[str, int] = field(default_factory=dict)
    set: dict[str, str] = field(default_factory=dict)
    revert: list[str] = field(default_factory=list)
    detach: list[str] = field(default_factory=list)
    destroy: list[str] = field(default_factory=list)
    # Of disks that are imported by this plan: the size of the image, where it is known, and the size to be.
    resize_imported: dict[str, tuple[int | None, int]] = field(default_factory=dict)


def disk_changes(
    disks: t.Iterable[DesiredDisk],
    state_disks: t.Iterable[DesiredStateDisk],
    state: GuestState,
    progress: DiskProgress | None = None,
) -> DiskChanges:
    """Compare the disks that a request names with those that are there; raises InvalidRequest."""
    changes, progress = DiskChanges(), progress or DiskProgress()
    for disk in disks:
        slot = Slot(disk.slot, state, progress)
        if disk.state != "present":
            _take_away(changes, disk, slot)
        elif slot.drive is None:
            changes.set[disk.slot] = _new_disk(disk)
            _resize_imported(changes, disk)
        else:
            _converge(changes, disk, slot, slot.drive)
    for state_disk in state_disks:
        _converge_state_disk(changes, state_disk, Slot(state_disk.key, state, progress))
    return changes


class Slot:
    """A slot and the drive in it: as it is, and as it will be.

    Place and size of a drive are those in effect, since PVE moves and grows nothing else; its options are those to
    come. What is pending names the volume that the drive had when it was written, which may be gone by now.
    """

    def __init__(self, key: str, state: GuestState, progress: DiskProgress) -> None:
        self.key = key
        self.label = state.guest.label
        self.progress = progress
        self.values = state.values
        self.running = state.running
        self.is_waiting = key in state.waiting
        self.is_forced = key in state.forced
        self.current = state.in_effect.get(key)
        self.coming = progress.taken_back.get(key, state.values.get(key))

    @property
    def is_leaving(self) -> bool:
        """The drive is there, and goes at the next start."""
        return self.current is not None and self.coming is None

    @property
    def drive(self) -> Drive | None:
        """The drive whose place and size count."""
        text = self.current if self.current is not None else self.coming
        return None if text is None else parse_drive(text)

    @property
    def options(self) -> str:
        """The drive as it is with the options that it will have."""
        current, coming = self.current, self.coming
        if current is None or coming is None:
            return current or coming or ""
        here, there = parse_drive(current), parse_drive(coming)
        if here.is_cdrom and there.is_cdrom:
            # Another medium waits for the next start.
            return coming
        if here.is_cdrom != there.is_cdrom:
            return current
        size = DRIVE.parse(current).get("size")
        return DRIVE.merge(coming, {"file": here.file, **({"size": size} if size else {})})


def _take_away(changes: DiskChanges, disk: DesiredDisk, slot: Slot) -> None:
    drive = slot.drive
    destroy = disk.state == "absent"
    if drive is None:
        # PVE has kept the volume of a drive that was never in effect.
        unused = (key for key, text in slot.values.items() if key.startswith("unused"))
        changes.destroy.extend(key for key in unused if destroy and slot.values[key] in slot.progress.doomed)
        return
    destroy = destroy and not drive.is_cdrom
    if slot.is_leaving and slot.running and slot.is_forced == destroy:
        return
    (changes.destroy if destroy else changes.detach).append(disk.slot)


def _new_disk(disk: DesiredDisk) -> str:
    """The value that makes a new drive: an ISO, an existing volume, an import, or an empty disk."""
    values = {name: value for name, value in disk.parts.items() if value is not None}
    check_limits(disk.slot, values)
    if disk.iso is not None:
        return DRIVE.write({"file": disk.iso, "media": "cdrom", **values})
    if disk.volume is not None:
        return DRIVE.write({"file": disk.volume, **values})
    if disk.storage is None or (disk.size is None and disk.import_from is None):
        raise InvalidRequest(
            f"disks: {disk.slot} is not there yet: give storage and size (or import_from), volume, or iso to make it"
        )
    if disk.format is not None:
        values["format"] = disk.format
    if disk.import_from is not None:
        # An import has the size of its image; what it lacks is grown afterwards.
        return DRIVE.write({"file": f"{disk.storage}:0", "import-from": disk.import_from, **values})
    return DRIVE.write({"file": f"{disk.storage}:{gibibytes(disk.size or 0)}", **values})


def _resize_imported(changes: DiskChanges, disk: DesiredDisk) -> None:
    if disk.import_from is not None and disk.size is not None and disk.size != disk.image_size:
        changes.resize_imported[disk.slot] = (disk.image_size, disk.size)


def _converge(changes: DiskChanges, disk: DesiredDisk, slot: Slot, drive: Drive) -> None:
    if (disk.iso is not None) != drive.is_cdrom and (disk.iso is not None or _wants_disk(disk)):
        kind = "a CD-ROM drive" if drive.is_cdrom else "a disk"
        raise InvalidRequest(
            f"disks: {disk.slot} of {slot.label} is {kind}, which cannot be made the other kind: detach it"
        )
    if disk.volume is not None and disk.volume != drive.file and not _is_coming(disk.volume, slot):
        raise InvalidRequest(
            f"disks: {disk.slot} of {slot.label} holds the volume {drive.file}, not {disk.volume}: detach it first"
        )
    _converge_place(changes, disk, slot, drive)
    _converge_size(changes, disk, slot, drive)
    _converge_options(changes, disk, slot)


def _is_coming(volume: str, slot: Slot) -> bool:
    return slot.coming is not None and parse_drive(slot.coming).file == volume


def _wants_disk(disk: DesiredDisk) -> bool:
    return any(value is not None for value in (disk.storage, disk.size, disk.format, disk.import_from, disk.volume))


def _converge_options(changes: DiskChanges, disk: DesiredDisk, slot: Slot) -> None:
    base = slot.coming if disk.volume is not None and _is_coming(disk.volume, slot) else slot.options
    parts: dict[str, str | None] = dict(disk.parts)
    if disk.iso is not None and disk.iso != parse_drive(base or "").file:
        parts.update(file=disk.iso, size=None)
    target = DRIVE.merge(base, parts)
    if disk.parts:
        check_limits(disk.slot, DRIVE.parse(target))
    _set_options(changes, slot, target)


def _set_options(changes: DiskChanges, slot: Slot, target: str) -> None:
    same = value_type_of(slot.key).same
    taken_back = slot.key in changes.take_back or slot.key in slot.progress.taken_back
    if slot.key in slot.progress.grown and slot.key in changes.resize:
        # The disk has the size that was asked for, and the configuration does not say so: PVE looks at each write.
        del changes.resize[slot.key]
    elif same(slot.current, target):
        if slot.is_waiting and not taken_back:
            changes.revert.append(slot.key)
        return
    elif same(slot.coming, target) and not taken_back:
        return
    changes.set[slot.key] = target


def _converge_place(changes: DiskChanges, disk: DesiredDisk, slot: Slot, drive: Drive) -> None:
    storage = disk.storage if disk.storage != drive.storage else None
    image_format = disk.format if disk.format not in (None, drive.format) else None
    if storage or image_format:
        place = {"storage": storage or drive.storage or ""}
        _move(changes, slot, {**place, "format": image_format} if image_format else place)


def _move(changes: DiskChanges, slot: Slot, place: dict[str, str]) -> None:
    _check_in_effect(slot, "moved")
    if slot.is_waiting:
        # The move deletes the volume that the pending value names: the next start would find it gone.
        changes.take_back[slot.key] = slot.coming if slot.coming is not None else slot.current or ""
    changes.move[slot.key] = place


def _check_in_effect(slot: Slot, done: str) -> None:
    if slot.current is None and slot.is_waiting:
        raise InvalidRequest(
            f"disks: {slot.key} of {slot.label} takes effect at the guest's next start, and can be {done} only then: "
            f"restart the guest first"
        )


def _converge_size(changes: DiskChanges, disk: DesiredDisk, slot: Slot, drive: Drive) -> None:
    if disk.size is None or disk.size == drive.size:
        return
    if drive.size is None:
        if drive.is_order:
            _resize_imported(changes, disk)
        return
    if disk.size < drive.size < disk.size + ROUNDING:
        return
    if disk.size < drive.size:
        raise InvalidRequest(
            f"disks: {disk.slot}: size {format_size(disk.size)} is less than the {format_size(drive.size)} "
            f"that {slot.label} has: PVE cannot shrink a disk"
        )
    _check_in_effect(slot, "grown")
    changes.resize[disk.slot] = disk.size


def _converge_state_disk(changes: DiskChanges, disk: DesiredStateDisk, slot: Slot) -> None:
    if slot.drive is None:
        changes.set[disk.key] = disk.allocation(slot.label)
        return
    there = {**DRIVE.defaults, **DRIVE.parse(slot.options)}
    for name, value in disk.properties.items():
        found = there[name]
        if truth(found) != truth(value):
            raise InvalidRequest(
                f"{disk.option} of {slot.label} has {name} {found}, not {value}: that cannot be changed, "
                f"only a new one can be made once the old one is gone"
            )
    if disk.storage not in (None, slot.drive.storage):
        _move(changes, slot, {"storage": disk.storage or ""})
    target = slot.options
    # A disk that is still to be made has no size yet, and PVE enrols its certificates then.
    if disk.certificates not in (None, there["ms-cert"]) and "size" in there:
        if truth(there["pre-enrolled-keys"]) != "1":
            raise InvalidRequest(f"efi_disk of {slot.label} has no enrolled keys, so ms_cert cannot be set")
        target = DRIVE.merge(target, {"ms-cert": disk.certificates})
    _set_options(changes, slot, target)
