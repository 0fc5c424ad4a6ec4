# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's own tasks in guests without a network: the connection plugin pve_agent.

A start of ansible-playbook costs as much as twenty tasks, so that one play is for all that works, with -vvvv, and one
for all hosts that cannot be reached.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests.integration.agent.conftest import wait_until
from tests.support.forks import forking_python

INVENTORY = """
[guests]
db

[guests:vars]
ansible_connection=cloudbridge.proxmox.pve_agent
ansible_python_interpreter={python}
"""
PASSWORD, WRONG, HIDDEN, STDIN = "s3cr t$'become", "wrong-password", "hidden-argument-7121", "hidden-stdin-9983"
# It asks for a password, as sudo -S does, unless it is called for root or has to ask for none.
SUDO = """
prompt= user=
while :; do case $1 in
-p) prompt=$2; shift 2 ;;
-u) user=$2; shift 2 ;;
-n) echo "sudo: a password is required" >&2; exit 1 ;;
-*) shift ;;
*) break ;;
esac; done
n=0
while [ "$user" = careful ]; do
printf %s "$prompt" >&2
IFS= read -r given || { echo "sudo: no password was provided" >&2; exit 1; }
[ "$given" != "$(cat "$HOME/password")" ] || break
echo "Sorry, try again." >&2; n=$((n + 1)); [ $n -lt 3 ] || exit 1
done
BECAME=$user exec "$@"
"""

TASKS = """
- hosts: guests
  gather_facts: false
  tasks:
    - name: raw
      ansible.builtin.raw: echo "Grüße ✓ $((40 + 2))"; echo err >&2; exit 3
      failed_when: result.rc != 3
      register: result
    - name: facts
      ansible.builtin.setup:
        gather_subset: ['!all', '!min', env]
    - name: command
      ansible.builtin.command:
        argv: [printf, '%s|', "a b", "héllo ✓", "*", "'\\""]
    - name: stdin
      ansible.builtin.command:
        cmd: cat
        stdin: "héllo ✓"
    - name: status
      ansible.builtin.shell: echo out; echo err >&2; exit 7
      ignore_errors: true
    - name: large
      ansible.builtin.shell: head -c 1500000 /dev/zero | tr '\\0' x
    - name: copy
      ansible.builtin.copy:
        content: "{{ 'z' * 100000 }}"
        dest: "{{ root }}/large"
        mode: '0600'
    - name: fetch
      ansible.builtin.fetch:
        src: "{{ root }}/large"
        dest: "{{ here }}/fetched"
        flat: true
    - name: missing
      ansible.builtin.fetch:
        src: /no/such/file
        dest: "{{ here }}/none"
        flat: true
      ignore_errors: true
    - name: copy files of any name
      ansible.builtin.copy:
        src: "{{ here }}/files/"
        dest: "{{ root }}/files/"
        mode: preserve
    - name: fetch files of any name
      ansible.builtin.fetch:
        src: "{{ root }}/files/{{ item }}"
        dest: "{{ here }}/fetched files/"
        flat: true
        validate_checksum: true
      loop: "{{ names }}"
    - name: template
      ansible.builtin.template:
        src: "{{ here }}/greeting.j2"
        dest: "{{ root }}/汉语 'greeting'"
        mode: '0640'
    - name: without pipelining
      ansible.builtin.command: echo "no pipe ✓"
      vars:
        ansible_pipelining: false
    - name: script
      ansible.builtin.script: "{{ here }}/script.sh one 'two 2'"
    - name: no interpreter
      ansible.builtin.ping:
      vars:
        ansible_python_interpreter: /no/such/python
      ignore_errors: true
    - name: async
      ansible.builtin.command: echo later
      async: 60
      poll: 1
    - name: time
      ansible.builtin.raw: sleep 600
      timeout: 2
      ignore_errors: true
    - name: the connection anew
      ansible.builtin.meta: reset_connection
    - name: reboot
      ansible.builtin.reboot:
        search_paths: ["{{ root }}/bin"]
    - name: wait
      ansible.builtin.wait_for_connection:
"""
BECOME = """
- hosts: guests
  gather_facts: false
  become: true
  vars:
    ansible_become_password: "{{ lookup('file', here ~ '/secret') }}"
  tasks:
    - name: become without a password
      ansible.builtin.command: sh -c 'echo "$BECAME"; cat'
      args:
        stdin: input
      become_user: app
    - name: become with a password
      ansible.builtin.command: sh -c 'echo "$BECAME"; cat'
      args:
        stdin: input
      become_user: careful
    - name: become in a shell
      ansible.builtin.raw: echo "$BECAME"; cat; exit 4
      become_user: careful
      failed_when: false
    - name: become with a wrong password
      ansible.builtin.raw: echo done
      become_user: careful
      vars:
        ansible_become_password: "{{ 'wrong-' ~ 'password' }}"
      ignore_errors: true
    - name: become with none
      ansible.builtin.raw: echo done
      become_user: careful
      vars:
        ansible_become_password:
      ignore_errors: true
    - name: hidden
      ansible.builtin.shell: sleep 0.3; cat >/dev/null
      args:
        stdin: "{{ lookup('file', here ~ '/hidden') }}"
      become: false
      no_log: true
    - name: hidden in a shell
      ansible.builtin.raw: "sleep 0.3; : {{ lookup('file', here ~ '/hidden') }}"
      become: false
      no_log: true
"""
# One that is empty is not set, as for modules and inventory.
EMPTY = dict.fromkeys(("PROXMOX_API_TIMEOUT", "PROXMOX_VALIDATE_CERTS", "PROXMOX_OTP"), "")
FILES = {
    "empty": b"",
    "汉语 'foo bar' \"$x\" é.txt": "汉语\n".encode(),
    "binary": bytes(range(256)) * 300,
    "-n": b"\r\n\0",
}


