# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small shell to talk to: the same answers every time, whatever the client."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from .lines import Terminal

BLOCK = 4096
CURSOR_REQUEST = "\x1b[6n"
INTERRUPT, END_OF_FILE = b"\x03", b"\x04"
# Ordinary bytes, an escape sequence (arrow keys, cursor reports), the start of one, or a control character.
KEYS = re.compile(rb"[^\x00-\x1f\x7f]+|\x1b[\[O][0-9;?]*[A-Za-z~]|\x1b(?:[\[O][0-9;?]*)?\Z|[\x00-\x1f\x7f]")


def flood_bytes(count: int) -> Iterator[bytes]:
    """The stream that `flood COUNT` prints: numbered blocks, so that loss and disorder show."""
    filling = bytes(33 + number % 94 for number in range(BLOCK - 18))
    for number in range(0, count, BLOCK):
        yield (b"%016d" % number + filling + b"\r\n")[: count - number]


def flood_digest(count: int) -> str:
    """SHA-256 of that stream."""
    digest = hashlib.sha256()
    for block in flood_bytes(count):
        digest.update(block)
    return digest.hexdigest()


class Interrupted(Exception):
    """Ctrl-C."""


@dataclass
class Shell:
    """A program for a console.

    Commands: `echo WORDS`, `stty size`, `stty cols C rows R`, `hostname`, `cat` (swallows bytes up to Ctrl-D, then says
    how many and their SHA-256), `cat N` (exactly N bytes), `flood N` (flood_bytes), `sleep SECONDS`, `reboot`, `exit`.
    With users (name to password) it asks for a login first.
    """

    prompt: str = "~ # "
    hostname: str = "guest"
    users: dict[str, str] = field(default_factory=dict)
    # BusyBox asks the terminal where the cursor is (60-consoles.json: "term with API token").
    cursor_request: bool = True
    reboot_seconds: float = 0.3
    banner: str = ""

    async def __call__(self, terminal: Terminal) -> None:
        while True:
            await Dialogue(self, terminal).run()
            if terminal.line.shared:
                return


class Dialogue:
    def __init__(self, shell: Shell, terminal: Terminal) -> None:
        self.shell = shell
        self.terminal = terminal
        self.pending = b""
        self.size: tuple[int, int] | None = None

    async def run(self) -> None:
        await self.terminal.write(self.shell.banner)
        if self.shell.users:
            await self.log_in()
        prompt = self.shell.prompt + (CURSOR_REQUEST if self.shell.cursor_request else "")
        while True:
            await self.terminal.write(prompt)
            try:
                line = await self.read_line()
                if line is None:
                    return
                words = line.decode(errors="replace").split()
                if words[:1] in (["exit"], ["logout"]):
                    return
                if words == ["reboot"]:
                    await self.reboot()
                    return
                await self.carry_out(line, words)
            except Interrupted:
                await self.terminal.write("^C\r\n")

    async def log_in(self) -> None:
        while True:
            await self.terminal.write(f"{self.shell.hostname} login: ")
            try:
                name = await self.read_line()
                if not name:
                    continue
                await self.terminal.write("Password: ")
                password = await self.read_line(echo=False)
            except Interrupted:
                await self.terminal.write("\r\n")
                continue
            if password is not None and self.shell.users.get(name.decode(errors="replace")) == password.decode(
                errors="replace"
            ):
                return
            await self.terminal.write("\r\nLogin incorrect\r\n")

    async def more(self) -> None:
        self.pending += await self.terminal.read()

    async def read_line(self, echo: bool = True) -> bytes | None:
        """A line without its end, edited as on a terminal; None at the end of file."""
        line = bytearray()
        while True:
            if not self.pending:
                await self.more()
            shown, position, last = bytearray(), 0, b""
            for key in KEYS.finditer(self.pending):
                text = key.group()
                if text.startswith(b"\x1b") and not text[-1:].isalpha() and text[-1:] != b"~":
                    break
                position = key.end()
                if text in (b"\r", b"\n", INTERRUPT) or (text == END_OF_FILE and not line):
                    last = text
                    break
                self.edit(line, text, shown, echo)
            self.pending = self.pending[position:]
            if last in (b"\r", b"\n"):
                shown += b"\r\n"
            await self.terminal.write(bytes(shown))
            if last == INTERRUPT:
                raise Interrupted
            if last:
                return bytes(line) if last != END_OF_FILE else None
            if self.pending:
                await self.more()

    @staticmethod
    def edit(line: bytearray, text: bytes, shown: bytearray, echo: bool) -> None:
        if text in (b"\x7f", b"\x08"):
            if line:
                while line and line[-1] & 0xC0 == 0x80:
                    del line[-1]
                del line[-1]
                shown += b"\b \b" if echo else b""
        elif text[0] >= 0x20:
            line += text
            shown += text if echo else b""

    async def carry_out(self, line: bytes, words: list[str]) -> None:
        command, arguments = (words or [""])[0], words[1:]
        if command == "echo":
            await self.terminal.write(line.partition(b"echo")[2].strip() + b"\r\n")
        elif command == "hostname":
            await self.terminal.write(self.shell.hostname + "\r\n")
        elif command == "stty":
            await self.stty(arguments)
        elif command == "cat":
            await self.swallow(int(arguments[0]) if arguments else None)
        elif command == "flood":
            await self.flood(int(arguments[0]))
        elif command == "sleep":
            await self.sleep(float(arguments[0]))
        elif command:
            await self.terminal.write(f"sh: {command}: not found\r\n")

    async def stty(self, arguments: list[str]) -> None:
        if arguments == ["size"]:
            columns, rows = self.size or self.terminal.size
            await self.terminal.write(f"{rows} {columns}\r\n")
            return
        values = dict(zip(arguments[::2], arguments[1::2], strict=False))
        if "cols" in values and "rows" in values:
            self.size = (int(values["cols"]), int(values["rows"]))

    async def swallow(self, count: int | None) -> None:
        digest, seen = hashlib.sha256(), 0
        while True:
            if not self.pending and count != seen:
                await self.more()
            if count is None:
                part, end, rest = self.pending.partition(END_OF_FILE)
            else:
                part, rest = self.pending[: count - seen], self.pending[count - seen :]
                end = b"" if seen + len(part) < count else b"."
            digest.update(part)
            seen += len(part)
            self.pending = rest
            if end:
                await self.terminal.write(f"{seen} bytes {digest.hexdigest()}\r\n")
                return

    async def flood(self, count: int) -> None:
        part = bytearray()
        for block in flood_bytes(count):
            part += block
            if len(part) >= 16 * BLOCK:
                await self.terminal.write(bytes(part))
                part.clear()
        await self.terminal.write(bytes(part))

    async def sleep(self, seconds: float) -> None:
        """Ctrl-C ends it; what else is typed waits."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while INTERRUPT not in self.pending:
            try:
                await asyncio.wait_for(self.more(), deadline - loop.time())
            except TimeoutError:
                return
        self.pending = self.pending.partition(INTERRUPT)[2]
        raise Interrupted

    async def reboot(self) -> None:
        """Says nothing and hears nothing while it is down."""
        await self.terminal.write("reboot: Restarting system\r\n")
        await asyncio.sleep(self.shell.reboot_seconds)
        self.terminal.line.forget_input()
        await self.terminal.write("[    0.000000] Linux version 6.12.0 (embedded)\r\n")
