# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What modules for many guests have in common."""

    DOCUMENTATION = r"""
options:
  parallel:
    description: The most guests that are worked on at the same time.
    type: int
    default: 8
  per_node:
    description:
      - The most changes, with the tasks that they start, that go on at a node at the same time.
      - Without it, O(parallel) is the only limit.
    type: int
  on_failure:
    description:
      - What happens to the guests that are not begun yet when one has failed.
      - V(continue) goes on with them, and V(stop) leaves them alone. What has been begun is finished either way.
      - In both cases the task fails at its end, and says which guests failed and why.
    type: str
    choices: [continue, stop]
    default: continue
  timeout:
    description:
      - Seconds that the whole task may take.
      - Each guest has its own seconds in the option C(timeout) of its entry, or of O(defaults). They do not count while
        it waits for other guests of the task.
    type: int
    default: 7200
"""

    SELECT = r"""
options:
  select:
    description:
      - Which existing guests are meant, in place of O(guests). What O(defaults) says is done to each.
      - The conditions are met by what the cluster's list of guests says. Names and states in it can be ten seconds old.
      - Templates are never selected. That no guest is found is no error.
    type: dict
    suboptions:
      tags:
        description: Tags that the guest has, all of them.
        type: list
        elements: str
      pool:
        description: The pool that the guest is in.
        type: str
      node:
        description: The node that the guest is on.
        type: str
      names:
        description: Shell patterns, of which one fits the guest's name. Case matters.
        type: list
        elements: str
      status:
        description: The state of the guest. A paused one is V(running).
        type: str
        choices: [running, hibernated, stopped]
      guest_type:
        description: Whether virtual machines, V(qemu), or containers, V(lxc), are meant, or both.
        type: str
        choices: [auto, qemu, lxc]
        default: auto
"""
