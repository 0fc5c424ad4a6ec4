#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_snapshots
short_description: Take, keep, delete and roll back to snapshots of many guests of Proxmox VE in one task
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Does for a list or a selection of guests what M(cloudbridge.proxmox.pve_snapshot) does for one.
  - The cluster is read once, and several guests are worked on at the same time. What PVE would refuse at the same time
    waits, as two clones of one guest that runs; locks that are busy are waited for.
  - On the terminal of the controller a line says when a guest is done, unless C(ANSIBLE_NOCOLOR) or C(CI) is set, or
    the module runs in a process of its own.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.many
  - cloudbridge.proxmox.pve_snapshots
  - cloudbridge.proxmox.many.select
  - cloudbridge.proxmox.attributes
  - cloudbridge.proxmox.attributes.idempotent_but_rollback
options: {}
seealso:
  - module: cloudbridge.proxmox.pve_snapshot
"""

EXAMPLES = r"""
- name: Take a snapshot of all web servers before an upgrade
  cloudbridge.proxmox.pve_snapshots:
    select:
      names: [web*]
    defaults:
      snapshot: before-upgrade
      description: Taken before the upgrade

- name: Take tonight's snapshot of two guests, and keep the last seven
  cloudbridge.proxmox.pve_snapshots:
    defaults:
      snapshot: "nightly-{{ now(fmt='%Y%m%d') }}"
      keep_last: 7
      keep_pattern: nightly-*
    guests:
      - name: web
      - vmid: 101
        keep_last: 14
"""

RETURN = r"""
results:
  description:
    - What came of each guest, in the order of O(guests), or by number with O(select).
    - Each is what M(cloudbridge.proxmox.pve_snapshot) returns, and has C(failed), C(msg) and C(error) when it failed.
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

from ..module_utils._ansible.modules.pve_snapshots import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
