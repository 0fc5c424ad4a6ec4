# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The images that new disks are filled from: they are fetched, and PVE gives a disk the size of its image."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..._pve.client import PveClient
from ..._pve.errors import InvalidRequest, NotFound, PermissionDenied, Refused
from ..._pve.sizes import format_size
from ..guest.images import fetch_image
from ..guest.volumes import parse_drive
from ..plan import Applier
from .disks import DesiredDisk


def fetch_images(applier: Applier, disks: t.Iterable[DesiredDisk], node: str, values: t.Mapping[str, str]) -> None:
    """Have the images of new disks on the node's storages, each of them fetched once in a run; raises a PveError."""
    for disk in disks:
        if disk.image is not None and _is_new(disk, values):
            fetch_image(applier, disk.image, node)


def with_image_sizes(
    client: PveClient, disks: t.Iterable[DesiredDisk], node: str, values: t.Mapping[str, str]
) -> tuple[DesiredDisk, ...]:
    """The disks with the sizes of their images; a request for each one that is to be imported and has a size.

    Raises InvalidRequest when an image is larger than the desired disk.
    """
    return tuple(_with_image_size(client, disk, node) if _is_imported(disk, values) else disk for disk in disks)


def _is_imported(disk: DesiredDisk, values: t.Mapping[str, str]) -> bool:
    return _is_new(disk, values) and disk.import_from is not None and disk.size is not None


def _is_new(disk: DesiredDisk, values: t.Mapping[str, str]) -> bool:
    return disk.slot not in values or parse_drive(values[disk.slot]).is_order


def _with_image_size(client: PveClient, disk: DesiredDisk, node: str) -> DesiredDisk:
    size = _size_of(client, disk.import_from or "", node)
    if size is not None and disk.size is not None and size > disk.size:
        raise InvalidRequest(
            f"disks: {disk.slot}: size {format_size(disk.size)} is less than the {format_size(size)} of "
            f"{disk.import_from}: PVE cannot shrink a disk"
        )
    return replace(disk, image_size=size)


def _size_of(client: PveClient, source: str, node: str) -> int | None:
    """The size of the disk in an image; None when PVE does not tell it, as of a path, or of a disk in an archive."""
    storage, colon, name = source.partition(":")
    if source.startswith("/") or not colon or ".ova/" in name:
        return None
    try:
        # The list of a storage has the sizes of the files only (73-volumes.json).
        return int(client.read("nodes", node, "storage", storage, "content", source)["size"])
    except (NotFound, PermissionDenied, Refused):
        return None
