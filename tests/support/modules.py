# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules as real processes, without the controller around them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import canaries
from .forks import order_process
from .processes import child_environment

PACKAGE = "ansible_collections.cloudbridge.proxmox.plugins.modules"
TIMEOUT = 60
NEW_SECRETS = "_ansible_new_secrets"


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


def ways(test: str, only: str | None = None) -> Callable[[], bool]:
    """Say of each run of a test whether it is one in the worker: in turns, beginning with either by the test's name.

    So check mode, run and second run of most tests cross from one way to the other, and each sees what the other did.
    """
    only = only or os.environ.get("CLOUDBRIDGE_TEST_WAY")
    assert only in (None, "worker", "process"), only
    turns = itertools.count(zlib.crc32(test.encode()))
    return lambda: only == "worker" if only else next(turns) % 2 == 0


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
    in_worker: bool = False,
) -> ModuleResult:
    """Run it as a process of its own, or as Ansible's worker does."""
    environment = child_environment(home, connection, env or {})
    order = {"module": f"{package}.{name}", "environment": environment, "directory": str(home)}
    if in_worker:
        order["worker"] = name
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _stream in range(3)]
        files[0].write(module_input(arguments, check, diff))
        files[0].seek(0)
        channel = stack.enter_context(order_process(order, [file.fileno() for file in files]))
        returncode = _exit_code(channel, name, timeout)
        for file in files:
            file.seek(0)
        stdout, stderr = as_seen_by_the_controller(files[1].read()), files[2].read()
    canaries.see(f"output of {name}", stdout)
    canaries.see(f"errors of {name}", stderr)
    return ModuleResult(parse_result(stdout), stdout, stderr, returncode)


def module_process(name: str, *, home: Path, connection: Mapping[str, str]) -> subprocess.Popen[str]:
    """A process that waits for begin(), and that can be killed, which a worker of Ansible outlives."""
    return subprocess.Popen(
        [sys.executable, "-m", f"{PACKAGE}.{name}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=child_environment(home, connection),
        cwd=home,
        text=True,
    )


def begin(process: subprocess.Popen[str], arguments: Mapping[str, Any]) -> None:
    """Let the module of module_process() run with these arguments."""
    assert process.stdin is not None
    process.stdin.write(module_input(arguments, check=False, diff=False))
    process.stdin.close()


def _exit_code(answer: socket.socket, name: str, timeout: float) -> int:
    answer.settimeout(timeout)
    pid = int(answer.recv(100))
    try:
        return int(answer.recv(100))
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        raise subprocess.TimeoutExpired(name, timeout) from None


def as_seen_by_the_controller(stdout: str) -> str:
    """What a module printed, without what ansible-core 2.22 takes out of it to mask the module's secrets."""
    if NEW_SECRETS not in stdout:
        return stdout
    parsed = parse_result(stdout)
    parsed.pop(NEW_SECRETS, None)
    return json.dumps(parsed)


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
