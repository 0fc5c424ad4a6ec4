# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drives and mount points of a guest, and what is the same for all of them: they move, grow, and keep their options.

Nothing here ever loses one unasked.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ..._pve.errors import InvalidRequest
from ..._pve.sizes import format_size, parse_size
from ..._pve.storage_names import check_storage_name
from ..._pve.vm_config import DRIVE
from .kind import GuestKind
from .state import GuestState

# Storages round a size up: LVM to extents of 4 MiB, ZFS to blocks.
ROUNDING = 4 * 1024**2


@dataclass
class VolumeProgress:
    """What a run has done to volumes that the guest itself does not tell; the next plan of the run needs it."""

    # The pending value of a drive, taken back so that the drive can be moved; its options are to be set again.
    taken_back: dict[str, str] = field(default_factory=dict)
    grown: set[str] = field(default_factory=set)
    # Volumes of drives that were to be deleted before they came into effect: PVE keeps them as unused disks.
    doomed: set[str] = field(default_factory=set)


@dataclass
class VolumeChanges:
    """What a request makes of the volumes, by the kind of call that PVE needs for it, in this order."""

    take_back: dict[str, str] = field(default_factory=dict)
    move: dict[str, dict[str, str]] = field(default_factory=dict)
    resize: dict[str, int] = field(default_factory=dict)
    set: dict[str, str] = field(default_factory=dict)
    revert: list[str] = field(default_factory=list)
    detach: list[str] = field(default_factory=list)
    destroy: list[str] = field(default_factory=list)
    # Of disks that are imported by this plan: the size of the image, where it is known, and the size to be.
    resize_imported: dict[str, tuple[int | None, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Drive:
    """A drive, or a mount point of a container, taken apart."""

    text: str
    file: str
    size: int | None
    is_cdrom: bool
    # The value is an order to make the disk, not the name of one that is there.
    is_order: bool = False

    @property
    def storage(self) -> str | None:
        return None if self.is_path or ":" not in self.file else self.file.partition(":")[0]

    @property
    def is_path(self) -> bool:
        """It is no volume, but a directory or a device of the node."""
        return self.file.startswith("/")

    @property
    def is_cloud_init(self) -> bool:
        # The order to make one is <storage>:cloudinit, the volume vm-<vmid>-cloudinit (PVE::QemuServer::Cloudinit).
        return self.file.endswith(":cloudinit") or (self.is_cdrom and bool(re.search(r"(^|[-/:])cloudinit", self.file)))

    @property
    def format(self) -> str:
        """The image's format, which its name ends in; storages that know one only have no ending."""
        match = re.search(r"\.(raw|qcow2|vmdk)$", self.file)
        return match[1] if match else DRIVE.parse(self.text).get("format", "raw")


def parse_drive(text: str) -> Drive:
    """Take the value of a drive's key apart."""
    values = DRIVE.parse(text)
    size = values.get("size")
    return Drive(
        text=text,
        file=values.get("file", ""),
        size=parse_size(size) if size else None,
        is_cdrom=values.get("media") == "cdrom",
        is_order="import-from" in values,
    )


class Slot:
    """A slot and the drive in it: as it is, as it will be, and what is to be done about it.

    Place and size of a drive are those in effect, since PVE moves and grows nothing else; its options are those to
    come. What is pending names the volume that the drive had when it was written, which may be gone by now.
    """

    def __init__(
        self, key: str, kind: GuestKind, state: GuestState, changes: VolumeChanges, progress: VolumeProgress
    ) -> None:
        self.key = key
        self.kind = kind
        self.label = state.guest.label
        self.changes = changes
        self.progress = progress
        self.values = state.values
        self.running = state.running
        self.is_waiting = key in state.waiting
        self.is_forced = key in state.forced
        self.current = state.in_effect.get(key)
        self.coming = progress.taken_back.get(key, state.values.get(key))

    @property
    def place(self) -> str:
        """How messages call the slot: by the option that has it."""
        return self.key if self.key == "rootfs" else f"{self.kind.volumes_option}: {self.key}"

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

    def take_away(self, *, destroy: bool) -> None:
        """Detach the volume, or destroy it."""
        if self.drive is None:
            # PVE has kept the volume, as that of a drive that was never in effect.
            unused = (key for key in self.values if key.startswith("unused"))
            self.changes.destroy.extend(key for key in unused if destroy and self.values[key] in self.progress.doomed)
            return
        destroy = destroy and not self.drive.is_cdrom and not self.drive.is_path
        if destroy and self.running and self.current is not None and self._outlives_its_slot:
            raise InvalidRequest(
                f"{self.place} of {self.label} cannot be deleted while the guest runs: PVE "
                f"would detach it at the next stop, and keep its volume: stop the guest first"
            )
        is_forced = self.is_forced == destroy or not self.kind.deletes_volumes
        if self.is_leaving and self.running and is_forced:
            return
        (self.changes.destroy if destroy else self.changes.detach).append(self.key)

    @property
    def _outlives_its_slot(self) -> bool:
        """PVE keeps the volume as an unused one when its slot is deleted."""
        return not self.kind.deletes_volumes and not self.key.startswith("unused")

    def set_options(self, target: str) -> None:
        """Have the drive written so, unless it is so already, or will be."""
        same, changes = self.kind.value_type_of(self.key).same, self.changes
        taken_back = self.key in changes.take_back or self.key in self.progress.taken_back
        if self.key in self.progress.grown and self.key in changes.resize:
            # It has the size that was asked for, and the configuration does not say so: PVE looks at each write.
            del changes.resize[self.key]
        elif same(self.current, target):
            if self.is_waiting and not taken_back:
                changes.revert.append(self.key)
            return
        elif same(self.coming, target) and not taken_back:
            return
        changes.set[self.key] = target

    def converge_place(self, drive: Drive, storage: str | None, image_format: str | None = None) -> None:
        """Have the volume moved when it is elsewhere, or in another format; None is anywhere."""
        other_format = image_format if image_format not in (None, drive.format) else None
        if storage in (None, drive.storage) and not other_format:
            return
        if self.running and not self.kind.moves_running:
            raise InvalidRequest(
                f"{self.place} of {self.label} is on {drive.storage}, and PVE moves no "
                f"volume of a {self.kind.noun} that runs: stop the guest first"
            )
        self._check_in_effect("moved")
        if self.is_waiting:
            # The move deletes the volume that the pending value names: the next start would find it gone.
            self.changes.take_back[self.key] = self.coming if self.coming is not None else self.current or ""
        place = {"storage": storage or drive.storage or ""}
        self.changes.move[self.key] = {**place, "format": other_format} if other_format else place

    def converge_size(self, drive: Drive, size: int | None) -> None:
        """Have the volume grown to this size; raises InvalidRequest when it is larger already."""
        if size is None or drive.size is None or size == drive.size or size < drive.size < size + ROUNDING:
            return
        if size < drive.size:
            raise InvalidRequest(
                f"{self.place}: size {format_size(size)} is less than the "
                f"{format_size(drive.size)} that {self.label} has: PVE cannot shrink a disk"
            )
        self._check_in_effect("grown")
        self.changes.resize[self.key] = size

    def _check_in_effect(self, done: str) -> None:
        if self.current is None and self.is_waiting:
            raise InvalidRequest(
                f"{self.place} of {self.label} takes effect at the guest's next start, and "
                f"can be {done} only then: restart the guest first"
            )


def storage_option(place: str, storage: str | None) -> str | None:
    """Check the name of a storage; raises InvalidRequest, naming the place."""
    check_storage_name(f"{place}: storage", storage)
    return storage


def size_option(place: str, text: str | None, rounded: t.Callable[[int], int]) -> int | None:
    """Read the size of a volume; raises InvalidRequest, naming the place."""
    if text is None:
        return None
    try:
        # A bare number is GiB, as in PVE's own forms.
        size = parse_size(f"{text}G" if re.fullmatch(r"\d+(\.\d+)?", text) else text)
    except InvalidRequest as error:
        raise InvalidRequest(f"{place}: size {error}") from error
    if size <= 0:
        raise InvalidRequest(f"{place}: size must be more than 0, not {text!r}")
    return rounded(size)
