# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Which guest is meant."""

    DOCUMENTATION = r"""
options:
  vmid:
    description:
      - The guest's number, from V(100) to V(999999999).
      - One of O(vmid) and O(name) is required. With both, the guest must have that number and that name.
    type: int
  name:
    description:
      - The guest's name. When several guests have it, that is an error which lists them.
    type: str
"""

    # For modules that a node may be meant by as well; what a node is meant for is theirs to say.
    OR_NODE = r"""
options:
  vmid:
    description:
      - The guest's number, from V(100) to V(999999999).
      - One of O(vmid), O(name) and O(node) is required. With a number and a name, the guest must have both.
    type: int
  name:
    description:
      - The guest's name. When several guests have it, that is an error which lists them.
    type: str
"""

    TYPE = r"""
options:
  guest_type:
    description:
      - Whether the guest must be a virtual machine, V(qemu), or a container, V(lxc).
    type: str
    choices: [auto, qemu, lxc]
    default: auto
"""

    LOCK = r"""
options:
  wait_for_lock:
    description:
      - Seconds that the guest is waited for when PVE has locked it, as for a backup, a snapshot or a move.
      - With V(0) that is an error at once. The lock of a hibernated guest is never waited for.
      - It does not go beyond O(timeout).
    type: int
    default: 0
    version_added: 1.1.0
"""
