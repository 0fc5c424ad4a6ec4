# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What new disks and CD-ROM drives are made from: it must be there, or is fetched, and must not be too large."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..._pve.errors import InvalidRequest
from ..._pve.sizes import format_size
from ..guest.images import existing_size, fetch_image, look_at, survey_image
from ..guest.volumes import parse_drive
from ..plan import Applier
from .disks import DesiredDisk


def with_sources(
    applier: Applier, disks: t.Sequence[DesiredDisk], node: str, values: t.Mapping[str, str]
) -> tuple[DesiredDisk, ...]:
    """Have on the node what new disks are made from; returns the disks with the sizes of their images.

    values are the guest's settings: disks that are in them already cost no request. Raises a PveError for what is
    missing and for images that are larger than their disks: before anything is fetched, unless only the image tells.
    """
    new = [disk for disk in disks if _source(disk) and _is_new(disk, values)]
    sizes = {disk.slot: _size_of(applier, disk, node) for disk in new if disk.image is None}
    sizes.update(_have_images(applier, [disk for disk in new if disk.image is not None], node))
    return tuple(replace(disk, image_size=sizes[disk.slot]) if disk.slot in sizes else disk for disk in disks)


def _source(disk: DesiredDisk) -> str | None:
    return disk.import_from or disk.iso or disk.volume


def _is_new(disk: DesiredDisk, values: t.Mapping[str, str]) -> bool:
    if disk.slot not in values:
        return True
    drive = parse_drive(values[disk.slot])
    return drive.is_order if disk.import_from else drive.file != _source(disk)


def _size_of(applier: Applier, disk: DesiredDisk, node: str) -> int | None:
    """The size of the disk in what is there; raises NotFound when it is not, and InvalidRequest."""
    source = _source(disk) or ""
    size = existing_size(applier, f"disks: {disk.slot}", source, node)
    if disk.import_from is None:
        return None
    _check_size(disk, size)
    return size


def _check_size(disk: DesiredDisk, size: int | None, left: str = "") -> None:
    if size is not None and disk.size is not None and size > disk.size:
        raise InvalidRequest(
            f"disks: {disk.slot}: size {format_size(disk.size)} is less than the {format_size(size)} of "
            f"{disk.import_from}: PVE cannot shrink a disk{left}"
        )


def _have_images(applier: Applier, disks: t.Sequence[DesiredDisk], node: str) -> dict[str, int | None]:
    """Have the images of disks on the node's storages, each fetched once in a run; returns their sizes by slot."""
    images, before = [(disk, disk.image) for disk in disks if disk.image], len(applier.done)
    sizes = {disk.slot: survey_image(applier, image, node).disk_size for disk, image in images}
    for disk in disks:
        _check_size(disk, sizes[disk.slot])
    for _disk, image in images:
        fetch_image(applier, image, node)
    left = "; the image is on the storage now, and no guest was changed" if len(applier.done) > before else ""
    for disk in disks:
        if sizes[disk.slot] is None and disk.size is not None:
            sizes[disk.slot] = look_at(applier.client, disk.import_from or "", node).size
        _check_size(disk, sizes[disk.slot], left)
    return sizes
