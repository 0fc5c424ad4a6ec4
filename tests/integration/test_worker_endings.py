# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task inside Ansible's worker leaves behind when it ends, is interrupted, or fails by a mistake of ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import canaries, playbooks
from tests.support.collection_tree import REPOSITORY, link_collection
from tests.support.processes import STARTUP, child_environment

# Of forks 50 and 500 tasks: CLOUDBRIDGE_TEST_FORKS=50 CLOUDBRIDGE_TEST_ROUNDS=10 and --timeout 900.
FORKS = int(os.environ.get("CLOUDBRIDGE_TEST_FORKS", "20"))
ROUNDS = int(os.environ.get("CLOUDBRIDGE_TEST_ROUNDS", "5"))
OFF = {"CLOUDBRIDGE_PROXMOX_RUN_IN_WORKER": "false"}
STATE_CALLBACKS = playbooks.CALLBACKS.with_name("state_callbacks")
RUNNER = "ansible_collections.cloudbridge.proxmox.plugins.module_utils._ansible.runner"

PLAY = """
- hosts: all
  connection: local
  gather_facts: false
  vars:
    number: "{{ 300 + ansible_play_hosts_all.index(inventory_hostname) }}"
  tasks:
"""
# In turns: a change, nothing to do, a refusal, a variable of the environment, and guests with threads of their own.
TASKS = """\
cloudbridge.proxmox.pve_vm_power: {vmid: "{{ number }}"}
cloudbridge.proxmox.pve_vm_info: {vmid: "{{ number }}"}
cloudbridge.proxmox.pve_vm_power: {vmid: "{{ number | int + 1000 }}"}, ignore_errors: true
cloudbridge.proxmox.pve_vm_info: {vmid: "{{ number }}"}, environment: {PROXMOX_USER: nobody@pam}, ignore_errors: true
cloudbridge.proxmox.pve_vms_power: {guests: [{vmid: "{{ number }}"}, {vmid: 101}]}
""".splitlines()


def watched(tmp_path: Path) -> dict[str, str]:
    """The settings with which Ansible's main process tells its state."""
    return {
        # Not beside the other one, which plays without this repository on their path load, too.
        "ANSIBLE_CALLBACK_PLUGINS": os.pathsep.join(map(str, (playbooks.CALLBACKS, STATE_CALLBACKS))),
        "ANSIBLE_CALLBACKS_ENABLED": "json_lines,parent_state",
        "CLOUDBRIDGE_TEST_PARENT_STATE": str(tmp_path / "states.jsonl"),
        "PYTHONPATH": os.pathsep.join(map(str, (link_collection(), STARTUP, REPOSITORY))),
    }


def open_connections(pve) -> int:
    """Those that PVE still has, as the kernel counts them."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return sum(int(line[1].rpartition(":")[2], 16) == pve.port and line[3] == "01" for line in lines)


def left_behind(home: Path) -> list[str]:
    """Processes that a play has started, told by the HOME that only they have."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"HOME={home}".encode() in environ.read_bytes().split(b"\0"):
                found.append(environ.with_name("cmdline").read_text().replace("\0", " "))
        except OSError:  # it has ended, or is not ours
            continue
    return found


