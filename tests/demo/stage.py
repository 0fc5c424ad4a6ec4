# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the demo needs besides its acts: a PVE, a shell, and a narrator."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.support.collection_tree import REPOSITORY, link_collection
from tests.support.processes import child_environment

STRAY_ROUNDS = 20
STRAY_PAUSE = 0.05
PATIENCE = 3
WIDTH = 100
NOISE = re.compile(r"^(PLAY \[.*|\s*)$")
# ansible-core 2.19 and newer show where in the playbook an error comes from.
ORIGIN = re.compile(r"^(Origin: .*|\d+ .*|\d+|\s+\^ column \d+)$")
# Node, three numbers, and then the type of the task.
UPID = re.compile(r"UPID:[^:/]+(?::\w+){3}:(\w+):[^/]*")


@dataclass(frozen=True)
class World:
    """What there is on PVE, and what it was asked since the last look."""

    guests: Mapping[str, Mapping[str, Any]]
    requests: Sequence[tuple[str, str]]
    connections: int

    @property
    def writes(self) -> list[str]:
        return [f"{method} {path}" for method, path in self.requests if method != "GET"]


@dataclass(frozen=True)
class Run:
    """One command that was run."""

    returncode: int
    output: str

    @property
    def changed(self) -> int | None:
        found = re.search(r"changed=(\d+)", self.output)
        return int(found[1]) if found else None

    @property
    def answer(self) -> dict[str, Any]:
        """The one JSON object that was written, or an empty one where there is anything else."""
        with contextlib.suppress(ValueError):
            parsed = json.loads(self.output)
            return parsed if isinstance(parsed, dict) else {}
        return {}


class Pve:
    """The process tests.demo.pve, spoken to over its standard input and output."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.connection: dict[str, str] = self._ask("connection")

    def _ask(self, command: str) -> dict[str, Any]:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{command}\n")
        stdin.flush()
        answer: dict[str, Any] = json.loads(stdout.readline())
        return answer

    def look(self, command: str = "look") -> World:
        return World(**self._ask(command))


@contextmanager
def running_pve() -> Iterator[Pve]:
    # A session of its own: Ctrl-C reaches the demo only, which then stops everything in order.
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.demo.pve"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield Pve(process)
    finally:
        stop(process, signal.SIGTERM)


def stop(process: subprocess.Popen[str], first: signal.Signals) -> None:
    """End the process and all that it started: in peace, or else by force."""
    if process.poll() is None:
        # Ansible's workers have sessions of their own, and a signal can reach them too early to be heeded.
        others = descendants(process.pid)
        process.send_signal(first)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        for pid in [*descendants(process.pid), *others, process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(PATIENCE)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def descendants(ancestor: int) -> list[int]:
    """The processes below one, its children first; none where there is no ps."""
    if shutil.which("ps") is None:
        return []
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(pid): int(parent) for pid, parent in (line.split() for line in listing.splitlines())}
    found = [ancestor]
    for parent in found:
        found += [pid for pid in parents if parents[pid] == parent]
    return found[1:]


class Shell:
    """Runs the user's commands with PROXMOX_* set, the collection in place, and a home of their own."""

    def __init__(self, home: Path, connection: Mapping[str, str]) -> None:
        settings = {
            "ANSIBLE_COLLECTIONS_PATH": str(link_collection()),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_HOME": str(home / "ansible"),
            "ANSIBLE_LOCAL_TEMP": str(home / "tmp"),
            "ANSIBLE_REMOTE_TEMP": str(home / "tmp"),
            "PYTHONUNBUFFERED": "1",
        }
        self.home = home
        self.environment = child_environment(home, settings, connection)

    def run(self, command: Sequence[str]) -> Run:
        """Show the output as it comes."""
        program = Path(sys.executable).parent / command[0]
        process = subprocess.Popen(
            [str(program), *command[1:]],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        lines = []
        try:
            for line in process.stdout:
                lines.append(line)
                show_output(line.rstrip())
        finally:
            if process.poll() is None:
                # At the end of its output it is about to end anyway.
                if sys.exc_info()[0] is not None:
                    stop(process, signal.SIGINT)
                process.wait()
            process.stdout.close()
        return Run(process.returncode, "".join(lines))


@contextmanager
def shell(connection: Mapping[str, str]) -> Iterator[Shell]:
    with tempfile.TemporaryDirectory(prefix="cloudbridge-demo-", ignore_cleanup_errors=True) as home:
        try:
            yield Shell(Path(home), connection)
        finally:
            end_strays(home)


def end_strays(home: str) -> None:
    """End those that a worker of Ansible forked while it was killed itself; their environment names the directory."""
    for _round in range(STRAY_ROUNDS):
        strays = [entry for entry in Path("/proc").glob("[0-9]*/environ") if home.encode() in _environment(entry)]
        if not strays:
            return
        for entry in strays:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(entry.parent.name), signal.SIGKILL)
        time.sleep(STRAY_PAUSE)


def _environment(entry: Path) -> bytes:
    try:
        return entry.read_bytes()
    except OSError:  # it has ended, or is not ours
        return b""


# ---- the narrator


def bold(text: str) -> str:
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def say(text: str = "") -> None:
    print(text, flush=True)


def show_command(command: Sequence[str]) -> None:
    """As the user would type it, over several lines when it is long."""
    lines, current = [], "$"
    for word in _words(command):
        if len(current) + len(word) > WIDTH:
            lines.append(f"{current} \\")
            current = "     "
        current += f" {word}"
    say(bold("\n".join(f"    {line}" for line in [*lines, current])))


def _words(command: Sequence[str]) -> Iterator[str]:
    """An option stays on a line with its value."""
    option = ""
    for word in command:
        if word in ("-e", "-m", "-a"):
            option = f"{word} "
            continue
        yield option + shlex.quote(word)
        option = ""


def show_output(line: str) -> None:
    if not NOISE.match(line) and not ORIGIN.match(line):
        say(f"    | {line.rstrip('* ') if line.startswith(('TASK [', 'PLAY RECAP')) else line}")


def show_requests(world: World) -> None:
    requests, connections = counted(len(world.requests), "request"), counted(world.connections, "connection")
    say(f"    PVE saw {requests} on {connections}{':' if world.requests else '.'}")
    for text, same in groupby(f"{method:6} {UPID.sub(short_upid, path)}" for method, path in world.requests):
        count = len(list(same))
        say(f"      {text}" + (f"  ({count} times)" if count > 1 else ""))


def counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def short_upid(upid: re.Match[str]) -> str:
    return f"UPID:...:{upid[1]}:..."
