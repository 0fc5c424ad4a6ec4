# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules inside Ansible's worker: nobody can tell the difference, and where the worker is not the place, none is."""

from __future__ import annotations

import json
import os
import re

import pytest

from tests.support import playbooks
from tests.support.collection_tree import link_collection
from tests.support.embedded_pve import running_embedded_pve, standard_guests

# The play that the tests share runs once.
pytestmark = pytest.mark.xdist_group("worker")

OFF = {"CLOUDBRIDGE_PROXMOX_RUN_IN_WORKER": "false"}
IN_A_PROCESS = re.compile(r"runs in a process of its own: (.*)")
# What differs from one run to the next: the PVE's port and files, tasks' numbers, times, and what is random.
VOLATILE = re.compile(
    r'UPID:[^"]*|"(?:age|uptime|start|end|created|issued_at|connect_before|api_port)": \d+|[0-9a-f]{8}(?:-[0-9a-f]+){4}'
    r'|vzdump-qemu-300-[\d_-]+|127\.0\.0\.1:\d+|"(?:ca_path|digest)": "[^"]*"|ctime=\d+'
)
MAC = re.compile(r"BC:24:11(:[0-9A-F]{2}){3}")

# One task for each outcome of each module: nothing to do, a change, check mode, a refusal, options that are wrong.
TASKS = """
- {name: no change, cloudbridge.proxmox.pve_vm_power: {vmid: 101}}
- {name: a change, cloudbridge.proxmox.pve_vm_power: {vmid: 100}}
- {name: check mode, check_mode: true, diff: true, cloudbridge.proxmox.pve_vm_power: {vmid: 100, state: stopped}}
- {name: no guest, ignore_errors: true, cloudbridge.proxmox.pve_vm_power: {vmid: 555}}
- {name: a wrong choice, ignore_errors: true, cloudbridge.proxmox.pve_vm_power: {vmid: 100, state: flying}}
- {name: an unknown option, ignore_errors: true, cloudbridge.proxmox.pve_vm_power: {vmid: 100, sate: started}}
- {name: a wrong type, ignore_errors: true, cloudbridge.proxmox.pve_vm: {vmid: many}}
- {name: a missing option, ignore_errors: true, cloudbridge.proxmox.pve_vm: {name: x, clone: {full: true}}}
- {name: an option twice, check_mode: true, cloudbridge.proxmox.pve_vm: {vmid: 100, numa: true, numa_enabled: true}}
- {name: two values of an option, ignore_errors: true,
    cloudbridge.proxmox.pve_vm: {vmid: 100, numa: true, numa_enabled: false}}
- {name: an alias in a list, ignore_errors: true, cloudbridge.proxmox.pve_vm: {vmid: 100, disks: [{slot: scsi0,
    disk: scsi1}]}}
- {name: a wrong secret, ignore_errors: true, cloudbridge.proxmox.pve_vm_info: {api_token_secret: "{{ wrong_secret }}"}}
- {name: a new guest, diff: true, cloudbridge.proxmox.pve_vm: {vmid: 300, name: app, memory: 512, cores: 2}}
- {name: a password, diff: true, cloudbridge.proxmox.pve_vm: {vmid: 300, cloud_init: {storage: local-lvm, user: a,
    password: "{{ secret }}"}}}
- {name: a secret in the notes, cloudbridge.proxmox.pve_vm: {vmid: 300, description: "it is {{ secret }}",
    cloud_init: {password: "{{ secret }}"}}}
- {name: a refusal, ignore_errors: true, cloudbridge.proxmox.pve_vm: {vmid: 100, disks: [{slot: scsi0, size: 1G}]}}
- {name: a snapshot, cloudbridge.proxmox.pve_snapshot: {vmid: 300, snapshot: one}}
- {name: snapshots, cloudbridge.proxmox.pve_snapshot_info: {vmid: 300}}
- {name: guests, cloudbridge.proxmox.pve_vm_info: {status: running, gather: [config]}}
- {name: storages, cloudbridge.proxmox.pve_storage_info: {content: import}}
- {name: volumes, cloudbridge.proxmox.pve_volume_info: {content: iso}}
- {name: an image that cannot be had, ignore_errors: true, cloudbridge.proxmox.pve_volume: {storage: local,
    content: iso, url: "http://no-such-host.invalid/debian.iso"}}
- {name: an image that is there no more, cloudbridge.proxmox.pve_volume: {storage: local, content: iso,
    state: absent, file_name: debian-13.iso}}
- {name: a backup, diff: true, cloudbridge.proxmox.pve_backup: {vmid: 300, storage: local, max_age: 1h, keep_last: 2}}
- {name: backups, cloudbridge.proxmox.pve_backup_info: {vmid: 300}}
- {name: backup jobs, cloudbridge.proxmox.pve_backup_job_info: {vmid: 300}}
- {name: no such backup, ignore_errors: true, cloudbridge.proxmox.pve_restore: {vmid: 302,
    backup: "local:backup/vzdump-qemu-300-2026_01_31-03_00_00.vma.zst"}}
- {name: many backups, check_mode: true, cloudbridge.proxmox.pve_backups: {select: {names: [d*]},
    defaults: {storage: local, max_age: 1h}}}
- {name: tasks, cloudbridge.proxmox.pve_task_info: {vmid: 300, type: qmsnapshot}}
- {name: a console, cloudbridge.proxmox.pve_console_info: {vmid: 101}}
- {name: a shut console, ignore_errors: true, cloudbridge.proxmox.pve_console_info: {vmid: 300, type: vnc}}
- {name: a script in check mode, check_mode: true, ignore_errors: true,
    cloudbridge.proxmox.pve_console_script: {vmid: 101, steps: [{run: "true"}],
    login: {user: root, password: "{{ secret }}"}}}
- {name: no log, no_log: true, cloudbridge.proxmox.pve_vm_info: {vmid: 100}}
- {name: a loop, loop: [100, 101], cloudbridge.proxmox.pve_vm_info: {vmid: "{{ item }}"}}
- {name: retries, cloudbridge.proxmox.pve_vm_info: {vmid: 100}, register: got, until: got.guests | length == 2,
    retries: 1, delay: 0, ignore_errors: true}
- {name: changed when, changed_when: true, cloudbridge.proxmox.pve_vm_info: {vmid: 100}}
- {name: a variable of the environment, environment: {PROXMOX_USER: nobody@pam}, ignore_errors: true,
    cloudbridge.proxmox.pve_vm_info: {vmid: 100}}
- {name: and not of the next task, cloudbridge.proxmox.pve_vm_info: {vmid: 100}}
- {name: delegated, delegate_to: localhost, cloudbridge.proxmox.pve_vm_info: {vmid: 100}}
- {name: many, diff: true, cloudbridge.proxmox.pve_vms: {parallel: 1,
    defaults: {memory: 256, cloud_init: {password: "{{ secret }}"}},
    guests: [{vmid: 300}, {vmid: 301, name: other, cores: 2}]}}
- {name: one of many, ignore_errors: true, cloudbridge.proxmox.pve_vms_power: {parallel: 1,
    guests: [{vmid: 101}, {vmid: 555}]}}
- {name: many snapshots, check_mode: true, cloudbridge.proxmox.pve_snapshots: {select: {names: [d*]},
    defaults: {snapshot: one}}}
- {name: one of the list twice, ignore_errors: true, cloudbridge.proxmox.pve_vms: {guests: [{vmid: 300}, {vmid: 300}]}}
- {name: absent, cloudbridge.proxmox.pve_vm: {vmid: 300, state: absent}}
"""
PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  module_defaults:
    group/cloudbridge.proxmox.pve: {api_timeout: 20}
  tasks:
