# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Further disks of the instance, of which CloudStack itself knows nothing: AttachDisk, DetachDisk."""

from __future__ import annotations

import re
import typing as t

from ..._operations.guest.change_plan import plan_changes
from ..._operations.guest.state import GuestState, Origin, config_reader, read_state
from ..._operations.guest.volumes import parse_drive
from ..._pve.errors import ErrorReason, InvalidRequest, PveError, Refused
from ..._pve.vm_config import DISK_BUSES, UNUSED_KEY
from ..details import Detail
from ..owned import OwnGuest, own_guest
from ..parameters import STORAGE, parameter
from ..policy import check_disk_size, storage_of, storage_parameter
from ..run import Run
from ..translate import DEFAULT_STORAGE, disk_options, find_boot_disk, request_of
from .storage import DISK, SIZE, disks_of, when, write_disks

KEPT = Detail("unused_disk", pattern=UNUSED_KEY.pattern)
DELETE = Detail("delete_data", "flag", default=False)
# How often other clients may change the guest meanwhile.
MOST_TRIES = 10


def attach_disk(run: Run) -> dict[str, t.Any]:
    """Give the instance another disk: a new one on a storage of the policy, or one that was detached before."""
    size, kept = parameter(run, SIZE), parameter(run, KEPT)
    if (size is None) == (kept is None):
        raise InvalidRequest(f"give {SIZE.name}, for a new disk, or {KEPT.name}, for one that was detached")
    if size is not None:
        check_disk_size(run.details, size)
    elif parameter(run, STORAGE):
        raise InvalidRequest(f"{STORAGE.name} is for new disks: {kept} stays where it is")
    storage = _storage(run)
    guest = own_guest(run)
    if kept is not None and kept not in guest.state.values:
        there = ", ".join(sorted(filter(UNUSED_KEY.fullmatch, guest.state.values))) or "none"
        raise InvalidRequest(f"{guest.label} has no detached disk {kept}: it has {there}")
    volume = guest.state.values[kept] if kept else None
    for _try in range(MOST_TRIES):
        slot = _free_slot(guest)
        desired = {"volume": parse_drive(volume).file} if volume else _new(run, storage, guest.state, size)
        options = disk_options(run.details, slot, guest.state.values.get("scsihw", "lsi"))
        try:
            return _attach(guest, {"slot": slot, "state": "present", **desired, **options})
        except PveError as error:
            # Somebody else may have taken the slot.
            if error.pve_reason is not ErrorReason.CONFLICT:
                raise
            guest.state = read_state(guest.handle)
    raise Refused(f"{guest.label} was changed by another client each time: try again")


def _storage(run: Run) -> str | None:
    """The storage of the parameter, or else that of the details; None is that of the boot disk."""
    named = parameter(run, STORAGE)
    return storage_parameter(run.details, named) if named else storage_of(run.details)


def _new(run: Run, storage: str | None, state: GuestState, size: int | None) -> dict[str, t.Any]:
    boot_disk = find_boot_disk(state.values)
    home = parse_drive(state.values[boot_disk]).storage if boot_disk else None
    return {
        "storage": storage or home or DEFAULT_STORAGE,
        "size": f"{size}G",
        **({"format": run.details.text("disk_format")} if run.details.text("disk_format") else {}),
    }


def _free_slot(guest: OwnGuest) -> str:
    """The first free slot on the bus of the boot disk, since its system has the driver; not IDE, which has four."""
    state, most = guest.state, guest.run.details.number("max_disks")
    disks = disks_of(state)
    if most is not None and len(disks) >= most:
        raise InvalidRequest(f"{guest.label} has {len(disks)} disks, and the site policy allows {most} (max_disks)")
    bus = re.sub(r"\d+$", "", find_boot_disk(state.values) or "scsi0")
    bus = "sata" if bus == "ide" else bus
    taken = {*state.values, *state.in_effect}
    slot = next((f"{bus}{number}" for number in range(DISK_BUSES[bus]) if f"{bus}{number}" not in taken), None)
    if slot is None:
        raise InvalidRequest(f"{guest.label} has no free slot for a disk on {bus}")
    return slot


def _attach(guest: OwnGuest, disk: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    slot, handle = str(disk["slot"]), guest.handle
    request = request_of({"vmid": guest.run.vmid, "disks": [disk]})
    guest.applier.apply(plan_changes(request, guest.state, config_reader(handle)), handle)
    if guest.run.dry_run:
        return {"message": f"{slot} would be attached"}
    after = read_state(handle, Origin.WRITTEN, guest.state.status)
    if slot not in after.values:
        raise Refused(f"PVE accepted to attach {slot} to {guest.label}, but it is not there")
    return {"message": f"{slot} is attached: {parse_drive(after.values[slot]).file}{when(after, slot)}", "disk": slot}


def detach_disk(run: Run) -> dict[str, t.Any]:
    """Take a disk from the instance, never the one that it boots from. Its data stays, unless it is to be deleted."""
    slot, destroy = parameter(run, DISK), parameter(run, DELETE)
    if slot is None:
        raise InvalidRequest(f"the parameter {DISK.name} is missing")
    guest = own_guest(run)
    disks = disks_of(guest.state)
    if slot not in disks:
        there = ", ".join(disks) or "none"
        raise InvalidRequest(f"{guest.label} has no disk {slot}: it has {there}")
    if slot == find_boot_disk(guest.state.values):
        raise InvalidRequest(f"{slot} is the disk that {guest.label} boots from, so it is not detached")
    after = write_disks(guest, {"slot": slot, "state": "absent" if destroy else "detached"})
    if destroy:
        return {"message": f"{slot} is deleted{when(after, slot)}"}
    kept = [key for key in after.values if UNUSED_KEY.fullmatch(key) and after.values[key] == disks[slot].file]
    named = f": it is kept as {kept[0]}" if kept else ""
    return {"message": f"{slot} is detached{named}{when(after, slot)}", "unused_disk": kept[0] if kept else None}
