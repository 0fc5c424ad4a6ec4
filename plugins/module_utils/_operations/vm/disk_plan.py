# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to be done so that the disks are as a request wants them; nothing here ever loses one unasked."""

from __future__ import annotations

import re
import typing as t

from ..._pve.errors import InvalidRequest
from ..._pve.properties import truth
from ..._pve.sizes import gibibytes
from ..._pve.vm_config import DRIVE
from ..guest.config_changes import ConfigChanges
from ..guest.state import GuestState
from ..guest.volumes import Drive, Slot, VolumeChanges, VolumeProgress, parse_drive
from .devices import DesiredStateDisk
from .disks import DesiredDisk
from .drive_options import check_limits
from .kind import VM


def disk_changes(
    disks: t.Iterable[DesiredDisk],
    state_disks: t.Iterable[DesiredStateDisk],
    state: GuestState,
    progress: VolumeProgress | None = None,
) -> VolumeChanges:
    """Compare the disks that a request names with those that are there; raises InvalidRequest."""
    changes, progress = VolumeChanges(), progress or VolumeProgress()
    for disk in disks:
        slot = Slot(disk.slot, VM, state, changes, progress)
        if disk.state != "present":
            slot.take_away(destroy=disk.state == "absent")
        elif slot.drive is None:
            changes.set[disk.slot] = _new_disk(disk)
            _resize_imported(changes, disk)
        else:
            _converge(changes, disk, slot, slot.drive)
    for state_disk in state_disks:
        _converge_state_disk(state_disk, Slot(state_disk.key, VM, state, changes, progress))
    return changes


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
            f"disks: {disk.slot} is not there yet: give storage together with size, image or import_from, or else "
            f"volume or iso"
        )
    if disk.format is not None:
        values["format"] = disk.format
    if disk.import_from is not None:
        # An import has the size of its image; what it lacks is grown afterwards.
        return DRIVE.write({"file": f"{disk.storage}:0", "import-from": disk.import_from, **values})
    return DRIVE.write({"file": f"{disk.storage}:{gibibytes(disk.size or 0)}", **values})


def _resize_imported(changes: VolumeChanges, disk: DesiredDisk) -> None:
    if disk.import_from is not None and disk.size is not None and disk.size != disk.image_size:
        changes.resize_imported[disk.slot] = (disk.image_size, disk.size)


def _converge(changes: VolumeChanges, disk: DesiredDisk, slot: Slot, drive: Drive) -> None:
    if (disk.iso is not None) != drive.is_cdrom and (disk.iso is not None or _wants_disk(disk)):
        kind = "a CD-ROM drive" if drive.is_cdrom else "a disk"
        raise InvalidRequest(
            f"disks: {disk.slot} of {slot.label} is {kind}, which cannot be made the other kind: detach it"
        )
    if disk.volume is not None and disk.volume != drive.file and not _is_coming(disk.volume, slot):
        raise InvalidRequest(
            f"disks: {disk.slot} of {slot.label} holds the volume {drive.file}, not {disk.volume}: detach it first"
        )
    slot.converge_place(drive, disk.storage, disk.format)
    if drive.is_order and drive.size is None:
        _resize_imported(changes, disk)
    slot.converge_size(drive, disk.size)
    _converge_options(disk, slot)


def _is_coming(volume: str, slot: Slot) -> bool:
    return slot.coming is not None and parse_drive(slot.coming).file == volume


def _wants_disk(disk: DesiredDisk) -> bool:
    return any(value is not None for value in (disk.storage, disk.size, disk.format, disk.import_from, disk.volume))


def _converge_options(disk: DesiredDisk, slot: Slot) -> None:
    base = slot.coming if disk.volume is not None and _is_coming(disk.volume, slot) else slot.options
    parts: dict[str, str | None] = dict(disk.parts)
    if disk.iso is not None and disk.iso != parse_drive(base or "").file:
        parts.update(file=disk.iso, size=None)
    target = DRIVE.merge(base, parts)
    if disk.parts:
        check_limits(disk.slot, DRIVE.parse(target))
    slot.set_options(target)


def _converge_state_disk(disk: DesiredStateDisk, slot: Slot) -> None:
    if slot.drive is None:
        slot.changes.set[disk.key] = disk.allocation(slot.label)
        return
    there = {**DRIVE.defaults, **DRIVE.parse(slot.options)}
    for name, value in disk.properties.items():
        found = there[name]
        if truth(found) != truth(value):
            raise InvalidRequest(
                f"{disk.option} of {slot.label} has {name} {found}, not {value}: that cannot be changed, "
                f"only a new one can be made once the old one is gone"
            )
    slot.converge_place(slot.drive, disk.storage)
    target = slot.options
    # A disk that is still to be made has no size yet, and PVE enrols its certificates then.
    if disk.certificates not in (None, there["ms-cert"]) and "size" in there:
        if truth(there["pre-enrolled-keys"]) != "1":
            raise InvalidRequest(f"efi_disk of {slot.label} has no enrolled keys, so ms_cert cannot be set")
        target = DRIVE.merge(target, {"ms-cert": disk.certificates})
    slot.set_options(target)


def restore_boot_order(changes: ConfigChanges) -> None:
    """Take back the boot order that lost a drive along with its deletion, when the drive stays after all."""
    state = changes.state
    order, coming = (_boot_devices(values.get("boot")) for values in (state.in_effect, state.values))
    leaving = {key for key in order if key in state.waiting and state.waiting[key].delete}
    staying = leaving & {*changes.set, *changes.revert}
    is_a_consequence = coming == [key for key in order if key not in leaving]
    if staying == leaving != set() and is_a_consequence and "boot" in state.waiting and "boot" not in changes.keys:
        changes.take_back("boot")


def _boot_devices(boot: str | None) -> list[str]:
    return [name for name in re.split(r"[=;,\s]+", boot or "") if name not in ("", "order")]
