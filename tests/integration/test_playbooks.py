# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks of the collection, as a user runs them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support import canaries, playbooks
from tests.support.api_client import ApiClient
from tests.support.collection_tree import REPOSITORY
from tests.support.playbooks import as_playbook
from tests.support.ssh_keys import ED25519

pytestmark = pytest.mark.smoke

PLAYBOOKS = REPOSITORY / "playbooks"
CONFIGURED = "Clone and configure"
STARTED = "Start it, and wait for what is wanted"
SHOWN = "Show what there is"
NO_ENVIRONMENT = dict.fromkeys(
    f"PROXMOX_{name}" for name in ("HOST", "PORT", "USER", "TOKEN_ID", "TOKEN_SECRET", "CA_PATH")
)


@pytest.fixture
def run(play):
    """Run a playbook of the collection with variables from the command line, which are all strings."""

    def run_playbook(name, *, check=False, diff=False, env=None, **variables):
        words = [word for key, value in variables.items() for word in ("-e", f"{key}={value}")]
        return play(PLAYBOOKS / f"{name}.yml", *words, check=check, diff=diff, env=env)

    return run_playbook


@pytest.fixture
def answering(pve):
    """Each guest's agent answers once the guest has been started."""
    pve.agents_answer_from_the_start()
    return pve


def writes(pve):
    return [line for line in pve.summary() if not line.startswith("GET")]


def said(result):
    return result.task(SHOWN).result["msg"]


NEW_VM = {
    "vm_name": "app1",
    "template": "debian-template",
    "cores": 2,
    "memory": 2048,
    "disk_size": "16G",
    "bridge": "vmbr1",
    "vlan": 20,
    "vm_tags": "prod,app",
    "pool": "web",
    "ci_user": "admin",
    "ip": "192.0.2.10/24",
    "gateway": "192.0.2.1",
    "nameservers": "192.0.2.53,192.0.2.54",
    "wait_for": "agent,ip",
}


def test_provision_makes_a_guest_once(answering, run, tmp_path):
    pve = answering
    pve.add_pool("web")
    keys = tmp_path / "keys.pub"
    keys.write_text(f"# of the admins\n{ED25519} one@example\n", encoding="utf-8")
    variables = {**NEW_VM, "ssh_key_file": keys}

    foretold = run("provision", check=True, diff=True, **variables)
    assert not foretold.failed, foretold.stdout
    assert foretold.task(CONFIGURED).changed
    assert foretold.task(STARTED).outcome == "skipped"
    assert "status: stopped" in said(foretold)
    assert writes(pve) == []

    made = run("provision", diff=True, **variables)
    assert not made.failed, made.stdout
    assert made.task(CONFIGURED).changed
    assert made.task(STARTED).changed
    assert made.task(CONFIGURED).diff["after"].keys() == foretold.task(CONFIGURED).diff["after"].keys()
    vmid = made.task(CONFIGURED).result["vmid"]
    config = pve.config(vmid)
    assert (config["name"], str(config["cores"]), str(config["memory"])) == ("app1", "2", "2048")
    assert "size=16G" in config["scsi0"]
    assert "bridge=vmbr1" in config["net0"]
    assert "tag=20" in config["net0"]
    assert sorted(config["tags"].split(";")) == ["app", "prod"]
    assert config["ciuser"] == "admin"
    assert sorted(config["ipconfig0"].split(",")) == ["gw=192.0.2.1", "ip=192.0.2.10/24"]
    assert config["nameserver"].split() == ["192.0.2.53", "192.0.2.54"]
    assert "one%40example" in config["sshkeys"]
    assert pve.guest(vmid).pool == "web"
    assert pve.status(vmid) == "running"
    assert said(made) == [
        f"guest: app1 ({vmid}) on pve1",
        "status: running",
        "addresses: 192.0.2.10",
        "pending: nothing",
    ]

    pve.reset_record()
    again = run("provision", **variables)
    assert not again.failed, again.stdout
    assert not any(again.changed)
    assert said(again) == said(made)
    assert writes(pve) == []


