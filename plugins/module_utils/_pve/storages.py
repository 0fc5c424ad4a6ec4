# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Storages as the nodes have them, and the volumes in them."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .client import PveClient


@dataclass(frozen=True)
class NodeStorage:
    """A storage as one node has it."""

    name: str
    node: str
    type: str
    contents: tuple[str, ...]
    shared: bool
    active: bool
    total: int
    used: int

    @property
    def available(self) -> int:
        return max(0, self.total - self.used)


@dataclass(frozen=True)
class Volume:
    """A file or disk that a storage lists."""

    volid: str
    node: str
    content: str
    format: str
    size: int | None
    details: t.Mapping[str, t.Any]

    @property
    def storage(self) -> str:
        return storage_of(self.volid)

    @property
    def file_name(self) -> str:
        """The name without the storage and the kind."""
        return self.volid.partition(":")[2].rpartition("/")[2]

    def as_result(self) -> dict[str, t.Any]:
        return {
            "volid": self.volid,
            "storage": self.storage,
            "node": self.node,
            "content": self.content,
            "file_name": self.file_name,
            "format": self.format,
            "size": self.size,
            "used": self.details.get("used"),
            "vmid": self.details.get("vmid"),
            "created": self.details.get("ctime"),
            "notes": self.details.get("notes"),
            "protected": bool(int(self.details.get("protected") or 0)),
            "parent": self.details.get("parent"),
        }


def read_storages(client: PveClient) -> tuple[NodeStorage, ...]:
    """Read the storages of all nodes, as far as the caller may see them; one request."""
    return parse_storages(client.read("cluster", "resources", type="storage"))


def parse_storages(resources: t.Iterable[t.Mapping[str, t.Any]]) -> tuple[NodeStorage, ...]:
    """Pick the storages from the list of everything in the cluster, in the order of their names."""
    storages = [
        NodeStorage(
            name=str(entry["storage"]),
            node=str(entry["node"]),
            type=str(entry.get("plugintype") or ""),
            contents=tuple(sorted(filter(None, str(entry.get("content") or "").split(",")))),
            shared=bool(int(entry.get("shared") or 0)),
            active=entry.get("status") == "available",
            total=int(entry.get("maxdisk") or 0),
            used=int(entry.get("disk") or 0),
        )
        for entry in resources
        if entry.get("type") == "storage"
    ]
    return tuple(sorted(storages, key=lambda item: (item.name, item.node)))


def storage_of(volid: str) -> str:
    """The storage that a volume is on."""
    return volid.partition(":")[0]


def read_volumes(
    client: PveClient, storage: str, node: str, content: str | None = None, vmid: int | None = None
) -> list[Volume]:
    """Read what a node's storage holds; one request."""
    listed = client.read("nodes", node, "storage", storage, "content", content=content, vmid=vmid)
    return [_volume(entry, node) for entry in listed]


def volume_in(volumes: t.Iterable[Volume], volid: str) -> Volume | None:
    """The volume of this name; None when it is not among them."""
    return next((volume for volume in volumes if volume.volid == volid), None)


def find_volume(client: PveClient, volid: str, node: str) -> Volume | None:
    """Look whether a node's storage has the file, whose name has its content, as in local:iso/a.iso; one request."""
    content = volid.partition(":")[2].partition("/")[0]
    return volume_in(read_volumes(client, storage_of(volid), node, content), volid)


def _volume(entry: t.Mapping[str, t.Any], node: str) -> Volume:
    return Volume(
        volid=str(entry["volid"]),
        node=node,
        content=str(entry.get("content") or ""),
        format=str(entry.get("format") or ""),
        size=int(entry["size"]) if entry.get("size") is not None else None,
        details=entry,
    )
