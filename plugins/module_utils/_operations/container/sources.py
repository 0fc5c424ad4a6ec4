# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a new container is made from: a template that is there, one that is fetched, or a backup."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ..._pve.errors import InvalidRequest
from ..._pve.storage_names import STORAGE_NAME
from ..guest.volumes import storage_option
from ..volumes.volume_request import IMAGE_SPEC, VolumeRequest, volume_request

SOURCE_SPEC: dict[str, t.Any] = {
    "template": {"type": "str", "aliases": ["ostemplate"]},
    "restore": {
        "type": "dict",
        "options": {
            "backup": {"type": "str", "required": True},
            "storage": {"type": "str"},
            "unique": {"type": "bool", "default": True},
        },
    },
    "image": {
        "type": "dict",
        "options": {
            "storage": {"type": "str", "required": True},
            **IMAGE_SPEC,
            "template": {"type": "str"},
            "oci_reference": {"type": "str"},
        },
    },
}
_BACKUP = re.compile(rf"{STORAGE_NAME.pattern}:backup/[^,\r\n\0]*[^,\s\0]")
_VOLUME = re.compile(rf"{STORAGE_NAME.pattern}:vztmpl/[^/,\r\n\0]*[^/,\s\0]")


@dataclass(frozen=True)
class RestoreOptions:
    """How a backup is restored: where its volumes go, and whether its network devices get new addresses."""

    storage: str | None = None
    unique: bool = True


@dataclass(frozen=True)
class ContainerSource:
    """The volume that a new container is made from, and how to fetch it if it is not there, or to restore it."""

    volid: str
    image: VolumeRequest | None = None
    restore: RestoreOptions | None = None


def desired_source(parameters: t.Mapping[str, t.Any]) -> ContainerSource | None:
    """What a new container is made from, unless it is a clone; raises InvalidRequest."""
    named = [option for option in ("template", "image", "restore", "clone") if parameters.get(option) is not None]
    if len(named) > 1:
        raise InvalidRequest(f"{' and '.join(named)} exclude each other: a container is made from one thing")
    template, image, restore = (parameters.get(option) for option in ("template", "image", "restore"))
    if template is not None:
        if not _VOLUME.fullmatch(template):
            raise InvalidRequest(f"template {template!r} is no volume as in local:vztmpl/debian-13.tar.zst")
        return ContainerSource(template)
    if restore is not None:
        if not _BACKUP.fullmatch(restore["backup"]):
            raise InvalidRequest(
                f"restore: backup {restore['backup']!r} is no volume as in "
                f"local:backup/vzdump-lxc-200-2026_11_27-04_00_00.tar.zst"
            )
        return ContainerSource(
            restore["backup"],
            restore=RestoreOptions(storage_option("restore", restore.get("storage")), restore["unique"]),
        )
    if image is None:
        return None
    try:
        request = volume_request({**image, "state": "present", "content": "vztmpl"})
    except InvalidRequest as error:
        raise InvalidRequest(f"image: {error}") from error
    return ContainerSource(request.volid, request)
