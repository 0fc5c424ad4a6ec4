# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""termproxy: the credentials line, `OK`, and the frames of the client (termproxy/src/main.rs).

The parser has the weaknesses of the original. Whatever triggers one, or would on another day, is a violation. So has
the terminal: that its program has ended is noticed when something is typed, and not before.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

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
CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f]")


class Unopenable(Exception):
    """What the command in the terminal says instead of connecting."""


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
        self._parser = Parser(self._resize, report)
        self._remaining = 0
        self._line: Line | None = None
        self._size: tuple[int, int] | None = None
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

    async def serve(
        self,
        connect: Callable[[], Line],
        watch: Callable[[], Awaitable[None]],
        notices: Callable[[], bool],
        late_seconds: float,
    ) -> bool:
        """Until the client goes (True), or termproxy says that the terminal has ended (False).

        connect() raises Unopenable, watch() returns when the guest goes; notices() says whether that shows at once.
        The program starts late_seconds after the terminal.
        """
        receiving = asyncio.ensure_future(self._receive())
        held = asyncio.ensure_future(self._say_held())
        try:
            await self._beside(receiving, self._run(connect, watch, late_seconds))
            if not self._eof and not notices():
                await self._beside(receiving, self._next())
        finally:
            for task in (receiving, held):
                task.cancel()
            await asyncio.gather(receiving, held, return_exceptions=True)
        return self._eof

    @staticmethod
    async def _beside(receiving: asyncio.Future[None], work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((receiving, task), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(
        self, connect: Callable[[], Line], watch: Callable[[], Awaitable[None]], late_seconds: float
    ) -> None:
        """What runs in the terminal, to its end."""
        early = await self._echo(late_seconds) if late_seconds else b""
        try:
            line = connect()
        except Unopenable as text:
            await self.send(f"{text}\r\n".encode())
            return
        await line.attach(self)
        self._line = line
        if self._size is not None:
            line.resize(*self._size)
        works: tuple[Awaitable[object], ...] = (self._type(line, early), watch(), self._hung_up.wait())
        tasks = [asyncio.ensure_future(work) for work in works]
        greeting = b"" if line.shared else f"starting serial terminal on interface {line.name}\r\n".encode()
        try:
            await self.send(CLEAR_SCREEN if self.detachable else greeting)
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            self._line = None
            line.detach(self)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self.detachable:
            await self.send(END_OF_SCREEN + (b"\r\n[detached]\r\n" if self._detached else DTACH_ENDED))

    async def _echo(self, seconds: float) -> bytes:
        """Until the program has started, the terminal itself echoes what is typed, and keeps it for the program."""
        early = bytearray()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    data = (await self._next()).replace(b"\r", b"\n")
                    early += data
                    shown = CONTROL.sub(lambda key: b"^" + bytes([key.group()[0] + 0x40]), data)
                    await self.send(shown.replace(b"\n", b"\r\n"))
        return bytes(early)

    def _resize(self, columns: int, rows: int) -> None:
        self._size = (columns, rows)
        if self._line is not None:
            self._line.resize(columns, rows)

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

    async def _type(self, line: Line, early: bytes) -> None:
        data = early or await self._next()
        while not (self.detachable and DETACH in data):
            await line.type(self, data)
            data = await self._next()
        await line.type(self, data.partition(DETACH)[0])
        self._detached = True

    async def _next(self) -> bytes:
        """What is typed next; as in the original, the buffer is filled again when nothing more can be made of it."""
        buffer = self._parser.buffer
        while True:
            while buffer:
                length = self._remaining or self._parser.next_length()
                if length is None:
                    break
                data = bytes(buffer[:length])
                del buffer[:length]
                self._remaining = length - len(data)
                if data:
                    return data
            taken = self._incoming[: BUFFER - len(buffer)]
            if taken:
                buffer += taken
                del self._incoming[: len(taken)]
                self._more.set()
            else:
                self._idle.set()
                self._more.clear()
                await self._more.wait()
