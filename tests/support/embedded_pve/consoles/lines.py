# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a terminal session ends at: a serial port, a container's console, a node's login; and what runs there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

# What is on its way through terminal, socat and serial port before the program reads.
INPUT_LIMIT = 64 * 1024
INITIAL_SIZE = (80, 20)


class Client(Protocol):
    """A session as its line sees it."""

    async def send(self, data: bytes) -> None:
        """Output for the client, waiting while it is slow; it may be gone."""

    def hang_up(self) -> None:
        """End of file for the client."""


class Terminal:
    """What a program in the guest sees."""

    def __init__(self, line: Line) -> None:
        self.line = line

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows; a serial port has none."""
        return self.line.size

    async def read(self) -> bytes:
        """What was typed since, at least one byte."""
        return await self.line.take_input()

    async def write(self, data: bytes | str) -> None:
        """Show it; lost when nobody is connected."""
        await self.line.emit(data.encode() if isinstance(data, str) else data)

    async def wait_for_client(self) -> None:
        while not self.line.active:
            await self.line.changed()


Program = Callable[[Terminal], Awaitable[None]]


@dataclass
class Record:
    """What tests ask a console for; sessions of a node's login share one."""

    typed: bytearray = field(default_factory=bytearray)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    sessions: int = 0


class Line:
    """A terminal with a program on it.

    A serial port (shared=False) has one client, and others wait in silence until it leaves; it has no size. A
    container's console (shared=True) has many, and closes when its program ends.
    """

    def __init__(
        self, name: str, record: Record, program: Program, failed: Callable[[BaseException], None], shared: bool
    ) -> None:
        self.name = name
        self.record = record
        self.shared = shared
        self.size = INITIAL_SIZE if shared else (0, 0)
        # A shell that is started for the client, rather than a guest that runs already.
        self.starts_with_client = False
        self.clients: list[Client] = []
        self._program = program
        self._failed = failed
        self._input = bytearray()
        self._runs: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @property
    def active(self) -> list[Client]:
        return self.clients if self.shared else self.clients[:1]

    async def changed(self) -> None:
        """Wait until clients or input changed."""
        event = self._changed
        await event.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # ---- the program

    def run(self, program: Program) -> None:
        """Let this program run from now on, in place of the one that runs."""
        self.stop()
        self._program = program
        self.start()

    def start(self) -> None:
        if self._runs is None or self._runs.done():
            self._runs = asyncio.ensure_future(self._run_program())

    def stop(self) -> None:
        """The guest is gone, with what was typed and not read."""
        if self._runs is not None:
            self._runs.cancel()
            self._runs = None
        self._input.clear()

    async def _run_program(self) -> None:
        try:
            await self._program(Terminal(self))
        except asyncio.CancelledError:
            raise
        except Exception as problem:  # noqa: BLE001 - raised again where the server was started
            self._failed(problem)
        if self.shared:
            self.hang_up()

    async def emit(self, data: bytes) -> None:
        for client in list(self.active):
            with contextlib.suppress(ConnectionError):
                await client.send(data)

    async def take_input(self) -> bytes:
        while not self._input:
            await self.changed()
        data = bytes(self._input)
        self._input.clear()
        self._notify()
        return data

    # ---- the clients

    async def attach(self, client: Client) -> None:
        """A guest's program has run before the first client came, and what it said is lost."""
        fresh = self._runs is None or (self.shared and self._runs.done())
        if fresh and not self.starts_with_client:
            self.start()
            for _turn in range(3):
                await asyncio.sleep(0)
        self.record.sessions += 1
        self.clients.append(client)
        self._notify()
        if fresh and self.starts_with_client:
            self.start()

    def detach(self, client: Client) -> None:
        if client in self.clients:
            self.clients.remove(client)
            self._notify()

    async def type(self, client: Client, data: bytes) -> None:
        """Wait until the client is the one that is heard and the program has read what came before."""
        while data:
            while client not in self.active or len(self._input) >= INPUT_LIMIT:
                await self.changed()
            taken, data = data[: INPUT_LIMIT - len(self._input)], data[INPUT_LIMIT - len(self._input) :]
            self.record.typed += taken
            self._input += taken
            self._notify()

    def forget_input(self) -> None:
        self._input.clear()
        self._notify()

    def resize(self, columns: int, rows: int) -> None:
        self.record.sizes.append((columns, rows))
        if self.shared:
            self.size = (columns, rows)

    def hang_up(self) -> None:
        for client in list(self.clients):
            client.hang_up()
