#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_node_maintenance
short_description: Move all guests off a node of Proxmox VE for its maintenance, and bring them back
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Moves the guests of a node to others before its maintenance, and brings them back after it.
  - The cluster is read once, and one plan spreads the guests over the memory that is free on the other nodes, the
    largest guest first. Check mode shows this plan.
  - Virtual machines that run are moved live, containers that run are restarted elsewhere, guests that are stopped stay
    stopped, and guests of HA are moved by HA. Templates stay.
  - A guest that was moved away has the tag C(evacuated-NODE-VMID) until it is back, and one that was stopped because it
    could not be moved the tag C(halted-NODE-VMID). They are written before anything else, and so the next run completes
    one that was killed. A guest that was moved away from another node before keeps that tag, and returns to that node.
    On a guest with another number, as a clone, they mean nothing.
  - HA's maintenance mode cannot be set by PVE's API. An HA rule that prefers the node brings its guests back at once,
    and so they count as guests that cannot be moved, unless C(ha-manager crm-command node-maintenance enable) was
    typed on a node before.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.guest.lock
  - cloudbridge.proxmox.attributes
  - cloudbridge.proxmox.attributes.idempotent
options:
  node:
    description: The node that is meant.
    type: str
    required: true
  state:
    description:
      - V(evacuated) moves all guests off the node.
      - V(returned) moves those back that have its tag, and starts those that were stopped for its maintenance.
    type: str
    choices: [evacuated, returned]
    default: evacuated
  nodes:
    description:
      - The nodes that guests may go to, with O(state=evacuated).
      - Without it, all others that are online.
    type: list
    elements: str
  select:
    description:
      - The guests that are meant, when these are not all. The others stay where they are, and are not in the plan.
      - The conditions are met by what the cluster's list of guests says. Names in it can be ten seconds old.
    type: dict
    suboptions:
      tags:
        description: Tags that the guest has, all of them.
        type: list
        elements: str
      pool:
        description: The pool that the guest is in.
        type: str
      names:
        description: Shell patterns, of which one fits the guest's name. Case matters.
        type: list
        elements: str
  parallel:
    description: The most guests that are worked on at the same time.
    type: int
    default: 2
  first:
    description:
      - Tags of the guests that go first, in this order.
      - Within a tag, and among the others, they go by the order of their option C(startup), and by number.
    type: list
    elements: str
  unmovable:
    description:
      - What happens to guests that cannot be moved.
      - V(fail) leaves them as they are, moves the others, and fails at its end.
      - V(stop) shuts them down on the node, for O(state=returned) to start them again.
      - V(leave) leaves them as they are.
    type: str
    choices: [fail, stop, leave]
    default: fail
  move_stopped:
    description: Whether guests that are stopped are moved as well. Their local disks are copied.
    type: bool
    default: true
  overcommit_memory:
    description:
      - Whether guests that run may go to a node on which less memory is free than they have.
      - With O(state=returned) the memory is not looked at, as they ran on the node before.
    type: bool
    default: false
  online:
    description:
      - What happens to a guest that runs.
      - V(auto) moves a virtual machine live, and restarts a container.
      - V(always) takes each container that runs for one that cannot be moved.
      - V(never) takes each guest that runs for one that cannot be moved.
    type: str
    choices: [auto, always, never]
    default: auto
  with_local_disks:
    description: Whether disks that only their node has may be copied while their virtual machine runs.
    type: bool
    default: false
  target_storage:
    description:
      - The storage of the other node for volumes that are not on shared storages, or a dictionary from storages to
        storages.
      - Without it, they go to the storage of the same name.
    type: raw
  bandwidth:
    description: The most KiB/s that each move takes.
    type: int
  shutdown_timeout:
    description: Seconds that a guest may take to shut down before it is moved or left.
    type: int
    default: 180
  check_cpu:
    description: Whether what runs with the CPU type C(host) may only go where the processor is the same.
    type: bool
    default: true
  guest_timeout:
    description: Seconds that each guest may take. They do not count while it waits for others.
    type: int
    default: 3600
  timeout:
    description: Seconds that the whole task may take. PVE ends what it has begun, and the next run waits for that.
    type: int
    default: 7200
seealso:
  - module: cloudbridge.proxmox.pve_migrate
  - module: cloudbridge.proxmox.pve_migrations
"""

EXAMPLES = r"""
- name: Move everything off a node, four guests at a time, databases first
  cloudbridge.proxmox.pve_node_maintenance:
    node: pve1
    parallel: 4
    first: [db]
    with_local_disks: true

- name: Bring them back
  cloudbridge.proxmox.pve_node_maintenance:
    node: pve1
    state: returned
    with_local_disks: true
"""

RETURN = r"""
plan:
  description: What is done with each guest, in order.
  returned: success, and failure once the guests have been read
  type: list
  elements: dict
  contains:
    vmid:
      description: The guest's number.
      type: int
    name:
      description: The guest's name.
      type: str
    type:
      description: Either V(qemu) or V(lxc).
      type: str
    status:
      description: The guest's state before.
      type: str
    action:
      description:
        - V(move) and V(stop) are for the state V(evacuated), V(return), V(start) and V(forget) for V(returned).
        - V(note) only tags a guest that HA has moved already, because its maintenance mode is on.
        - V(forget) only takes the tag from a guest that is back.
        - V(stay) does nothing. V(fail) is for what cannot be moved, and for what came to the node after the plan was
          made, so that the task fails.
      type: str
    from:
      description: The node that the guest is on.
      type: str
    to:
      description: The node that it goes to.
      type: str
    how:
      description: V(live), V(restart) or V(offline), and whether it is HA that moves it.
      type: str
    reason:
      description: Why it stays, is stopped, or cannot be moved.
      type: str
  sample: [{vmid: 101, name: db, type: qemu, status: running, action: move, from: pve1, to: pve2, how: live}]
table:
  description: The plan as the lines of a table.
  returned: success, and failure once the guests have been read
  type: list
  elements: str
results:
  description:
    - What came of each guest that does not stay, in the order of the plan.
    - One that failed has C(failed), C(msg) and C(error).
  returned: success, and failure once the guests have been read
  type: list
  elements: dict
  contains:
    guest:
      description: The guest as it is now.
      type: dict
    changed:
      description: Whether something was changed.
      type: bool
    steps:
      description: What was done, or in check mode would be done, in order.
      type: list
      elements: str
    failed:
      description: Present and true when it failed.
      type: bool
    msg:
      description: Why it failed, or was not begun.
      type: str
    skipped:
      description: Present and true when it was not begun.
      type: bool
summary:
  description: How many guests there were, and what came of them.
  returned: success, and failure once the guests have been read
  type: str
  sample: "20 guests: 20 changed, 0 unchanged"
error:
  description: When nothing was begun, the failure as data, with C(kind), PVE's C(message), C(status) and more.
  returned: failure before a guest was begun
  type: dict
"""

from ..module_utils._ansible.modules.pve_node_maintenance import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
