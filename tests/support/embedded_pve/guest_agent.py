# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""QEMU's guest agent as a process in a guest: real programs and real files, below a scratch directory.

Sources: qga/commands.c, qga/commands-posix.c; 75-agent.json. The guest has no file system of its own: its programs
start in the scratch directory, their HOME, and use the machine's files by their real paths. Only what is named in
`moved` is below the scratch directory, and so are its names in commands: the collection's jobs, and what a test adds.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import os
import secrets
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

JOBS = "/tmp/.pve-agent-"
USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
LATIN_1_END = 0xFF
# GUEST_EXEC_MAX_OUTPUT of qga/commands.c.
MOST_OUTPUT = 16 * 1024 * 1024
NEW_FILE_MODE = 0o666
READ_PIECE = 1024 * 1024


class AgentError(Exception):
    """What the agent answers instead of a result: the desc of its error."""


class NoAnswer(Exception):
    """The agent's answer kills pvedaemon's reader: pveproxy gives up in the end."""


def hash_in_shadow(password: str) -> str:
    """What the guest keeps of a password."""
    return f"$6${hashlib.sha256(password.encode()).hexdigest()}"


class _Process:
    """A program that guest-exec has started."""

    def __init__(self, process: asyncio.subprocess.Process, data: bytes | None) -> None:
        self.pid = process.pid
        self.process = process
        self.reading = asyncio.ensure_future(process.communicate(data))

    @property
    def has_ended(self) -> bool:
        """It has ended, and nobody else holds its output."""
        return self.reading.done()


