# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role cloudstack_extension: installed, installed again, upgraded, spoilt, removed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.management_servers import COLLECTION, GROUP, USER, ManagementServer
from tests.support.service import wait_until

# Whole plays, on a machine that may have other things to do.
pytestmark = pytest.mark.timeout(400)


def passed(result):
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def changed_tasks(result):
    return [task.task.rpartition(" : ")[2] for task in result.tasks if task.changed]


def told(result):
    """What the user reads of the tasks that failed."""
    assert result.returncode != 0, result.stdout
    answers = [task.result for task in result.tasks if task.failed]
    answers += [item for answer in answers for item in answer.get("results", [])]
    return " ".join(str(answer.get(name, "")) for answer in answers for name in ("msg", "stderr"))


def mode(path):
    return stat.filemode(path.stat().st_mode)


def test_check_mode_on_a_new_machine_writes_nothing(server):
    result = passed(server.install(check=True))
    assert changed_tasks(result)
    assert not server.root.exists()


@pytest.mark.smoke
@pytest.mark.parametrize("check", [False, True])
def test_a_second_run_changes_nothing_and_says_that_there_is_no_systemd(installed, check):
    before = installed.files()
    result = passed(installed.install(check=check))
    assert changed_tasks(result) == []
    assert installed.files() == before
    said = " ".join(str(task.result.get("msg", "")) for task in result.tasks)
    assert ("the executable carries each action out itself" in said) is not Path("/run/systemd/system").exists()


def test_what_is_installed_belongs_to_whom(installed):
    assert mode(installed.executable) == "-rwxr-xr-x"
    assert (installed.executable.owner(), installed.executable.group()) == (USER, GROUP)
    assert mode(installed.policy) == "-rw-r-----"
    assert mode(installed.policy.parent) == mode(installed.log.parent) == "drwxr-x---"
    assert json.loads(installed.policy.read_text()) == {}
    (release,) = installed.releases
    assert (installed.directory / "current").resolve().name == release
    assert (installed.directory / "current" / "VERSION").read_text().strip() == release
    packages = installed.directory / "current/ansible_collections/cloudbridge/proxmox/plugins/module_utils"
    assert sorted(path.name for path in packages.iterdir()) == ["_cloudstack", "_operations", "_pve"]


def test_calls_write_nothing_beside_the_executable_nor_into_the_code(installed):
    before = {name for name in installed.files() if not name.startswith("var/")}
    for action in ("cloudbridge smoke test", "status", "create", ""):
        code, answer = installed.call(action)
        assert (code, answer["status"]) == (1, "error")
    assert [path.name for path in installed.executable.parent.rglob("*")] == [installed.executable.name]
    assert {name for name in installed.files() if not name.startswith("var/")} == before


def test_code_that_cannot_be_loaded_is_not_switched_to(server):
    entry = server.use_own_collection() / "_cloudstack" / "entry.py"
    original = entry.read_text("utf-8")
    passed(server.install())
    (first,) = server.releases

    # The part of the role that this is about.
    module = "ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.entry"
    code = {
        "python_environment_packages": ["_pve", "_operations", "_cloudstack"],
        "python_environment_imports": [module],
    }
    for spoilt, words in (("import no_such_module", "no_such_module"), ("def half(", "SyntaxError")):
        entry.write_text(f"{original}\n{spoilt}\n", "utf-8")
        assert words in told(server.environment(**code))
        assert server.releases == [first]
        assert (server.directory / "current").resolve().name == first
        assert server.call("unknown")[0] == 1


def test_an_upgrade_is_complete_before_it_is_used_and_uninstalling_leaves_no_directory(server, tmp_path):
    """The service goes on with an upgrade, too: what systemd would do is done by hand here, start and reload it."""
    entry = server.use_own_collection() / "_cloudstack" / "entry.py"
    original = entry.read_text("utf-8")
    passed(server.install())
    (first,) = server.releases
    executable = server.executable.read_bytes()

    with running_service(server, tmp_path / "output") as service:
        assert server.call("status")[0] == 1
        entry.write_text(f"{original}\nSECOND = 2\n", "utf-8")
        assert changed_tasks(passed(server.install())) == [
            "Prepare the release beside the one in use",
            "Switch to the release",
        ]
        (second,) = set(server.releases) - {first}
        assert (server.directory / "current").resolve().name == second
        # CloudStack compares it over its servers, and must see no difference while they are upgraded one by one.
        assert server.executable.read_bytes() == executable
        assert server.call("unknown")[0] == 1

        assert "reload it" in service.state()["error"]
        # Meanwhile the executable does it, with the code that is installed.
        assert server.call("status")[0] == 1
        service.reload()
        assert service.state()["release"] == str((server.directory / "current").readlink())

    # Nothing else is in the directories.
    passed(server.uninstall())
    assert [name for name in server.files() if "cloudbridge" in name.lower()] == []
    assert server.extensions.is_dir()
    assert changed_tasks(passed(server.uninstall())) == []


