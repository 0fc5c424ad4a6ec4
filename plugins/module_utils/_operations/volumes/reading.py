# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What storages there are, where, and which files they hold."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..._pve.client import PveClient
from ..._pve.errors import Cause, InvalidRequest, NotFound, PermissionDenied
from .volume_request import ALL_NODES, VolumeRequest


@dataclass(frozen=True)
class Place:
    """A storage as one node has it."""

    storage: str
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
        return self.volid.partition(":")[0]

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


def read_places(client: PveClient) -> tuple[Place, ...]:
    """Read the storages of all nodes, as far as the caller may see them; one request."""
    return parse_places(client.read("cluster", "resources", type="storage"))


def parse_places(resources: t.Iterable[t.Mapping[str, t.Any]]) -> tuple[Place, ...]:
    """Pick the storages from the list of everything in the cluster, in the order of their names."""
    places = [
        Place(
            storage=str(entry["storage"]),
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
    return tuple(sorted(places, key=lambda place: (place.storage, place.node)))


def choose_places(client: PveClient, request: VolumeRequest, places: t.Iterable[Place]) -> tuple[Place, ...]:
    """Choose where the file is to be; of a shared storage one place stands for all. Raises a PveError."""
    mine = [place for place in places if place.storage == request.storage]
    if not mine:
        path = f"/storage/{request.storage}"
        held = client.read("access", "permissions", path=path).values()
        if not any("Datastore.Audit" in granted for granted in held):
            raise PermissionDenied(
                f"{client.identity} has no right to see storage {request.storage}: grant Datastore.Audit on {path}",
                Cause(privilege="Datastore.Audit", acl_path=path),
            )
        raise NotFound(f"there is no storage {request.storage} on any node of the cluster")
    chosen = _named(request, mine)
    for place in chosen:
        if request.content not in place.contents and request.state == "present":
            raise InvalidRequest(
                f"storage {place.storage} does not take the content {request.content}, but "
                f"{', '.join(place.contents)}: switch it on in the storage's configuration, or give another storage"
            )
    return chosen


def _named(request: VolumeRequest, places: t.Sequence[Place]) -> tuple[Place, ...]:
    if request.nodes is None or request.nodes == (ALL_NODES,):
        chosen = places
    else:
        unknown = sorted(set(request.nodes) - {place.node for place in places})
        if unknown:
            having = ", ".join(place.node for place in places)
            raise NotFound(f"node {unknown[0]} has no storage {request.storage}: {having} have it")
        chosen = [place for place in places if place.node in request.nodes]
    if chosen[0].shared:
        return (next((place for place in chosen if place.active), chosen[0]),)
    if request.nodes is None and len(chosen) > 1:
        names = ", ".join(place.node for place in chosen)
        raise InvalidRequest(
            f"storage {request.storage} is not shared, and {names} have one each: "
            f"say by nodes which of them is meant, or {ALL_NODES}"
        )
    return tuple(chosen)


def read_volumes(
    client: PveClient, storage: str, node: str, content: str | None = None, vmid: int | None = None
) -> list[Volume]:
    """Read what a node's storage holds; one request."""
    listed = client.read("nodes", node, "storage", storage, "content", content=content, vmid=vmid)
    return [_volume(entry, node) for entry in listed]


def find_volume(client: PveClient, request: VolumeRequest, node: str) -> Volume | None:
    """Look whether a node's storage has the file; one request."""
    listed = read_volumes(client, request.storage, node, request.content)
    return next((volume for volume in listed if volume.volid == request.volid), None)


def _volume(entry: t.Mapping[str, t.Any], node: str) -> Volume:
    return Volume(
        volid=str(entry["volid"]),
        node=node,
        content=str(entry.get("content") or ""),
        format=str(entry.get("format") or ""),
        size=int(entry["size"]) if entry.get("size") is not None else None,
        details=entry,
    )
