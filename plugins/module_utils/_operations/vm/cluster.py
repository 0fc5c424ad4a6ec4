# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster as it is at the beginning of a task: its guests and its nodes, from one request."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..._pve.client import PveClient, offline_in
from ..._pve.errors import NotFound, Unreachable
from ..._pve.guests import Guest, parse_guests
from .placement import Node, parse_nodes


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
        if self.node_names and name not in self.node_names:
            raise NotFound(f"there is no node {name}: the cluster has {', '.join(sorted(self.node_names))}")


def read_cluster(client: PveClient) -> Cluster:
    """Read the guests and the nodes; one request."""
    resources = client.read("cluster", "resources")
    return Cluster(
        tuple(parse_guests(resources)),
        tuple(parse_nodes(resources)),
        offline_in(resources),
        frozenset(str(entry["node"]) for entry in resources if entry.get("type") == "node"),
    )