class RunningService:
    """The service as its unit starts it."""

    def __init__(self, server, command, output):
        self.control = [str(server.directory / "bin" / "cloudbridge-proxmoxctl"), "status", "--json"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.pids = {self.process.pid}
        wait_until(lambda: self.state().get("pid") == self.process.pid)

    def state(self):
        return json.loads(subprocess.run(self.control, capture_output=True, check=False).stdout)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)
        assert self.process.wait(30) == 0
        wait_until(lambda: "error" not in self.state())
        self.pids.add(self.state()["pid"])
        assert len(self.pids) == 2


@contextlib.contextmanager
def running_service(server, output):
    (unit,) = server.units.glob("*.service")
    command = re.search(r"ExecStart=(.*?[^\\])\n", unit.read_text(), re.DOTALL)[1].replace("\\\n", " ").split()
    server.socket.parent.mkdir(exist_ok=True)
    with output.open("wb") as file:
        service = RunningService(server, command, file)
    try:
        yield service
    finally:
        for pid in service.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def test_calls_that_are_under_way_keep_the_release_before(server):
    code = server.use_own_collection() / "_pve"
    releases = []
    for number in range(3):
        (code / "new.py").write_text(f"NUMBER = {number}\n")
        passed(server.environment(python_environment_packages=["_pve"]))
        releases.append((server.directory / "current").resolve().name)
    assert server.releases == sorted(releases[1:])


@pytest.mark.smoke
def test_uninstalling_leaves_what_was_there_before(tmp_path):
    server = ManagementServer(tmp_path / "s", name="Proxmox", entry_point="proxmox.sh")
    server.executable.parent.mkdir(parents=True)
    server.executable.write_text("#!/bin/bash\necho CloudStack\n")
    server.executable.chmod(0o755)
    for path in (server.policy.parent / "Other.json", server.log.parent / "Proxmox.log.old", server.directory / "mine"):
        path.parent.mkdir(parents=True)
        path.write_text("mine")
    before = server.files()
    assert changed_tasks(passed(server.install(check=True)))
    assert server.files() == before

    passed(server.install(cloudstack_extension_policy={"allowed_templates": ["gold-*"]}))
    assert server.call("unknown")[0] == 1
    assert json.loads(server.policy.read_text()) == {"allowed_templates": ["gold-*"]}
    server.log.write_text("a call")
    server.log.with_name("Proxmox.log.1").write_text("a call")
    middle = server.files()
    assert changed_tasks(passed(server.uninstall(check=True)))
    assert server.files() == middle

    passed(server.uninstall())
    assert server.files() == before
    assert mode(server.executable) == "-rwxr-xr-x"


def test_a_policy_that_is_wrong_is_not_put_in_place(installed):
    before = installed.files()
    assert "max_disk_size" in told(installed.install(cloudstack_extension_policy={"max_disk_size": 100}))
    assert installed.files() == before


@pytest.mark.parametrize("address", ["mgmt1.example.com", "2001:db8::7"])
def test_an_address_that_the_console_proxy_does_not_find(installed, address):
    before = installed.files()
    words = told(installed.install(cloudstack_extension_console_address=address))
    assert f'cloudstack_extension_console_address is "{address}", which is no IPv4 address' in words
    assert installed.files() == before


COMPARISON = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: cloudbridge.proxmox.cloudstack_extension
        tasks_from: compare
