# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Written by `make format` from the documentation of pve_backup.

from __future__ import annotations


class ModuleDocFragment:
    """What pve_backups has from pve_backup."""

    DOCUMENTATION = r"""
options:
  defaults:
    description:
      - What is asked for all guests.
      - An option of a guest goes before this. Of dictionaries each key does, and a list is replaced.
    type: dict
    suboptions: &shared
      guest_type:
        description:
          - Whether the guest must be a virtual machine, V(qemu), or a container, V(lxc).
          - V(auto) is used when nothing says otherwise.
        type: str
        choices:
          - auto
          - qemu
          - lxc
      wait_for_lock:
        description:
          - Seconds that the guest is waited for when PVE has locked it, as for a backup, a snapshot or a move.
          - With V(0) that is an error at once. The lock of a hibernated guest is never waited for.
          - It does not go beyond O(cloudbridge.proxmox.pve_backup#module:timeout).
          - V(0) is used when nothing says otherwise.
        type: int
        version_added: 1.1.0
      state:
        description:
          - V(present) makes a backup when there is none that is young enough, and then prunes. With
            O(cloudbridge.proxmox.pve_backup#module:backup) it only changes the notes and the protection of that one.
          - V(absent) deletes the backup that O(cloudbridge.proxmox.pve_backup#module:backup) names, or only prunes.
          - V(present) is used when nothing says otherwise.
        type: str
        choices:
          - present
          - absent
      storage:
        description:
          - The storage of the backups. Without O(cloudbridge.proxmox.pve_backup#module:backup) it is required.
        type: str
      backup:
        description:
          - One backup, as PVE and M(cloudbridge.proxmox.pve_backup_info) name it. Its guest may be gone.
        type: str
      node:
        description:
          - The node whose storage is meant, with O(cloudbridge.proxmox.pve_backup#module:backup), when the guest is
            gone and several nodes have such a storage.
        type: str
      max_age:
        description:
          - How old the newest backup of the guest on the storage may be, with
            O(cloudbridge.proxmox.pve_backup#module:state=present) and without
            O(cloudbridge.proxmox.pve_backup#module:backup).
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
          - How a guest that runs is backed up. V(snapshot) goes on running, V(suspend) is paused for a part of the
            time, and V(stop) is shut down and started again.
          - A container on a storage without snapshots needs V(suspend) or V(stop).
          - V(snapshot) is used when nothing says otherwise.
        type: str
        choices:
          - snapshot
          - suspend
          - stop
      compress:
        description:
          - How the archive is compressed. Proxmox Backup Server compresses by itself.
          - V(zstd) is used when nothing says otherwise.
        type: str
        choices:
          - '0'
          - gzip
          - lzo
          - zstd
      bandwidth:
        description: The most KiB that are read in a second. It takes C(Sys.Modify) on C(/).
        type: int
      fleecing_storage:
        description:
          - A storage for what the guest overwrites during the backup, so that a slow backup storage does not slow it
            down.
        type: str
      change_detection:
        description: How files of a container that have changed are found, on Proxmox Backup Server.
        type: str
        choices:
          - legacy
          - data
          - metadata
      zstd_threads:
        description: The threads of zstd. With V(0), these are half of the processors.
        type: int
      max_workers:
        description: The most parallel reads of a virtual machine's disks. It takes C(Sys.Modify) on C(/).
        type: int
      pbs_entries_max:
        description:
          - The most entries of a directory that are held in memory, for a container on Proxmox Backup Server. It takes
            C(Sys.Modify) on C(/).
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
          - How notifications are sent. With V(auto), it is V(legacy-sendmail) when
            O(cloudbridge.proxmox.pve_backup#module:mailto) is given.
        type: str
        choices:
          - auto
          - legacy-sendmail
          - notification-system
      keep_last:
        description:
          - How many of the guest's newest backups on the storage stay. The others are pruned, those that are protected
            or renamed excepted.
          - The rules are applied from O(cloudbridge.proxmox.pve_backup#module:keep_last) to
            O(cloudbridge.proxmox.pve_backup#module:keep_yearly), and each looks only at what no rule before has kept.
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
        description:
          - Prune as the settings of the storage say.
          - V(false) is used when nothing says otherwise.
        type: bool
      timeout:
        description:
          - Seconds that the whole operation may take, PVE's tasks included.
          - V(7200) is used when nothing says otherwise.
        type: int
  guests:
    description:
      - The guests, each with the options of the module for one guest.
      - That two entries mean one guest is an error, and nothing is changed.
    type: list
    elements: dict
    required: false
    suboptions:
      vmid:
        description:
          - The guest's number, from V(100) to V(999999999).
          - One of O(cloudbridge.proxmox.pve_backup#module:vmid), O(cloudbridge.proxmox.pve_backup#module:name) and
            O(cloudbridge.proxmox.pve_backup#module:backup) is required. The guest must be all that is given.
        type: int
      name:
        description:
          - The guest's name. When several guests have it, that is an error which lists them.
        type: str
      <<: *shared
"""
