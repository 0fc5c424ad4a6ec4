# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Written by `make format` from the documentation of pve_migrate.

from __future__ import annotations


class ModuleDocFragment:
    """What pve_migrations has from pve_migrate."""

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
          - It does not go beyond O(cloudbridge.proxmox.pve_migrate#module:timeout).
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
      node:
        description:
          - The node that the guest is to be on.
          - One of O(cloudbridge.proxmox.pve_migrate#module:node) and O(cloudbridge.proxmox.pve_migrate#module:nodes) is
            required.
        type: str
      nodes:
        description:
          - Nodes of which the guest is to be on any. On one of them it stays.
          - It goes to the one with the most free memory of those that nothing stands against, and on which its own
            memory is free.
        type: list
        elements: str
      overcommit_memory:
        description:
          - Whether a guest that runs may go to a node of O(cloudbridge.proxmox.pve_migrate#module:nodes) on which less
            memory is free than it has.
          - V(false) is used when nothing says otherwise.
        type: bool
      online:
        description:
          - What happens to a guest that runs.
          - V(auto) moves a virtual machine live, and restarts a container.
          - V(always) refuses what cannot be moved without an interruption, which is each container that runs.
          - V(never) refuses to move a guest that runs.
          - V(auto) is used when nothing says otherwise.
        type: str
        choices:
          - auto
          - always
          - never
      with_local_disks:
        description:
          - Whether the disks of a virtual machine that runs may be copied while it runs, when only its node has them.
          - Those of guests that are stopped, and of containers, are always copied.
          - V(false) is used when nothing says otherwise.
        type: bool
      target_storage:
        description:
          - The storage of the other node for volumes that are not on shared storages, or a dictionary from storages to
            storages.
          - Without it, they go to the storage of the same name. HA does not take it.
        type: raw
      bandwidth:
        description:
          - The most KiB/s that the move takes. Without it, the limits of the datacenter and its storages hold.
          - HA does not take it.
        type: int
      shutdown_timeout:
        description:
          - Seconds that a container that runs may take to shut down before it is moved.
          - V(180) is used when nothing says otherwise.
        type: int
      check_cpu:
        description:
          - Whether to refuse to move a virtual machine that runs with the CPU type C(host) to a node with another
            processor, where it may crash.
          - It takes the privilege C(Sys.Audit) on both nodes to see their processors.
          - V(true) is used when nothing says otherwise.
        type: bool
      timeout:
        description:
          - Seconds that the whole operation may take, PVE's tasks included.
          - PVE goes on with a move that takes longer, and the next run waits for it.
          - V(3600) is used when nothing says otherwise.
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
          - One of O(cloudbridge.proxmox.pve_migrate#module:vmid) and O(cloudbridge.proxmox.pve_migrate#module:name) is
            required. With both, the guest must have that number and that name.
        type: int
      name:
        description:
          - The guest's name. When several guests have it, that is an error which lists them.
        type: str
      <<: *shared
"""
