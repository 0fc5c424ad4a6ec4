#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_backup_info
short_description: List the backups that storages of Proxmox VE hold
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Lists backups by guest and age, those of guests that are gone included.
  - PVE leaves out what the caller may not see, and says nothing of it. It takes C(Datastore.AllocateSpace) on the
    storage and C(VM.Backup) on the guest. Where the first one is missing, a warning says so.
  - A storage that cannot be read at the moment is a warning, too, unless it is named.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.guest.type
  - cloudbridge.proxmox.attributes.info
options:
  vmid:
    description: List only the backups of the guest with this number. It may be gone.
    type: int
  name:
    description: List only the backups of the guest with this name.
    type: str
  storage:
    description: List only what this storage holds.
    type: str
  node:
    description: List only what this node's storages hold, shared ones included.
    type: str
  newest:
    description: List only the newest backup of each guest. One whose verification has failed does not count.
    type: bool
    default: false
  timeout:
    description: Seconds that the whole operation may take.
    type: int
    default: 600
seealso:
  - module: cloudbridge.proxmox.pve_backup
"""

EXAMPLES = r"""
- name: List the newest backup of each guest
  cloudbridge.proxmox.pve_backup_info:
    newest: true
  register: newest

- name: Say which of them are older than two days
  ansible.builtin.debug:
    msg: "{{ newest.backups | selectattr('age', 'gt', 172800) | map(attribute='volid') }}"

- name: List the backups of one guest on one storage
  cloudbridge.proxmox.pve_backup_info:
    name: web
    storage: local
"""

RETURN = r"""
backups:
  description: The backups, by the number of the guest, and the oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    volid:
      description: PVE's name of the backup.
      type: str
    storage:
      description: The storage.
      type: str
    node:
      description: The node that was asked. Of a shared storage, every node has the backup.
      type: str
    vmid:
      description: The number of the guest.
      type: int
    type:
      description: Either V(qemu) or V(lxc).
      type: str
    created:
      description: When it was made, in seconds since 1970.
      type: int
    size:
      description: The size in bytes.
      type: int
    format:
      description: The format, as V(vma.zst), V(tar.zst) or V(pbs-vm).
      type: str
    notes:
      description: The first line of the notes, or none.
      type: str
    protected:
      description: Whether it is protected against being pruned or deleted.
      type: bool
    verification:
      description: What its last verification by Proxmox Backup Server found, V(ok) or V(failed), or none.
      type: str
    encrypted:
      description: Whether it is encrypted, on Proxmox Backup Server.
      type: bool
    guest:
      description: The name of the guest, or none when it is gone or has no name.
      type: str
    guest_exists:
      description: Whether there is a guest of that number and type that the caller can see.
      type: bool
    age:
      description: The seconds since it was made.
      type: int
error:
  description: The failure as data, with C(kind), PVE's C(message), C(status), C(upid), C(log_tail) and more.
  returned: failure
  type: dict
"""

from ..module_utils._ansible.modules.pve_backup_info import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
