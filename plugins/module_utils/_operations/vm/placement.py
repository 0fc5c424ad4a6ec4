# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a new virtual machine goes when the request leaves it open."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..._pve.client import PveClient
from ..._pve.errors import NotFound
from .request import VmRequest


@dataclass(frozen=True)
class Needs:
    """What a node must have for a guest to be made on it: storages with the content they must take, and bridges."""

    storages: frozenset[tuple[str, str]] = frozenset()
    bridges: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Node:
    """A node of the cluster that is online."""

    name: str
    free_memory: int
    storages: frozenset[tuple[str, str]]


def needs_of(request: VmRequest) -> Needs:
    """What the disks and the network devices of a request need."""
    images = {disk.storage for disk in request.disks if disk.storage}
    images |= {disk.volume.partition(":")[0] for disk in request.disks if disk.volume}
    images |= {state_disk.storage for state_disk in request.state_disks}
    if request.cloud_init is not None and request.cloud_init.storage:
        images.add(request.cloud_init.storage)
    isos = {disk.iso.partition(":")[0] for disk in request.disks if disk.iso and ":" in disk.iso}
    bridges = {network.bridge for network in request.networks if network.bridge}
    return Needs(
        frozenset({*((storage, "images") for storage in images), *((storage, "iso") for storage in isos)}),
        frozenset(bridges),
    )


def choose_node(client: PveClient, needs: Needs, nodes: t.Sequence[Node]) -> str:
    """Choose the online node with the most free memory that has all that is needed.

    One request when bridges are needed, and one more for each node that lacks one. Raises NotFound, saying what is
    missing where.
    """
    if not nodes:
        raise NotFound("no node of the cluster is online, as far as PVE shows: give node, or look at pvecm status")
    missing = []
    for node in sorted(nodes, key=lambda item: (-item.free_memory, item.name)):
        lacks = sorted(f"storage {name} for {content}" for name, content in needs.storages - node.storages)
        if not lacks and needs.bridges:
            bridges = {entry["iface"] for entry in client.read("nodes", node.name, "network", type="any_bridge")}
            lacks = sorted(f"bridge {name}" for name in needs.bridges - bridges)
        if not lacks:
            return node.name
        missing.append(f"{node.name} lacks {', '.join(lacks)}")
    raise NotFound(f"no online node has all that the guest needs: {'; '.join(missing)}")


def parse_nodes(resources: t.Iterable[t.Mapping[str, t.Any]]) -> list[Node]:
    """Pick the online nodes, with their storages, from the list of everything in the cluster.

    A node that was started a moment ago has the status unknown; it is taken when no other is online.
    """
    entries = list(resources)
    by_status = {
        status: [entry for entry in entries if entry.get("type") == "node" and entry.get("status") == status]
        for status in ("online", "unknown")
    }
    return [
        Node(
            name=str(entry["node"]),
            free_memory=int(entry.get("maxmem") or 0) - int(entry.get("mem") or 0),
            storages=frozenset(_contents(entries, entry["node"])),
        )
        for entry in by_status["online"] or by_status["unknown"]
    ]


def _contents(entries: t.Iterable[t.Mapping[str, t.Any]], node: str) -> t.Iterator[tuple[str, str]]:
    for entry in entries:
        if entry.get("type") == "storage" and entry.get("node") == node:
            for content in str(entry.get("content") or "").split(","):
                yield str(entry["storage"]), content
