# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks run by a real ansible-playbook, the collection on its path."""

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

CALLBACKS = Path(__file__).parent / "callbacks"
SETTINGS = Path(__file__).with_name("ansible.cfg")
TIMEOUT = 120
RESULTS = "results.jsonl"
HEAD = "- hosts: localhost\n  connection: local\n  gather_facts: false\n  tasks:\n"


@dataclass(frozen=True)
class TaskResult:
    """One task on one host."""

    task: str
    action: str
    host: str
    outcome: str
    result: dict[str, Any]

    @property
    def changed(self) -> bool:
        return bool(self.result.get("changed", False))

    @property
    def failed(self) -> bool:
        return self.outcome in ("failed", "ignored", "unreachable")

    @property
    def msg(self) -> str:
        return str(self.result.get("msg", ""))

    @property
    def diff(self) -> Any:
        return self.result.get("diff")


@dataclass(frozen=True)
class PlayResult:
    """What a whole ansible-playbook run did."""

    tasks: list[TaskResult]
    returncode: int
    stdout: str
    stderr: str

    @property
    def changed(self) -> list[bool]:
        return [task.changed for task in self.tasks]

    @property
    def failed(self) -> bool:
        return self.returncode != 0

    def task(self, name: str) -> TaskResult:
        """The first result of the task with this name."""
        for task in self.tasks:
            if task.task == name:
                return task
        raise AssertionError(f"no task {name!r} among {[task.task for task in self.tasks]}\n{self.stdout}{self.stderr}")


def as_playbook(source: str | Path, directory: Path) -> Path:
    """A path as it is; YAML of tasks (or of whole plays) becomes a playbook in the directory."""
    if isinstance(source, Path):
        return source
    text = textwrap.dedent(source).strip("\n") + "\n"
    if not any(line.lstrip("- ").startswith("hosts:") for line in text.splitlines() if not line.startswith("    ")):
        text = HEAD + textwrap.indent(text, "    ")
    path = directory / "playbook.yml"
    path.write_text(text, encoding="utf-8")
    return path


def command_line(
    source: str | Path,
    *arguments: str,
    home: Path,
    check: bool = False,
    diff: bool = False,
    extra_vars: Mapping[str, Any] | None = None,
    interpreter: str | None = sys.executable,
) -> list[str]:
    """The call of ansible-playbook; without an interpreter, the play's own variables may name one."""
    command = [str(Path(sys.executable).parent / "ansible-playbook"), str(as_playbook(source, home))]
    if not any(argument in ("-i", "--inventory") for argument in arguments):
        command += ["-i", "localhost,"]
    named = {"ansible_python_interpreter": interpreter} if interpreter else {}
    command += ["-e", json.dumps({**named, **(extra_vars or {})})]
    return command + ["--check"] * check + ["--diff"] * diff + list(arguments)


def play_environment(home: Path, *layers: Mapping[str, str | None]) -> dict[str, str]:
    """The environment of ansible-playbook, then the layers."""
    settings = {
        "ANSIBLE_CONFIG": str(SETTINGS),
        "ANSIBLE_COLLECTIONS_PATH": str(link_collection()),
        "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
        "ANSIBLE_CALLBACKS_ENABLED": "json_lines",
        "CLOUDBRIDGE_TEST_RESULTS": str(home / RESULTS),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_HOME": str(home / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(home / "tmp"),
        "ANSIBLE_REMOTE_TEMP": str(home / "tmp"),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    }
    return child_environment(home, settings, *layers)


def play(
    source: str | Path,
    *arguments: str,
    home: Path,
    connection: Mapping[str, str],
    check: bool = False,
    diff: bool = False,
    extra_vars: Mapping[str, Any] | None = None,
    env: Mapping[str, str | None] | None = None,
    timeout: float = TIMEOUT,
    interpreter: str | None = sys.executable,
    stderr: int = subprocess.PIPE,
) -> PlayResult:
    """Run it; errors go to stderr."""
    results = home / RESULTS
    results.unlink(missing_ok=True)
    options: dict[str, Any] = {"check": check, "diff": diff, "extra_vars": extra_vars, "interpreter": interpreter}
    completed = subprocess.run(
        command_line(source, *arguments, home=home, **options),
        env=play_environment(home, connection, env or {}),
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    errors = completed.stderr or ""
    refuse_deprecations(completed.stdout + errors)
    return PlayResult(read_results(results), completed.returncode, completed.stdout, errors)


def read_results(path: Path) -> list[TaskResult]:
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [TaskResult(**line) for line in lines]
