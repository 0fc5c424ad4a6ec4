#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_guest_password
short_description: Set the password of a user in a virtual machine over its guest agent
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Sets the password of a user that is there. It makes no users.
  - The password travels in the body of a request, and is an argument of no program, here, on the node or in the guest.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.guest
  - cloudbridge.proxmox.attributes
attributes:
  idempotent:
    description: A second run with the same options changes nothing.
    support: partial
    details:
      - A password in clear cannot be compared, so that with O(update_password=always) each run changes it.
options:
  user:
    description: The name of the user in the guest.
    type: str
    required: true
  password:
    description: The password, from 5 to 1024 bytes in UTF-8, or with O(crypted) its hash.
    type: str
    required: true
  crypted:
    description:
      - Whether O(password) is a hash, as C(/etc/shadow) has it.
      - It is compared with the one that the user has. Windows takes none.
    type: bool
    default: false
  update_password:
    description:
      - V(on_create) sets the password of a user who has none yet, or whose password is locked. The guest must have
        C(/bin/sh), and C(/etc/shadow) or C(/etc/master.passwd).
      - V(always) sets it at each run, which is a change each time unless it is O(crypted).
    type: str
    choices: [on_create, always]
    default: on_create
  timeout:
    description: Seconds that the whole operation may take.
    type: int
    default: 120
notes:
  - It needs the privileges C(VM.Audit) and C(VM.GuestAgent.Unrestricted) on the guest; before PVE 9, the latter is
    C(VM.Monitor).
seealso:
  - module: cloudbridge.proxmox.pve_guest_exec
  - module: cloudbridge.proxmox.pve_vm
"""

EXAMPLES = r"""
- name: Give root a password, unless it has one
  cloudbridge.proxmox.pve_guest_password:
    vmid: 101
    user: root
    password: "{{ lookup('ansible.builtin.env', 'GUEST_PASSWORD') }}"

- name: Have the user of the application keep this password
  cloudbridge.proxmox.pve_guest_password:
    vmid: 101
    user: app
    password: $6$oR2nXg1yQw$oPHUcY6RPhDjJxieF7.B5.mNUmA9VUoOBgYikNNw6UrEzkZuYxO0rOookcEO8C/27bMqqIvZbDL1vXqDXuCR3/
    crypted: true
    update_password: always
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
user:
  description: The user.
  returned: success
  type: str
  sample: root
"""

from ..module_utils._ansible.modules.pve_guest_password import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
