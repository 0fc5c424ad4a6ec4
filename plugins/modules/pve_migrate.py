#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_migrate
short_description: Have a guest of Proxmox VE on a certain node
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Moves a virtual machine or a container to another node of the cluster, and waits until it is there. A guest that is
    there already is left alone.
  - A virtual machine that runs is moved live, a container that runs is restarted on the other node, and what is stopped
    stays stopped.
  - A guest of HA is moved by HA. HA loses a request that comes too early; the module looks, asks again, and waits until
    the guest is there and settled.
  - PVE's own preconditions are asked first. What stands in the way is an error that says all of it, and what to do, in
    check mode as well.
  - A move of the guest that is under way already is waited for.
  - A failure says where the guest is and whether it runs. PVE itself takes back what it has begun.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.guest
  - cloudbridge.proxmox.guest.lock
  - cloudbridge.proxmox.guest.type
  - cloudbridge.proxmox.attributes
  - cloudbridge.proxmox.attributes.idempotent
options:
  node:
    description:
      - The node that the guest is to be on.
      - One of O(node) and O(nodes) is required.
    type: str
  nodes:
    description:
      - Nodes of which the guest is to be on any. On one of them it stays.
      - It goes to the one with the most free memory of those that nothing stands against, and on which its own memory
        is free.
    type: list
    elements: str
  overcommit_memory:
    description: Whether a guest that runs may go to a node of O(nodes) on which less memory is free than it has.
    type: bool
    default: false
  online:
    description:
      - What happens to a guest that runs.
      - V(auto) moves a virtual machine live, and restarts a container.
      - V(always) refuses what cannot be moved without an interruption, which is each container that runs.
      - V(never) refuses to move a guest that runs.
    type: str
    choices: [auto, always, never]
    default: auto
  with_local_disks:
    description:
      - Whether the disks of a virtual machine that runs may be copied while it runs, when only its node has them.
      - Those of guests that are stopped, and of containers, are always copied.
    type: bool
    default: false
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
    description: Seconds that a container that runs may take to shut down before it is moved.
    type: int
    default: 180
  check_cpu:
    description:
      - Whether to refuse to move a virtual machine that runs with the CPU type C(host) to a node with another
        processor, where it may crash.
      - It takes the privilege C(Sys.Audit) on both nodes to see their processors.
    type: bool
    default: true
  timeout:
    description:
      - Seconds that the whole operation may take, PVE's tasks included.
      - PVE goes on with a move that takes longer, and the next run waits for it.
    type: int
    default: 3600
seealso:
  - module: cloudbridge.proxmox.pve_vm
  - module: cloudbridge.proxmox.pve_vm_power
"""

EXAMPLES = r"""
- name: Have a guest on a node
  cloudbridge.proxmox.pve_migrate:
    name: web
    node: pve2

- name: Have it on one of two nodes, whichever has more free memory, and copy its disks
  cloudbridge.proxmox.pve_migrate:
    vmid: 101
    nodes: [pve2, pve3]
    with_local_disks: true
    target_storage: local-lvm
    bandwidth: 102400
"""

RETURN = r"""
guest:
  description: The guest as it is now.
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
  sample: ["move guest 101 (db) to node pve2"]
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

from ..module_utils._ansible.modules.pve_migrate import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
