#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_guest_agent_info
short_description: Ask the guest agent of a virtual machine what it knows
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Returns what the agent of a virtual machine tells of its system, each part on its own. What one part fails with is a
    warning, and the others are returned. It is an error when no part is told.
  - An agent that is not enabled, is silent, or whose guest is stopped is an error with its reason.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.guest
  - cloudbridge.proxmox.attributes.info
options:
  gather:
    description:
      - What to ask for. Without it, everything is asked for.
      - V(version) has the commands that the agent may carry out, V(time) takes two requests, each of the others one.
    type: list
    elements: str
    choices: [version, os, host_name, interfaces, filesystems, users, time, vcpus]
  timeout:
    description: Seconds that the whole operation may take.
    type: int
    default: 120
notes:
  - It needs the privileges C(VM.Audit) and C(VM.GuestAgent.Audit) on the guest; before PVE 9, the latter is
    C(VM.Monitor).
seealso:
  - module: cloudbridge.proxmox.pve_guest_exec
  - module: cloudbridge.proxmox.pve_vm_info
"""

EXAMPLES = r"""
- name: Ask a guest for its system and its file systems
  cloudbridge.proxmox.pve_guest_agent_info:
    name: db
    gather: [os, filesystems]
  register: db

- name: Say how full the root file system is
  ansible.builtin.debug:
    msg: "{{ db.agent.filesystems | selectattr('mountpoint', 'eq', '/') | map(attribute='used_bytes') | first }} bytes"
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
error:
  description: The failure as data, with C(kind), PVE's C(message), C(status), C(upid), C(log_tail) and more.
  returned: failure
  type: dict
agent:
  description: What was asked for; each part is null when it is not told.
  returned: success
  type: dict
  contains:
    version:
      description: The C(version) of the agent, the C(commands) that it carries out, and its C(disabled_commands).
      type: dict
    os:
      description: The system, with C(id), C(name), C(pretty_name), C(version_id), C(kernel_release) and C(machine).
      type: dict
    host_name:
      description: The name that the guest gives itself.
      type: str
    interfaces:
      description: The interfaces, each with its C(name), C(mac) and C(addresses).
      type: list
      elements: dict
    filesystems:
      description: The file systems that are mounted, with C(mountpoint), C(type), C(total_bytes) and C(used_bytes).
      type: list
      elements: dict
    users:
      description: Who is logged in, with C(user) and C(login_time).
      type: list
      elements: dict
    time:
      description: The guest's clock as C(epoch), in seconds since 1970, and the C(zone) and C(offset) of its time zone.
      type: dict
    vcpus:
      description: How many processors there are, C(total), and how many of them are C(online).
      type: dict
errors:
  description: Why a part is not told, by its name.
  returned: success
  type: dict
"""

from ..module_utils._ansible.modules.pve_guest_agent_info import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
