#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_containers
short_description: Create, clone, configure and delete many containers of Proxmox VE in one task
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Does for a list of containers what M(cloudbridge.proxmox.pve_container) does for one.
  - The cluster is read once, and several containers are worked on at the same time. What PVE would refuse at the same
    time waits, and locks that are busy are waited for.
  - On the terminal of the controller a line says when a guest is done, unless C(ANSIBLE_NOCOLOR) or C(CI) is set, or
    the module runs in a process of its own.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.many
  - cloudbridge.proxmox.pve_containers
  - cloudbridge.proxmox.attributes
  - cloudbridge.proxmox.attributes.idempotent
options:
  per_storage:
    description:
      - The most changes that make or copy volumes on a storage at the same time.
      - Without it, O(parallel) is the only limit.
    type: int
seealso:
  - module: cloudbridge.proxmox.pve_container
"""

EXAMPLES = r"""
- name: Make three web servers of one template
  cloudbridge.proxmox.pve_containers:
    defaults:
      template: local:vztmpl/debian-13-standard_13.0-1_amd64.tar.zst
      cores: 2
      memory: 1024
      rootfs:
        storage: local-lvm
        size: 8G
      tags: [web]
    guests:
      - name: web1
      - name: web2
      - name: web3
        memory: 2048

- name: Delete two of them, one after the other, and stop when that fails
  cloudbridge.proxmox.pve_containers:
    defaults:
      state: absent
    guests:
      - name: web2
      - name: web3
    parallel: 1
    on_failure: stop
"""

RETURN = r"""
results:
  description:
    - What came of each guest, in the order of O(guests).
    - Each is what M(cloudbridge.proxmox.pve_container) returns, and has C(failed), C(msg) and C(error) when it failed.
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

from ..module_utils._ansible.modules.pve_containers import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
