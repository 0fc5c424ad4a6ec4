#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_backup_job
short_description: Have a backup job of a Proxmox VE cluster
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Makes, changes and deletes the backup jobs that PVE runs by itself.
  - Values are compared by what they mean. What is left out of the options stays as it is.
  - PVE takes jobs for storages and nodes that it does not have, and fails when they run. This module refuses them.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.attributes
  - cloudbridge.proxmox.attributes.idempotent
options:
  job:
    description: The name of the job, of letters, digits, hyphens and underscores, beginning with a letter.
    type: str
    required: true
  state:
    description: Whether there is to be such a job.
    type: str
    choices: [present, absent]
    default: present
  enabled:
    description: Whether the job runs. A new one does, unless this says otherwise.
    type: bool
  schedule:
    description:
      - When it runs, as a calendar event of PVE, like V(daily), V(sat 03:00) or V(mon..fri 22:30). A new job needs it.
      - Write a time alone in quotes. Without these, YAML makes a number of V(22:30).
    type: str
  comment:
    description: A comment on the job.
    type: str
  repeat_missed:
    description: Whether a run that was missed, as the node was off, is made up for.
    type: bool
  storage:
    description: The storage of the backups. A new job needs it.
    type: str
  node:
    description: The node that runs it. Without it, each node backs up the guests that it has.
    type: str
  guests:
    description:
      - The guests, by numbers or names. A new job needs one of O(guests), O(all_guests) and O(pool).
    type: list
    elements: str
  guests_mode:
    description:
      - Whether O(guests) are all guests of the job, V(set), or are added to or removed from those that it lists.
      - With V(remove), guests that are gone are named by their numbers.
    type: str
    choices: [set, add, remove]
    default: set
  all_guests:
    description: All guests are meant, those that are made later included.
    type: bool
  pool:
    description: All guests of this pool are meant.
    type: str
  exclude:
    description: Guests that are left out of O(all_guests), by numbers or names.
    type: list
    elements: str
  mode:
    description: How a guest that runs is backed up, see M(cloudbridge.proxmox.pve_backup).
    type: str
    choices: [snapshot, suspend, stop]
  compress:
    description: How archives are compressed.
    type: str
    choices: ['0', gzip, lzo, zstd]
  notes_template:
    description:
      - The notes of each backup. PVE replaces C(guestname), C(vmid), C(node) and C(cluster) between two braces in it.
    type: str
  protected:
    description: Whether the backups are protected against being pruned or deleted.
    type: bool
  bandwidth:
    description: The most KiB that are read in a second.
    type: int
  fleecing_storage:
    description: A storage for what guests overwrite during their backup.
    type: str
  change_detection:
    description: How files of containers that have changed are found, on Proxmox Backup Server.
    type: str
    choices: [legacy, data, metadata]
  zstd_threads:
    description: The threads of zstd. With V(0), these are half of the processors.
    type: int
  max_workers:
    description: The most parallel reads of a virtual machine's disks.
    type: int
  pbs_entries_max:
    description:
      - The most entries of a directory that are held in memory, for containers on Proxmox Backup Server.
    type: int
  exclude_paths:
    description: Shell patterns of files in containers that are left out.
    type: list
    elements: str
  mailto:
    description: Addresses and users who get mail about it.
    type: list
    elements: str
  notification_mode:
    description: How notifications are sent.
    type: str
    choices: [auto, legacy-sendmail, notification-system]
  keep_last:
    description:
      - How many of each guest's newest backups on the storage stay, see M(cloudbridge.proxmox.pve_backup).
      - One of these options replaces the retention of the job, the other rules included.
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
    description: The job has no retention of its own, and prunes as the settings of the storage say.
    type: bool
    default: false
  timeout:
    description: Seconds that the whole operation may take.
    type: int
    default: 600
seealso:
  - module: cloudbridge.proxmox.pve_backup_job_info
  - module: cloudbridge.proxmox.pve_backup
"""

EXAMPLES = r"""
- name: Back all guests up each night but the test machine, and keep a week and a month
  cloudbridge.proxmox.pve_backup_job:
    job: nightly
    schedule: "03:00"
    storage: local
    all_guests: true
    exclude: [db]
    mode: snapshot
    compress: zstd
    keep_daily: 7
    keep_weekly: 4

- name: Add a new guest to the guests that another job lists
  cloudbridge.proxmox.pve_backup_job:
    job: weekly
    schedule: sat 03:00
    storage: local
    guests: [web]
    guests_mode: add

- name: Let it rest
  cloudbridge.proxmox.pve_backup_job:
    job: nightly
    enabled: false

- name: Delete it
  cloudbridge.proxmox.pve_backup_job:
    job: nightly
    state: absent
"""

RETURN = r"""
job:
  description: The job as it is now, or none.
  returned: success
  type: dict
  sample: {id: nightly, enabled: true, schedule: "03:00", storage: local, all_guests: true, retention: "keep-daily=7"}
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

from ..module_utils._ansible.modules.pve_backup_job import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
