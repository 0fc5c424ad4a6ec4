# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster as it is at the beginning of a task, and where a new guest goes when the request leaves it open."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ..._pve.client import PveClient, offline_in
from ..._pve.errors import Cause, InvalidRequest, NotFound, PermissionDenied, Refused, Unreachable
from ..._pve.guests import Guest, parse_guests
from ..._pve.nodes import check_node, node_names
from ..._pve.storages import NodeStorage, Volume, parse_storages, read_volumes, storage_of
from ..._pve.vm_config import VOLUME_KEY
from .volumes import parse_drive

_LISTED = re.compile(r"(?P<kind>iso|import|vztmpl|backup)/.+|(.+/)?(vm|base)-\d+-.+")
# Whoever lacks all of them does not find the thing in PVE's lists (PVE::API2::Cluster, PVE::API2::Network).
_SEEN_WITH = {"storage": ("Datastore.Audit",), "bridge": ("SDN.Audit", "SDN.Use")}
_ACL_PATHS = {"storage": "/storage/{}", "bridge": "/sdn/zones/localnetwork/{}"}


@dataclass(frozen=True)
class Needs:
    """What a node must have for a guest to be made on it.

    storages come with the content that they must take; volumes are the files and disks that the guest is made from.
    fetched are files that any such node can get: one that has them already saves their way.
    """

    storages: frozenset[tuple[str, str]] = frozenset()
    bridges: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()
    fetched: frozenset[str] = frozenset()

    @property
    def storage_names(self) -> frozenset[str]:
        """All storages, whatever for."""
        return frozenset({*(name for name, _content in self.storages), *map(storage_of, self.volumes)})


@dataclass(frozen=True)
class Node:
    """A node of the cluster that is online. shared are those of its storages that other nodes have as well."""

    name: str
    free_memory: int
    storages: frozenset[tuple[str, str]]
    shared: frozenset[str] = frozenset()

    @property
    def storage_names(self) -> frozenset[str]:
        """The storages that the caller can see on this node."""
        return frozenset(name for name, _content in self.storages)


@dataclass(frozen=True)
class Cluster:
    """The guests, the nodes that a new one could go to, and those that are lost; all empty when nobody has looked."""

    guests: tuple[Guest, ...]
    nodes: tuple[Node, ...]
    offline: frozenset[str] = field(default_factory=frozenset)
    node_names: frozenset[str] = field(default_factory=frozenset)

    def check_node(self, name: str) -> None:
        """Raise NotFound for a node that the cluster does not have, and Unreachable for one that is lost."""
        if name in self.offline:
            raise Unreachable(f"node {name} is offline: nothing was changed")
        self.check_known(name)

    def check_known(self, name: str) -> None:
        """Raise NotFound for a node that the cluster does not have."""
        check_node(name, self.node_names)


NO_CLUSTER = Cluster((), ())


def read_cluster(client: PveClient) -> Cluster:
    """Read the guests and the nodes; one request."""
    resources = client.read("cluster", "resources")
    return Cluster(
        tuple(parse_guests(resources)),
        tuple(parse_nodes(resources)),
        offline_in(resources),
        node_names(resources),
    )


def needs_of_volumes(
    storages: t.Iterable[str], content: str, sources: t.Iterable[str], bridges: t.Iterable[str]
) -> Needs:
    """What is needed for volumes of this content on storages, and for the files and disks that they are made from."""
    volumes = {source for source in sources if ":" in source and source[0] != "/"}
    files = {volume: _LISTED.fullmatch(volume.partition(":")[2]) for volume in volumes}
    contents = {(storage_of(volume), match["kind"]) for volume, match in files.items() if match and match["kind"]}
    return Needs(
        frozenset({*((storage, content) for storage in storages), *contents}),
        frozenset(bridges),
        frozenset(volumes),
    )


def _listing_of(volume: str) -> tuple[str, str] | None:
    """Under which content a storage lists a volume, and by which name; None when it lists no such volumes.

    Of an OVA archive only the whole is listed, and of another hypervisor its guests (PVE::Storage::Plugin, ESXiPlugin).
    """
    match = _LISTED.fullmatch(volume.partition(":")[2])
    if match is None:
        return None
    archive, ova, _inner = volume.partition(".ova/")
    return match["kind"] or "images", archive + ova.rstrip("/")


def choose_node(client: PveClient, needs: Needs, nodes: t.Sequence[Node]) -> str:
    """Choose the online node with the most free memory that has all that is needed, of these one that has the images.

    For each node that has the storages one request when bridges are needed, and, when there are several nodes, one for
    each storage of its own that must have a volume, or may have an image. Raises NotFound, saying what is missing
    where, or PermissionDenied.
    """
    if not nodes:
        raise NotFound("no node of the cluster is online, as far as PVE shows: give node, or look at pvecm status")
    missing: dict[str, list[str]] = {}
    suitable = []
    for node in sorted(nodes, key=lambda item: (-item.free_memory, item.name)):
        lacks = next(filter(None, _looks(client, needs, node, alone=len(nodes) == 1)), None)
        if lacks:
            missing[node.name] = lacks
        elif not needs.fetched or len(nodes) == 1 or not _missing_volumes(client, needs.fetched, node):
            return node.name
        else:
            suitable.append(node.name)
    if suitable:
        return suitable[0]
    _check_sight(client, needs, nodes, missing)
    texts = (f"{name} lacks {', '.join(lacks)}" for name, lacks in missing.items())
    raise NotFound(f"no online node has all that the guest needs: {'; '.join(texts)}")


