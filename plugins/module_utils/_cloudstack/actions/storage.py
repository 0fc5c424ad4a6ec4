# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks and drives of the instance: ResizeDisk, AttachISO, DetachISO."""

from __future__ import annotations

import re
import typing as t

from ..._operations.guest.state import GuestState
from ..._operations.guest.volumes import Drive, parse_drive
from ..._pve.errors import InvalidRequest
from ..._pve.sizes import GIBIBYTE
from ..._pve.vm_config import DRIVE_KEY
from ..details import Detail
from ..owned import OwnGuest, own_guest
from ..parameters import parameter, required
from ..policy import check_disk_size, check_iso_parameter
from ..run import Run
from ..translate import find_boot_disk, request_of

DISK = Detail("disk", pattern=r"(ide|sata|scsi|virtio)[0-9]{1,2}")
SIZE = Detail("disk_size_gb", "number", bounds=(1, 1024 * 1024))
ISO = Detail("iso_path")
# cloud-init's drive is on ide2, unless another slot was chosen; a q35 machine has no ide1 and ide3.
CDROM_SLOTS = ("ide2", "ide0", "sata0", "sata1", "sata2", "sata3", "sata4", "sata5")
NO_MEDIUM = "none"
AFTER_RESTART = "; it takes effect when the instance is stopped and started"


def resize_disk(run: Run) -> dict[str, t.Any]:
    """Make a disk larger, the first one of the boot order unless another is named; never smaller."""
    size, slot = required(run, SIZE), parameter(run, DISK)
    check_disk_size(run.details, size)
    guest = own_guest(run)
    slot = slot or find_boot_disk(guest.state.values)
    disks = disks_of(guest.state)
    if slot not in disks:
        there = "it has " + ", ".join(disks) if disks else "it has none"
        raise InvalidRequest(f"{guest.label} has no disk {slot or 'at all'}: {there}")
    if disks[slot].size == size * GIBIBYTE:
        return {"message": f"{slot} has {size} GiB already"}
    write_disks(guest, {"slot": slot, "state": "present", "size": f"{size}G"})
    return {"message": f"{slot} has {size} GiB now"}


def attach_iso(run: Run) -> dict[str, t.Any]:
    """Put an ISO image that the operator allows into the instance's CD-ROM drive, or into a new one."""
    iso = required(run, ISO)
    check_iso_parameter(run.details, iso)
    guest = own_guest(run)
    drives = _cdroms(guest.state)
    loaded = next((slot for slot, drive in drives.items() if drive.file == iso), None)
    if loaded:
        return {"message": f"{iso} is in {loaded} already"}
    free = (slot for slot in CDROM_SLOTS if slot not in guest.state.values)
    slot = min(drives, key=lambda slot: drives[slot].file != NO_MEDIUM, default=None) or next(free, None)
    if slot is None:
        raise InvalidRequest(f"{guest.label} has no place for another CD-ROM drive: {', '.join(CDROM_SLOTS)}")
    after = write_disks(guest, {"slot": slot, "state": "present", "iso": iso})
    return {"message": f"{iso} is in {slot}{when(after, slot)}"}


def detach_iso(run: Run) -> dict[str, t.Any]:
    """Take the ISO images out of the instance's CD-ROM drives; the drives stay."""
    guest = own_guest(run)
    loaded = [slot for slot, drive in _cdroms(guest.state).items() if drive.file != NO_MEDIUM]
    if not loaded:
        return {"message": "there is no ISO in the instance"}
    after = write_disks(guest, *({"slot": slot, "state": "present", "iso": NO_MEDIUM} for slot in loaded))
    return {"message": f"{', '.join(loaded)}: ISO taken out{when(after, *loaded)}"}


def disks_of(state: GuestState) -> dict[str, Drive]:
    """The disks of a guest, by their slots; neither drives for media nor the disks of the firmware."""
    return {key: drive for key, drive in _drives_of(state) if not drive.is_cdrom and re.fullmatch(DISK.pattern, key)}


def _drives_of(state: GuestState) -> t.Iterator[tuple[str, Drive]]:
    for key, text in sorted(state.there.items()):
        if DRIVE_KEY.fullmatch(key):
            yield key, parse_drive(text)


def _cdroms(state: GuestState) -> dict[str, Drive]:
    return {key: drive for key, drive in _drives_of(state) if drive.is_cdrom and not drive.is_cloud_init}


def write_disks(guest: OwnGuest, *disks: dict[str, t.Any]) -> GuestState:
    """Change these disks, and return what was read then."""
    return guest.converge(request_of({"vmid": guest.run.vmid, "disks": list(disks)}))


def when(state: GuestState, *slots: str) -> str:
    """A running guest gets a new drive only at its next start."""
    return AFTER_RESTART if any(item.key in slots for item in state.pending) else ""
