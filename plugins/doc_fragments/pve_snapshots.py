# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Written by `make format` from the documentation of pve_snapshot.

from __future__ import annotations


class ModuleDocFragment:
    """What pve_snapshots has from pve_snapshot."""

    DOCUMENTATION = r"""
options:
  defaults:
    description:
      - What is asked for all guests.
      - An option of a guest goes before this. Of dictionaries each key does, and a list is replaced.
    type: dict
    suboptions: &shared
      wait_for_lock:
        description:
          - Seconds that the guest is waited for when PVE has locked it, as for a backup, a snapshot or a move.
          - With V(0) that is an error at once. The lock of a hibernated guest is never waited for.
          - It does not go beyond O(cloudbridge.proxmox.pve_snapshot#module:timeout).
          - V(0) is used when nothing says otherwise.
        type: int
        version_added: 1.1.0
      guest_type:
        description:
          - Whether the guest must be a virtual machine, V(qemu), or a container, V(lxc).
          - V(auto) is used when nothing says otherwise.
        type: str
        choices:
          - auto
          - qemu
          - lxc
      state:
        description:
          - V(present) takes the snapshot when there is none of this name, and deletes older ones as
            O(cloudbridge.proxmox.pve_snapshot#module:keep_last) says.
          - V(absent) deletes the snapshot. Without O(cloudbridge.proxmox.pve_snapshot#module:snapshot), it only deletes
            older ones as O(cloudbridge.proxmox.pve_snapshot#module:keep_last) says.
          - V(rolled_back) brings the guest back to the snapshot. It always changes something, and a guest that runs is
            stopped, unless the snapshot holds its memory.
          - A storage can refuse to roll back over snapshots that are newer. PVE's message says so then.
          - V(present) is used when nothing says otherwise.
        type: str
        choices:
          - present
          - absent
          - rolled_back
      snapshot:
        description:
          - The snapshot's name, of 2 to 40 letters, digits, hyphens and underscores, beginning with a letter.
          - Required, unless O(cloudbridge.proxmox.pve_snapshot#module:state=absent) only deletes what
            O(cloudbridge.proxmox.pve_snapshot#module:keep_last) leaves over.
        aliases:
          - snapname
        type: str
      description:
        description:
          - The snapshot's description, with O(cloudbridge.proxmox.pve_snapshot#module:state=present).
          - It is changed in place on a snapshot that exists. Left out, it stays as it is.
          - PVE cannot store the text V(0), which is refused.
        type: str
      vmstate:
        description:
          - Whether the snapshot holds the guest's memory too, with
            O(cloudbridge.proxmox.pve_snapshot#module:state=present). Only virtual machines can have that.
          - Of a guest that does not run there is no memory to save, which is a warning.
          - It cannot be changed of a snapshot that exists. When that differs, it is an error. Left out, either will do.
        type: bool
      start_after:
        description:
          - Start the guest when it does not run after the rollback, with
            O(cloudbridge.proxmox.pve_snapshot#module:state=rolled_back).
          - V(false) is used when nothing says otherwise.
        type: bool
      children:
        description:
          - What happens to the snapshots that are based on the one to delete, with
            O(cloudbridge.proxmox.pve_snapshot#module:state=absent).
          - V(keep) leaves them, based on the parent of the deleted one.
          - V(delete) deletes them all first, the deepest first.
          - V(keep) is used when nothing says otherwise.
        type: str
        choices:
          - keep
          - delete
      keep_last:
        description:
          - How many of the snapshots that match O(cloudbridge.proxmox.pve_snapshot#module:keep_pattern) stay, the one
            just taken included. The oldest others are deleted, one after the other.
          - The one that O(cloudbridge.proxmox.pve_snapshot#module:snapshot) names is never deleted with
            O(cloudbridge.proxmox.pve_snapshot#module:state=present).
        type: int
      keep_pattern:
        description:
          - Which snapshots O(cloudbridge.proxmox.pve_snapshot#module:keep_last) counts and deletes, as a shell pattern
            on their names. Case matters.
          - Required with O(cloudbridge.proxmox.pve_snapshot#module:keep_last). With
            O(cloudbridge.proxmox.pve_snapshot#module:state=present) it must match
            O(cloudbridge.proxmox.pve_snapshot#module:snapshot).
        type: str
      timeout:
        description:
          - Seconds that the whole operation may take, PVE's tasks included. Saving much memory takes minutes.
          - V(1800) is used when nothing says otherwise.
        type: int
  guests:
    description:
      - The guests, each with the options of the module for one guest.
      - That two entries mean one guest is an error, and nothing is changed.
    type: list
    elements: dict
    required: false
    suboptions:
      vmid:
        description:
          - The guest's number, from V(100) to V(999999999).
          - One of O(cloudbridge.proxmox.pve_snapshot#module:vmid) and O(cloudbridge.proxmox.pve_snapshot#module:name)
            is required. With both, the guest must have that number and that name.
        type: int
      name:
        description:
          - The guest's name. When several guests have it, that is an error which lists them.
        aliases:
          - hostname
        type: str
      <<: *shared
"""
