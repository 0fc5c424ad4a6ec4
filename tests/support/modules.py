# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules as real processes, without the controller around them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .processes import child_environment

PACKAGE = "ansible_collections.cloudbridge.proxmox.plugins.modules"
TIMEOUT = 60


@dataclass(frozen=True)
class ModuleResult:
    """What one run of a module answered."""

    result: dict[str, Any]
    stdout: str
    stderr: str
    returncode: int

    @property
    def changed(self) -> bool:
        return bool(self.result.get("changed", False))

    @property
    def failed(self) -> bool:
        return bool(self.result.get("failed", False)) or self.returncode != 0

    @property
    def msg(self) -> str:
        return str(self.result.get("msg", ""))

    @property
    def warnings(self) -> list[str]:
        """The texts of the warnings, which ansible-core 2.19 and newer wraps."""
        found = self.result.get("warnings", [])
        return [str(item if isinstance(item, str) else item["event"]["msg"]) for item in found]

    @property
    def diff(self) -> Any:
        return self.result.get("diff")

    def __getitem__(self, name: str) -> Any:
        return self.result[name]


def module_input(arguments: Mapping[str, Any], check: bool, diff: bool) -> str:
    """What the controller sends; ansible-core 2.18 to 2.22 all read it from the standard input."""
    internal = {"_ansible_check_mode": check, "_ansible_diff": diff, "_ansible_no_log": False}
    return json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, **internal, "_ansible_remote_tmp": "/tmp"}})


def run_module(
    name: str,
    arguments: Mapping[str, Any],
    *,
    home: Path,
    connection: Mapping[str, str],
    check: bool = False,
    diff: bool = False,
    env: Mapping[str, str | None] | None = None,
    package: str = PACKAGE,
    timeout: float = TIMEOUT,
) -> ModuleResult:
    completed = subprocess.run(
        [sys.executable, "-m", f"{package}.{name}"],
        input=module_input(arguments, check, diff),
        env=child_environment(home, connection, env or {}),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return ModuleResult(parse_result(completed.stdout), completed.stdout, completed.stderr, completed.returncode)


def parse_result(stdout: str) -> dict[str, Any]:
    """The JSON a module printed; the last line that holds an object, or nothing."""
    for line in reversed(stdout.strip().splitlines()):
        if line.startswith("{"):
            try:
                parsed = json.loads(line)
            except ValueError:
                continue
            if isinstance(parsed, dict):
                return parsed
    return {}
