#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_backup_job_info
short_description: List the backup jobs of a Proxmox VE cluster
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Lists the backup jobs that PVE runs by itself, each with the guests that it backs up.
  - It takes C(Sys.Audit) on C(/). Guests that the caller may not see, and their pools, are not in RV(jobs[].covers).
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.attributes.info
options:
  job:
    description: List only the job of this name.
    type: str
  vmid:
    description: List only jobs that back up the guest with this number, or list it although it is gone.
    type: int
  name:
    description: List only jobs that back up the guest with this name.
    type: str
  timeout:
    description: Seconds that the whole operation may take.
    type: int
    default: 600
seealso:
  - module: cloudbridge.proxmox.pve_backup_job
  - module: cloudbridge.proxmox.pve_backup_info
"""

EXAMPLES = r"""
- name: List the jobs that back up a guest
  cloudbridge.proxmox.pve_backup_job_info:
    name: web
  register: found

- name: Say which of them run
  ansible.builtin.debug:
    msg: "{{ found.jobs | selectattr('enabled') | map(attribute='id') }}"
"""

RETURN = r"""
jobs:
  description: The jobs by their names; an empty list when there is none.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The name of the job.
      type: str
    enabled:
      description: Whether it runs.
      type: bool
    schedule:
      description: When it runs, as a calendar event of PVE.
      type: str
    next_run:
      description: When it runs next, in seconds since 1970, or none.
      type: int
    storage:
      description: The storage of the backups.
      type: str
    node:
      description: The node that runs it, or none when all do.
      type: str
    vmids:
      description: The numbers of the guests that it lists, those included that are gone.
      type: list
      elements: int
    all_guests:
      description: Whether all guests are meant.
      type: bool
    pool:
      description: The pool whose guests are meant, or none.
      type: str
    exclude:
      description: The numbers of the guests that are left out of all guests.
      type: list
      elements: int
    covers:
      description: The numbers of the guests that it backs up when it runs now, of those that the caller can see.
      type: list
      elements: int
    mode:
      description: How a guest that runs is backed up.
      type: str
    compress:
      description: How archives are compressed, or V(0).
      type: str
    retention:
      description: Which backups stay, as V(keep-daily=7,keep-weekly=4), or none when the storage says so.
      type: str
    comment:
      description: The comment on the job, or none.
      type: str
error:
  description: The failure as data, with C(kind), PVE's C(message), C(status), C(upid), C(log_tail) and more.
  returned: failure
  type: dict
"""

from ..module_utils._ansible.modules.pve_backup_job_info import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
