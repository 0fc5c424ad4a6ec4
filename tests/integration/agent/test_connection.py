# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's own tasks in a guest without a network: the connection plugin pve_agent."""

from __future__ import annotations

import pytest

INVENTORY = """
[guests]
db

[guests:vars]
ansible_connection=cloudbridge.proxmox.pve_agent
"""

TASKS = """
- hosts: guests
  gather_facts: false
  tasks:
    - name: raw
      ansible.builtin.raw: echo "Grüße ✓"; echo err >&2; exit 3
      failed_when: result.rc != 3
      register: result
    - name: ping
      ansible.builtin.ping:
    - name: facts
      ansible.builtin.setup:
        gather_subset: ['!all', '!min', env]
    - name: command
      ansible.builtin.command:
        cmd: cat
        stdin: "héllo ✓"
    - name: large
      ansible.builtin.shell: head -c 1500000 /dev/zero | tr '\\0' x
    - name: copy
      ansible.builtin.copy:
        content: "{{ 'z' * 100000 }}"
        dest: "{{ ansible_facts.env.HOME }}/large"
        mode: '0600'
    - name: fetch
      ansible.builtin.fetch:
        src: "{{ ansible_facts.env.HOME }}/large"
        dest: "{{ here }}/fetched"
        flat: true
    - name: missing
      ansible.builtin.fetch:
        src: /no/such/file
        dest: "{{ here }}/none"
        flat: true
      ignore_errors: true
    - name: script
      ansible.builtin.script: "{{ here }}/script.sh one two"
    - name: async
      ansible.builtin.command: echo later
      async: 60
      poll: 1
"""

# One that is empty is not set, as for modules and inventory.
EMPTY = dict.fromkeys(("PROXMOX_API_TIMEOUT", "PROXMOX_VALIDATE_CERTS", "PROXMOX_OTP"), "")


def in_guest(agent):
    """The directories of the user root, who has another one outside of the guest."""
    return {"ANSIBLE_REMOTE_TEMP": f"{agent.root}/.ansible/tmp", "ANSIBLE_ASYNC_DIR": f"{agent.root}/.async"}


@pytest.fixture
def inventory_file(tmp_path):
    path = tmp_path / "hosts.ini"
    path.write_text(INVENTORY)
    return path


def test_ansible_s_own_tasks(pve, agent, play, inventory_file, tmp_path):
    (tmp_path / "script.sh").write_text('#!/bin/sh\necho "script $1 $2"\n')
    variables = {"here": str(tmp_path)}
    result = play(TASKS, "-i", str(inventory_file), extra_vars=variables, env={**in_guest(agent), **EMPTY})
    assert not result.failed, result.stdout + result.stderr
    assert result.task("raw").result["stdout"] == "Grüße ✓\n"
    assert result.task("raw").result["stderr"] == "err\n"
    assert result.task("ping").result["ping"] == "pong"
    assert result.task("command").result["stdout"] == "héllo ✓"
    assert result.task("large").result["stdout"] == "x" * 1_500_000
    assert (agent.root / "large").read_text() == "z" * 100_000
    assert (tmp_path / "fetched").read_text() == "z" * 100_000
    assert "does not exist" in result.task("missing").msg or "not found" in result.task("missing").msg
    assert result.task("script").result["stdout"] == "script one two\n"
    assert result.task("async").result["stdout"] == "later"
    assert agent.jobs() == []
