# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The nodes of a cluster, by their names."""

from __future__ import annotations

import typing as t

from .client import PveClient
from .errors import NotFound


def check_node(name: str, known: t.Collection[str]) -> None:
    """Raise NotFound for a node that the cluster does not have; known are its nodes, or nothing when nobody knows."""
    if known and name not in known:
        raise NotFound(f"there is no node {name}: the cluster has {', '.join(sorted(known))}")


def node_names(resources: t.Iterable[t.Mapping[str, t.Any]]) -> frozenset[str]:
    """Pick the names of the nodes from the list of everything in the cluster, those that are offline as well."""
    return frozenset(str(entry["node"]) for entry in resources if entry.get("type") == "node")


def look_for_node(client: PveClient, name: str) -> None:
    """Raise NotFound for a node that the cluster does not have; one request."""
    check_node(name, node_names(client.read("cluster", "resources", type="node")))
