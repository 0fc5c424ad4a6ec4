# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which guest goes to which node: one plan for all of them, by the memory that is left."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

_GIB = 1024**3


@dataclass(frozen=True)
class Move:
    """A guest that is to leave its node, the memory that it takes elsewhere, and the nodes that it can go to."""

    vmid: int
    memory: int
    nodes: tuple[str, ...]


def spread(moves: t.Iterable[Move], free: t.Mapping[str, int], *, overcommit: bool = False) -> dict[int, str | None]:
    """Choose a node for each guest: the largest first, each to where the most memory is left.

    None is for a guest that fits nowhere, unless the memory may be overcommitted.
    """
    left, chosen = dict(free), dict[int, "str | None"]()
    for move in sorted(moves, key=lambda move: (-move.memory, move.vmid)):
        fitting = [node for node in move.nodes if overcommit or left.get(node, 0) >= move.memory]
        target = min(fitting, key=lambda node: (-left.get(node, 0), node), default=None)
        chosen[move.vmid] = target
        if target is not None:
            left[target] = left.get(target, 0) - move.memory
    return chosen


def gigabytes(size: int) -> str:
    """A size as messages say it."""
    return f"{max(size, 0) / _GIB:.1f} GiB"
