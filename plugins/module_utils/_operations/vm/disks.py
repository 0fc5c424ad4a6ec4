# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks and CD-ROM drives of a virtual machine: what a request may say of them."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ..._pve.errors import InvalidRequest
from ..._pve.sizes import whole_kibibytes
from ..._pve.vm_config import DISK_BUSES, MAX_UNUSED, UNUSED_KEY, VOLUME_NAME
from ..guest.desired import check_unique, given
from ..guest.volumes import size_option, storage_option
from ..volumes.volume_request import IMAGE_SPEC, VolumeRequest, image_request
from .drive_options import DRIVE_OPTIONS, drive_parts

_SLOT = re.compile(r"(ide|sata|scsi|virtio)(\d+)")
# Names of volumes may hold blanks; a comma would begin the next setting. Only root may name a path.
_SOURCES = {
    "import_from": re.compile(rf"{VOLUME_NAME.pattern}|/[^,\r\n\0]*[^,\s\0]"),
    "volume": re.compile(rf"{VOLUME_NAME.pattern}|/dev/[^,\r\n\0]*[^,\s\0]"),
    "iso": re.compile(rf"{VOLUME_NAME.pattern}|none|cdrom"),
}
# Drives that a request can only take away: efi_disk and tpm make the others, and detaching a disk makes it unused.
_ONLY_REMOVED = re.compile(rf"efidisk0|tpmstate0|{UNUSED_KEY.pattern}")

DISK_SPEC: dict[str, t.Any] = {
    "slot": {"type": "str", "required": True, "aliases": ["disk"]},
    "state": {"type": "str", "choices": ["present", "detached", "absent"], "default": "present"},
    "storage": {"type": "str", "aliases": ["target_storage"]},
    "size": {"type": "str"},
    "format": {"type": "str", "choices": ["raw", "qcow2", "vmdk"]},
    "import_from": {"type": "str"},
    "image": {"type": "dict", "options": {"storage": {"type": "str", "required": True}, **IMAGE_SPEC}},
    "volume": {"type": "str"},
    "iso": {"type": "str", "aliases": ["iso_image"]},
    **{row.option: dict(row.spec) for row in DRIVE_OPTIONS},
}
# Where PVE knows an option for some buses only.
ONLY_ON = {row.option: row.buses for row in DRIVE_OPTIONS if row.buses != tuple(DISK_BUSES)}


@dataclass(frozen=True)
class DesiredDisk:
    """A disk or a CD-ROM drive as desired; what it does not say stays as it is."""

    slot: str
    state: str = "present"
    storage: str | None = None
    size: int | None = None
    format: str | None = None
    import_from: str | None = None
    # The file of import_from, where it is to be fetched if it is not there.
    image: VolumeRequest | None = None
    # The size of the image, once it is known.
    image_size: int | None = None
    volume: str | None = None
    iso: str | None = None
    parts: t.Mapping[str, str | None] = field(default_factory=dict)


def desired_disks(disks: t.Sequence[t.Mapping[str, t.Any]] | None) -> tuple[DesiredDisk, ...]:
    """Check the disks of a request; raises InvalidRequest, naming the slot."""
    desired = tuple(_desired_disk(entry) for entry in disks or ())
    check_unique("disks", (disk.slot for disk in desired))
    return desired


def _desired_disk(entry: t.Mapping[str, t.Any]) -> DesiredDisk:
    slot, state, options = entry["slot"], entry["state"], given(entry, DISK_SPEC)
    _check_slot(slot, state)
    rest = sorted(set(options) - {"slot", "state"})
    if state != "present" and rest:
        raise InvalidRequest(f"disks: {slot} has the state {state}, so {', '.join(rest)} cannot be set")
    _check_source(slot, options)
    image = _image(slot, options.get("image"))
    return DesiredDisk(
        slot,
        state,
        storage=storage_option(f"disks: {slot}", options.get("storage")),
        size=size_option(f"disks: {slot}", options.get("size"), whole_kibibytes),
        format=options.get("format"),
        import_from=image.volid if image else options.get("import_from"),
        image=image,
        volume=options.get("volume"),
        iso=options.get("iso"),
        parts=drive_parts(slot, options),
    )


def _check_slot(slot: str, state: str) -> None:
    removed = _ONLY_REMOVED.fullmatch(slot)
    if removed and int(removed[1] or 0) < MAX_UNUSED:
        if state == "present":
            made = "efi_disk makes it" if slot == "efidisk0" else "tpm makes it" if slot == "tpmstate0" else ""
            attach = "give its volume to a slot that is free"
            raise InvalidRequest(f"disks: {slot} can only be detached or absent here: {made or attach}")
        if removed[1] and state == "detached":
            raise InvalidRequest(f"disks: {slot} is detached already: absent deletes its volume")
        return
    match = _SLOT.fullmatch(slot)
    if not match or int(match[2]) >= DISK_BUSES[match[1]]:
        slots = ", ".join(f"{bus}0-{bus}{count - 1}" for bus, count in DISK_BUSES.items())
        raise InvalidRequest(
            f"disks: {slot!r} is not a slot: the slots are {slots}, and, to delete, efidisk0, tpmstate0, unused0"
        )


def _check_source(slot: str, options: t.Mapping[str, t.Any]) -> None:
    sources = [name for name in ("import_from", "image", "volume", "iso") if name in options]
    if len(sources) > 1:
        raise InvalidRequest(f"disks: {slot}: {' and '.join(sources)} exclude each other")
    if "iso" in options and set(options) & {"storage", "size", "format", "snapshot"}:
        raise InvalidRequest(f"disks: {slot}: iso makes a CD-ROM drive, which has no storage, size, format or snapshot")
    if "iso" in options and slot.startswith("virtio"):
        raise InvalidRequest(f"disks: {slot}: iso needs an ide, sata or scsi slot")
    if "volume" in options and set(options) & {"storage", "format"}:
        raise InvalidRequest(f"disks: {slot}: volume names the whole disk, so storage and format cannot be set")
    for name in set(sources) & set(_SOURCES):
        value = options[name]
        if not _SOURCES[name].fullmatch(value):
            raise InvalidRequest(f"disks: {slot}: {name} {value!r} is no volume as in local:iso/debian.iso")


def _image(slot: str, options: t.Mapping[str, t.Any] | None) -> VolumeRequest | None:
    if options is None:
        return None
    try:
        return image_request(options)
    except InvalidRequest as error:
        raise InvalidRequest(f"disks: {slot}: image: {error}") from error
