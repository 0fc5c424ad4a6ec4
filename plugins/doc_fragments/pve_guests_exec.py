# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Written by `make format` from the documentation of pve_guest_exec.

from __future__ import annotations


class ModuleDocFragment:
    """What pve_guests_exec has from pve_guest_exec."""

    DOCUMENTATION = r"""
options:
  defaults:
    description:
      - What is asked for all guests.
      - An option of a guest goes before this. Of dictionaries each key does, and a list is replaced.
    type: dict
    suboptions: &shared
      argv:
        description:
          - The program and its arguments. No shell sees them.
          - One of O(cloudbridge.proxmox.pve_guest_exec#module:argv) and
            O(cloudbridge.proxmox.pve_guest_exec#module:command) is required.
        type: list
        elements: str
      command:
        description: A line, or several, for the guest's O(cloudbridge.proxmox.pve_guest_exec#module:shell).
        type: str
      stdin:
        description: What the command reads from its standard input, which is at its end at once without this.
        type: str
      stdin_add_newline:
        description:
          - Whether a line break is added to O(cloudbridge.proxmox.pve_guest_exec#module:stdin).
          - V(true) is used when nothing says otherwise.
        type: bool
      chdir:
        description: The directory in the guest to run the command in.
        type: str
      creates:
        description: A file in the guest, or a pattern. When there is one already, the command is not run.
        type: str
      removes:
        description: A file in the guest, or a pattern. When there is none, the command is not run.
        type: str
      strip_empty_ends:
        description:
          - Whether empty lines at the end of what was put out are left out.
          - V(true) is used when nothing says otherwise.
        type: bool
      shell:
        description:
          - The shell of the guest, V(powershell) in Windows.
          - There O(cloudbridge.proxmox.pve_guest_exec#module:command) is a program of PowerShell, and
            O(cloudbridge.proxmox.pve_guest_exec#module:argv) are an executable file and its arguments.
          - V(sh) is used when nothing says otherwise.
        type: str
        choices:
          - sh
          - powershell
      timeout:
        description:
          - Seconds that the command may take, together with finding the guest.
          - A command that takes longer goes on in the guest. The message names its process.
          - V(600) is used when nothing says otherwise.
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
          - One of O(cloudbridge.proxmox.pve_guest_exec#module:vmid) and
            O(cloudbridge.proxmox.pve_guest_exec#module:name) is required. With both, the guest must have that number
            and that name.
        type: int
      name:
        description:
          - The guest's name. When several guests have it, that is an error which lists them.
        type: str
      <<: *shared
"""
