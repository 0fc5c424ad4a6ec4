#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_vm_info
short_description: Look at guests of Proxmox VE
version_added: 1.0.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Looks at one guest, or lists all virtual machines and containers of the cluster that meet every condition given.
  - A list takes one request, however many guests there are. Its names and states can be 10 seconds old, and those of
    a guest that is younger, or whose node is down, are null. One guest, by O(vmid) or O(name), is asked itself.
  - That there is no such guest is no failure, but an empty list.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.attributes.info
options:
  vmid:
    description: The number of the one guest to look at, from V(100) to V(999999999).
    type: int
  name:
    description: The name of the one guest to look at. When several guests have it, that is an error which lists them.
    type: str
  guest_type:
    description: Look only at virtual machines, V(qemu), or only at containers, V(lxc).
    type: str
    choices: [auto, qemu, lxc]
    default: auto
  node:
    description: Look only at guests that are on this node.
    type: str
  pool:
    description: Look only at guests that are in this pool.
    type: str
  tags:
    description: Look only at guests that have all these tags. Case does not matter.
    type: list
    elements: str
  status:
    description: Look only at guests that are in this state. A paused guest counts as V(running).
    type: str
    choices: [running, hibernated, stopped]
  template:
    description: Look only at templates, or only at guests that are none.
    type: bool
  gather:
    description:
      - What to read of each of these guests besides. Each takes one more request for each guest.
      - V(config) is the configuration, with changes that wait for the next start.
      - V(pending) is the list of those changes.
      - V(snapshots) is the list of snapshots, as M(cloudbridge.proxmox.pve_snapshot_info) returns it.
      - V(agent) is the guest's interfaces and addresses. An agent that is missing or silent is a warning and not a
        failure.
      - In a list, all of it is null for the guests of a node that does not answer, which is one warning for each node.
    type: list
    elements: str
    choices: [config, pending, snapshots, agent]
    default: []
  timeout:
    description: Seconds that the whole operation may take.
    type: int
    default: 120
seealso:
  - module: cloudbridge.proxmox.pve_vm
  - module: cloudbridge.proxmox.pve_vm_power
"""

EXAMPLES = r"""
- name: Look at one guest, with its configuration and addresses
  cloudbridge.proxmox.pve_vm_info:
    name: web
    gather: [config, agent]
  register: web

- name: List the running virtual machines that are tagged prod and web
  cloudbridge.proxmox.pve_vm_info:
    guest_type: qemu
    status: running
    template: false
    tags: [prod, web]
"""

RETURN = r"""
guests:
  description: The guests, in the order of their numbers.
  returned: success
  type: list
  elements: dict
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
      description:
        - One of V(running), V(paused), V(hibernated) and V(stopped).
        - A list calls a paused guest V(running).
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
    config:
      description: The configuration as PVE keeps it. Passwords are masked.
      returned: when O(gather) holds V(config)
      type: dict
    pending:
      description: Settings that take effect at the next start only.
      returned: when O(gather) holds V(pending)
      type: list
      elements: dict
    snapshots:
      description: The snapshots, the oldest first.
      returned: when O(gather) holds V(snapshots)
      type: list
      elements: dict
    interfaces:
      description:
        - The interfaces inside the guest, each with its C(name), its C(mac) and its C(addresses) with their prefixes.
        - It is none when the guest does not run, or when its agent does not tell.
      returned: when O(gather) holds V(agent)
      type: list
      elements: dict
      sample: [{name: eth0, mac: "BC:24:11:00:00:65", addresses: [192.0.2.10/24]}]
    addresses:
      description:
        - The addresses of all of them, in the lists C(ipv4) and C(ipv6). When O(gather) holds V(config), too, it is
          those of the guest's own network devices.
        - It is none when the guest does not run, or when its agent does not tell.
      returned: when O(gather) holds V(agent)
      type: dict
      sample: {ipv4: [192.0.2.10], ipv6: []}
  sample: [{vmid: 101, name: db, node: pve1, type: qemu, status: running}]
error:
  description: The failure as data, with C(kind), PVE's C(message), C(status), C(upid), C(log_tail) and more.
  returned: failure
  type: dict
"""

from ..module_utils._ansible.modules.pve_vm_info import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