def _looks(client: PveClient, needs: Needs, node: Node, *, alone: bool) -> t.Iterator[list[str]]:
    """What the node lacks of each kind, the cheapest look first."""
    yield [f"storage {name} for {content}" for name, content in sorted(needs.storages - node.storages)]
    yield [f"storage {name}" for name in sorted(needs.storage_names - node.storage_names)]
    if not alone:
        # On the only node whoever needs the volume finds out that it is not there.
        yield [f"volume {volume}" for volume in _missing_volumes(client, needs.volumes, node)]
    if needs.bridges:
        bridges = {entry["iface"] for entry in client.read("nodes", node.name, "network", type="any_bridge")}
        yield [f"bridge {name}" for name in sorted(needs.bridges - bridges)]


def _missing_volumes(client: PveClient, volumes: t.Iterable[str], node: Node) -> list[str]:
    """The volumes that this node's own storages do not have; a shared storage is the same for every node."""
    own = {volume: _listing_of(volume) for volume in volumes if storage_of(volume) not in node.shared}
    looked_for = {volume: listing for volume, listing in own.items() if listing is not None}
    found = {
        item.volid
        for storage, content in sorted({(storage_of(volume), listing[0]) for volume, listing in looked_for.items()})
        for item in _content_of(client, node, storage, content)
    }
    return sorted(volume for volume, (_content, name) in looked_for.items() if name not in found)


def _content_of(client: PveClient, node: Node, storage: str, content: str) -> list[Volume]:
    """What a node's storage holds: nothing while it is not online."""
    try:
        return read_volumes(client, storage, node.name, content)
    except Refused:
        return []


def _check_sight(
    client: PveClient, needs: Needs, nodes: t.Sequence[Node], missing: t.Mapping[str, t.Sequence[str]]
) -> None:
    """Raise PermissionDenied for what is missing everywhere because the caller has no right to see it."""
    storages = needs.storage_names.difference(*(node.storage_names for node in nodes))
    bridges = {name for name in needs.bridges if all(f"bridge {name}" in lacks for lacks in missing.values())}
    for kind, names in (("storage", storages), ("bridge", bridges)):
        for name in sorted(names):
            path, privileges = _ACL_PATHS[kind].format(name), _SEEN_WITH[kind]
            held = client.read("access", "permissions", path=path).values()
            if not any(privilege in granted for granted in held for privilege in privileges):
                raise PermissionDenied(
                    f"{client.identity} has no right to see {kind} {name}, so nobody can tell which node has it: "
                    f"grant {' or '.join(privileges)} on {path}, or give node",
                    Cause(privilege="|".join(privileges), acl_path=path),
                )


def check_clone_target(
    source: str, values: t.Mapping[str, str], storage: str | None, target: str, nodes: t.Sequence[Node]
) -> None:
    """Raise InvalidRequest when PVE cannot make the clone on another node than its source's.

    It wants all drives on shared storages (PVE::API2::Qemu, clone_vm). What the caller cannot see is left to PVE.
    """
    local = {name for node in nodes for name, _content in node.storages if name not in node.shared}
    if storage in local:
        raise InvalidRequest(
            f"clone: storage {storage} is not shared, so PVE cannot clone {source} onto it on node {target}: "
            f"give a shared storage, or no node"
        )
    drives = {key: parse_drive(text) for key, text in values.items() if VOLUME_KEY.fullmatch(key)}
    held = sorted(f"{key} on {drive.storage}" for key, drive in drives.items() if drive.storage in local)
    if held:
        raise InvalidRequest(
            f"clone: {source} has {', '.join(held)}, which is not shared, so PVE cannot clone it to node {target}: "
            f"give no node, or move that to a shared storage first"
        )


def parse_nodes(resources: t.Iterable[t.Mapping[str, t.Any]]) -> list[Node]:
    """Pick the online nodes, with their storages, from the list of everything in the cluster.

    A node that was started a moment ago has the status unknown; it is taken when no other is online.
    """
    entries = list(resources)
    by_status = {
        status: [entry for entry in entries if entry.get("type") == "node" and entry.get("status") == status]
        for status in ("online", "unknown")
    }
    storages = parse_storages(entries)
    return [
        _node(entry, [storage for storage in storages if storage.node == entry["node"]])
        for entry in by_status["online"] or by_status["unknown"]
    ]


def _node(entry: t.Mapping[str, t.Any], storages: t.Sequence[NodeStorage]) -> Node:
    return Node(
        name=str(entry["node"]),
        free_memory=int(entry.get("maxmem") or 0) - int(entry.get("mem") or 0),
        storages=frozenset((item.name, content) for item in storages for content in item.contents),
        shared=frozenset(item.name for item in storages if item.shared),
    )
