# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Written by `make format` from the documentation of pve_vm_power.

from __future__ import annotations


class ModuleDocFragment:
    """What pve_vms_power has from pve_vm_power."""

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
          - It does not go beyond O(cloudbridge.proxmox.pve_vm_power#module:timeout).
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
          - The desired state of the guest.
          - V(started) starts a stopped guest, and resumes a paused or hibernated one.
          - V(stopped) is also met by a hibernated guest.
          - V(restarted) starts a stopped guest. It always changes something, as V(reset) does.
          - V(reset), V(paused) and V(hibernated) are for virtual machines that run; of a stopped one they are an error.
          - V(started) is used when nothing says otherwise.
        type: str
        choices:
          - started
          - stopped
          - restarted
          - reset
          - paused
          - hibernated
      stop_method:
        description:
          - How a running guest is stopped or restarted.
          - V(shutdown) asks the guest's system, and is an error when that does not obey in
            O(cloudbridge.proxmox.pve_vm_power#module:shutdown_timeout).
          - V(stop) pulls the plug.
          - V(shutdown_then_stop) asks, and pulls the plug after
            O(cloudbridge.proxmox.pve_vm_power#module:shutdown_timeout).
          - V(shutdown) is used when nothing says otherwise.
        type: str
        choices:
          - shutdown
          - stop
          - shutdown_then_stop
      shutdown_timeout:
        description:
          - Seconds that the guest's system may take to shut down.
          - V(180) is used when nothing says otherwise.
        type: int
      wait_for:
        description:
          - What to wait for once the guest runs; also of a guest that ran before.
          - V(agent) is the answer of the QEMU guest agent.
          - V(ip) is an address of one of the guest's own network devices, which is neither loopback nor link-local. The
            MAC address decides which devices are the guest's own, so a bridge for containers inside the guest does not
            count. The addresses are returned as RV(cloudbridge.proxmox.pve_vm_power#module:addresses).
        type: list
        elements: str
        choices:
          - agent
          - ip
      wait_timeout:
        description:
          - Seconds to wait for what O(cloudbridge.proxmox.pve_vm_power#module:wait_for) names.
          - V(300) is used when nothing says otherwise.
        type: int
      prefer_networks:
        description:
          - Networks, as in V(192.0.2.0/24). Addresses in the first of them come first in
            RV(cloudbridge.proxmox.pve_vm_power#module:addresses), and so on.
        type: list
        elements: str
        version_added: 1.1.0
      exclude_networks:
        description: Networks whose addresses are neither waited for nor returned.
        type: list
        elements: str
        version_added: 1.1.0
      timeout:
        description:
          - Seconds that the whole operation may take, PVE's tasks included.
          - V(600) is used when nothing says otherwise.
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
          - One of O(cloudbridge.proxmox.pve_vm_power#module:vmid) and O(cloudbridge.proxmox.pve_vm_power#module:name)
            is required. With both, the guest must have that number and that name.
        type: int
      name:
        description:
          - The guest's name. When several guests have it, that is an error which lists them.
        type: str
      <<: *shared
"""