def test_provision_changes_and_deletes_a_guest_without_its_template(pve, run):
    changed = run("provision", vmid=101, memory=4096)
    assert not changed.failed, changed.stdout
    assert said(changed) == [
        "guest: db (101) on pve1",
        "status: running",
        "addresses: not asked for",
        "pending: memory",
    ]
    rebooted = run("provision", vmid=101, memory=4096, apply_pending="reboot")
    assert rebooted.task(CONFIGURED).changed
    assert "pending: nothing" in said(rebooted)

    refused = run("provision", vmid=101, state="absent")
    assert refused.failed
    assert "is running: stop it first, or set force" in refused.stdout
    for check in (True, False):
        deleted = run("provision", vmid=101, vm_name="db", state="absent", force="true", purge="true", check=check)
        assert not deleted.failed, deleted.stdout
        assert any(deleted.changed)
    assert 101 not in pve.vmids()
    gone = run("provision", vmid=101, state="absent")
    assert not gone.failed
    assert not any(gone.changed)


def test_provision_makes_a_template_with_disks_of_its_own(pve, run):
    golden = {"vm_name": "golden", "template": 9000, "full": "true", "storage": "vmstore", "state": "template"}
    made = run("provision", **golden)
    assert not made.failed, made.stdout
    vmid = made.task(CONFIGURED).result["vmid"]
    assert pve.guest(vmid).template
    assert pve.config(vmid)["scsi0"].startswith("vmstore:")
    again = run("provision", **golden)
    assert not again.failed, again.stdout
    assert not any(again.changed)


@pytest.mark.parametrize(
    ("playbook", "variables", "sentence"),
    [
        ("provision", {"template": "debian-template"}, "Say which virtual machine is meant: -e vm_name=app1"),
        ("provision", {"vm_name": "app1"}, "There is no virtual machine app1 yet, so say what to clone"),
        ("power", {"state": "stopped"}, "Say which guest is meant: -e vm_name=web"),
        ("snapshot", {"snapshot": "one"}, "Say which guest is meant: -e vm_name=web"),
        ("snapshot", {"vm_name": "web", "state": "rolled_back"}, "Say which snapshot is meant: -e snapshot="),
        ("snapshot", {"vm_name": "web", "keep_last": 3}, "Say which snapshot is meant: -e snapshot="),
        ("console", {"type": "vnc"}, "Name a guest or a node: -e vm_name=web, -e vmid=101, or -e node=pve1"),
        ("console", {"vmid": 101, "type": "link"}, "type is info, vnc, terminal or spice, not link"),
        ("console", {"vmid": 101, "type": "vnc"}, "Say where to write what a viewer needs, which is secret: -e file="),
        ("console", {"vmid": 101, "file": "~/db.vv"}, "Say what to open into the file: -e type=spice"),
        ("console", {"vmid": 101, "type": "spice", "file": "db.vv"}, "file is the whole path of a file, as in -e file"),
    ],
)
def test_missing_variable_is_one_sentence(pve, run, playbook, variables, sentence):
    result = run(playbook, **variables)
    assert result.failed
    assert result.tasks[-1].msg.startswith(sentence)
    assert writes(pve) == []


def test_power_brings_a_guest_into_states(pve, run):
    steps = [
        ({"vm_name": "web"}, "running", True),
        ({"vm_name": "web"}, "running", False),
        ({"vmid": 100, "state": "hibernated"}, "hibernated", True),
        ({"vmid": 100, "state": "restarted"}, "running", True),
        (
            {"vmid": 100, "state": "stopped", "stop_method": "shutdown_then_stop", "shutdown_timeout": 20},
            "stopped",
            True,
        ),
    ]
    for variables, status, changed in steps:
        result = run("power", **variables)
        assert not result.failed, result.stdout
        assert any(result.changed) is changed, variables
        assert f"status: {status}" in said(result)
    form = pve.forms("POST", "/status/shutdown$")[-1]
    assert (str(form["timeout"]), str(form["forceStop"])) == ("20", "1")


def test_power_foretells_what_it_would_do(pve, run):
    foretold = run("power", check=True, diff=True, vm_name="db", state="stopped", stop_method="stop")
    assert not foretold.failed, foretold.stdout
    assert any(foretold.changed)
    assert writes(pve) == []


def test_power_waits_for_the_address(answering, run):
    result = run("power", vm_name="db", wait_for="ip", wait_timeout=5, check=True)
    assert "addresses: 192.0.2.10" in said(result)


