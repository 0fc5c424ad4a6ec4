#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_snapshot_info
short_description: List the snapshots of a guest of Proxmox VE
version_added: 1.0.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Lists the snapshots of one virtual machine or container, and says which of them its present state is based on.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.guest
  - cloudbridge.proxmox.guest.type
  - cloudbridge.proxmox.attributes.info
options:
  timeout:
    description: Seconds that the whole operation may take.
    type: int
    default: 60
seealso:
  - module: cloudbridge.proxmox.pve_snapshot
"""

EXAMPLES = r"""
- name: List the snapshots of a guest
  cloudbridge.proxmox.pve_snapshot_info:
    name: web
  register: web

- name: Show the newest one
  ansible.builtin.debug:
    msg: "{{ (web.snapshots | last).name if web.snapshots else 'none' }}"
"""

RETURN = r"""
snapshots:
  description: The snapshots, the oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The snapshot's name.
      type: str
    description:
      description: The snapshot's description.
      type: str
    vmstate:
      description: Whether it holds the guest's memory.
      type: bool
    created:
      description: When it was taken, in seconds since 1970.
      type: int
    parent:
      description: The snapshot that it is based on, or none.
      type: str
    incomplete:
      description: What PVE was doing with it, as V(prepare) or V(delete), when that has not been finished; else none.
      type: str
  sample: {name: nightly-2, description: "", vmstate: false, created: 1795291877, parent: nightly-1}
current:
  description: The guest's present state, which PVE lists beside the snapshots.
  returned: success
  type: dict
  contains:
    parent:
      description: The snapshot that the present state is based on, or none.
      type: str
  sample: {parent: nightly-2}
guest:
  description: The guest as it is now. What PVE does not know yet of a very young guest is null.
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
      description: One of V(running), V(hibernated) and V(stopped). A paused guest is called V(running) here.
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
error:
  description: The failure as data, with C(kind), PVE's C(message), C(status), C(upid), C(log_tail) and more.
  returned: failure
  type: dict
"""

from ..module_utils._ansible.modules.pve_snapshot_info import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
