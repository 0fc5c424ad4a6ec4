# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The resident service of an extension as a real process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .cloudstack import Extension
from .collection_tree import link_collection

START_SECONDS = 30


class Service:
    """cloudbridge-proxmoxd for one extension, in the foreground."""

    def __init__(self, extension: Extension) -> None:
        self.extension = extension
        self.state = extension.root / "state"
        self.state.mkdir(exist_ok=True)
        self.program = extension.root / "cloudbridge-proxmoxd"
        self.control = extension.root / "cloudbridge-proxmoxctl"
        self.output = extension.root / "service.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.successor = 0
        extension.render("cloudbridge-proxmoxd.py.j2", self.program)
        extension.render("cloudbridge-proxmoxctl.py.j2", self.control)

    def start(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        by_hand: bool = True,
        command: list[str] | None = None,
        **popen: Any,
    ) -> None:
        """Start it and wait until it serves; command is what starts the program, when not it alone."""
        words = ["--extension", "CloudbridgeProxmox", "--policy-file", str(self.extension.policy_file)]
        words += ["--log-file", str(self.extension.log_file), "--state-directory", str(self.state), *arguments]
        words += ["--socket", str(self.extension.socket)] if by_hand else []
        with self.output.open("ab") as log:
            self.process = subprocess.Popen(
                [*(command or [str(self.program)]), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": "/usr/bin:/bin", **(env or {})},
                cwd="/",
                **popen,
            )
        pid = self.process.pid
        wait_until(lambda: self.process is None or self.process.poll() is not None or self.answers_as(pid))
        assert self.process.poll() is None, self.log()

    def answers_as(self, pid: int) -> bool:
        with contextlib.suppress(OSError, ValueError):
            return bool(self.status()["pid"] == pid)
        return False

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def status(self) -> dict[str, Any]:
        """What the service says of itself."""
        with self.connect() as channel:
            channel.send(b"cloudbridge 1\0status")
            state: dict[str, Any] = json.loads(channel.recv(1024 * 1024))
            return state

    def connect(self, seconds: float = 5.0) -> socket.socket:
        """A connection to the service, as an executable makes it."""
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel.settimeout(seconds)
        channel.connect(str(self.extension.socket))
        return channel

    def ask(self, action: str, path: Path, wait: int = 600, receipt: bool = True) -> tuple[int, bytes]:
        """Have an action carried out, as an executable does, without a process; returns exit code and answer.

        The service takes the time that this process has been running off the wait.
        """
        with self.connect(wait) as channel, path.open("rb") as payload:
            send_order(channel, [action, str(path), str(wait)], payload.fileno())
            ready = channel.recv(256)
            assert ready.startswith(b"ready "), ready
            channel.send(b"go")
            answer = channel.recv(131072)
            if receipt:
                # The service wants to know of those that made something only.
                with contextlib.suppress(BrokenPipeError):
                    channel.send(b"done")
        return answer[0], answer[1:]

    def resident_kib(self, which: str = "VmRSS") -> int:
        """Its memory now, or the most that it has had (VmHWM)."""
        lines = Path(f"/proc/{self.pid}/status").read_text("ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(which))

    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def is_idle(self) -> bool:
        """Nothing runs, and nothing is left half made."""
        now = self.status()["now"]
        return not now["running"] and not now["half_made"]

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def adopt(self, pid: int) -> None:
        """The successor is to be ended with the service."""
        self.successor = pid

    def stop(self) -> int:
        """End it as systemd does; returns the exit code."""
        if self.successor:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.successor, signal.SIGTERM)
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.process = None

    def journal(self) -> list[Path]:
        return sorted(self.state.iterdir())

    def log(self) -> str:
        return self.output.read_text("utf-8", "replace") if self.output.exists() else ""


def message_of(arguments: Sequence[str], release: str | None = None, **variables: str) -> bytes:
    """The order to run an action, as the executable writes it."""
    release = str(link_collection()) if release is None else release
    words = ["cloudbridge 1", "run", release, str(len(arguments)), *arguments]
    words += [f"{name}={value}" for name, value in variables.items()]
    return "\0".join(words).encode("utf-8", "surrogateescape")


def send_order(channel: socket.socket, arguments: Sequence[str], payload: int) -> None:
    socket.send_fds(channel, [message_of(arguments)], [payload])


@contextlib.contextmanager
def running_service(extension: Extension, *arguments: str, **options: Any) -> Iterator[Service]:
    """Serve while the block runs."""
    service = Service(extension)
    service.start(*arguments, **options)
    try:
        yield service
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            service.stop()


def wait_until(condition: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    """Wait for something that comes by itself; raises AssertionError when it does not."""
    until = time.monotonic() + seconds
    pause = 0.005
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(pause)
        pause = min(0.1, 2 * pause)
