# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tags that say where a guest belongs while its node is in maintenance.

The number tells the guest from its clones, and from what is restored from its backups under another number, which have
its tags.
"""

from __future__ import annotations

import re
import typing as t

# The node that a guest was moved away from, and the one on which it was stopped because it could not be.
_MOVED = "evacuated-{}-{}"
_STOPPED = "halted-{}-{}"
_ANY = re.compile(r"(?:evacuated|halted)-.+-(\d+)", re.IGNORECASE)


def moved_tag(node: str, vmid: int) -> str:
    """The tag of a guest that was moved away from this node; PVE lower-cases tags, unless the datacenter does not."""
    return _MOVED.format(node, vmid).lower()


def stopped_tag(node: str, vmid: int) -> str:
    """The tag of a guest that was stopped on this node."""
    return _STOPPED.format(node, vmid).lower()


def maintenance_tags(tags: t.Iterable[str], vmid: int) -> list[str]:
    """Those of the tags by which the maintenance of some node finds the guest."""
    found = ((tag, _ANY.fullmatch(tag)) for tag in tags)
    return [tag for tag, match in found if match and int(match[1]) == vmid]