"""


def test_several_servers_have_the_same_bytes_or_the_role_fails(tmp_path):
    # They differ in CloudStack's directory alone: the executable names the others.
    first = ManagementServer(tmp_path / "s")
    roots = {name: tmp_path / name / "extensions" for name in ("mgmt1", "mgmt2")}
    inventory = tmp_path / "inventory"
    inventory.write_text("".join(f"{name} cloudstack_extension_root={root}\n" for name, root in roots.items()))
    variables = {name: value for name, value in first.variables.items() if name != "cloudstack_extension_root"}
    playbook = first.collections / COLLECTION / "playbooks" / "install_cloudstack_extension.yml"

    # What the role writes itself, it mends; what it does not, it can only tell.
    one, two = (root / first.name / first.entry_point for root in roots.values())
    two.parent.mkdir(parents=True)
    two.write_bytes(b"import ansible_collections  # tampered with\n")
    two.chmod(0o755)
    state = two.with_name("state.json")
    state.write_text("{}")
    # Both are this machine, and write to the same directories: one after the other.
    text = told(first.run(playbook, "-i", str(inventory), "--forks", "1", variables=variables))
    assert "differ in state.json" in text
    assert "mgmt1 and mgmt2" in text
    assert b"tampered" not in one.read_bytes()
    assert one.read_bytes() == two.read_bytes()

    state.unlink()
    passed(first.run(COMPARISON, "-i", str(inventory), variables=variables))


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("cloudstack_extension_state", "installed", "present, absent"),
        ("cloudstack_extension_custom_actions", ["Explode"], "Explode"),
        ("cloudstack_extension_custom_action_timeout", "soon", "cloudstack_extension_custom_action_timeout"),
        ("cloudstack_extension_policy", "allowed_templates", "cloudstack_extension_policy"),
        ("cloudstack_extension_name", "../Proxmox", "../Proxmox"),
        ("cloudstack_extension_entry_point", "bin/proxmox.sh", "bin/proxmox.sh"),
        ("cloudstack_extension_log_directory", "/var/log/", "/var/log"),
        ("cloudstack_extension_user", "nobody-knows-me", "cloudstack_extension_user"),
        ("cloudstack_extension_python_environment", "/nonexistent", "Python 3.9"),
    ],
)
def test_wrong_values_are_told(server, variable, value, words):
    # The account is looked for only outside of check mode, which keeps the rest from doing harm.
    assert words in told(server.install(check=variable != "cloudstack_extension_user", **{variable: value}))
    assert not server.root.exists()


@pytest.mark.smoke
def test_the_doctors_verdict_is_shown_and_its_secret_is_not(server):
    connection = {
        "url": "https://127.0.0.1:1",
        "user": "u@pve",
        "token": "t",
        "secret": "5ec4e7-5ec4e7",
        "node": "pve1",
    }
    variables = server.home / "doctor.json"
    server.home.mkdir(exist_ok=True)
    variables.write_text(json.dumps({"cloudstack_extension_doctor": connection}))
    result = server.install("-vvv", "-e", f"@{variables}")
    assert [task.task.rpartition(" : ")[2] for task in result.tasks if task.failed] == ["Show what the doctor found"]
    assert "doctor" in told(result)
    everything = result.stdout + result.stderr + json.dumps([task.result for task in result.tasks])
    assert "5ec4e7-5ec4e7" not in everything


def test_the_units_are_what_systemd_takes(installed):
    units = sorted(installed.units.iterdir())
    assert [path.name for path in units] == [
        f"cloudbridge-proxmoxd-{installed.name}.{kind}" for kind in ("service", "socket")
    ]
    service, listener = (path.read_text() for path in units)
    assert f"ListenSequentialPacket={installed.socket}" in listener
    assert "SocketMode=0600" in listener
    for line in ("Type=notify", "NoNewPrivileges=yes", "ProtectSystem=strict", "MemoryMax=512M", f"User={USER}"):
        assert f"\n{line}\n" in service
    if shutil.which("systemd-analyze"):
        checked = subprocess.run(
            ["systemd-analyze", "verify", *map(str, units)], capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stderr) == (0, "")


def test_turning_the_service_off_removes_it(installed):
    # Text, as INI inventories and -e have it.
    changed = changed_tasks(passed(installed.install(check=True, cloudstack_extension_service="false")))
    assert "Remove the units, the programs and the journal of the service" in changed
    assert "Write the executable" in changed
