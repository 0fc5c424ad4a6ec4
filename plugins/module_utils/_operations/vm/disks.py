# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks and CD-ROM drives of a virtual machine: what a request may say of them."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ..._pve.errors import InvalidRequest
from ..._pve.sizes import parse_size
from ..._pve.vm_config import DISK_BUSES, DRIVE
from .wishes import check_range, check_unique, flag, given

_SLOT = re.compile(r"(ide|sata|scsi|virtio)(\d+)")
_STORAGE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]")
_NUMBERS = ("mbps", "mbps_rd", "mbps_wr", "iops", "iops_rd", "iops_wr")
_BOOLEANS = ("backup", "iothread", "replicate", "ro", "ssd")
_TEXTS = ("aio", "cache", "serial")

DISK_SPEC: dict[str, t.Any] = {
    "slot": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "detached", "absent"], "default": "present"},
    "storage": {"type": "str"},
    "size": {"type": "str"},
    "format": {"type": "str", "choices": ["raw", "qcow2", "vmdk"]},
    "import_from": {"type": "str"},
    "volume": {"type": "str"},
    "iso": {"type": "str"},
    "aio": {"type": "str", "choices": ["native", "threads", "io_uring"]},
    "backup": {"type": "bool"},
    "cache": {"type": "str", "choices": ["none", "writethrough", "writeback", "unsafe", "directsync"]},
    "discard": {"type": "bool"},
    "iothread": {"type": "bool"},
    "replicate": {"type": "bool"},
    "ro": {"type": "bool"},
    "serial": {"type": "str"},
    "ssd": {"type": "bool"},
    **{option: {"type": "float"} for option in _NUMBERS},
}
# Where PVE knows an option for some buses only (PVE::QemuServer::Drive).
ONLY_ON = {"iothread": ("scsi", "virtio"), "ro": ("scsi", "virtio"), "ssd": ("ide", "sata", "scsi")}


@dataclass(frozen=True)
class DiskWish:
    """A disk or a CD-ROM drive as it shall be; what it does not say stays as it is."""

    slot: str
    state: str = "present"
    storage: str | None = None
    size: int | None = None
    format: str | None = None
    import_from: str | None = None
    volume: str | None = None
    iso: str | None = None
    parts: t.Mapping[str, str | None] = field(default_factory=dict)


def disk_wishes(disks: t.Sequence[t.Mapping[str, t.Any]] | None) -> tuple[DiskWish, ...]:
    """Check the disks of a request; raises InvalidRequest, naming the slot."""
    wishes = tuple(_disk_wish(entry) for entry in disks or ())
    check_unique("disks", (wish.slot for wish in wishes))
    return wishes


def _disk_wish(entry: t.Mapping[str, t.Any]) -> DiskWish:
    slot, options = entry["slot"], given(entry)
    match = _SLOT.fullmatch(slot)
    if not match or int(match[2]) >= DISK_BUSES[match[1]]:
        slots = ", ".join(f"{bus}0-{bus}{count - 1}" for bus, count in DISK_BUSES.items())
        raise InvalidRequest(f"disks: {slot!r} is no slot: they are {slots}")
    rest = sorted(set(options) - {"slot", "state"})
    if entry["state"] != "present" and rest:
        raise InvalidRequest(f"disks: {slot} shall be {entry['state']}, so {', '.join(rest)} cannot be set")
    _check_source(slot, options)
    for option, buses in ONLY_ON.items():
        if option in options and match[1] not in buses:
            raise InvalidRequest(f"disks: {slot}: {option} is only for {' and '.join(buses)} disks")
    return DiskWish(
        slot,
        entry["state"],
        storage=_storage(slot, options.get("storage")),
        size=_size(slot, options.get("size")),
        format=options.get("format"),
        import_from=options.get("import_from"),
        volume=options.get("volume"),
        iso=options.get("iso"),
        parts=dict(_parts(slot, options)),
    )


def _check_source(slot: str, options: t.Mapping[str, t.Any]) -> None:
    sources = [name for name in ("import_from", "volume", "iso") if name in options]
    if len(sources) > 1:
        raise InvalidRequest(f"disks: {slot}: {' and '.join(sources)} exclude each other")
    if "iso" in options and set(options) & {"storage", "size", "format"}:
        raise InvalidRequest(f"disks: {slot}: iso makes a CD-ROM drive, which has no storage, size or format")
    if "volume" in options and set(options) & {"storage", "format"}:
        raise InvalidRequest(f"disks: {slot}: volume names the whole disk, so storage and format cannot be set")
    for name in sources:
        value = options[name]
        # The names of volumes can have blanks in them (PVE::Storage::Plugin, parse_volname).
        if re.search(r"^ |[,\t-\r]| $", value) or (":" not in value and value != "none"):
            raise InvalidRequest(f"disks: {slot}: {name} {value!r} is no volume as in local:iso/debian.iso")


def _storage(slot: str, storage: str | None) -> str | None:
    if storage is not None and not _STORAGE.fullmatch(storage):
        raise InvalidRequest(f"disks: {slot}: storage {storage!r} is not the name of a storage")
    return storage


def _size(slot: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        # A bare number is GiB, as in PVE's own forms.
        size = parse_size(f"{text}G" if re.fullmatch(r"\d+(\.\d+)?", text) else text)
    except InvalidRequest as error:
        raise InvalidRequest(f"disks: {slot}: size {error}") from error
    if size <= 0:
        raise InvalidRequest(f"disks: {slot}: size must be more than 0, not {text!r}")
    return size


def _parts(slot: str, options: t.Mapping[str, t.Any]) -> t.Iterator[tuple[str, str | None]]:
    for option in _BOOLEANS:
        if option in options:
            yield option, flag(options[option])
    if "discard" in options:
        yield "discard", "on" if options["discard"] else "ignore"
    for option in _TEXTS:
        if option in options:
            yield option, options[option] or None
    for option in _NUMBERS:
        if option in options:
            check_range(f"disks: {slot}: {option}", options[option], 0, 1_000_000)
            yield option, f"{options[option]:g}" if options[option] else None


@dataclass(frozen=True)
class Drive:
    """A drive of a configuration, taken apart."""

    text: str
    file: str
    size: int | None
    is_cdrom: bool
    # The value is an order to make the disk, not the name of one that is there.
    is_order: bool = False

    @property
    def storage(self) -> str | None:
        return self.file.partition(":")[0] if ":" in self.file else None

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
