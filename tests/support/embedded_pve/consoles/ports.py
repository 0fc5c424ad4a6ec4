# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tickets and the ports they are for: one node's 5900-5999, one connection each, within seconds."""

from __future__ import annotations

import asyncio
import base64
import os
import random
import re
import time
from dataclasses import dataclass, field
from typing import Protocol

from fakepve.model import PveError

FIRST_PORT, LAST_PORT = 5900, 5999
# Where this process begins to look for a port that it really listens on: others run tests beside it.
FIRST_OWN_PORT = FIRST_PORT + os.getpid() * 17 % (LAST_PORT - FIRST_PORT + 1)
# Seconds in which PVE::Tools::next_unused_port gives the same port to nobody else.
RESERVED = 5.0
PREFIX = re.compile(r"^.{8}:(?=PVEVNC:)", re.DOTALL)


class Connection(Protocol):
    """A client of a console, by websocket or by plain TCP."""

    peer: str

    async def read(self) -> bytes:
        """Some bytes, in a websocket those of one message; empty at the end."""

    async def write(self, data: bytes) -> None:
        """Send, waiting for a slow client; raises ConnectionError when it is gone."""

    def close(self) -> None:
        """End of file for the client."""


class TcpConnection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.peer = "{}:{}".format(*writer.get_extra_info("peername")[:2])

    async def read(self) -> bytes:
        try:
            return await self._reader.read(65536)
        except ConnectionError:
            return b""

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()


@dataclass
class Listener:
    """A port that takes one connection."""

    port: int
    reserved_until: float
    arrived: asyncio.Future[Connection]
    servers: list[asyncio.Server] = field(default_factory=list)

    @property
    def listening(self) -> bool:
        return not self.arrived.done()

    def offer(self, connection: Connection) -> bool:
        if not self.listening:
            return False
        self.arrived.set_result(connection)
        self.close()
        return True

    def close(self) -> None:
        for server in self.servers:
            server.close()
        self.servers.clear()
        if self.listening:
            self.arrived.cancel()

    async def wait(self, seconds: float) -> Connection | None:
        """The connection, or None when none came in time."""
        try:
            await asyncio.wait({self.arrived}, timeout=seconds)
            return self.arrived.result() if self.arrived.done() and not self.arrived.cancelled() else None
        finally:
            self.close()


class Ports:
    """The listeners of every node."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, int], Listener] = {}

    def find(self, node: str, port: int) -> Listener | None:
        listener = self._listeners.get((node, port))
        return listener if listener is not None and listener.listening else None

    async def open(self, node: str, addresses: list[str]) -> Listener:
        """The next free port of the node; with addresses it listens there as well."""
        for port in self._candidates(node, FIRST_OWN_PORT if addresses else FIRST_PORT):
            listener = Listener(port, time.monotonic() + RESERVED, asyncio.get_running_loop().create_future())
            if await self._listen(listener, addresses):
                self._listeners[node, port] = listener
                return listener
        raise PveError(500, f"unable to find free port ({FIRST_PORT}-{LAST_PORT})")

    def _candidates(self, node: str, first: int) -> list[int]:
        """Free ports from the first one on, those that were just given away last."""
        ports = [*range(first, LAST_PORT + 1), *range(FIRST_PORT, first)]
        known = {port: self._listeners.get((node, port)) for port in ports}
        free = {port: item for port, item in known.items() if item is None or not item.listening}
        now = time.monotonic()
        fresh = [port for port, item in free.items() if item is None or item.reserved_until < now]
        rest = sorted((item.reserved_until, port) for port, item in free.items() if item and port not in fresh)
        return [*fresh, *(port for _until, port in rest)]

    @staticmethod
    async def _listen(listener: Listener, addresses: list[str]) -> bool:
        async def arrived(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if not listener.offer(TcpConnection(reader, writer)):
                writer.transport.abort()

        try:
            for address in addresses:
                listener.servers.append(await asyncio.start_server(arrived, address, listener.port))
        except OSError:  # another process has it
            listener.close()
            return False
        return True

    def close(self) -> None:
        for listener in self._listeners.values():
            listener.close()


@dataclass(frozen=True)
class Ticket:
    """What a PVEVNC ticket is bound to."""

    identity: str
    path: str
    port: int
    issued: float


class Tickets:
    def __init__(self) -> None:
        self._tickets: dict[str, Ticket] = {}

    def issue(self, identity: str, path: str, port: int) -> str:
        # Signed with a key of 2048 bits.
        ticket = f"PVEVNC:{int(time.time()):08X}::{base64.b64encode(random.randbytes(256)).decode()}"
        self._tickets[ticket] = Ticket(identity, path, port, time.monotonic())
        return ticket

    def verified(self, text: str, wanted: Ticket, seconds: float, bound_to_port: bool) -> bool:
        """`wanted.issued` is the time it is looked at."""
        ticket = self._tickets.get(PREFIX.sub("", text))
        if ticket is None or not -20 < wanted.issued - ticket.issued < seconds:
            return False
        same = (ticket.identity, ticket.path) == (wanted.identity, wanted.path)
        return same and (ticket.port == wanted.port or not bound_to_port)
