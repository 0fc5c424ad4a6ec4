# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""termproxy: the credentials line, `OK`, and the frames of the client (termproxy/src/main.rs).

The parser has the weaknesses of the original. Whatever triggers one, or would on another day, is a violation.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable

from fakepve.model import TaskError

from .lines import Line
from .ports import Connection

BUFFER = 4096
HEADER = re.compile(rb"0:(\d+):|1:(\d+):(\d+):")
DETACH = b"\x1c"
# dtach's attach.c.
CLEAR_SCREEN, END_OF_SCREEN = b"\x1b[H\x1b[J", b"\x1b[999H"
DTACH_ENDED = b"\r\n[EOF - dtach terminating]\r\n"
PTY_ENDED = "error reading from pty: Input/output error (os error 5)"
JOINED_OK_SECONDS = 0.05
LAST_INPUT_SECONDS = 0.2


class Frames:
    """The client's stream, cut by messages: which of them are not whole frames."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report

    def check(self, message: bytes) -> None:
        position = 0
        while position < len(message):
            if message[position : position + 1] == b"2":
                position += 1
                continue
            header = HEADER.match(message, position)
            if header is None:
                rest = message[position : position + 20]
                self._report(f"a message has {rest!r} where a frame has to begin, or ends within its header")
                return
            position = header.end() + int(header.group(1) or 0)
        if position > len(message):
            self._report(f"a message ends {position - len(message)} bytes before its frame does")


class Parser:
    """process_queue and remove_number: bytes in, the length of the data that follows or a new size out."""

    def __init__(self, resize: Callable[[int, int], None], report: Callable[[str], None]) -> None:
        self.buffer = bytearray()
        self._resize = resize
        self._report = report

    def next_length(self) -> int | None:
        buffer = self.buffer
        while len(buffer) >= 2:
            kind = buffer[0] - ord("0")
            if kind not in (0, 1):
                del buffer[0]
                continue
            del buffer[:2]
            first = self._number()
            if kind == 0 and first is not None:
                return first
            if kind == 1 and first is not None:
                rows = self._number()
                if rows is not None:
                    self._resize(first & 0xFFFF, rows & 0xFFFF)
        return None

    def _number(self) -> int | None:
        buffer = self.buffer
        while True:
            end = buffer.find(b":")
            if end >= 0:
                text = bytes(buffer[:end])
                del buffer[: end + 1]
                if re.fullmatch(rb"\+?\d+", text):
                    return int(text)
                self._report(f"error parsing number: {text!r}")
                return None
            self._report("the header of a frame was not whole when termproxy read it")
            if len(buffer) <= 20:
                return None
            del buffer[:20]


class Session:
    """One client at termproxy, from the credentials to the end of file."""

    def __init__(
        self,
        connection: Connection,
        report: Callable[[str], None],
        joined_ok: bool,
        detachable: bool = False,
    ) -> None:
        self.connection = connection
        self.report = report
        self.detachable = detachable
        self._frames = Frames(report)
        self._incoming = bytearray()
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._eof = self._detached = False
        self._hung_up = asyncio.Event()
        self._joined_ok = joined_ok
        self._held = b""

    # ---- the client's side

    async def send(self, data: bytes) -> None:
        data, self._held = self._held + data, b""
        if data:
            await self.connection.write(data)

    def hang_up(self) -> None:
        self._hung_up.set()

    async def read_credentials(self, seconds: float) -> tuple[str, str]:
        """The two parts of the first line; raises TaskError with termproxy's reason."""
        deadline = asyncio.get_running_loop().time() + seconds
        line = bytearray()
        while b"\n" not in line:
            if len(line) >= BUFFER:
                raise TaskError("failed reading ticket: authentication data is incomplete")
            try:
                data = await asyncio.wait_for(self.connection.read(), deadline - asyncio.get_running_loop().time())
            except TimeoutError:
                raise TaskError("failed reading ticket: timed out") from None
            if not data:
                raise TaskError("failed reading ticket: connection closed before authentication")
            line += data
        credentials, _newline, rest = bytes(line).partition(b"\n")
        identity, colon, ticket = credentials.partition(b":")
        if not colon:
            raise TaskError("failed reading ticket: authentication data is invalid")
        if rest:
            self._frames.check(rest)
            self._incoming += rest
        return identity.decode(errors="replace"), ticket.decode(errors="replace")

    async def say_ok(self) -> None:
        if self._joined_ok:
            self._held = b"OK"
        else:
            await self.connection.write(b"OK")

    # ---- the terminal

    async def serve(self, line: Line, greeting: bytes, watch: Awaitable[None]) -> bool:
        """Until the client goes (True), or the guest, its program or the client's detaching (False)."""
        works: tuple[Awaitable[object], ...] = (self._receive(), self._type(line), watch, self._hung_up.wait())
        await line.attach(self)
        ends = [asyncio.ensure_future(work) for work in works]
        tasks = [*ends, asyncio.ensure_future(self._say_held())]
        try:
            await self.send(CLEAR_SCREEN if self.detachable else greeting)
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in ends:
                if task.done():
                    task.result()
        finally:
            line.detach(self)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self.detachable and not self._eof:
            await self.send(END_OF_SCREEN + (b"\r\n[detached]\r\n" if self._detached else DTACH_ENDED))
        return self._eof

    async def _say_held(self) -> None:
        await asyncio.sleep(JOINED_OK_SECONDS)
        await self.send(b"")

    async def _receive(self) -> None:
        """Take what comes as it comes: pveproxy and the sockets hold a lot, termproxy's own buffer is small."""
        while True:
            data = await self.connection.read()
            if not data:
                self._eof = True
                # termproxy still writes what it has read.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._idle.wait(), LAST_INPUT_SECONDS)
                return
            self._idle.clear()
            self._frames.check(data)
            while len(self._incoming) > BUFFER:
                self._more.clear()
                await self._more.wait()
            self._incoming += data
            self._more.set()

    async def _type(self, line: Line) -> None:
        """As in the original, the buffer is filled again only when nothing more can be made of it."""
        parser = Parser(line.resize, self.report)
        remaining = 0
        while True:
            room = BUFFER - len(parser.buffer)
            parser.buffer += self._incoming[:room]
            del self._incoming[:room]
            self._more.set()
            while parser.buffer:
                length = remaining or parser.next_length()
                if length is None:
                    break
                data = bytes(parser.buffer[:length])
                del parser.buffer[:length]
                remaining = length - len(data)
                if self.detachable and DETACH in data:
                    await line.type(self, data.partition(DETACH)[0])
                    self._detached = True
                    return
                await line.type(self, data)
            while not self._incoming:
                self._idle.set()
                self._more.clear()
                await self._more.wait()
