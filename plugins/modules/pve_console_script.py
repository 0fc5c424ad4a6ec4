#!/usr/bin/python
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pve_console_script
short_description: Run commands and answer prompts on the console of a guest
version_added: 1.0.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Opens the serial line of a virtual machine, or the terminal of a container or a node, logs in if asked, and runs
    steps. A step runs a command and waits for its end, or types a line and waits for what the guest shows.
  - It needs neither a network in the guest nor a guest agent, and so is the way to give a guest its first address or
    to repair one. Use SSH or the agent if they answer.
  - The guest has to use its console. For Linux in a virtual machine that means C(serial0) in its hardware, the kernel
    option C(console=ttyS0), and a C(getty) on it.
  - Commands are run in the shell that the console shows, which has to be one of the Bourne family, as C(sh), C(bash),
    C(dash), C(ash) and C(zsh) are.
  - A serial line serves one session at a time. When PVE lists another one, the module fails.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection
  - cloudbridge.proxmox.guest.or_node
  - cloudbridge.proxmox.guest.type
  - cloudbridge.proxmox.attributes
requirements:
  - websocket-client >= 1.6
attributes:
  check_mode:
    description: Can run in C(check_mode), and predicts there what would change without changing it.
    support: partial
    details:
      - In check mode no session is opened and nothing is sent, so that C(unless) cannot be asked. Each step counts as
        one that would be taken. Whether the guest and its console are there is checked.
  diff_mode:
    description: Returns what has changed, or in C(check_mode) would change, when in diff mode.
    support: none
  idempotent:
    description: A second run with the same options changes nothing.
    support: partial
    details:
      - What was typed counts as a change. With O(unless) or O(steps[].unless), nothing is typed when nothing is to do.
options:
  node:
    description:
      - The node, when its own shell is meant rather than a guest's console.
    type: str
  serial:
    description:
      - The serial line of a virtual machine.
      - Without it, it is the one that C(vga) makes the display, or else the first.
    type: str
    choices: [serial0, serial1, serial2, serial3]
  login:
    description:
      - Who logs in when the console asks for it.
      - When a shell of the same user is open on the console already, that one is used. When it is another user's, that
        is an error.
      - A login by this module is logged out at the end, see O(logout).
    type: dict
    suboptions:
      user:
        description: The user's name in the guest.
        type: str
        required: true
      password:
        description: The user's password. It is typed at the prompt for it, and shown nowhere.
        type: str
        required: true
      timeout:
        description: Seconds until there has to be a shell. That may include the start of the guest's system.
        type: int
        default: 120
  logout:
    description: Whether to log out at the end, also after a failure, if the module has logged in.
    type: bool
    default: true
  wake:
    description:
      - Whether to press Enter when the console shows nothing at first. Most consoles that nobody has used for a while
        show no prompt without it.
      - An Enter also chooses the entry of a boot menu. Set this to V(false) where that must not happen.
    type: bool
    default: true
  prompt:
    description:
      - A regular expression for the end of the shell's prompt, with which the module finds out that it is in a shell.
      - Only what is shown last, before the console is at rest, is compared.
    type: str
    default: '[#$%] ?\Z'
  unless:
    description:
      - A command that succeeds when nothing is left to do. Then no step is taken, and nothing has changed.
    type: str
  steps:
    description: What to do, in this order. The first step that fails ends the script.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What the step is called in results, instead of what it does.
        type: str
      run:
        description:
          - A command for the shell, which may have several lines. The step ends when the command does, and fails when
            its exit status is not 0.
          - It must not ask for anything. For a dialogue, use O(steps[].send) and O(steps[].expect).
          - There must be no tab or other control character in it, and no line longer than 3900 bytes.
        type: str
      send:
        description:
          - Text to type, with O(steps[].end) behind it. An empty text presses Enter alone. The ends of lines in it are
            typed as Enter.
          - A control character, as Ctrl-C, can be written as V("\\x03"), with an empty O(steps[].end).
        type: str
      send_secret:
        description: The same, for text that must not be shown anywhere.
        type: str
      end:
        description: What is typed behind the text. Without it, it is Enter.
        type: str
      expect:
        description:
          - A regular expression to wait for, after what is sent, if anything is. C(^) and C($) match at each line, and
            C(\Z) at the end of what is shown.
          - It is compared with what the console has shown since the step before, as plain text, without colours and
            cursor movements. That includes the echo of what was typed.
          - Named groups, C((?P<name>...)), are returned in RV(matches).
        type: str
      fail_on:
        description: A regular expression that, when it is shown first, makes the step fail at once.
        type: str
      timeout:
        description: Seconds that the answer may take. Without it, these are O(step_timeout).
        type: int
      unless:
        description: A command that succeeds when the step is not needed. The step is skipped then.
        type: str
      changes:
        description: Whether the step counts as a change. Set it to V(false) for one that only looks.
        type: bool
        default: true
  step_timeout:
    description: Seconds that the answer to a step, or a command of C(unless), may take.
    type: int
    default: 30
  secrets:
    description:
      - Texts that must not be shown anywhere, such as a password in a command. They are masked in the results.
      - The password of O(login) and what O(steps[].send_secret) types need not be in it.
    type: list
    elements: str
  timeout:
    description: Seconds that everything together may take.
    type: int
    default: 600
