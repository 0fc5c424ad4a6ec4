# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What PVE leaves of a guest whose making was cut off, and then its clean-up as well.

Its configuration is locked and holds nothing, and there may be volumes of its number. Only an administrator can remove
the lock, on the node.
"""

from __future__ import annotations

import typing as t

from ..._pve.guests import BIRTH_LOCKS

# The last lock that a guest has before its number is free (PVE::API2::Qemu, destroy_vm).
DESTROYED = "destroyed"
UNSETTLED_LOCKS = BIRTH_LOCKS | {DESTROYED}
# What PVE writes into the configuration of a clone at first (PVE::API2::Qemu, clone_vm); that of a new guest is empty.
_NOTES = frozenset({"", "qmclone temporary file"})
_KEYS = frozenset({"digest", "description", "lock"})


def is_stub(config: t.Mapping[str, t.Any]) -> bool:
    """There is nothing in the configuration but what PVE writes before it begins to make a guest."""
    return _KEYS.issuperset(config) and str(config.get("description") or "").strip() in _NOTES


def stub_sentence(vmid: int, node: str) -> str:
    """What an administrator has to do about a stub that is locked."""
    return (
        f"guest {vmid} on node {node} is what PVE left of a guest whose making was cut off, and no token may remove it "
        f"while it is locked: type 'qm unlock {vmid}' on {node}, and the next delete removes it"
    )
