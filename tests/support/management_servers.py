# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A CloudStack management server in a scratch directory, and the role run on it by a real ansible-playbook."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from grp import getgrgid
from pathlib import Path
from typing import Any

from . import canaries
from .collection_tree import REPOSITORY, link_collection
from .forks import forking_python
from .playbooks import PlayResult, play

COLLECTION = Path("ansible_collections", "cloudbridge", "proxmox")
CODE = Path("plugins", "module_utils")
ENVIRONMENT = """
- hosts: localhost
  connection: local
  gather_facts: false
  roles:
    - role: cloudbridge.proxmox.python_environment
"""
USER = pwd.getpwuid(os.geteuid()).pw_name
GROUP = getgrgid(os.getegid()).gr_name


@dataclass
class ManagementServer:
    """The directories that the role uses, below a root of their own."""

    home: Path
    name: str = "CloudbridgeProxmox"
    entry_point: str = "cloudbridge-proxmox.py"
    collections: Path = field(default_factory=link_collection)

    @property
    def root(self) -> Path:
        return self.home / "root"

    @property
    def extensions(self) -> Path:
        return self.root / "usr/share/cloudstack-management/extensions"

    @property
    def directory(self) -> Path:
        return self.root / "opt/cloudbridge-proxmox" / self.name

    @property
    def executable(self) -> Path:
        return self.extensions / self.name / self.entry_point

    @property
    def policy(self) -> Path:
        return self.root / "etc/cloudbridge-proxmox" / f"{self.name}.json"

    @property
    def log(self) -> Path:
        return self.root / "var/log/cloudbridge-proxmox" / f"{self.name}.log"

    @property
    def units(self) -> Path:
        return self.root / "units"

    @property
    def socket(self) -> Path:
        return self.root / "run" / f"{self.name}.sock"

    @property
    def releases(self) -> list[str]:
        return sorted(path.name for path in (self.directory / "releases").iterdir())

    @property
    def variables(self) -> dict[str, Any]:
        return {
            "ansible_become": False,
            "ansible_connection": "local",
            "cloudstack_extension_name": self.name,
            "cloudstack_extension_entry_point": self.entry_point,
            "cloudstack_extension_root": str(self.extensions),
            "cloudstack_extension_directory": str(self.directory),
            "cloudstack_extension_policy_directory": str(self.policy.parent),
            "cloudstack_extension_log_directory": str(self.log.parent),
            "cloudstack_extension_unit_directory": str(self.units),
            "cloudstack_extension_socket_directory": str(self.socket.parent),
            "cloudstack_extension_journal_directory": str(self.root / "journal"),
            "cloudstack_extension_user": USER,
            "cloudstack_extension_group": GROUP,
            "cloudstack_extension_admin_user": USER,
            "cloudstack_extension_admin_group": GROUP,
            # One that is there already: most tests are not about it.
            "cloudstack_extension_python_environment": sys.prefix,
        }

    def install(self, *arguments: str, check: bool = False, **variables: Any) -> PlayResult:
        """Run the playbook, with the variables of this server and the ones given."""
        source = self.collections / COLLECTION / "playbooks" / "install_cloudstack_extension.yml"
        return self.run(source, *arguments, check=check, variables={**self.variables, **variables})

    def uninstall(self, *arguments: str, check: bool = False, **variables: Any) -> PlayResult:
        return self.install(*arguments, check=check, cloudstack_extension_state="absent", **variables)

    def environment(
        self, check: bool = False, env: Mapping[str, str | None] | None = None, **variables: Any
    ) -> PlayResult:
        """Run the role python_environment alone."""
        return self.run(
            ENVIRONMENT,
            check=check,
            env=env,
            variables={
                "python_environment_directory": str(self.directory),
                "python_environment_existing": sys.prefix,
                **variables,
            },
        )

    def run(
        self,
        source: str | Path,
        *arguments: str,
        check: bool = False,
        variables: Mapping[str, Any] | None = None,
        env: Mapping[str, str | None] | None = None,
    ) -> PlayResult:
        self.home.mkdir(parents=True, exist_ok=True)
        settings = {"ANSIBLE_COLLECTIONS_PATH": str(self.collections), "ANSIBLE_PIPELINING": "true", **(env or {})}
        return play(
            source,
            *arguments,
            home=self.home,
            connection={},
            check=check,
            extra_vars=variables or {},
            env=settings,
            interpreter=str(forking_python()),
        )

    def call(self, action: str, payload: str = "/nonexistent.json", wait: str = "30") -> tuple[int, dict[str, Any]]:
        """Call the executable as CloudStack does and return its exit code and its one JSON document."""
        process = subprocess.Popen(
            [str(self.executable), action, payload, wait],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin, process.stdout:
            code = process.wait(60)
            output = process.stdout.read()
            canaries.see(f"answer to {action}", output)
            return code, json.loads(output)

    def files(self) -> dict[str, bytes]:
        """Everything below the root, directories included, with the content of the files."""
        return {
            str(path.relative_to(self.root)): (
                bytes(path.readlink()) if path.is_symlink() else b"" if path.is_dir() else path.read_bytes()
            )
            for path in self.root.rglob("*")
        }

    def use_own_collection(self) -> Path:
        """Run from a copy of the collection that a test may change; returns the code's directory."""
        self.collections = self.home / "collections"
        tree = self.collections / COLLECTION
        for name in ("playbooks", "roles", "plugins/module_utils"):
            shutil.copytree(REPOSITORY / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("galaxy.yml", "meta"):
            source = REPOSITORY / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, tree / name)
        return tree / CODE
