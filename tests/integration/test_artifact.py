# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `ansible-galaxy collection build` makes: it holds what users need, and works where nothing else is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.collection_tree import REPOSITORY
from tests.support.processes import child_environment
from tests.tooling.working_copy import update_copy

pytestmark = pytest.mark.smoke

# Directories in which every file that git knows is for users, and the files beside them.
SHIPPED = {"docs", "meta", "playbooks", "plugins", "roles", "bin", "extensions"}
BESIDE = {
    *("README.md", "LICENSE", "SECURITY.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "requirements.txt"),
    *("changelogs", "CHANGELOG.md", "MANIFEST.json", "FILES.json"),
}


class Machine:
    """Somebody's machine that has Ansible, and no checkout of this collection."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.collections = home / "collections"

    def run(self, program: str, *arguments: str, cwd: Path | None = None, **env: str) -> str:
        settings = {"PYTHONPATH": None, "ANSIBLE_COLLECTIONS_PATH": str(self.collections), **env}
        done = subprocess.run(
            [str(Path(sys.executable).parent / program), *arguments],
            env=child_environment(self.home, settings),
            cwd=cwd or self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install(self) -> Path:
        """Build and install the collection, and return where it is."""
        source = update_copy("artifact")
        self.run("ansible-galaxy", "collection", "build", "--output-path", str(self.home), cwd=source)
        (artifact,) = self.home.glob("cloudbridge-proxmox-*.tar.gz")
        self.run("ansible-galaxy", "collection", "install", "--offline", str(artifact))
        return self.collections / "ansible_collections" / "cloudbridge" / "proxmox"


def plugins_of(directory: Path) -> set[str]:
    return {f"cloudbridge.proxmox.{path.stem}" for path in (REPOSITORY / directory).glob("*.py")}


def test_the_artifact_holds_what_users_need_and_works_without_a_checkout(pve, tmp_path):
    machine = Machine(tmp_path)
    installed = machine.install()

    names = {path.name for path in installed.iterdir()}
    assert names <= SHIPPED | BESIDE
    assert {"plugins", "roles", "playbooks", "meta", "docs", "README.md", "LICENSE", "SECURITY.md"} <= names
    files = [path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()]
    assert [name for name in files if re.search(r"(^|/)\.|__pycache__|\.pyc$|~$|^changelogs/fragments/", name)] == []

    documented = json.loads(machine.run("ansible-doc", "--metadata-dump", "cloudbridge.proxmox"))["all"]
    assert set(documented["module"]) == plugins_of(Path("plugins/modules"))
    assert set(documented["inventory"]) == plugins_of(Path("plugins/inventory"))
    assert {name.rpartition(".")[2] for name in documented["role"]} == {
        path.name for path in (REPOSITORY / "roles").iterdir()
    }

    arguments = ["localhost", "-m", "cloudbridge.proxmox.pve_vm_info", "-a", "vmid=101"]
    interpreter = ("-e", f"ansible_python_interpreter={sys.executable}")
    answered = machine.run("ansible", *arguments, *interpreter, **pve.environment)
    assert '"name": "db"' in answered

    assert dependencies(machine) == {
        line for line in (REPOSITORY / "meta/ee-requirements.txt").read_text().split() if not line.startswith("#")
    }


def dependencies(machine: Machine) -> set[str]:
    """The Python libraries that an execution environment with the collection gets."""
    found = yaml.safe_load(machine.run("ansible-builder", "introspect", str(machine.collections)))
    assert found["system"] == []
    return {line.partition("#")[0].strip() for line in found["python"]}
