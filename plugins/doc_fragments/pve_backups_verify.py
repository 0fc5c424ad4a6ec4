# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Written by `make format` from the documentation of pve_backup_verify.

from __future__ import annotations


class ModuleDocFragment:
    """What pve_backups_verify has from pve_backup_verify."""

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
      backup:
        description: The backup, in place of the newest one.
        type: str
      storage:
        description: Look for the newest backup on this storage alone. Without it, all storages are looked at.
        type: str
      max_age:
        description:
          - How old the newest backup may be. An older one counts as bad, and is not restored.
          - A number of seconds, or a number with V(m), V(h), V(d) or V(w), as V(24h).
        type: str
      node:
        description: The node that restores it. Backups are looked for on its storages alone.
        type: str
      restore_storage:
        description: The storage for the disks. Without it, each disk goes to the storage that it was on.
        type: str
      pool:
        description: The pool that the restored guest is put into.
        type: str
      vmids:
        description:
          - The numbers that restored guests may have, as V(9000-9099). Nobody else should use them.
          - Without it, PVE gives the next free number.
        type: str
      tag:
        description:
          - The tag by which restored guests are known. One that is kept has it with C(-kept) behind it.
          - V(verify-backup) is used when nothing says otherwise.
        type: str
      config:
        description: Other settings than in the backup, by PVE's keys, as C(memory) or C(cores).
        type: dict
      bandwidth:
        description: The most KiB that are read in a second.
        type: int
      boot:
        description:
          - How it is seen that the restored guest has booted.
          - V(agent) waits for its guest agent, and V(console) for a login or a shell on its serial line, or on the
            console of a container.
          - V(auto) takes the agent where one is configured, else the console.
          - V(none) does not start it. Only that the backup can be restored is proved then.
          - A template, or a guest whose start would reach beyond it, as with C(args) or a hookscript, is only restored
            with V(none).
          - V(auto) is used when nothing says otherwise.
        type: str
        choices:
          - auto
          - agent
          - console
          - none
      boot_timeout:
        description:
          - Seconds that the guest has for booting.
          - V(300) is used when nothing says otherwise.
        type: int
      commands:
        description: Shell commands that the guest agent runs, and that must succeed.
        type: list
        elements: str
      login:
        description: Who logs in on the console for O(cloudbridge.proxmox.pve_backup_verify#module:console_steps).
        type: dict
        suboptions:
          user:
            description: The user's name in the guest.
            type: str
          password:
            description: The user's password. It is shown nowhere.
            type: str
          timeout:
            description:
              - Seconds until there has to be a shell.
              - V(120) is used when nothing says otherwise.
            type: int
      console_steps:
        description: Checks on the console, as the steps of M(cloudbridge.proxmox.pve_console_script).
        type: list
        elements: dict
        suboptions:
          name:
            description: What the step is called.
            type: str
          run:
            description: A command for the shell. The step fails when its exit status is not 0.
            type: str
          send:
            description: Text to type, with O(cloudbridge.proxmox.pve_backup_verify#module:console_steps[].end) behind
              it.
            type: str
          send_secret:
            description: The same, for text that must not be shown anywhere.
            type: str
          end:
            description: What is typed behind the text. Without it, it is Enter.
            type: str
          expect:
            description: A regular expression to wait for.
            type: str
          fail_on:
            description: A regular expression that, when it is shown first, makes the step fail at once.
            type: str
          timeout:
            description: Seconds that the answer may take.
            type: int
          unless:
            description: A command that succeeds when the step is not needed.
            type: str
          changes:
            description: Of no meaning here.
            type: bool
            default: true
      keep_failed:
        description:
          - Keep the restored guest when the backup is bad, as it is then, for somebody to look at.
          - V(false) is used when nothing says otherwise.
        type: bool
      timeout:
        description:
          - Seconds that the whole operation may take, but for the deletion of what was made.
          - V(3600) is used when nothing says otherwise.
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
          - The number of the guest that was backed up. It may be gone.
          - One of O(cloudbridge.proxmox.pve_backup_verify#module:vmid),
            O(cloudbridge.proxmox.pve_backup_verify#module:name) and
            O(cloudbridge.proxmox.pve_backup_verify#module:backup) is required.
        type: int
      name:
        description:
          - The guest's name. When several guests have it, that is an error which lists them.
        type: str
      <<: *shared
"""
