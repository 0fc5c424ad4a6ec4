#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_restore
short_description: Have a guest of Proxmox VE that is restored from a backup
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Restores a backup of a virtual machine or a container, into a new guest or in the place of one that is there.
  - The notes of the guest name the backup afterwards, in a line of their own. A guest whose notes name the backup is
    left as it is.
  - PVE destroys a guest that is restored over before it has read the backup, so that a damaged backup costs a good
    guest. This module restores the backup beside the guest first, under a number of its own and without its networks,
    and replaces the guest only when that has worked. It takes the space of the disks twice for that time. A backup that
    Proxmox Backup Server has verified is not restored beside it.
  - When a restore fails, PVE leaves a guest without disks, which can be started and bars the next try. This module
    removes what it has made itself.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.guest.lock
  - cloudbridge.proxmox.attributes
  - cloudbridge.proxmox.attributes.idempotent
options:
  backup:
    description:
      - The backup, as PVE and M(cloudbridge.proxmox.pve_backup_info) name it.
    type: str
    required: true
  vmid:
    description:
      - The number of the guest that is made, or replaced.
      - Without it and without O(name), it is the number of the guest that was backed up.
        With O(name) alone, it is that of the guest of this name, or the next free one.
    type: int
  name:
    description:
      - The name of the guest. A new one that is given none has the name in the backup.
      - With O(force) it is the proof that the guest is meant that is lost.
    type: str
  force:
    description:
      - Replace the guest that is there. It needs its O(name), must be stopped, and loses its snapshots.
      - Disks of a virtual machine that are not in the backup become unused ones.
        A container with volumes that are not in the backup is refused, since PVE would delete them.
    type: bool
    default: false
  node:
    description:
      - The node for a new guest. It must have the storage of the backup.
      - Without it, it is the node that has the backup. Where all nodes have it, it is that of the guest that was backed
        up, or the one with the most free memory.
    type: str
  storage:
    description: The storage for all disks. Without it, each disk goes to the storage that it was on.
    type: str
  pool:
    description: The pool that a new guest becomes a member of.
    type: str
  unique:
    description:
      - Give the guest new network addresses and a new UUID.
      - Without it, a new guest gets them while the guest that was backed up is there, and one that is replaced has
        those of the backup.
    type: bool
  networks:
    description: What is changed of network devices in the backup.
    type: list
    elements: dict
    suboptions:
      slot:
        description: The device, as V(net0).
        type: str
        required: true
      bridge:
        description: The bridge that it is connected to.
        type: str
      vlan:
        description: The VLAN, or V(0) for none.
        type: int
      link_down:
        description: Whether its cable is pulled.
        type: bool
  disconnected:
    description: Pull the cables of all network devices.
    type: bool
    default: false
  tags:
    description: Tags that the guest gets beside those in the backup.
    type: list
    elements: str
  onboot:
    description: Whether the guest starts with its node. Without it, it is as in the backup.
    type: bool
  config:
    description: Other settings than in the backup, by PVE's keys, as C(memory) or C(cores). Disks cannot be among them.
    type: dict
  bandwidth:
    description: The most KiB that are read in a second.
    type: int
  live_restore:
    description:
      - Start a virtual machine at once, and restore its disks meanwhile. Only Proxmox Backup Server can do that.
      - What the guest has written is lost when the restore breaks off.
    type: bool
    default: false
  start:
    description:
      - Start the guest when it has been restored. One that is left as it is is not started.
      - To have it run after a task that was broken off, too, use M(cloudbridge.proxmox.pve_vm_power).
    type: bool
    default: false
  timeout:
    description: Seconds that the whole operation may take, PVE's tasks included.
    type: int
    default: 7200
seealso:
  - module: cloudbridge.proxmox.pve_backup_info
  - module: cloudbridge.proxmox.pve_backup
"""

EXAMPLES = r"""
- name: Find the newest backup of a guest
  cloudbridge.proxmox.pve_backup_info:
    name: web
    newest: true
  register: newest

- name: Restore it beside the guest, without its networks
  cloudbridge.proxmox.pve_restore:
    backup: "{{ newest.backups[0].volid }}"
    name: web-yesterday
    disconnected: true
    onboot: false
    tags: [restored]

- name: Bring the guest itself back to it
  cloudbridge.proxmox.pve_restore:
    backup: "{{ newest.backups[0].volid }}"
    name: web
    vmid: 100
    force: true
    start: true
"""

RETURN = r"""
backup:
  description: The backup.
  returned: success
  type: str
  sample: local:backup/vzdump-qemu-100-2026_01_31-03_00_00.vma.zst
checked:
  description:
    - How it was made sure that the backup can be read to its end before the guest was replaced, V(restored beside it)
      or V(verified). None when no guest was replaced.
  returned: success
  type: str
guest:
  description: The guest as it is now. In check mode a new one has no number yet.
  returned: success
  type: dict
  contains:
    vmid:
      description: The guest's number.
      type: int
    name:
      description: The guest's name.
      type: str
    node:
      description: The node that the guest is on.
      type: str
    type:
      description: Either V(qemu) or V(lxc).
      type: str
    status:
      description: One of V(running), V(paused), V(hibernated) and V(stopped).
      type: str
    template:
      description: Whether the guest is a template.
      type: bool
    lock:
      description: What PVE has locked the guest for, or none.
      type: str
    tags:
      description: The guest's tags.
      type: list
      elements: str
    pool:
      description: The pool that the guest is in, or none.
      type: str
    ha_managed:
      description: Whether the guest is an HA resource.
      type: bool
    ha_state:
      description: The guest's state in HA, or none.
      type: str
    uptime:
      description: Seconds since the guest was started.
      type: int
vmid:
  description: The guest's number.
  returned: success
  type: int
node:
  description: The node that the guest is on.
  returned: success
  type: str
steps:
  description: What was done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["restore pbs:backup/vm/100/2026-01-31T03:00:00Z to a new guest (web-yesterday) on node pve1"]
tasks:
  description: The tasks that PVE ran, each with RV(tasks[].upid), RV(tasks[].exit_status) and RV(tasks[].warnings).
  returned: always
  type: list
  elements: dict
  contains:
    upid:
      description: PVE's name of the task.
      type: str
    exit_status:
      description: How the task ended.
      type: str
    warnings:
      description: The warnings in the task's log.
      type: list
      elements: str
error:
  description: The failure as data, with C(kind), PVE's C(message), C(status), C(upid), C(log_tail) and more.
  returned: failure
  type: dict
"""

from ..module_utils._ansible.modules.pve_restore import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
