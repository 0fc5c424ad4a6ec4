# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest's display: its picture, its password, what was typed and clicked; or another VNC server behind it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Protocol

from .lines import Record
from .ports import Connection


@dataclass(frozen=True)
class Picture:
    """Rows of red, green and blue bytes."""

    width: int
    height: int
    pixels: bytes


def known_picture(width: int = 64, height: int = 48) -> Picture:
    """Red grows to the right, green downwards, and blue tells the quarters apart."""
    pixels = bytearray()
    for y in range(height):
        for x in range(width):
            blue = (2 * x // width + 2 * y // height) % 2
            pixels += bytes((x * 255 // (width - 1), y * 255 // (height - 1), 255 * blue))
    return Picture(width, height, bytes(pixels))


class Backend(Protocol):
    """A VNC server that shows the guest in place of the built-in one."""

    async def connect(self, password: str, seconds: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Set the password, which expires after these seconds, and connect."""


@dataclass
class Display:
    name: str
    record: Record
    picture: Picture = field(default_factory=known_picture)
    keys: list[tuple[int, bool]] = field(default_factory=list)
    pointer: list[tuple[int, int, int]] = field(default_factory=list)
    clipboard: list[str] = field(default_factory=list)
    # One entry for each client that answered the challenge.
    logins: list[bool] = field(default_factory=list)
    shared_flags: list[int] = field(default_factory=list)
    backend: Backend | None = None
    # Grows with each picture; the events wake those who show it.
    version: int = 0
    viewers: list[asyncio.Event] = field(default_factory=list)
    rings: int = 0
    _password: tuple[str, float] | None = None

    def set_password(self, password: str, seconds: float) -> None:
        """QMP set_password and expire_password: of two clients that connect together, the later one's counts."""
        self._password = (password, time.monotonic() + seconds)

    def current_password(self) -> str | None:
        if self._password is None or time.monotonic() > self._password[1]:
            return None
        return self._password[0]

    def ring(self, times: int) -> None:
        """Let the bell ring at every viewer."""
        self.rings += times
        for viewer in self.viewers:
            viewer.set()

    def show(self, picture: Picture) -> None:
        self.picture = picture
        self.version += 1
        for viewer in self.viewers:
            viewer.set()


async def pump(connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes both ways until either side ends."""

    async def to_server() -> None:
        while data := await connection.read():
            writer.write(data)
            await writer.drain()

    async def to_client() -> None:
        while data := await reader.read(65536):
            await connection.write(data)

    tasks = [asyncio.ensure_future(to_server()), asyncio.ensure_future(to_client())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()
