#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_backups_verify
short_description: Prove that the backups of many guests of Proxmox VE work, in one task
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Does for a list or a selection of guests what M(cloudbridge.proxmox.pve_backup_verify) does for one.
  - All guests have their turn, and the task fails at its end when a backup is bad, unless O(on_failure) says otherwise.
  - The playbook C(cloudbridge.proxmox.verify_backups) makes a table of it.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.many
  - cloudbridge.proxmox.pve_backups_verify
  - cloudbridge.proxmox.many.select
  - cloudbridge.proxmox.attributes
  - cloudbridge.proxmox.attributes.idempotent
options: {}
seealso:
  - module: cloudbridge.proxmox.pve_backup_verify
"""

EXAMPLES = r"""
- name: Prove the newest backups of all guests with the tag prod, two at a time
  cloudbridge.proxmox.pve_backups_verify:
    select:
      tags: [prod]
    parallel: 2
    defaults:
      max_age: 2d
      boot: none
"""

RETURN = r"""
results:
  description:
    - What came of each guest, in the order of O(guests), or by number with O(select).
    - Each is what M(cloudbridge.proxmox.pve_backup_verify) returns, and has C(failed), C(msg) and C(error) when it
      failed. One that was not begun because of O(on_failure=stop) has C(skipped).
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

from ..module_utils._ansible.modules.pve_backups_verify import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