def in_guest(agent):
    """The directories of the user root, who has another one outside of the guest."""
    return {"ANSIBLE_REMOTE_TEMP": f"{agent.root}/.ansible/tmp", "ANSIBLE_ASYNC_DIR": f"{agent.root}/.async"}


@pytest.fixture
def inventory_file(tmp_path):
    path = tmp_path / "hosts.ini"
    path.write_text(INVENTORY.format(python=forking_python()))
    return path


@pytest.fixture
def arguments_seen():
    """The arguments of every program that runs meanwhile, on this machine and in its guests, as far as they are met."""
    seen, is_over = set(), threading.Event()

    def look():
        while not is_over.wait(0.1):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(path.read_bytes())
                except OSError:
                    continue

    thread = threading.Thread(target=look)
    thread.start()
    yield seen
    is_over.set()
    thread.join()


def prepare(agent, tmp_path):
    """What the plays work with, at both ends."""
    (tmp_path / "script.sh").write_text('#!/bin/sh\necho "script $1 $2"\n')
    (tmp_path / "greeting.j2").write_text("Grüße {{ inventory_hostname }}\n")
    (tmp_path / "files").mkdir()
    (tmp_path / "fetched files").mkdir()
    for name, content in FILES.items():
        (tmp_path / "files" / name).write_bytes(content)
    agent.can_reboot()
    return {"here": str(tmp_path), "root": str(agent.root), "names": sorted(FILES)}


@pytest.mark.smoke
def test_ansible_s_own_tasks(pve, agent, play, inventory_file, tmp_path):
    variables = prepare(agent, tmp_path)
    arguments = ("-i", str(inventory_file))
    result = play(TASKS, *arguments, extra_vars=variables, env={**in_guest(agent), **EMPTY}, interpreter=None)
    assert not result.failed, result.stdout + result.stderr

    def of(name):
        return result.task(name).result

    assert (of("raw")["stdout"], of("raw")["stderr"]) == ("Grüße ✓ 42\n", "err\n")
    assert of("command")["stdout"] == "a b|héllo ✓|*|'\"|"
    assert of("stdin")["stdout"] == "héllo ✓"
    assert (of("status")["rc"], of("status")["stdout"], of("status")["stderr"]) == (7, "out", "err")
    assert of("large")["stdout"] == "x" * 1_500_000
    assert (agent.root / "large").read_text() == (tmp_path / "fetched").read_text() == "z" * 100_000
    assert "does not exist" in result.task("missing").msg or "not found" in result.task("missing").msg
    for name, content in FILES.items():
        assert (agent.root / "files" / name).read_bytes() == content
        assert (tmp_path / "fetched files" / name).read_bytes() == content
    greeting = agent.root / "汉语 'greeting'"
    assert (greeting.read_text(), greeting.stat().st_mode & 0o777) == ("Grüße db\n", 0o640)
    assert of("without pipelining")["stdout"] == "no pipe ✓"
    assert of("script")["stdout"] == "script one two 2\n"
    assert of("no interpreter")["rc"] == 127
    assert of("async")["stdout"] == "later"
    assert result.task("time").failed
    assert "goes on in guest 101" in result.stdout + result.stderr
    assert of("reboot")["rebooted"]
    assert (agent.root / "rebooted").read_text().startswith("-r ")
    wait_until(lambda: not agent.jobs())


def test_secrets_stay_where_they_belong(pve, agent, play, inventory_file, tmp_path, arguments_seen):
    agent.add_program("sudo", SUDO)
    (agent.root / "password").write_text(PASSWORD)
    (tmp_path / "secret").write_text(PASSWORD)
    (tmp_path / "hidden").write_text(HIDDEN)
    result = play(
        BECOME,
        "-vvvv",
        "-i",
        str(inventory_file),
        extra_vars={"here": str(tmp_path)},
        env=in_guest(agent),
        interpreter=None,
    )
    assert not result.failed, result.stdout + result.stderr

    def of(name):
        return result.task(name).result

    assert of("become without a password")["stdout_lines"] == ["app", "input"]
    assert of("become with a password")["stdout_lines"] == ["careful", "input"]
    assert of("become with a password")["stderr"] == ""
    assert (of("become in a shell")["rc"], of("become in a shell")["stdout"]) == (4, "careful\n")
    assert result.task("become with a wrong password").msg.endswith("Incorrect sudo password in db")
    assert result.task("become with none").msg.endswith("Missing sudo password in db")
    shown = result.stdout + result.stderr
    assert "EXEC (hidden by no_log)" in shown
    for secret in (PASSWORD, WRONG, HIDDEN, pve.token_secret):
        assert secret not in shown
        assert json.dumps(secret)[1:-1] not in shown
        assert not any(secret.encode() in words for words in arguments_seen)
        assert not any(secret in word for argv in agent.started for word in argv)
    wait_until(lambda: not agent.jobs())
