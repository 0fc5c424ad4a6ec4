#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_vm_power
short_description: Start, stop, restart, reset, pause and hibernate guests of Proxmox VE
version_added: 1.0.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Brings a virtual machine or a container into a power state, and waits until it really is in it.
  - The guest is found on whichever node of the cluster it is.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.guest
  - cloudbridge.proxmox.guest.lock
  - cloudbridge.proxmox.guest.type
  - cloudbridge.proxmox.attributes
  - cloudbridge.proxmox.attributes.idempotent_but_restart
options:
  state:
    description:
      - The desired state of the guest.
      - V(started) starts a stopped guest, and resumes a paused or hibernated one.
      - V(stopped) is also met by a hibernated guest.
      - V(restarted) starts a stopped guest. It always changes something, as V(reset) does.
      - V(reset), V(paused) and V(hibernated) are for virtual machines that run; of a stopped one they are an error.
    type: str
    choices: [started, stopped, restarted, reset, paused, hibernated]
    default: started
  stop_method:
    description:
      - How a running guest is stopped or restarted.
      - V(shutdown) asks the guest's system, and is an error when that does not obey in O(shutdown_timeout).
      - V(stop) pulls the plug.
      - V(shutdown_then_stop) asks, and pulls the plug after O(shutdown_timeout).
    type: str
    choices: [shutdown, stop, shutdown_then_stop]
    default: shutdown
  shutdown_timeout:
    description: Seconds that the guest's system may take to shut down.
    type: int
    default: 180
  wait_for:
    description:
      - What to wait for once the guest runs; also of a guest that ran before.
      - V(agent) is the answer of the QEMU guest agent.
      - V(ip) is an address of one of the guest's own network devices, which is neither loopback nor link-local. The
        MAC address decides which devices are the guest's own, so a bridge for containers inside the guest does not
        count. The addresses are returned as RV(addresses).
    type: list
    elements: str
    choices: [agent, ip]
  wait_timeout:
    description: Seconds to wait for what O(wait_for) names.
    type: int
    default: 300
  prefer_networks:
    description:
      - Networks, as in V(192.0.2.0/24). Addresses in the first of them come first in RV(addresses), and so on.
    type: list
    elements: str
    version_added: 1.1.0
  exclude_networks:
    description: Networks whose addresses are neither waited for nor returned.
    type: list
    elements: str
    version_added: 1.1.0
  timeout:
    description: Seconds that the whole operation may take, PVE's tasks included.
    type: int
    default: 600
seealso:
  - module: cloudbridge.proxmox.pve_vm
"""

EXAMPLES = r"""
- name: Start a virtual machine and wait for its address
  cloudbridge.proxmox.pve_vm_power:
    name: web
    state: started
    wait_for: [agent, ip]
  register: web

- name: Shut down, and pull the plug after a minute
  cloudbridge.proxmox.pve_vm_power:
    vmid: 101
    state: stopped
    stop_method: shutdown_then_stop
    shutdown_timeout: 60
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
  sample: {vmid: 101, name: db, node: pve1, type: qemu, status: running}
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
  sample: ["start guest 101 (db)"]
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
pending:
  description: Settings that take effect at the next start only.
  returned: when something was changed
  type: list
  elements: dict
  contains:
    key:
      description: PVE's name of the setting.
      type: str
    current:
      description: The value in effect.
      type: raw
    pending:
      description: The value to come.
      type: raw
    delete:
      description: Whether the setting will be unset.
      type: bool
addresses:
  description: The guest's addresses, in the lists C(ipv4) and C(ipv6).
  returned: when O(wait_for) holds V(ip)
  type: dict
  sample: {ipv4: [192.0.2.10], ipv6: []}
error:
  description: The failure as data, with C(kind), PVE's C(message), C(status), C(upid), C(log_tail) and more.
  returned: failure
  type: dict
"""

from ..module_utils._ansible.modules.pve_vm_power import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
