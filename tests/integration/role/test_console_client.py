# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role console_client: installed, installed again, used, removed."""

from __future__ import annotations

import stat
import subprocess
import sys

import pytest

from tests.support.collection_tree import link_collection
from tests.support.forks import forking_python
from tests.support.playbooks import play
from tests.support.processes import child_environment

pytestmark = pytest.mark.timeout(400)

PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  roles:
    - role: cloudbridge.proxmox.console_client
"""


class Machine:
    """A machine in a scratch directory."""

    def __init__(self, home):
        self.home = home
        self.root = home / "root"
        self.executable = self.root / "usr/local/bin/pve-console"
        self.directory = self.root / "opt/cloudbridge-proxmox/console"
        self.completion = self.root / "usr/local/share/bash-completion/completions/pve-console"

    def install(self, check=False, **variables):
        self.home.mkdir(parents=True, exist_ok=True)
        paths = {
            "console_client_executable": str(self.executable),
            "console_client_directory": str(self.directory),
            "console_client_bash_completion": str(self.completion),
            # None; each task of a play takes its time.
            "console_client_zsh_completion": "",
            # One that is there already: pip is not what this is about.
            "console_client_python_environment": sys.prefix,
        }
        settings = {"ANSIBLE_COLLECTIONS_PATH": str(link_collection()), "ANSIBLE_PIPELINING": "true"}
        return play(
            PLAY,
            home=self.home,
            connection={},
            check=check,
            extra_vars={**paths, **variables},
            env=settings,
            interpreter=str(forking_python()),
        )

    def files(self):
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*")}

    def run(self, *arguments, **environment):
        command = [str(self.executable), *arguments]
        environment = {**child_environment(self.home, environment), "PYTHONPATH": ""}
        return subprocess.run(
            command, env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "m")


def passed(result):
    assert result.returncode == 0, result.stdout + result.stderr
    return [task.task.rpartition(" : ")[2] for task in result.tasks if task.changed]


@pytest.mark.smoke
def test_installed_again_used_and_removed(machine, pve):
    machine.executable.parent.mkdir(parents=True)
    (machine.executable.parent / "other").write_text("mine")
    before = machine.files()
    assert "Write the executable" in passed(machine.install(check=True))
    assert machine.files() == before

    passed(machine.install())
    assert stat.filemode(machine.executable.stat().st_mode) == "-rwxr-xr-x"
    packages = machine.directory / "current/ansible_collections/cloudbridge/proxmox/plugins/module_utils"
    assert sorted(path.name for path in packages.iterdir()) == ["_operations", "_pve", "_terminal"]
    installed = machine.files()
    assert passed(machine.install()) == []
    assert machine.completion.read_text() == machine.run("--completion", "bash").stdout
    assert machine.run("--complete", "w", **pve.environment).stdout == "web\n"
    assert machine.run("web").returncode == 2
    # Nothing is written beside the code, whoever runs it.
    assert machine.files() == installed

    passed(machine.install(console_client_state="absent"))
    assert machine.files() - before <= {"opt", *(name for name in installed if name.startswith("usr/local/share"))}
    assert not any(path.exists() for path in (machine.executable, machine.directory, machine.completion))


def test_somebody_elses_files_stay(machine):
    machine.executable.parent.mkdir(parents=True)
    machine.executable.write_text("#!/bin/sh\n")
    result = machine.install()
    assert result.returncode != 0
    assert "is not this role's" in str([task.result for task in result.tasks if task.failed])
    # There is nothing of the role's either, so that this is also what is left of a removal.
    assert passed(machine.install(console_client_state="absent")) == []
    assert machine.executable.read_text() == "#!/bin/sh\n"


def test_paths_that_do_not_do(machine):
    result = machine.install(check=True, console_client_executable="bin/pve-console")
    assert result.returncode != 0
    assert "does not do" in str([task.result for task in result.tasks if task.failed])
