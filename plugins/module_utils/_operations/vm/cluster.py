# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster as it is at the beginning of a task: its guests and its nodes, from one request."""

from __future__ import annotations

from dataclasses import dataclass

from ..._pve.client import PveClient
from ..._pve.guests import Guest, parse_guests
from .placement import Node, parse_nodes


@dataclass(frozen=True)
class Cluster:
    """The guests, and the nodes that a new one could go to."""

    guests: tuple[Guest, ...]
    nodes: tuple[Node, ...]


def read_cluster(client: PveClient) -> Cluster:
    """Read the guests and the nodes; one request."""
    resources = client.read("cluster", "resources")
    return Cluster(tuple(parse_guests(resources)), tuple(parse_nodes(resources)))