def test_snapshot_takes_keeps_rolls_back_deletes_and_lists(pve, run):
    for number in (1, 2):
        ApiClient(pve).task("POST", "/nodes/pve1/qemu/100/snapshot", snapname=f"day-{number}")
    options = {"vm_name": "web", "snapshot": "day-3", "keep_last": 2, "keep_pattern": "day-*"}
    foretold = run("snapshot", check=True, **options)
    assert any(foretold.changed)
    assert sorted(pve.snapshots(100)) == ["day-1", "day-2"]
    taken = run("snapshot", **options)
    assert not taken.failed, taken.stdout
    assert any(taken.changed)
    assert sorted(pve.snapshots(100)) == ["day-2", "day-3"]
    again = run("snapshot", vm_name="web", snapshot="day-3")
    assert not again.failed
    assert not any(again.changed)

    listed = run("snapshot", vm_name="web")
    assert said(listed) == ["guest: web (100) on pve1, stopped", "snapshots: day-2, day-3"]

    back = run("snapshot", vm_name="web", snapshot="day-3", state="rolled_back", start_after="true")
    assert not back.failed, back.stdout
    assert pve.status(100) == "running"

    pruned = run("snapshot", vm_name="web", state="absent", keep_last=1, keep_pattern="day-*")
    assert not pruned.failed, pruned.stdout
    gone = run("snapshot", vm_name="web", snapshot="day-3", state="absent")
    assert not gone.failed, gone.stdout
    assert said(gone)[1] == "snapshots: none"
    assert pve.snapshots(100) == {}


def test_playbooks_are_found_by_their_names_in_the_collection(pve, play, monkeypatch):
    # The harness would take a name for YAML.
    monkeypatch.setattr("tests.support.playbooks.as_playbook", lambda source, _directory: source)
    result = play("cloudbridge.proxmox.power", "-e", "vm_name=db")
    assert not result.failed, result.stdout
    assert "status: running" in said(result)
    assert as_playbook(PLAYBOOKS / "power.yml", PLAYBOOKS).is_file()


def test_variables_say_where_pve_is_instead_of_the_environment(pve, run):
    lost = run("power", env=NO_ENVIRONMENT, vm_name="db")
    assert lost.failed
    assert "api_user is required" in lost.stdout or "api_host is required" in lost.stdout
    result = run(
        "power",
        env=NO_ENVIRONMENT,
        vm_name="db",
        api_host=f"{pve.host}:{pve.port}",
        api_token_id=pve.token_id,
        api_token_secret=pve.token_secret,
        api_fingerprint=pve.fingerprint,
    )
    assert not result.failed, result.stdout
    assert pve.token_secret not in result.stdout


def test_module_defaults_of_the_group_reach_every_module(pve, play):
    result = play(
        f"""
        - hosts: localhost
          connection: local
          gather_facts: false
          module_defaults:
            group/cloudbridge.proxmox.pve:
              api_host: {pve.host}
              api_port: {pve.port}
              api_user: root@pam
              api_token_id: ansible
              api_token_secret: {pve.token_secret}
              ca_path: {pve.cafile}
          tasks:
            - name: Power
              cloudbridge.proxmox.pve_vm_power: {{vmid: 101}}
            - name: Configuration
              cloudbridge.proxmox.pve_vm: {{vmid: 101, cores: 2}}
            - name: Snapshot
              cloudbridge.proxmox.pve_snapshot: {{vmid: 101, snapshot: one, state: absent}}
            - name: Guests
              cloudbridge.proxmox.pve_vm_info:
            - name: Snapshots
              cloudbridge.proxmox.pve_snapshot_info: {{vmid: 101}}
            - name: Tasks
              cloudbridge.proxmox.pve_task_info:
        """,
        env=NO_ENVIRONMENT,
    )
    assert not result.failed, result.stdout
    assert [task.outcome for task in result.tasks] == ["ok"] * 6
    assert not any(result.changed)


@pytest.mark.shows_secrets(canaries.CONSOLE)
def test_console_tells_what_there_is_and_writes_what_a_viewer_needs(pve, run, tmp_path):
    pve.call(lambda: pve.server.guest(101).config.update(vga="qxl", serial0="socket"))
    told = run("console", vm_name="db")
    assert not told.failed, told.stdout
    assert said(told)[0] == "consoles of db (101) on pve1, running: vnc, terminal, spice"
    assert said(told)[1].startswith(f"in a browser: {pve.url}/?console=kvm&novnc=1&vmid=101&")
    assert len(said(told)) == 3
    assert writes(pve) == []

    file = tmp_path / "db.vv"
    foretold = run("console", vmid=101, type="spice", file=file, check=True)
    assert not foretold.failed, foretold.stdout
    assert writes(pve) == []
    assert not file.exists()

    for what in ("spice", "vnc"):
        opened = run("console", vmid=101, type=what, file=file, diff=True)
        assert not opened.failed, opened.stdout
        assert said(opened)[-1].startswith(f"written: {file}, to be used before ")
        assert file.stat().st_mode & 0o777 == 0o600
        text = file.read_text(encoding="utf-8")
        password = (
            re.search(r"^password=(.+)$", text, re.MULTILINE)[1] if what == "spice" else json.loads(text)["password"]
        )
        assert password not in opened.stdout
    assert [line.rpartition("/")[2] for line in writes(pve)] == ["spiceproxy", "vncproxy"]


