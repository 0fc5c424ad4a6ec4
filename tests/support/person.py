# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A person who runs pve-console: a real pseudo-terminal, with a shell that says what the command left behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import pexpect
from pexpect.fdpexpect import fdspawn

from .collection_tree import REPOSITORY
from .processes import child_environment

COMMAND = REPOSITORY / "bin" / "pve-console"
QUICK = Path(__file__).parent / "quick_console.py"
ESCAPE = "\x1d"
SIZE = (24, 80)
PATIENCE = 15
# An erase key that no program would set, so that one that is restored is the one from before.
# Ctrl-C reaches the shell, too, when the terminal makes a signal of it.
SHELL = 'trap : INT QUIT; stty erase ^U; echo "before $(stty -g)"; "$@"; code=$?; echo "after $(stty -g) code $code"'


def console_environment(home: Path, *layers: Mapping[str, str | None]) -> dict[str, str]:
    """PVE_CONSOLE_PYTHON, when it is set, is tried instead of the interpreter of the tests."""
    python = os.environ.get("PVE_CONSOLE_PYTHON", sys.executable)
    return child_environment(home, {"PVE_CONSOLE_PYTHON": python, "TERM": "xterm-256color"}, *layers)


def run_console(home: Path, connection: Mapping[str, str | None], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command without a terminal."""
    return subprocess.run(
        [str(COMMAND), *arguments],
        env=console_environment(home, connection),
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        start_new_session=True,
    )


class Terminal:
    """A process that leads a session on a pseudo-terminal of its own.

    Not by pexpect.spawn, which forks this process with all its threads.
    """

    def __init__(self, command: list[str], environment: Mapping[str, str], home: Path, size: tuple[int, int]) -> None:
        self.side, inner = os.openpty()
        self.resize(*size)
        # Whoever leads a session gets the terminal that it opens first.
        take = ["/bin/sh", "-c", 'exec <>"$0" >&0 2>&1; exec "$@"', os.ttyname(inner)]
        streams = {"stdin": inner, "stdout": inner, "stderr": inner}
        self.process = subprocess.Popen([*take, *command], env=environment, cwd=home, start_new_session=True, **streams)
        os.close(inner)
        self.screen = fdspawn(self.side, timeout=PATIENCE)
        self.screen.delaybeforesend = None

    def expect(self, pattern: bytes | str, seconds: float = PATIENCE) -> re.Match[bytes]:
        """Wait until something is shown, and return the match."""
        try:
            self.screen.expect(pattern, timeout=seconds)
        except (pexpect.TIMEOUT, pexpect.EOF) as error:
            raise AssertionError(f"no {pattern!r} in {self.screen.before!r}") from error
        found = self.screen.match
        assert isinstance(found, re.Match)
        return found

    def type(self, keys: bytes | str) -> None:
        self.screen.send(keys)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.side, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def foreground(self) -> int:
        """The process group that has the terminal."""
        return os.tcgetpgrp(self.side)

    def hang_up(self) -> None:
        """The terminal goes away, as when its window is closed."""
        with contextlib.suppress(OSError):
            self.screen.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.hang_up()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Person(Terminal):
    """Runs pve-console, types, and sees what is shown."""

    def __init__(
        self,
        home: Path,
        connection: Mapping[str, str | None],
        *arguments: str,
        size: tuple[int, int] = SIZE,
        look_seconds: float | None = None,
    ) -> None:
        """look_seconds is how long a session may be silent before the guest is looked at; None is as it comes."""
        self.seen = b""
        self.code: int | None = None
        self.after = ""
        environment = console_environment(home, connection)
        program = [str(COMMAND)]
        if look_seconds is not None:
            program = [environment["PVE_CONSOLE_PYTHON"], str(QUICK), str(look_seconds)]
        super().__init__(["/bin/sh", "-c", SHELL, "sh", *program, *arguments], environment, home, size)
        self.before = self.expect(rb"before ([0-9a-f:]+)\r\n")[1].decode()

    def expect(self, pattern: bytes | str, seconds: float = PATIENCE) -> re.Match[bytes]:
        found = super().expect(pattern, seconds)
        self.seen += self.screen.before + self.screen.after
        return found

    def connected(self) -> Self:
        """Wait for the banner, and for the first word of PVE's terminal."""
        self.expect(rb"connected to [^\r]*\r\n")
        return self

    @property
    def pid(self) -> int:
        """The process that is talked to, which is the only child of the shell."""
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        (pid,) = text.split()
        return int(pid)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def leave(self) -> int:
        """Press the escape key and wait for the end."""
        self.type(ESCAPE)
        return self.end()

    def end(self, seconds: float = PATIENCE) -> int:
        """Wait until the command has ended, and return its exit code."""
        found = self.expect(rb"after ([0-9a-f:]+) code (\d+)\r\n", seconds)
        self.after, self.code = found[1].decode(), int(found[2])
        return self.code

    @property
    def terminal_is_as_before(self) -> bool:
        return bool(self.before) and self.before == self.after


def resident_kib(pid: int, field: str = "VmRSS") -> int:
    """The memory of a process, from /proc: VmRSS at the moment, VmHWM at its most."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def read_exactly(person: Person, count: int, seconds: float) -> bytes:
    """Read so many bytes as they come, past pexpect, which would search all of them again and again."""
    screen = person.screen
    found = bytearray(screen.buffer)
    end = time.monotonic() + seconds
    while len(found) < count:
        assert time.monotonic() < end, f"{len(found)} of {count} bytes after {seconds} s"
        found += os.read(person.side, 65536)
    # Of what it has read, pexpect keeps what it has searched beside what it has not.
    screen.buffer, screen._before = bytes(found[count:]), screen.buffer_type(bytes(found[count:]))
    screen._before.seek(0, os.SEEK_END)
    return bytes(found[:count])
