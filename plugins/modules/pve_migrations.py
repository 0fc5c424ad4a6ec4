#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_migrations
short_description: Have many guests of Proxmox VE on certain nodes in one task
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Does for a list or a selection of guests what M(cloudbridge.proxmox.pve_migrate) does for one.
  - The cluster is read once, and several guests are moved at the same time.
  - Guests that have several nodes in C(nodes) are spread by one plan over the memory that is free on these, the largest
    guest first. Check mode shows this plan.
  - On the terminal of the controller a line says when a guest is done, unless C(ANSIBLE_NOCOLOR) or C(CI) is set, or
    the module runs in a process of its own.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.many
  - cloudbridge.proxmox.pve_migrations
  - cloudbridge.proxmox.many.select
  - cloudbridge.proxmox.attributes
  - cloudbridge.proxmox.attributes.idempotent
options: {}
seealso:
  - module: cloudbridge.proxmox.pve_migrate
"""

EXAMPLES = r"""
- name: Have each of two guests on its node
  cloudbridge.proxmox.pve_migrations:
    defaults:
      with_local_disks: true
    guests:
      - name: web
        node: pve2
      - vmid: 101
        node: pve3

- name: Spread all guests with a tag over two nodes, at most two at a time
  cloudbridge.proxmox.pve_migrations:
    select:
      tags: [prod]
    defaults:
      nodes: [pve1, pve3]
      wait_for_lock: 600
    parallel: 2
"""

RETURN = r"""
results:
  description:
    - What came of each guest, in the order of O(guests), or by number with O(select).
    - Each is what M(cloudbridge.proxmox.pve_migrate) returns, and has C(failed), C(msg) and C(error) when it failed.
      One that was not begun because of O(on_failure=stop) has C(skipped).
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
  sample: "20 guests: 3 changed, 17 unchanged"
error:
  description: When nothing was begun, the failure as data, with C(kind), PVE's C(message), C(status) and more.
  returned: failure before a guest was begun
  type: dict
"""

from ..module_utils._ansible.modules.pve_migrations import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
