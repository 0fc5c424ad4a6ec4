#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_volume
short_description: Have ISO images, disk images and container templates on a storage of Proxmox VE
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Brings a file to a storage, by a download of the node, an upload, PVE's list of container templates, a registry of
    container images or a copy, or takes it away.
  - A file that is there is compared with what is asked for. A O(checksum) is verified by PVE, which reads the file for
    it. In the node's list of tasks this is a download from C(compare-only.invalid), which nothing is downloaded from.
    Without a checksum, the size is compared with that of O(src) or with what the server of O(url) says. A template of
    PVE's list and an image of a registry are known by their names, and so is what was unpacked.
  - A download of the same file that another run has begun is waited for.
  - PVE's API cannot write snippets. Put them on the storage by another way, such as M(ansible.builtin.copy) on a node.
  - In the worker, an upload tells on a terminal how far it is.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.attributes
  - cloudbridge.proxmox.attributes.idempotent
options:
  state:
    description:
      - V(present) has the file on the storage.
      - V(absent) has it deleted, also when a download is just making it, which is waited for. An ISO image that is in a
        drive of a virtual machine stays, unless O(force) is set; only guests that the caller may see (C(VM.Audit)) are
        looked at, and their snapshots are not.
    type: str
    choices: [present, absent]
    default: present
  storage:
    description: The storage, which has to be one of files, such as a directory or NFS, and to take the O(content).
    type: str
    required: true
  content:
    description:
      - V(iso) is an image of a CD-ROM, V(import) a disk image or an OVA archive that guests are made of, V(vztmpl) a
        template of containers.
      - Required unless O(template) or O(oci_reference) says it.
    type: str
    choices: [iso, vztmpl, import]
  file_name:
    description:
      - What the file is called on the storage. It must be a name that PVE leaves as it is, of letters, digits and
        C(_.-), and end in what PVE takes for the O(content). PVE knows disk images as C(.qcow2), C(.raw), C(.vmdk) and
        C(.ova) only.
      - Without it, the last part of the source, with C(_) for what PVE does not take.
      - Required for O(state=absent).
    type: str
  url:
    description:
      - The node downloads the file from here.
      - A user, a password and a query in it are kept out of the diff, the steps and the messages, but PVE logs them.
    type: str
  src:
    description:
      - The path of a file that is uploaded, of any size, on the host that the task runs on.
      - Its checksum goes along, and PVE verifies it.
    type: path
  template:
    description: The name of a template in PVE's own list, as C(pveam available) shows it.
    type: str
  oci_reference:
    description:
      - The image of containers that the node pulls from a registry, as in V(docker.io/library/alpine:3.22).
      - Since PVE 9.1.
    type: str
  copy_from:
    description: A volume of the same storage that is copied. PVE's API does this for C(root@pam) with a password only.
    type: dict
    suboptions:
      volume:
        description: The volume, as in V(local:iso/debian.iso).
        type: str
        required: true
      node:
        description: The node that has it. Without it, the node that is to have the copy.
        type: str
  checksum:
    description:
      - The checksum of the file at O(url), or of O(src), as in V(sha256:9f86d0...).
      - The algorithm, which may be left out as the length tells it, is md5, sha1, sha224, sha256, sha384 or sha512.
      - With O(decompress) it is that of the compressed file.
    type: str
  decompress:
    description: How the file at O(url) is compressed, if the node is to unpack it, which PVE does for ISO images only.
    type: str
    choices: [gz, lzo, zst, bz2]
  verify_certificates:
    description: Whether the node checks the certificate of the server of O(url).
    type: bool
    default: true
  nodes:
    description:
      - The nodes that are to have the file on their own storages, or V(all).
      - A shared storage needs none, and neither does a storage that one node has.
    type: list
    elements: str
  replace:
    description:
      - Whether a file that is there, and is another one, is replaced. Otherwise it is an error.
      - What a node downloads is downloaded under another name first, and once more when the old file is gone. PVE
        neither writes a download over a file nor renames one.
      - An upload is written over the old file once its checksum is verified.
    type: bool
    default: false
  force:
    description: Delete or replace an ISO image although it is in a drive of a virtual machine.
    type: bool
    default: false
  timeout:
    description: Seconds that the whole operation may take, transfers included.
    type: int
    default: 7200
"""

EXAMPLES = r"""
- name: Have a cloud image on the storage local
  cloudbridge.proxmox.pve_volume:
    storage: local
    content: import
    url: https://cloud.example.com/images/debian-13-generic-amd64.qcow2
    checksum: sha256:95f2a89c17b0cf6b56ba7e46fb3e889786be4877bd36330ef80d64bb3735f1d8
    nodes: all

- name: Have an installation image, unpacked
  cloudbridge.proxmox.pve_volume:
    storage: local
    content: iso
    url: https://cloud.example.com/images/opnsense.iso.gz
    decompress: gz
    nodes: pve1

- name: Upload a disk image
  cloudbridge.proxmox.pve_volume:
    storage: local
    content: import
    src: "{{ playbook_dir }}/appliance.qcow2"

- name: Have a template of containers
  cloudbridge.proxmox.pve_volume:
    storage: local
    template: alpine-3.22-default_20250617_amd64.tar.xz

- name: Delete an image
  cloudbridge.proxmox.pve_volume:
    state: absent
    storage: local
    content: iso
    file_name: debian.iso
"""

RETURN = r"""
volid:
  description: PVE's name of the file.
  returned: success
  type: str
  sample: local:import/debian-13.qcow2
volumes:
  description: The file, once for each node whose storage is meant; what was there, when it is deleted.
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
compared_by:
  description: What the file that is there was compared by - V(checksum), V(size) or V(name); none when there was none.
  returned: success
  type: str
awaited_tasks:
  description: In check mode, the tasks of others that make the file just now.
  returned: success
  type: list
  elements: str
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
"""

from ..module_utils._ansible.modules.pve_volume import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
