#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_storage_info
short_description: Say which storages Proxmox VE has, where, and how full they are
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Lists the storages that the caller may see (C(Datastore.Audit)), with the nodes that have them.
  - How full they are is what PVE found out last, which may be ten seconds ago.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.attributes.info
options:
  storage:
    description: List only this storage.
    type: str
  node:
    description: List only the storages of this node.
    type: str
  content:
    description: List only storages that take content of this kind.
    type: str
    choices: [images, rootdir, iso, vztmpl, import, backup, snippets]
  timeout:
    description: Seconds that the whole operation may take.
    type: int
    default: 600
"""

EXAMPLES = r"""
- name: Say where disk images for imports can be
  cloudbridge.proxmox.pve_storage_info:
    content: import
"""

RETURN = r"""
storages:
  description: The storages, in the order of their names.
  returned: success
  type: list
  elements: dict
  contains:
    storage:
      description: The storage's name.
      type: str
    type:
      description: The kind of storage, as V(dir), V(nfs), V(lvmthin) or V(zfspool).
      type: str
    content:
      description: The kinds of content that it takes.
      type: list
      elements: str
    shared:
      description: Whether the nodes share it.
      type: bool
    config:
      description: The rest of its configuration, as its C(path).
      type: dict
    nodes:
      description: The nodes that have it.
      type: list
      elements: dict
      contains:
        node:
          description: The node's name.
          type: str
        active:
          description: Whether the node can use it at the moment.
          type: bool
        total:
          description: Its size in bytes.
          type: int
        used:
          description: The bytes in use.
          type: int
        available:
          description: The bytes that are left.
          type: int
error:
  description: The failure as data, with C(kind), PVE's C(message), C(status), C(upid), C(log_tail) and more.
  returned: failure
  type: dict
"""

from ..module_utils._ansible.modules.pve_storage_info import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
