#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_backup
short_description: Have a young backup of a guest of Proxmox VE, and prune, annotate, protect and delete backups
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Makes a backup of a virtual machine or a container with PVE's vzdump, unless there is one that is young enough.
  - Prunes older ones by PVE's own rules, and shows in check mode and in the diff what is pruned.
  - Changes the notes and the protection of a backup in place, and deletes one.
  - The node that the guest is on is asked, since any other one answers that all is well and makes no backup.
  - A backup of the guest that runs already is waited for, and will do when it is young enough and on this storage.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.guest
  - cloudbridge.proxmox.guest.type
  - cloudbridge.proxmox.guest.lock
  - cloudbridge.proxmox.attributes
  - cloudbridge.proxmox.attributes.idempotent_but_backup
options:
  state:
    description:
      - V(present) makes a backup when there is none that is young enough, and then prunes.
        With O(backup) it only changes the notes and the protection of that one.
      - V(absent) deletes the backup that O(backup) names, or only prunes.
    type: str
    choices: [present, absent]
    default: present
  storage:
    description:
      - The storage of the backups. Without O(backup) it is required.
    type: str
  vmid:
    description:
      - The guest's number, from V(100) to V(999999999).
      - One of O(vmid), O(name) and O(backup) is required. The guest must be all that is given.
    type: int
  backup:
    description:
      - One backup, as PVE and M(cloudbridge.proxmox.pve_backup_info) name it. Its guest may be gone.
    type: str
  node:
    description:
      - The node whose storage is meant, with O(backup), when the guest is gone and several nodes have such a storage.
    type: str
  max_age:
    description:
      - How old the newest backup of the guest on the storage may be, with O(state=present) and without O(backup).
      - A number of seconds, or a number with V(m), V(h), V(d) or V(w), as V(90m), V(24h) or V(1w).
      - V(0) makes a new one each time.
      - A backup whose verification by Proxmox Backup Server has failed is none.
      - Nor is one that is older than the virtual machine, which is of another guest that had the number before.
    type: str
  notes:
    description:
      - The notes of the backup. Left out, those of one that there is stay as they are.
      - The text is taken as it is. It cannot have two opening braces.
    type: str
  protected:
    description:
      - Whether the backup is protected against being pruned or deleted. Left out, it stays as it is.
    type: bool
  mode:
    description:
      - How a guest that runs is backed up. V(snapshot) goes on running, V(suspend) is paused for a part of the time,
        and V(stop) is shut down and started again.
      - A container on a storage without snapshots needs V(suspend) or V(stop).
    type: str
    choices: [snapshot, suspend, stop]
    default: snapshot
  compress:
    description: How the archive is compressed. Proxmox Backup Server compresses by itself.
    type: str
    choices: ['0', gzip, lzo, zstd]
    default: zstd
  bandwidth:
    description: The most KiB that are read in a second. It takes C(Sys.Modify) on C(/).
    type: int
  fleecing_storage:
    description:
      - A storage for what the guest overwrites during the backup, so that a slow backup storage does not slow it down.
    type: str
  change_detection:
    description: How files of a container that have changed are found, on Proxmox Backup Server.
    type: str
    choices: [legacy, data, metadata]
  zstd_threads:
    description: The threads of zstd. With V(0), these are half of the processors.
    type: int
  max_workers:
    description: The most parallel reads of a virtual machine's disks. It takes C(Sys.Modify) on C(/).
    type: int
  pbs_entries_max:
    description:
      - The most entries of a directory that are held in memory, for a container on Proxmox Backup Server.
        It takes C(Sys.Modify) on C(/).
    type: int
  exclude_paths:
    description: Shell patterns of files in a container that are left out.
    type: list
    elements: str
  mailto:
    description: Addresses and users who get mail about the backup.
    type: list
    elements: str
  notification_mode:
    description:
      - How notifications are sent. With V(auto), it is V(legacy-sendmail) when O(mailto) is given.
    type: str
    choices: [auto, legacy-sendmail, notification-system]
  keep_last:
    description:
      - How many of the guest's newest backups on the storage stay. The others are pruned, those that are protected or
        renamed excepted.
      - The rules are applied from O(keep_last) to O(keep_yearly), and each looks only at what no rule before has kept.
      - Without any of them nothing is pruned.
    type: int
  keep_hourly:
    description: Of how many hours the newest backup stays.
    type: int
  keep_daily:
    description: Of how many days the newest backup stays.
    type: int
  keep_weekly:
    description: Of how many weeks the newest backup stays.
    type: int
  keep_monthly:
    description: Of how many months the newest backup stays.
    type: int
  keep_yearly:
    description: Of how many years the newest backup stays.
    type: int
  keep_as_storage:
    description: Prune as the settings of the storage say.
    type: bool
    default: false
  timeout:
    description: Seconds that the whole operation may take, PVE's tasks included.
    type: int
    default: 7200
seealso:
  - module: cloudbridge.proxmox.pve_backup_info
  - module: cloudbridge.proxmox.pve_backups
"""

EXAMPLES = r"""
- name: Have a backup that is no older than a day, and keep a week of them
  cloudbridge.proxmox.pve_backup:
    name: web
    storage: local
    max_age: 24h
    keep_daily: 7

- name: Make one now, before an upgrade, that nobody prunes
  cloudbridge.proxmox.pve_backup:
    vmid: 101
    storage: local
    max_age: "0"
    notes: Before the upgrade
    protected: true
  register: before

- name: Let it be pruned again
  cloudbridge.proxmox.pve_backup:
    backup: "{{ before.backup.volid }}"
    protected: false

- name: Delete it
  cloudbridge.proxmox.pve_backup:
    backup: "{{ before.backup.volid }}"
    state: absent

- name: Only prune
  cloudbridge.proxmox.pve_backup:
    name: web
    storage: local
    state: absent
    keep_last: 2
    keep_monthly: 6
"""

RETURN = r"""
backup:
  description: The backup that was made, or will do, or is named, as it is now; none when there is none.
  returned: success
  type: dict
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
  sample: {volid: "local:backup/vzdump-qemu-100-2026_01_31-03_00_00.vma.zst", size: 1073741824, protected: false}
backups:
  description: All backups of the guest on the storage as they are now, the oldest first, each like RV(backup).
  returned: success
  type: list
  elements: dict
deleted:
  description: The backups that were pruned or deleted, or in check mode would be.
  returned: success
  type: list
  elements: str
guest:
  description: The guest as it is now.
  returned: success, when there is such a guest
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
  sample: ["back guest 100 (web) up to local (snapshot)", "prune 1 backup of guest 100 (web) on local (keep-daily=7)"]
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

from ..module_utils._ansible.modules.pve_backup import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