def wait_for(condition, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.mark.timeout(900)
def test_many_workers_at_once_leave_nothing_and_each_has_its_result(pve, tmp_path):
    for number in range(FORKS):
        pve.add_guest(300 + number, f"app{number}")
    inventory = tmp_path / "hosts"
    inventory.write_text("".join(f"host{number}\n" for number in range(FORKS)))
    tasks = [f"    - {{name: round {turn}, {TASKS[turn % len(TASKS)]}}}" for turn in range(ROUNDS)]
    play = playbooks.play(
        PLAY + "\n".join(tasks) + "\n",
        *("-i", str(inventory), "--forks", str(FORKS)),
        home=tmp_path,
        connection=pve.environment,
        env=watched(tmp_path),
        timeout=800,
    )
    assert play.returncode == 0, play.stdout[-5000:] + play.stderr
    assert len(play.tasks) == FORKS * ROUNDS
    by_host: dict[str, list[playbooks.TaskResult]] = {}
    for task in play.tasks:
        by_host.setdefault(task.host, []).append(task)
    for index in range(FORKS):
        vmid = 300 + index
        for turn, task in enumerate(by_host[f"host{index}"]):
            kind, result = turn % len(TASKS), task.result
            assert task.task == f"round {turn}"
            assert task.failed is (kind in (2, 3)), task
            if kind == 0:
                assert (result["vmid"], task.changed) == (vmid, turn == 0)
            elif kind == 1:
                assert [guest["vmid"] for guest in result["guests"]] == [vmid]
            elif kind == 2:
                assert str(vmid + 1000) in task.msg
            elif kind == 3:
                assert result["error"]["kind"] == "authentication", result
            else:
                assert [entry["vmid"] for entry in result["results"]] == [vmid, 101]
    assert len(pve.forms("POST", "/status/start$")) == FORKS
    states = [json.loads(line) for line in (tmp_path / "states.jsonl").read_text().splitlines()]
    assert len(states) == ROUNDS + 1
    # Ansible's own come with the first task, and some go at the end; one that each task left would be seen in any case.
    for name in ("descriptors", "threads"):
        assert max(state[name] for state in states[2:]) - states[1][name] < FORKS // 2, states
    rest = [
        {name: value for name, value in state.items() if name not in ("descriptors", "threads")} for state in states
    ]
    assert rest == [rest[0]] * len(rest)
    wait_for(lambda: open_connections(pve) == 0, "connections are left")
    assert left_behind(tmp_path) == []


IN_ONE_PROCESS = """
import json, sys
from tests.support.process_state import state_of_this_process
from tests.support.worker_runs import load_everything, prepared

def run(module, arguments, **keywords):
    return prepared(module, arguments, check_mode=False, diff=True, **keywords).run(task_vars={})

load_everything()
# What is loaded with the first task stays.
run("pve_vm_info", {"vmid": 100})
for module, arguments, environment, failed in json.load(sys.stdin):
    before = state_of_this_process()
    result = run(module, arguments, environment=environment)
    assert bool(result.get("failed")) is failed, result
    after = state_of_this_process()
    assert after == before, (module, arguments, before, after)
print("all the same")
"""


def test_the_next_item_of_a_loop_begins_as_the_first_one_did(pve, tmp_path):
    """The items of a loop are the tasks that one process carries out."""
    pve.next_task_fails("qmsnapshot", "snapshot feature is not available", vmid=100)
    elsewhere = {"PROXMOX_HOST": "127.0.0.1:1"}
    runs = [
        ("pve_vm_power", {"vmid": 100}, {}, False),
        ("pve_vm_power", {"vmid": 555}, {}, True),
        ("pve_vm_power", {"vmid": 100}, {"PROXMOX_TOKEN_SECRET": "wrong", "LC_ALL": "C"}, True),
        ("pve_vm_info", {"api_timeout": 1}, elsewhere, True),
        ("pve_snapshot", {"vmid": 100, "snapshot": "one"}, {}, True),
        ("pve_vms_power", {"guests": [{"vmid": 100}, {"vmid": 101}, {"vmid": 555}]}, {}, True),
        ("pve_vms", {"guests": [{"vmid": 300, "name": "a"}, {"vmid": 301, "name": "b"}]}, {}, False),
        ("pve_console_info", {"vmid": 101}, {}, False),
        ("pve_console_script", {"vmid": 200, "steps": [{"run": "true"}], "timeout": 2}, {}, True),
    ]
    done = subprocess.run(
        [sys.executable, "-c", IN_ONE_PROCESS],
        input=json.dumps(runs),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=REPOSITORY,
        env=child_environment(
            tmp_path,
            pve.environment,
            {**watched(tmp_path), "ANSIBLE_COLLECTIONS_PATH": str(link_collection())},
        ),
    )
    assert done.stdout.endswith("all the same\n"), done.stdout + done.stderr


@pytest.mark.parametrize("verbose", [False, True])
def test_a_mistake_of_ours_is_a_failed_task_and_the_play_goes_on(pve, tmp_path, verbose):
    tasks = """
    - {name: spoilt, cloudbridge.proxmox.pve_vm_info: {vmid: 100}, ignore_errors: true}
    - {name: spoilt many, cloudbridge.proxmox.pve_vms_power: {guests: [{vmid: 100}]}, ignore_errors: true}
    - {name: next, ansible.builtin.debug: {msg: goes on}}
    """
    env = {**watched(tmp_path), "CLOUDBRIDGE_TEST_SPOIL": f"{RUNNER}:connection_from"}
    words = ["-vvv"] * verbose
    if verbose:
        # ansible-core 2.19 and newer want this, too.
        env["ANSIBLE_DISPLAY_TRACEBACK"] = "error"
    done = playbooks.play(tasks, *words, home=tmp_path, connection=pve.environment, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [(task.task, task.outcome) for task in done.tasks] == [
        ("spoilt", "ignored"),
        ("spoilt many", "ignored"),
        ("next", "ok"),
    ]
    assert "a bug of ours" in done.tasks[0].msg
    said = done.stdout + done.stderr
    assert ("Traceback (most recent call last)" in said) is verbose
    assert ("parent_state.py" in said) is verbose
    assert "dead state" not in said
    assert pve.token_secret not in said


WAITING = {
    "one": ("cloudbridge.proxmox.pve_vm: {name: app1, cores: 2, clone: {source: '9000'}}", ["app1"]),
    "many": (
        "cloudbridge.proxmox.pve_vms: {defaults: {cores: 2, clone: {source: '9000'}}, guests: [{name: a}, {name: b}]}",
        ["a", "b"],
    ),
}


def states_of_clones(pve) -> list[str]:
    return [task["status"] for task in pve.tasks("qmclone")]


@pytest.mark.parametrize("env", [{}, OFF], ids=["worker", "process"])
@pytest.mark.parametrize("kind", WAITING)
def test_ctrl_c_in_the_middle_of_a_wait_ends_it_and_the_next_run_completes_it(pve, tmp_path, kind, env):
    """A module that is interrupted says nothing either: Ansible kills it. PVE goes on, and the next run finds that."""
    task, names = WAITING[kind]
    pve.task_seconds["qmclone"] = 60
    process = subprocess.Popen(
        playbooks.command_line(f"- {task}", home=tmp_path),
        env=playbooks.play_environment(tmp_path, pve.environment, env),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(
            lambda: [task["status"] for task in pve.tasks("qmclone")] == ["running"] * len(names), "no clone began"
        )
        wait_for(lambda: f"GET /nodes/pve1/tasks/{pve.tasks('qmclone')[-1]['upid']}/status" in pve.summary(), "no wait")
        # What a terminal does: all of its foreground processes get it.
        os.killpg(process.pid, signal.SIGINT)
        output, _none = process.communicate(timeout=30)
    finally:
        process.kill()
    canaries.see("the interrupted play", output)
    assert process.returncode == 99, output
    assert "User interrupted execution" in output
    assert "Traceback" not in output
    wait_for(lambda: left_behind(tmp_path) == [], "a process is left", 20)
    wait_for(lambda: open_connections(pve) == 0, "connections are left", 20)
    # Nothing was taken back.
    assert states_of_clones(pve) == ["running"] * len(names)
    assert [line for line in pve.summary() if line.startswith("DELETE")] == []

    pve.server.hurry.set()
    again = playbooks.play(f"- {task}", home=tmp_path, connection=pve.environment, env=env)
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(pve.tasks("qmclone")) == len(names)
    assert sorted(str(pve.config(vmid)["name"]) for vmid in pve.vmids() if vmid not in (100, 101, 200, 9000)) == names
    assert all("lock" not in pve.config(vmid) for vmid in pve.vmids())
