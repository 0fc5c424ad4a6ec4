#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_snapshot
short_description: Take, keep, delete and roll back to snapshots of guests of Proxmox VE
version_added: 1.0.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Takes snapshots of virtual machines and containers, deletes them, keeps only the newest ones,
    and rolls a guest back to one.
  - Each of PVE's tasks is waited for before the next one begins.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.guest
  - cloudbridge.proxmox.guest.lock
  - cloudbridge.proxmox.guest.type
  - cloudbridge.proxmox.attributes
  - cloudbridge.proxmox.attributes.idempotent_but_rollback
options:
  state:
    description:
      - V(present) takes the snapshot when there is none of this name, and deletes older ones as O(keep_last) says.
      - V(absent) deletes the snapshot. Without O(snapshot), it only deletes older ones as O(keep_last) says.
      - V(rolled_back) brings the guest back to the snapshot. It always changes something,
        and a guest that runs is stopped, unless the snapshot holds its memory.
      - A storage can refuse to roll back over snapshots that are newer. PVE's message says so then.
    type: str
    choices: [present, absent, rolled_back]
    default: present
  name:
    description:
      - The guest's name. When several guests have it, that is an error which lists them.
    aliases: [hostname]
    type: str
  snapshot:
    description:
      - The snapshot's name, of 2 to 40 letters, digits, hyphens and underscores, beginning with a letter.
      - Required, unless O(state=absent) only deletes what O(keep_last) leaves over.
    aliases: [snapname]
    type: str
  description:
    description:
      - The snapshot's description, with O(state=present).
      - It is changed in place on a snapshot that exists. Left out, it stays as it is.
      - PVE cannot store the text V(0), which is refused.
    type: str
  vmstate:
    description:
      - Whether the snapshot holds the guest's memory too, with O(state=present). Only virtual machines can have that.
      - Of a guest that does not run there is no memory to save, which is a warning.
      - It cannot be changed of a snapshot that exists. When that differs, it is an error. Left out, either will do.
    type: bool
  start_after:
    description: Start the guest when it does not run after the rollback, with O(state=rolled_back).
    type: bool
    default: false
  children:
    description:
      - What happens to the snapshots that are based on the one to delete, with O(state=absent).
      - V(keep) leaves them, based on the parent of the deleted one.
      - V(delete) deletes them all first, the deepest first.
    type: str
    choices: [keep, delete]
    default: keep
  keep_last:
    description:
      - How many of the snapshots that match O(keep_pattern) stay, the one just taken included.
        The oldest others are deleted, one after the other.
      - The one that O(snapshot) names is never deleted with O(state=present).
    type: int
  keep_pattern:
    description:
      - Which snapshots O(keep_last) counts and deletes, as a shell pattern on their names. Case matters.
      - Required with O(keep_last). With O(state=present) it must match O(snapshot).
    type: str
  timeout:
    description: Seconds that the whole operation may take, PVE's tasks included. Saving much memory takes minutes.
    type: int
    default: 1800
seealso:
  - module: cloudbridge.proxmox.pve_snapshot_info
"""

EXAMPLES = r"""
- name: Take a snapshot before an upgrade
  cloudbridge.proxmox.pve_snapshot:
    name: web
    snapshot: before-upgrade
    description: Taken before the upgrade
    vmstate: true

- name: Take tonight's snapshot, and keep the last seven
  cloudbridge.proxmox.pve_snapshot:
    vmid: 101
    snapshot: "nightly-{{ now(fmt='%Y%m%d') }}"
    keep_last: 7
    keep_pattern: nightly-*

- name: Go back to the state before the upgrade, and leave the guest running
  cloudbridge.proxmox.pve_snapshot:
    name: web
    snapshot: before-upgrade
    state: rolled_back
    start_after: true

- name: Delete a snapshot and all that are based on it
  cloudbridge.proxmox.pve_snapshot:
    name: web
    snapshot: before-upgrade
    state: absent
    children: delete

- name: Delete all but the two newest test snapshots
  cloudbridge.proxmox.pve_snapshot:
    vmid: 101
    state: absent
    keep_last: 2
    keep_pattern: test-*
"""

RETURN = r"""
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
      description:
        - One of V(running), V(paused), V(hibernated) and V(stopped).
        - When nothing was changed, a paused guest is called V(running).
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
snapshot:
  description: The snapshot that O(snapshot) names as it is now, or none when there is none.
  returned: success
  type: dict
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
snapshots:
  description: All snapshots of the guest as they are now, the oldest first, each like RV(snapshot).
  returned: success
  type: list
  elements: dict
deleted:
  description: The snapshots that were deleted, or in check mode would be, in order.
  returned: success
  type: list
  elements: str
  sample: [nightly-1, nightly-2]
steps:
  description: What was done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["take snapshot 'nightly-9' of guest 101 (db)", "delete snapshot 'nightly-2' of guest 101 (db)"]
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
error:
  description: The failure as data, with C(kind), PVE's C(message), C(status), C(upid), C(log_tail) and more.
  returned: failure
  type: dict
"""

from ..module_utils._ansible.modules.pve_snapshot import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
