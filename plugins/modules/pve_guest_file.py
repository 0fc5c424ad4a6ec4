#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_guest_file
short_description: Make, read and delete a file in a virtual machine over its guest agent
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Brings a file in a virtual machine into a state, with its content, mode and owner, or returns what is in it.
  - The guest needs neither a network nor Python, but C(/bin/sh) or Windows PowerShell, and a guest agent
    that may run commands.
  - A file is changed as a whole, or not at all, and what arrived is compared by its SHA-256.
  - It is meant for small files. P(cloudbridge.proxmox.pve_agent#connection) copies those of any size.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.guest
  - cloudbridge.proxmox.attributes
  - cloudbridge.proxmox.attributes.idempotent
options:
  path:
    description: The whole path of the file in the guest. Its directory must be there.
    type: str
    required: true
  state:
    description:
      - V(present) makes the file, or changes what differs.
      - V(absent) deletes it.
      - V(read) changes nothing and returns the content, up to 1 MiB.
    type: str
    choices: [present, absent, read]
    default: present
  content:
    description:
      - The text that the file is to hold.
      - Without this and O(src) its content stays as it is.
    type: str
  src:
    description: A file on the machine that runs the module, with what the file in the guest is to hold.
    type: path
  mode:
    description:
      - The mode in octal and in quotes, as in V('0644').
      - A new file without it has what the guest gives to new files.
    type: str
  owner:
    description: The user that the file is to belong to, a name or a number.
    type: str
  group:
    description: The group that the file is to belong to, a name or a number.
    type: str
  shell:
    description:
      - The shell of the guest, V(powershell) in Windows.
      - There O(path) begins with a drive, and O(mode), O(owner) and O(group) are refused.
    type: str
    choices: [sh, powershell]
    default: sh
  timeout:
    description: Seconds that the whole operation may take.
    type: int
    default: 600
notes:
  - The diff shows the content. Put C(no_log) or C(diff=false) on tasks whose files are secret.
  - It needs the privileges C(VM.Audit) and C(VM.GuestAgent.Unrestricted) on the guest; before PVE 9, the latter is
    C(VM.Monitor).
seealso:
  - module: cloudbridge.proxmox.pve_guest_exec
  - plugin: cloudbridge.proxmox.pve_agent
    plugin_type: connection
"""

EXAMPLES = r"""
- name: Give a guest an address before it has a network
  cloudbridge.proxmox.pve_guest_file:
    vmid: 101
    path: /etc/network/interfaces.d/lan
    content: |
      auto eth0
      iface eth0 inet static
        address 192.0.2.10/24
        gateway 192.0.2.1
    mode: '0644'

- name: Read the log of its first boot
  cloudbridge.proxmox.pve_guest_file:
    vmid: 101
    path: /var/log/cloud-init.log
    state: read
  register: log

- name: Show it
  ansible.builtin.debug:
    msg: "{{ log.content | default('') | ansible.builtin.b64decode }}"

- name: Take a file away
  cloudbridge.proxmox.pve_guest_file:
    vmid: 101
    path: /etc/nologin
    state: absent
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
path:
  description: The file.
  returned: success
  type: str
checksum:
  description: The SHA-256 of the content that was asked for or read.
  returned: success, with O(content), O(src) or O(state=read)
  type: str
content:
  description: What is in the file, in base64. The filter P(ansible.builtin.b64decode#filter) makes text of it.
  returned: success, with O(state=read)
  type: str
encoding:
  description: How RV(content) is written, V(base64).
  returned: success, with O(state=read)
  type: str
size:
  description: Bytes in the file.
  returned: success, with O(state=read)
  type: int
mode:
  description: Its mode in octal; none in Windows, as the next four.
  returned: success, with O(state=read)
  type: str
  sample: "0644"
owner:
  description: The name of the user it belongs to.
  returned: success, with O(state=read)
  type: str
group:
  description: The name of the group it belongs to.
  returned: success, with O(state=read)
  type: str
uid:
  description: The number of the user it belongs to.
  returned: success, with O(state=read)
  type: int
gid:
  description: The number of the group it belongs to.
  returned: success, with O(state=read)
  type: int
"""

from ..module_utils._ansible.modules.pve_guest_file import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
