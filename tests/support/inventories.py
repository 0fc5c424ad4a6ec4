# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Inventory files read by a real ansible-inventory, the collection on its path."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .collection_tree import link_collection
from .processes import child_environment, refuse_deprecations

TIMEOUT = 120
HEAD = "plugin: cloudbridge.proxmox.pve\n"


@dataclass(frozen=True)
class InventoryResult:
    """What one run of ansible-inventory said."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def data(self) -> dict[str, Any]:
        """The whole of --list."""
        assert self.returncode == 0, self.stderr
        parsed: dict[str, Any] = json.loads(self.stdout)
        return parsed

    @property
    def hosts(self) -> dict[str, dict[str, Any]]:
        """The variables of each host."""
        hosts: dict[str, dict[str, Any]] = self.data["_meta"]["hostvars"]
        return hosts

    @property
    def groups(self) -> dict[str, set[str]]:
        """The hosts of each group that has any itself."""
        return {name: set(group["hosts"]) for name, group in self.data.items() if "hosts" in group}

    @property
    def message(self) -> str:
        """Warnings and errors on one line each, however Ansible has folded them."""
        return " ".join(self.stderr.split())

    @property
    def warnings(self) -> list[str]:
        return [" ".join(part.split()) for part in self.stderr.split("[WARNING]:")[1:]]


def environment(home: Path, *layers: Mapping[str, str | None]) -> dict[str, str]:
    settings = {
        "ANSIBLE_COLLECTIONS_PATH": str(link_collection()),
        "ANSIBLE_HOME": str(home / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(home / "tmp"),
        "ANSIBLE_NOCOLOR": "1",
    }
    return child_environment(home, settings, *layers)


def read_inventory(
    text: str,
    *arguments: str,
    home: Path,
    connection: Mapping[str, str],
    env: Mapping[str, str | None] | None = None,
    name: str = "test.pve.yml",
    timeout: float = TIMEOUT,
) -> InventoryResult:
    """Write the file, after the line that names the plugin unless it has one, and run ansible-inventory on it."""
    text = textwrap.dedent(text).lstrip("\n")
    path = home / name
    whole = text.startswith(("$ANSIBLE_VAULT", "plugin:")) or "\nplugin:" in text
    path.write_text(text if whole else HEAD + text, encoding="utf-8")
    return list_inventory(path, *arguments, home=home, env={**connection, **(env or {})}, timeout=timeout)


def list_inventory(
    path: Path, *arguments: str, home: Path, env: Mapping[str, str | None], timeout: float = TIMEOUT
) -> InventoryResult:
    """Run ansible-inventory on a file or a directory that is there."""
    action = [] if any(argument in arguments for argument in ("--list", "--graph", "--host")) else ["--list"]
    completed = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-inventory"), "-i", str(path), *action, *arguments],
        env=environment(home, env),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    refuse_deprecations(completed.stderr)
    return InventoryResult(completed.returncode, completed.stdout, completed.stderr)
