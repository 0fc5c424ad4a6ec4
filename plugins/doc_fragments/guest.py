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

    # For modules that make guests and change them.
    ENSURE = r"""
options:
  state:
    description:
      - V(present) makes the guest when there is none, and otherwise changes what differs.
      - V(template) does the same and turns the guest into a template, which cannot be undone.
      - V(absent) deletes the guest and its disks.
    type: str
    choices: [present, absent, template]
    default: present
  vmid:
    description:
      - The guest's number, from V(100) to V(999999999). A new guest without one gets the next free one.
      - One of O(vmid) and O(name) is required. With both, the guest must have that number and that name.
    type: int
  name:
    description:
      - The guest's name, which has to be a DNS name.
      - Without O(vmid) it says which guest is meant. Several guests of that name are an error, which lists them.
      - PVE forgets the names of guests whose node is lost. When one of these may be meant, the task fails and asks for
        O(vmid).
      - With O(vmid), a guest of that number must have this name, unless O(rename) is set.
    type: str
  rename:
    description: Give the guest that O(vmid) means the name O(name).
    type: bool
    default: false
  onboot:
    description: Whether the guest is started with its node.
    type: bool
  startup:
    description:
      - When the guest is started and stopped among the others of its node.
      - What is not given stays as it is. An empty dictionary unsets all of it.
      - As it is about the node, it needs the privilege C(Sys.Modify) on C(/).
    type: dict
    suboptions:
      order:
        description: Guests with lower numbers start first and stop last.
        type: int
      up:
        description: Seconds to wait before the next guest is started.
        type: int
      down:
        description: Seconds to wait for the guest's shutdown.
        type: int
  protection:
    description: Whether PVE refuses to delete the guest and its disks.
    type: bool
  description:
    description: The notes on the guest. PVE cannot store the text V(0), which is refused.
    type: str
  tags:
    description:
      - The guest's tags. Their order does not matter.
      - Their case matters where the datacenter's C(tag-style) has C(case-sensitive), and nowhere else.
    type: list
    elements: str
  tags_mode:
    description:
      - Whether O(tags) are all the tags, V(set), or to be there among others, V(add).
      - The tag by which M(cloudbridge.proxmox.pve_node_maintenance) finds the guest again stays either way.
    type: str
    choices: [set, add]
    default: set
  pool:
    description:
      - The pool of the guest. An empty string takes it out of its pool.
      - Without the privilege C(Pool.Audit) PVE does not show the pool of a guest. Then an empty string changes nothing.
    type: str
  remove:
    description: Settings and network devices to unset, by PVE's own names. Those that are not set are no change.
    aliases: [delete]
    type: list
    elements: str
  shutdown_timeout:
    description: Seconds that the guest's system has for its shutdown when O(apply_pending=reboot).
    type: int
    default: 180
  force:
    description: For O(state=absent), pull the plug of a guest that runs, which otherwise is an error.
    type: bool
    default: false
  purge:
    description: For O(state=absent), remove the guest from backup jobs, replication and HA, too.
    type: bool
    default: false
  destroy_unreferenced_disks:
    description: For O(state=absent), delete also volumes with the guest's number that its configuration does not name.
    type: bool
    default: false
  timeout:
    description: Seconds that the whole operation may take, PVE's tasks included.
    type: int
    default: 1800
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