notes:
  - Secrets are masked as they are, as a shell quotes them, and where a line is broken in them. A guest that shows a
    secret in another form, as encoded or in part, defeats that. C(no_log) on the task then hides all.
  - Requests of the guest for the position of the cursor are not answered. An answer that nobody waits for any more
    would be typed text.
  - Each session is a task in PVE's log.
seealso:
  - module: cloudbridge.proxmox.pve_console_info
  - module: cloudbridge.proxmox.pve_vm
"""

EXAMPLES = r"""
- name: Give a guest without a network its address
  cloudbridge.proxmox.pve_console_script:
    name: db
    login:
      user: root
      password: "{{ lookup('env', 'GUEST_PASSWORD') }}"
    unless: ip -4 address show dev eth0 | grep -q 'inet 192.0.2.10/24'
    steps:
      - run: ip link set eth0 up
      - run: ip address replace 192.0.2.10/24 dev eth0
      - run: ip route replace default via 192.0.2.1

- name: Start the guest agent, and see on which kernel
  cloudbridge.proxmox.pve_console_script:
    vmid: 101
    login:
      user: root
      password: "{{ lookup('env', 'GUEST_PASSWORD') }}"
    steps:
      - run: systemctl enable --now qemu-guest-agent
        unless: systemctl is-active --quiet qemu-guest-agent
      - run: uname -r
        changes: false
  register: script

- name: Show the kernel
  ansible.builtin.debug:
    msg: "{{ script.answers[1].output }}"

- name: Make a user, with a command that asks for a password
  cloudbridge.proxmox.pve_console_script:
    vmid: 101
    login:
      user: root
      password: "{{ lookup('env', 'GUEST_PASSWORD') }}"
    unless: getent passwd deploy
    steps:
      - send: adduser --gecos '' deploy
        expect: 'New password: \Z'
      - send_secret: "{{ lookup('env', 'GUEST_PASSWORD') }}"
        expect: 'Retype new password: \Z'
      - send_secret: "{{ lookup('env', 'GUEST_PASSWORD') }}"
        expect: updated (?P<how>\w+)
        fail_on: do not match

- name: Run a command in a container, with cmode shell and so without a login
  cloudbridge.proxmox.pve_console_script:
    vmid: 200
    unless: systemctl is-active --quiet sshd
    steps:
      - run: systemctl enable --now sshd
"""

RETURN = r"""
transcript:
  description:
    - What the console has shown, as plain text with secrets masked. Of very much, it is the last megabyte.
    - When the module fails, it is in RV(error), with C(screen), the last lines of it.
  returned: success
  type: str
answers:
  description: What came of each step that was looked at, in order.
  returned: success
  type: list
  elements: dict
  contains:
    step:
      description: The number of the step, from 1 on.
      type: int
    name:
      description: The name of the step, or what it does.
      type: str
    skipped:
      description: Whether the step was not needed, as its C(unless) says.
      type: bool
    output:
      description: What the command has shown, or what was shown up to the end of what O(steps[].expect) matched.
      type: str
    rc:
      description: The exit status of a command, which is 0, or none for other steps.
      type: int
    groups:
      description: The groups of O(steps[].expect).
      type: list
      elements: str
    matches:
      description: The named groups of O(steps[].expect).
      type: dict
matches:
  description: The named groups of all steps. Of several with one name, it is the last.
  returned: success
  type: dict
  sample: {how: successfully}
skipped_by_unless:
  description: Whether O(unless) said that there was nothing to do.
  returned: success
  type: bool
vmid:
  description: The guest's number, or none for a node.
  returned: success
  type: int
node:
  description: The node that the guest is on, or whose console it was.
  returned: success
  type: str
steps:
  description: What was typed, or in check mode would be typed, as far as it counts as a change.
  returned: always
  type: list
  elements: str
  sample: ["run ip address replace 192.0.2.10/24 dev eth0"]
tasks:
  description: The tasks that PVE ran beside the session itself.
  returned: always
  type: list
  elements: dict
error:
  description:
    - The failure as data, with C(kind), PVE's C(message), C(status), C(upid), C(log_tail) and more.
    - When a step has failed, C(kind) is V(script), C(reason) is V(timeout), V(silent), V(ended), V(login), V(status) or
      V(pattern), C(step) is its number, and C(screen) and C(transcript) are what the console has shown.
  returned: failure
  type: dict
"""

from ..module_utils._ansible.modules.pve_console_script import DESCRIPTION
from ..module_utils._ansible.runner import run_module


def main() -> None:
    run_module(DESCRIPTION)


if __name__ == "__main__":
    main()
