#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_guest_exec
short_description: Run a command in a virtual machine over its guest agent
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Runs one command in a virtual machine and returns what M(ansible.builtin.command) would return on a host.
  - The guest needs neither a network nor Python, but C(/bin/sh) or Windows PowerShell, and a guest agent
    that may run commands.
  - The command runs as the user of the agent, which is C(root). It runs once, also when an answer of PVE is lost, and
    all of its output comes back, however much it is.
  - For more than a few commands, P(cloudbridge.proxmox.pve_agent#connection) makes the guest a host of the inventory.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.guest
  - cloudbridge.proxmox.attributes
attributes:
  check_mode:
    description: Can run in C(check_mode), and predicts there what would change without changing it.
    support: partial
    details:
      - In check mode the command is not run, and counts as a change unless O(creates) or O(removes) say otherwise.
        These are looked at in the guest.
  diff_mode:
    description: Returns what has changed, or in C(check_mode) would change, when in diff mode.
    support: none
  idempotent:
    description: A second run with the same options changes nothing.
    support: partial
    details:
      - A command that was run counts as a change. With O(creates) or O(removes) it is not run when nothing is to do.
options:
  argv:
    description:
      - The program and its arguments. No shell sees them.
      - One of O(argv) and O(command) is required.
    type: list
    elements: str
  command:
    description: A line, or several, for the guest's O(shell).
    type: str
  stdin:
    description: What the command reads from its standard input, which is at its end at once without this.
    type: str
  stdin_add_newline:
    description: Whether a line break is added to O(stdin).
    type: bool
    default: true
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
    description: Whether empty lines at the end of what was put out are left out.
    type: bool
    default: true
  shell:
    description:
      - The shell of the guest, V(powershell) in Windows.
      - There O(command) is a program of PowerShell, and O(argv) are an executable file and its arguments.
    type: str
    choices: [sh, powershell]
    default: sh
  timeout:
    description:
      - Seconds that the command may take, together with finding the guest.
      - A command that takes longer goes on in the guest. The message names its process.
    type: int
    default: 600
notes:
  - It needs the privileges C(VM.Audit) and C(VM.GuestAgent.Unrestricted) on the guest; before PVE 9, the latter is
    C(VM.Monitor).
seealso:
  - module: cloudbridge.proxmox.pve_guests_exec
  - module: cloudbridge.proxmox.pve_guest_file
  - plugin: cloudbridge.proxmox.pve_agent
    plugin_type: connection
  - module: cloudbridge.proxmox.pve_console_script
"""

EXAMPLES = r"""
- name: Start the SSH server of a guest that has lost its network
  cloudbridge.proxmox.pve_guest_exec:
    name: web
    argv: [systemctl, restart, ssh]

- name: Make a key, once
  cloudbridge.proxmox.pve_guest_exec:
    vmid: 101
    command: umask 077 && head -c 32 /dev/urandom >key
    chdir: /etc/app
    creates: /etc/app/key

- name: Give a command its input
  cloudbridge.proxmox.pve_guest_exec:
    vmid: 101
    argv: [psql, app]
    stdin: VACUUM;
"""

RETURN = r"""
guest:
  description: The guest as it is now.
  returned: success
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
cmd:
  description: The command, as a list with O(argv), and as a text with O(command).
  returned: always
  type: raw
rc:
  description: The status that the command ended with. A signal is 128 and its number.
  returned: always
  type: int
  sample: 0
stdout:
  description: What the command put out.
  returned: always
  type: str
stdout_lines:
  description: The same as lines.
  returned: always
  type: list
  elements: str
stderr:
  description: What the command put out as errors.
  returned: always
  type: str
stderr_lines:
  description: The same as lines.
  returned: always
  type: list
  elements: str
msg:
  description: Why the command was not run, or has failed; empty when it was run and has not.
  returned: always
  type: str
start:
  description: When the command was begun.
  returned: when the command was run
  type: str
end:
  description: When it was seen to have ended.
  returned: when the command was run
  type: str
delta:
  description: The time between these.
  returned: when the command was run
  type: str
"""

from ..module_utils._ansible.modules.pve_guest_exec import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
