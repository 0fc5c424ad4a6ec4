#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_task_info
short_description: Look at tasks of Proxmox VE, and wait for them
version_added: 1.0.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Looks at one task and its log, and waits for its end if asked, or lists tasks.
  - Without the privilege C(Sys.Audit), PVE lists only the caller's own tasks.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.attributes.info
options:
  upid:
    description: The one task to look at. Without it, tasks are listed.
    aliases: [task]
    type: str
  wait:
    description: Wait until the task O(upid) has ended, at most O(timeout) seconds.
    type: bool
    default: false
  fail_on_error:
    description: Whether it is a failure of this module too when a task that it waited for fails.
    type: bool
    default: true
  node:
    description:
      - List the tasks of this node, which remembers thousands.
      - Without it, the list is that of the whole cluster, which only holds the newest tasks of each node.
    type: str
  vmid:
    description: List only tasks that work on this guest.
    type: int
  type:
    description: List only tasks of this kind, as V(qmstart) or V(vzdump).
    type: str
  user:
    description: List only tasks of this user, as V(root@pam), the user's API tokens included, or of one API token.
    type: str
  since:
    description: List only tasks that began at this time or later, in seconds since 1970.
    type: int
  errors_only:
    description: List only tasks that failed. One that ended with warnings did not.
    type: bool
    default: false
  running:
    description: List only tasks that still run.
    type: bool
    default: false
  limit:
    description: List at most so many tasks, the newest ones.
    type: int
    default: 50
  timeout:
    description: Seconds that the whole operation may take, the wait included.
    type: int
    default: 600
"""

EXAMPLES = r"""
- name: List the tasks that run on a guest
  cloudbridge.proxmox.pve_task_info:
    vmid: 101
    running: true
  register: found

- name: Wait for them
  cloudbridge.proxmox.pve_task_info:
    upid: "{{ item.upid }}"
    wait: true
    timeout: 3600
  loop: "{{ found.tasks }}"

- name: List the backups of a node that failed in the last day
  cloudbridge.proxmox.pve_task_info:
    node: pve1
    type: vzdump
    errors_only: true
    since: "{{ now().timestamp() | int - 86400 }}"
"""

RETURN = r"""
task:
  description: The task O(upid).
  returned: success, when O(upid) is given
  type: dict
  contains:
    upid:
      description: PVE's name of the task.
      type: str
    node:
      description: The node that the task runs on.
      type: str
    type:
      description: The kind of task, as V(qmstart) or V(vzdump).
      type: str
    id:
      description: What the task works on, mostly a guest's number.
      type: str
    user:
      description: The user, or the API token, that started the task.
      type: str
    running:
      description: Whether the task still runs.
      type: bool
    exit_status:
      description: How the task ended, as V(OK), V(WARNINGS:) and their number, or what went wrong. Empty while it runs.
      type: str
    start:
      description: When the task began, in seconds since 1970.
      type: int
    end:
      description: When the task ended, in seconds since 1970, or none.
      type: int
    warnings:
      description: The warnings in the log of a task that ended well. Empty in a list of tasks.
      type: list
      elements: str
log:
  description: The lines of the task's log.
  returned: success, when O(upid) is given
  type: list
  elements: str
  sample: ["snapshotting 'drive-scsi0' (local-lvm:vm-101-disk-0)", TASK OK]
tasks:
  description: The tasks, the newest first.
  returned: success, when O(upid) is not given
  type: list
  elements: dict
  contains:
    upid:
      description: PVE's name of the task.
      type: str
    node:
      description: The node that the task runs on.
      type: str
    type:
      description: The kind of task, as V(qmstart) or V(vzdump).
      type: str
    id:
      description: What the task works on, mostly a guest's number.
      type: str
    user:
      description: The user, or the API token, that started the task.
      type: str
    running:
      description: Whether the task still runs.
      type: bool
    exit_status:
      description: How the task ended, as V(OK), V(WARNINGS:) and their number, or what went wrong. Empty while it runs.
      type: str
    start:
      description: When the task began, in seconds since 1970.
      type: int
    end:
      description: When the task ended, in seconds since 1970, or none.
      type: int
    warnings:
      description: The warnings in the log of a task that ended well. Empty in a list of tasks.
      type: list
      elements: str
error:
  description: The failure as data, with C(kind), PVE's C(message), C(status), C(upid), C(log_tail) and more.
  returned: failure
  type: dict
"""

from ..module_utils._ansible.modules.pve_task_info import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