"""
WHOLE = PLAY + "\n".join(f"    {line}" for line in TASKS.strip().splitlines()) + "\n"


def stable(result) -> str:
    text = VOLATILE.sub("-", json.dumps(result, sort_keys=True, indent=1))
    return MAC.sub("-", text)


@pytest.fixture(scope="module")
def both_ways(tmp_path_factory):
    """The same play in the worker and in processes, each on a PVE of its own, and what was asked of that."""
    found = []
    for name, env in (("worker", {}), ("process", OFF)):
        home = tmp_path_factory.mktemp(name)
        with running_embedded_pve(guests=standard_guests) as pve:
            settings = {**env, "ANSIBLE_INJECT_INVOCATION": "true"}
            play = playbooks.play(WHOLE, home=home, connection=pve.environment, env=settings, extra_vars=SECRETS)
            found.append((play, [line for line in pve.summary() if "/tasks/" not in line]))
    return found


# Ansible shows the lines of a task that has failed, so that secrets must not be in the play itself.
SECRETS = {"secret": "correct horse", "wrong_secret": "wrong-secret"}
NAMES = re.findall(r"^- \{name: ([^,]+),", TASKS, re.MULTILINE)


@pytest.mark.smoke
@pytest.mark.parametrize("name", NAMES)
def test_the_result_is_the_same(both_ways, name):
    (worker, _asked), (process, _asked_by_it) = both_ways
    here = [task for task in worker.tasks if task.task == name]
    there = [task for task in process.tasks if task.task == name]
    assert here, worker.stdout + worker.stderr
    assert [task.outcome for task in here] == [task.outcome for task in there]
    assert [stable(task.result) for task in here] == [stable(task.result) for task in there]


def test_the_same_is_asked_of_pve(both_ways):
    (_worker, asked), (_process, asked_by_it) = both_ways
    assert [VOLATILE.sub("-", line) for line in asked] == [VOLATILE.sub("-", line) for line in asked_by_it]


def test_the_keywords_of_tasks_have_their_effect(both_ways):
    """In both ways, and not only the same one."""
    for play, _asked in both_ways:
        assert play.task("no change").result["invocation"]["module_args"]["api_timeout"] == 20
        assert play.task("no change").changed is False
        assert play.task("changed when").changed is True
        assert play.task("retries").result["attempts"] == 1
        assert [item["guests"][0]["vmid"] for item in play.task("a loop").result["results"]] == [100, 101]
        assert play.task("a variable of the environment").result["error"]["kind"] == "authentication"
        assert play.task("and not of the next task").outcome == "ok"
        assert not {"guests", "invocation"} & play.task("no log").result.keys()


def test_secrets_are_masked(both_ways):
    for play, _asked in both_ways:
        everything = json.dumps([task.result for task in play.tasks])
        for secret in SECRETS.values():
            assert secret not in everything


# The keywords of a task, and why it runs in a process of its own, if so.
KEYWORDS = {
    "": None,
    "vars: {cloudbridge_proxmox_run_in_worker: '{{ 1 == 2 }}'}": "cloudbridge_proxmox_run_in_worker is false",
    "async: 30, poll: 1": "the task is asynchronous",
    "become: true": "the task becomes another user",
    "vars: {ansible_python_interpreter: /usr/bin/python3}": "it has the interpreter /usr/bin/python3",
    "vars: {ansible_python_interpreter: auto_silent}": None,
    "vars: {ansible_python_interpreter: '{{ ansible_playbook_python }}'}": None,
    "delegate_to: localhost": None,
    "connection: ssh": "the connection is not local",
}


def test_where_the_worker_is_not_the_place_it_says_why(pve, tmp_path):
    task = "- {cloudbridge.proxmox.pve_vm_info: {vmid: 100}, ignore_errors: true, ignore_unreachable: true"
    tasks = [f"    {task}, name: case {number}, {words}}}" for number, words in enumerate(KEYWORDS)]
    text = PLAY + "\n".join(tasks) + "\n"
    done = playbooks.play(text, "-vvv", home=tmp_path, connection=pve.environment, interpreter=None)
    for number, (words, reason) in enumerate(KEYWORDS.items()):
        _before, _mark, after = done.stdout.partition(f"TASK [case {number}]")
        found = IN_A_PROCESS.search(after.partition("TASK [")[0])
        assert (found and found[1].startswith(reason or "?")) or (found is reason is None), (words, after[:3000])


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", None),
        (
            "perhaps",
            "the environment variable CLOUDBRIDGE_PROXMOX_RUN_IN_WORKER is 'perhaps', and must be true or false",
        ),
    ],
)
def test_what_the_environment_says_is_named_when_it_is_wrong(pve, tmp_path, value, says):
    task = "- cloudbridge.proxmox.pve_vm_info: {vmid: 100}"
    done = playbooks.play(task, "-vvv", home=tmp_path, connection=pve.environment, env=dict.fromkeys(OFF, value))
    assert "runs in a process of its own" not in done.stdout
    assert says is None or says in done.stdout
    assert ("failed=1" in done.stdout) == (says is not None)


def test_the_environment_turns_it_off(pve, tmp_path):
    task = "- cloudbridge.proxmox.pve_vm_info: {vmid: 100}"
    done = playbooks.play(task, "-vvv", home=tmp_path, connection=pve.environment, env=OFF)
    assert "runs in a process of its own: cloudbridge_proxmox_run_in_worker is false" in done.stdout


@pytest.mark.parametrize("env", [{}, OFF], ids=["worker", "process"])
@pytest.mark.parametrize(
    "task",
    ["pve_vm_power: {vmid: 100}", "pve_vms_power: {guests: [{vmid: 100}, {vmid: 101}]}"],
    ids=["one guest", "many guests"],
)
def test_the_timeout_of_a_task_ends_it(pve, tmp_path, task, env):
    pve.add_guest(101, "second")
    pve.task_seconds["qmstart"] = 60
    tasks = f"""
    - {{timeout: 3, ignore_errors: true, cloudbridge.proxmox.{task}}}
    - cloudbridge.proxmox.pve_vm_info: {{vmid: 100}}
    """
    done, after = playbooks.play(tasks, home=tmp_path, connection=pve.environment, env=env).tasks
    pve.server.hurry.set()
    assert done.failed
    assert not after.failed
    # The words are ansible-core's: before 2.19 others than since.
    assert re.search(r"Timed out after 3 second|time frame \(3\)", done.msg), done.msg


# Writes down who reads certificate authorities.
COUNTING = """
import os, ssl

