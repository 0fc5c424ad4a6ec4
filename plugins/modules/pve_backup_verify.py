#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_backup_verify
short_description: Prove that the backup of a guest of Proxmox VE works, by restoring and booting it
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Restores the newest backup of a guest beside it, boots what comes of it, waits for its guest agent or for a prompt
    on its console, runs checks, and deletes it again. The task fails when any of it does not work.
  - The restored guest has a free number, new addresses, the cables of all its network devices pulled, no devices of
    the node, no protection, and a tag. It does not start with its node. The guest that was backed up is not touched.
  - It is deleted whatever happens. What a run leaves that was killed, the next run with the same O(tag) deletes, so
    that two runs at the same time need different ones. A guest is only deleted when its notes say that this module
    made it.
  - A backup of a guest with a hook script is refused, as that would run on the node.
  - In check mode the backup is looked for and its configuration is read, and nothing is restored.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.guest
  - cloudbridge.proxmox.guest.type
  - cloudbridge.proxmox.attributes
  - cloudbridge.proxmox.attributes.idempotent
options:
  vmid:
    description:
      - The number of the guest that was backed up. It may be gone.
      - One of O(vmid), O(name) and O(backup) is required.
    type: int
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
    description: The tag by which restored guests are known. One that is kept has it with C(-kept) behind it.
    type: str
    default: verify-backup
  config:
    description: Other settings than in the backup, by PVE's keys, as C(memory) or C(cores).
    type: dict
  bandwidth:
    description: The most KiB that are read in a second.
    type: int
  boot:
    description:
      - How it is seen that the restored guest has booted.
      - V(agent) waits for its guest agent, and V(console) for a login or a shell on its serial line, or on the console
        of a container.
      - V(auto) takes the agent where one is configured, else the console.
      - V(none) does not start it. Only that the backup can be restored is proved then.
      - A template, or a guest whose start would reach beyond it, as with C(args) or a hookscript, is
        only restored with V(none).
    type: str
    choices: [auto, agent, console, none]
    default: auto
  boot_timeout:
    description: Seconds that the guest has for booting.
    type: int
    default: 300
  commands:
    description: Shell commands that the guest agent runs, and that must succeed.
    type: list
    elements: str
  login:
    description: Who logs in on the console for O(console_steps).
    type: dict
    suboptions:
      user:
        description: The user's name in the guest.
        type: str
        required: true
      password:
        description: The user's password. It is shown nowhere.
        type: str
        required: true
      timeout:
        description: Seconds until there has to be a shell.
        type: int
        default: 120
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
        description: Text to type, with O(console_steps[].end) behind it.
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
    description: Keep the restored guest when the backup is bad, as it is then, for somebody to look at.
    type: bool
    default: false
  timeout:
    description: Seconds that the whole operation may take, but for the deletion of what was made.
    type: int
    default: 3600
seealso:
  - module: cloudbridge.proxmox.pve_backups_verify
  - module: cloudbridge.proxmox.pve_restore
"""

EXAMPLES = r"""
- name: Prove the newest backup of a guest
  cloudbridge.proxmox.pve_backup_verify:
    name: db
    max_age: 2d
    boot_timeout: 120

- name: Prove that a backup can be restored
  cloudbridge.proxmox.pve_backup_verify:
    name: web
    boot: none
"""

RETURN = r"""
report:
  description:
    - What was found. Of a backup that is bad it is in RV(error).
  returned: success
  type: dict
  contains:
    guest:
      description: The name of the guest that was backed up.
      type: str
    vmid:
      description: Its number.
      type: int
    backup:
      description: The backup.
      type: str
    age:
      description: Its age in seconds.
      type: int
    size:
      description: Its size in bytes.
      type: int
    restore_seconds:
      description: How long it took to restore it.
      type: float
    boot_seconds:
      description: How long the restored guest took to boot.
      type: float
    booted_by:
      description: What showed that it has booted, as V(the guest agent) or V(a login prompt).
      type: str
    checks:
      description: How many checks succeeded.
      type: int
    result:
      description:
        - V(good), V(bad), V(not proved) when something else stood in the way, or V(not run) in check mode.
      type: str
    why:
      description: Why it is bad.
      type: str
    evidence:
      description: The last lines of the console, or of the log of the restore, when it is bad.
      type: list
      elements: str
    kept:
      description: The number of the restored guest that was kept.
      type: int
    left_alone:
      description: Guests that earlier runs may have left, and why they were not deleted. They are warnings as well.
      type: list
      elements: str
guest:
  description: The guest that was backed up.
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
"""

from ..module_utils._ansible.modules.pve_backup_verify import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