def test_console_says_why_there_is_none(pve, run, tmp_path):
    refused = run("console", vm_name="web", type="vnc", file=tmp_path / "vnc.json")
    assert refused.failed
    assert refused.tasks[-1].msg == "guest 100 (web) is stopped, so it has no console: start it first"
    assert writes(pve) == []
    told = run("console", vm_name="web")
    assert said(told)[0] == "consoles of web (100) on pve1, stopped: none"
    assert said(told)[3:] == [refused.tasks[-1].msg]


TABLE = "Show the table"
MADE = "Made to verify a backup, and deleted by the next run of pve_backup_verify with the same tag."


def table(result):
    """The lines of the table, the first one apart, by the number of the guest."""
    lines = result.task(TABLE).result["msg"]
    assert lines[0].split() == ["GUEST", "AGE", "SIZE", "BOOT", "RESULT"]
    return {int(line.split()[0]): line.split(None, 1)[1] for line in lines[1:]}


def killed_at(pve, path, name, variables, home):
    """Run a playbook, and kill it with its workers when it sends this request."""
    words = [word for key, value in variables.items() for word in ("-e", f"{key}={value}")]
    process = subprocess.Popen(
        playbooks.command_line(PLAYBOOKS / f"{name}.yml", *words, home=home),
        env=playbooks.play_environment(home, pve.environment),
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def kill():
        # Workers are in sessions of their own, and would go on without it.
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()
        for pid in (process.pid, *map(int, workers)):
            os.kill(pid, signal.SIGKILL)

    pve.before("POST", path, kill)
    assert process.wait() == -signal.SIGKILL


def test_verify_backups(answering, run, tmp_path):
    pve = answering
    pve.guest(100).config.update(agent="1", tags="prod")
    pve.guest(101).config.update(tags="prod")
    good = pve.add_backup(100, age=7200)
    bad = pve.add_backup(101, age=3600, damaged="body")
    before = {vmid: pve.config(vmid) for vmid in (100, 101)}
    only = {"guest_tags": "prod", "parallel": "2", "report_file": tmp_path / "report.json"}
    killed_at(pve, "/status/start$", "verify_backups", only, tmp_path)
    left = set(pve.vmids()) - {100, 101, 200, 9000}
    assert any(MADE in pve.config(vmid).get("description", "") for vmid in left)
    foretold = run("verify_backups", check=True, **only)
    assert (foretold.failed, left <= set(pve.vmids())) == (False, True), foretold.stdout
    assert table(foretold)[100].split() == ["web", "2.0", "h", "35.79", "KB", "-", "not", "run"]
    result = run("verify_backups", **only)
    assert (result.failed, result.returncode) == (True, 2), result.stdout
    rows = table(result)
    assert rows[100].split()[:5] == ["web", "2.0", "h", "35.79", "KB"]
    assert rows[100].split()[6:] == ["s", "good"]
    assert rows[101].split()[:7] == ["db", "1.0", "h", "35.79", "KB", "-", "bad:"]
    assert "the backup is damaged: restore an older one" in rows[101]
    assert (tmp_path / "report.json").stat().st_mode & 0o777 == 0o600
    reports = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [(one["backup"], one["result"]) for one in reports] == [(good, "good"), (bad, "bad")]
    # What was left of a run that was killed is gone, and so is what this one has made.
    assert pve.vmids() == [100, 101, 200, 9000]
    assert {vmid: pve.config(vmid) for vmid in (100, 101)} == before
    assert pve.status(101) == "running"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "Say whose backups are meant"),
        ({"guest_names": "databse"}, "No backup was verified: no guest is chosen by these variables"),
        ({"guest_names": "web", "report_file": "report.json"}, "Give the whole path of the report"),
        ({"guest_node": "pve9"}, "there is no node pve9"),
    ],
)
def test_verify_backups_of_nobody(run, variables, words):
    result = run("verify_backups", **variables)
    assert result.failed
    assert words in result.stdout
