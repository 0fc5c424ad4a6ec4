# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a backup is, and on which node it can be restored."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..._pve.client import PveClient
from ..._pve.errors import InvalidRequest, NotFound
from ..._pve.guests import LXC, Guest, parse_guests
from ..._pve.storages import NodeStorage, parse_storages
from ..guest.placement import Needs, Node, choose_node, parse_nodes
from .archives import Backup, read_backups
from .restore_request import RestoreRequest


@dataclass(frozen=True)
class Surroundings:
    """The guests, storages and nodes of the cluster; one request."""

    guests: tuple[Guest, ...]
    storages: tuple[NodeStorage, ...]
    nodes: tuple[Node, ...]

    @classmethod
    def read(cls, client: PveClient) -> Surroundings:
        resources = client.read("cluster", "resources")
        return cls(tuple(parse_guests(resources)), parse_storages(resources), tuple(parse_nodes(resources)))

    def guest(self, vmid: int) -> Guest | None:
        """The guest of this number, if the caller can see one."""
        return next((guest for guest in self.guests if guest.vmid == vmid), None)

    def with_storage(self, name: str) -> list[NodeStorage]:
        """The storage as the nodes have it; raises NotFound when none does."""
        found = [storage for storage in self.storages if storage.name == name]
        if not found:
            raise NotFound(f"there is no storage {name}, or no right to see it (Datastore.Audit)")
        return found


def find_backup(client: PveClient, around: Surroundings, request: RestoreRequest, over: Guest | None) -> Backup:
    """The backup as the node sees it that is to restore it; over is the guest that is replaced, on its own node.

    One request where the storage is shared or the node is known, else one for each node. Raises a PveError.
    """
    storages = around.with_storage(request.source.storage)
    node = over.node if over is not None else request.node
    if node is not None:
        storages = [storage for storage in storages if storage.node == node]
        if not storages:
            where = f"{over.label} is on node {node}" if over is not None else f"the guest is to be on node {node}"
            raise InvalidRequest(f"{where}, which does not have storage {request.source.storage} with the backup")
    elif storages[0].shared:
        chosen = _node_for(client, around, request)
        storages = [storage for storage in storages if storage.node == chosen] or storages[:1]
    for storage in storages:
        for backup in read_backups(client, storage.node, storage.name, request.source.vmid):
            if backup.volid == request.backup:
                return backup
    places = ", ".join(storage.node for storage in storages)
    raise NotFound(f"there is no backup {request.backup} on {places}: pve_backup_info lists what there is")


def _node_for(client: PveClient, around: Surroundings, request: RestoreRequest) -> str:
    """The node of the guest that was backed up, or one that has what is needed."""
    original = around.guest(request.source.vmid)
    having = {storage.node for storage in around.with_storage(request.source.storage)}
    if original is not None and original.node in having:
        return original.node
    content = "rootdir" if request.kind == LXC else "images"
    storages = {(request.source.storage, "backup"), *([(request.storage, content)] if request.storage else [])}
    return choose_node(client, Needs(storages=frozenset(storages)), around.nodes)


def storage_in(archived: t.Mapping[str, str]) -> str | None:
    """The storage of a container's root volume in its backup."""
    volume = archived.get("rootfs", "").partition(",")[0].removeprefix("volume=")
    return volume.partition(":")[0] if ":" in volume else None
