#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_guests_exec
short_description: Run a command in many virtual machines over their guest agents in one task
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Does for a list or a selection of virtual machines what M(cloudbridge.proxmox.pve_guest_exec) does for one.
  - The cluster is read once, and the command runs in several guests at the same time.
  - Each call for an agent holds one of the three API workers of its node for a moment, and one for a silent agent holds
    it for three seconds. O(per_node) keeps some of them free.
  - On the terminal of the controller a line says when a guest is done, unless C(ANSIBLE_NOCOLOR) or C(CI) is set, or
    the module runs in a process of its own.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.many
  - cloudbridge.proxmox.pve_guests_exec
  - cloudbridge.proxmox.many.select
  - cloudbridge.proxmox.attributes
attributes:
  check_mode:
    description: Can run in C(check_mode), and predicts there what would change without changing it.
    support: partial
    details:
      - In check mode the command is not run, and counts as a change unless its options C(creates) or C(removes) say
        otherwise.
  diff_mode:
    description: Returns what has changed, or in C(check_mode) would change, when in diff mode.
    support: none
  idempotent:
    description: A second run with the same options changes nothing.
    support: partial
    details:
      - A command that was run counts as a change.
options: {}
seealso:
  - module: cloudbridge.proxmox.pve_guest_exec
"""

EXAMPLES = r"""
- name: Ask all guests with a tag for their kernel, at most two of a node at a time
  cloudbridge.proxmox.pve_guests_exec:
    select:
      tags: [prod]
      status: running
      guest_type: qemu
    defaults:
      argv: [uname, -r]
    per_node: 2
  register: kernels

- name: Run a different command in each of two guests
  cloudbridge.proxmox.pve_guests_exec:
    guests:
      - name: web
        command: systemctl reload nginx
      - vmid: 101
        command: systemctl reload postgresql
"""

RETURN = r"""
results:
  description:
    - What came of each guest, in the order of O(guests), or by number with O(select).
    - Each is what M(cloudbridge.proxmox.pve_guest_exec) returns, and has C(failed), C(msg) and C(error) when it failed.
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

from ..module_utils._ansible.modules.pve_guests_exec import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
