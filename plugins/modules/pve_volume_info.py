#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_volume_info
short_description: List the files and disks that storages of Proxmox VE hold
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Lists ISO images, disk images, templates, backups and the disks of guests. PVE knows no checksums of them.
  - PVE leaves out what the caller may not see. Disks of guests take C(VM.Config.Disk) on the guest.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.attributes.info
options:
  storage:
    description: List only this storage.
    type: str
  node:
    description: List only what this node has, shared storages included.
    type: str
  content:
    description: List only content of this kind.
    type: str
    choices: [images, rootdir, iso, vztmpl, import, backup, snippets]
  vmid:
    description: List only what belongs to this guest.
    type: int
  pattern:
    description: List only what has such a name, with C(*) and C(?), as V(debian-*.qcow2) or V(local:iso/*).
    type: str
  timeout:
    description: Seconds that the whole operation may take.
    type: int
    default: 600
"""

EXAMPLES = r"""
- name: List the disk images that guests can be made of
  cloudbridge.proxmox.pve_volume_info:
    content: import

- name: List the ISO images of Debian
  cloudbridge.proxmox.pve_volume_info:
    storage: local
    content: iso
    pattern: debian*
"""

RETURN = r"""
volumes:
  description: The volumes, in the order of their names.
  returned: success
  type: list
  elements: dict
  contains:
    volid:
      description: PVE's name of the volume.
      type: str
      sample: local:import/debian-13.qcow2
    storage:
      description: The storage.
      type: str
    node:
      description: The node that was asked. Of a shared storage, every node has the volume.
      type: str
    content:
      description: The kind of content, as V(iso) or V(import).
      type: str
    file_name:
      description: The name without the storage and the kind.
      type: str
    format:
      description: The format, as V(iso), V(qcow2), V(raw) or V(tzst).
      type: str
    size:
      description: The size in bytes, of a file that of the file. In check mode it is none where nobody can tell yet.
      type: int
    used:
      description: The bytes that a disk takes up, where the storage tells.
      type: int
    vmid:
      description: The number of the guest that the volume belongs to, or none.
      type: int
    created:
      description: When the volume was made, in seconds since 1970.
      type: int
    notes:
      description: The notes of a backup; PVE has them for nothing else.
      type: str
    protected:
      description: Whether a backup is protected.
      type: bool
    parent:
      description: The volume that a linked clone is based on.
      type: str
    shared:
      description: Whether the storage is shared by the nodes.
      type: bool
error:
  description: The failure as data, with C(kind), PVE's C(message), C(status), C(upid), C(log_tail) and more.
  returned: failure
  type: dict
"""

from ..module_utils._ansible.modules.pve_volume_info import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