class GuestAgent:
    """One agent: its programs, and the commands that its configuration forbids."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.forbidden: set[str] = set()
        self.moved = [JOBS]
        # Where it looks for programs, after its own ones in `bin`; what the collection adds to PATH is added here, too.
        self.path: str | None = os.environ["PATH"]
        self.frozen = False
        # So many calls a system that boots leaves without an answer.
        self.booting = 0
        # Bytes of output that a guest hands over before PVE's 5 s are over (75-agent.json: "exec, 2 MB of output").
        self.drains = 512 * 1024
        self.mark = secrets.token_hex(8)
        self.started: list[list[str]] = []
        self._processes: dict[int, _Process] = {}
        self._forgotten: list[_Process] = []
        (root / "tmp").mkdir(parents=True, exist_ok=True)

    def can_reboot(self) -> None:
        """Its program `shutdown` reboots it; the file BOOT_ID is another one then."""
        self.moved.append(BOOT_ID)
        (self.root / BOOT_ID[1:]).parent.mkdir(parents=True)
        (self.root / BOOT_ID[1:]).write_text("first\n", encoding="utf-8")
        self.add_program("shutdown", f'echo "$*" >>"{self.root}/rebooting"')

    @property
    def is_silent(self) -> bool:
        """The system boots; it has begun to, if its program shutdown has been run."""
        request = self.root / "rebooting"
        if request.exists():
            request.rename(self.root / "rebooted")
            self.kill_all()
            for job in self.jobs():
                shutil.rmtree(self.root / "tmp" / job)
            (self.root / BOOT_ID[1:]).write_text("second\n", encoding="utf-8")
            self.booting = 2
        self.booting -= 1
        return self.booting >= 0

    def add_program(self, name: str, script: str = "exit 0") -> None:
        """A program of the guest, that goes before the machine's own."""
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def check_allowed(self, command: str) -> None:
        if self.frozen:
            raise AgentError(f"Command guest-{command} has been disabled: the agent is in frozen state")
        if f"guest-{command}" in self.forbidden:
            raise AgentError(f"Command guest-{command} has been disabled: the command is not allowed")

    def real(self, path: str) -> str:
        """Where a file of the guest is on this machine."""
        for name in self.moved:
            path = path.replace(name, f"{self.root}{name}")
        return path if self.path else path.replace(f":{USUAL_PATH}", "")

    async def execute(self, argv: list[str], data: bytes | None) -> int:
        """guest-exec: the pid; raises NoAnswer for a program that does not exist."""
        self.check_allowed("exec")
        self.started.append(argv)
        path = f"{self.root}/bin" + (f":{self.path}" if self.path else "")
        environment = {"PATH": path, "HOME": str(self.root), "EMBEDDED_AGENT": self.mark}
        try:
            process = await asyncio.create_subprocess_exec(
                *map(self.real, argv),
                stdin=asyncio.subprocess.DEVNULL if data is None else asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=self.root,
                env=environment,
                start_new_session=True,
            )
        except OSError as problem:
            # Its text has typographic quotes.
            raise NoAnswer(str(problem)) from problem
        self._processes[process.pid] = _Process(process, data)
        return process.pid

    async def status(self, pid: int) -> dict[str, object] | None:
        """guest-exec-status, which forgets what has ended; None when the answer does not come in time, and is lost."""
        self.check_allowed("exec-status")
        found = self._processes.get(pid)
        if found is None:
            raise AgentError("Invalid parameter 'pid'")
        if not found.has_ended:
            return {"exited": 0}
        del self._processes[pid]
        output = await found.reading
        if sum(map(len, output)) > self.drains:
            return None
        code = found.process.returncode or 0
        answer: dict[str, object] = {"exited": 1, **({"signal": -code} if code < 0 else {"exitcode": code})}
        for name, data in zip(("out", "err"), output, strict=True):
            if data:
                answer[f"{name}-data"] = data[:MOST_OUTPUT].decode("latin-1")
                answer[f"{name}-truncated"] = int(len(data) > MOST_OUTPUT)
        return answer

    def add_users(self, **hashes: str) -> None:
        """The guest has a file of passwords, with these users."""
        if "/etc/" not in self.moved:
            self.moved.append("/etc/shadow")
        (self.root / "etc").mkdir(exist_ok=True)
        self.shadow.write_text("".join(f"{name}:{value}:1:::::\n" for name, value in hashes.items()), "utf-8")

    @property
    def shadow(self) -> Path:
        return self.root / "etc/shadow"

    def hash_of(self, user: str) -> str:
        lines = self.shadow.read_text("utf-8").splitlines()
        return next(line.split(":")[1] for line in lines if line.startswith(f"{user}:"))

    def set_password(self, user: str, password: str, crypted: bool) -> None:
        """guest-set-user-password, which calls chpasswd."""
        self.check_allowed("set-user-password")
        if "\n" in password:
            raise AgentError("forbidden characters in raw password")
        lines = self.shadow.read_text("utf-8").splitlines() if self.shadow.exists() else []
        if not any(line.startswith(f"{user}:") for line in lines):
            raise AgentError("child process has failed to set user password")
        value = password if crypted else hash_in_shadow(password)
        changed = [f"{user}:{value}:1:::::" if line.startswith(f"{user}:") else line for line in lines]
        self.shadow.write_text("".join(f"{line}\n" for line in changed), "utf-8")

    def read(self, path: str, offset: int, count: int) -> tuple[bytes, bool]:
        """guest-file-open, -seek, -read and -close as PVE calls them: the bytes, and whether that was the end."""
        with self._open(path, "r", os.O_RDONLY) as descriptor:
            os.lseek(descriptor, offset, os.SEEK_SET)
            content, ended = b"", False
            while len(content) < count and not ended:
                wanted = min(READ_PIECE, count - len(content))
                try:
                    piece = os.read(descriptor, wanted)
                except OSError as problem:
                    raise AgentError(f"failed to read file: {os.strerror(problem.errno or 0)}") from problem
                content += piece
                ended = len(piece) < wanted
            return content, ended

    def write(self, path: str, encoded: str) -> None:
        """guest-file-open, -write and -close: what was in the file is gone, whatever comes of it."""
        with self._open(path, "wb", os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as descriptor:
            try:
                content = base64.b64decode(encoded, validate=True)
            except binascii.Error as problem:
                raise AgentError("Base64 data contains invalid characters") from problem
            if path.startswith(JOBS) and path.endswith("/script"):
                content = self.real(content.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
            os.write(descriptor, content)

    @contextlib.contextmanager
    def _open(self, path: str, mode: str, flags: int) -> Iterator[int]:
        self.check_allowed("file-open")
        real = self.real(path)
        is_new = not os.path.lexists(real)
        try:
            descriptor = os.open(real, flags, NEW_FILE_MODE)
        except OSError as problem:
            why = os.strerror(problem.errno or 0)
            raise AgentError(f"failed to open file '{path}' (mode: '{mode}'): {why}") from problem
        try:
            if is_new:
                os.fchmod(descriptor, NEW_FILE_MODE)
            yield descriptor
        finally:
            os.close(descriptor)

    def restart(self) -> None:
        """As after an update of its package: it knows none of its programs any more, and they go on."""
        self._forgotten += self._processes.values()
        self._processes.clear()

    def running(self) -> list[int]:
        """The programs that run in the guest, also those that others have started."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                is_ours = f"EMBEDDED_AGENT={self.mark}".encode() in (path / "environ").read_bytes()
                if is_ours and (path / "stat").read_text(encoding="utf-8").rpartition(") ")[2][0] != "Z":
                    found.append(int(path.name))
        return sorted(found)

    def kill_all(self) -> None:
        """The power is gone."""
        for pid in self.running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._forgotten += self._processes.values()
        self._processes.clear()

    async def end(self) -> None:
        """Kill everything, and let asyncio see it before its loop ends."""
        self.kill_all()
        if self._forgotten:
            await asyncio.wait([process.reading for process in self._forgotten], timeout=5)

    def jobs(self) -> list[str]:
        """The directories of the collection's jobs that are still there."""
        return sorted(path.name for path in (self.root / "tmp").glob(".pve-agent-*"))
