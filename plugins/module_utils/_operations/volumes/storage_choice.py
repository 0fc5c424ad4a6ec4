# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which storages of which nodes a request for a file means."""

from __future__ import annotations

import typing as t

from ..._pve.client import PveClient
from ..._pve.errors import Cause, InvalidRequest, NotFound, PermissionDenied
from ..._pve.storages import NodeStorage
from .volume_request import ALL_NODES, VolumeRequest


def choose_storages(
    client: PveClient, request: VolumeRequest, storages: t.Iterable[NodeStorage]
) -> tuple[NodeStorage, ...]:
    """Choose where the file is to be; of a shared storage one node stands for all. Raises a PveError."""
    mine = [item for item in storages if item.name == request.storage]
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
    for item in chosen:
        if request.content not in item.contents and request.state == "present":
            raise InvalidRequest(
                f"storage {item.name} does not take the content {request.content}, but "
                f"{', '.join(item.contents)}: switch it on in the storage's configuration, or give another storage"
            )
    return chosen


def _named(request: VolumeRequest, storages: t.Sequence[NodeStorage]) -> tuple[NodeStorage, ...]:
    if request.nodes is None or request.nodes == (ALL_NODES,):
        chosen = storages
    else:
        unknown = sorted(set(request.nodes) - {item.node for item in storages})
        if unknown:
            having = ", ".join(item.node for item in storages)
            raise NotFound(f"node {unknown[0]} has no storage {request.storage}: it is on {having}")
        chosen = [item for item in storages if item.node in request.nodes]
    if chosen[0].shared:
        return (next((item for item in chosen if item.active), chosen[0]),)
    if request.nodes is None and len(chosen) > 1:
        names = ", ".join(item.node for item in chosen)
        raise InvalidRequest(
            f"storage {request.storage} is not shared, and {names} have one each: "
            f"say by nodes which of them is meant, or {ALL_NODES}"
        )
    return tuple(chosen)