def counted(context, *places, _read=ssl.SSLContext.load_verify_locations, **named):
    with open(os.environ["LOADS"], "a") as file:
        file.write(f"{os.getpid()} {places[0]}\\n")
    return _read(context, *places, **named)

ssl.SSLContext.load_verify_locations = counted
"""


@pytest.mark.parametrize("has_authority", [True, False])
def test_authorities_are_read_once_for_all_tasks(pve, tmp_path, has_authority):
    (tmp_path / "sitecustomize.py").write_text(COUNTING)
    paths = os.pathsep.join([str(link_collection()), str(tmp_path)])
    env = {"PYTHONPATH": paths, "LOADS": str(tmp_path / "loads")}
    if not has_authority:
        # Nobody can trust this server: each task fails when it has looked at its certificate.
        env["PROXMOX_CA_PATH"] = None
    tasks = "- {cloudbridge.proxmox.pve_vm_info: {vmid: 100}, ignore_errors: true}\n" * 3
    done = playbooks.play(tasks, home=tmp_path, connection=pve.environment, env=env)
    assert [task.failed for task in done.tasks] == [not has_authority] * 3, done.stdout
    (line,) = (tmp_path / "loads").read_text().splitlines()
    assert line.endswith(pve.cafile if has_authority else "cacert.pem")
