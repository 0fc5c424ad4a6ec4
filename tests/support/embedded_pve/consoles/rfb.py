# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""RFB as QEMU speaks it with `-vnc unix:...,password=on`: VNC authentication only, raw pictures (RFC 6143)."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import struct

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from .display import Display
from .ports import Connection

VERSION = b"RFB 003.008\n"
VNC_AUTHENTICATION, VENCRYPT, X509_PLAIN = 2, 19, 262
REFUSED = b"Authentication failed\0"
BELL = b"\2"
# Bits per pixel, depth, big endian, true colour, and for red, green and blue the maximum and the shift.
PIXEL_FORMAT = struct.pack("!BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
# Message type: how many bytes follow before any of variable length.
FIXED = {0: 19, 2: 3, 3: 9, 4: 7, 5: 5, 6: 7, 255: 11}


def des_response(password: str, challenge: bytes) -> bytes:
    """VNC's DES: the first eight bytes of the password, the bits of each reversed."""
    key = password.encode()[:8].ljust(8, b"\0")
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in key)
    encryptor = Cipher(TripleDES(mirrored * 3), modes.ECB()).encryptor()
    return encryptor.update(challenge) + encryptor.finalize()


class PixelFormat:
    def __init__(self, packed: bytes) -> None:
        bits, _depth, big, true_colour, *rest = struct.unpack("!BBBBHHHBBBxxx", packed)
        if not true_colour or bits not in (8, 16, 32):
            raise ConnectionError("a pixel format that this server does not have")
        self._maxima, self._shifts = rest[:3], rest[3:]
        self._bytes, self._big = bits // 8, bool(big)
        self._known: dict[bytes, bytes] = {}

    def pixel(self, colour: bytes) -> bytes:
        if colour not in self._known:
            value = 0
            for channel, maximum, shift in zip(colour, self._maxima, self._shifts, strict=True):
                value |= (channel * maximum // 255) << shift
            self._known[colour] = value.to_bytes(self._bytes, "big" if self._big else "little")
        return self._known[colour]


class RfbServer:
    """One client of a display."""

    def __init__(self, display: Display, connection: Connection, encrypted: bool = False) -> None:
        self._display = display
        self._connection = connection
        self._security = VENCRYPT if encrypted else VNC_AUTHENTICATION
        self._buffer = b""
        self._format = PixelFormat(PIXEL_FORMAT)
        self._asked: tuple[int, int, int, int] | None = None
        self._seen = display.version
        self._rung = display.rings
        self._wake = asyncio.Event()

    async def serve(self) -> None:
        """Until either side ends it."""
        try:
            if await self._log_in():
                await self._greet()
                await self._converse()
        except (EOFError, ConnectionError):
            return

    async def _read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = await self._connection.read()
            if not data:
                raise EOFError
            self._buffer += data
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    async def _log_in(self) -> bool:
        write = self._connection.write
        await write(VERSION)
        version = await self._read(12)
        if version == b"RFB 003.003\n":
            await write(struct.pack("!I", VNC_AUTHENTICATION))
        else:
            await write(bytes([1, self._security]))
            if (await self._read(1))[0] != self._security:
                return False
        if self._security == VENCRYPT:
            await self._offer_tls()
            return False
        challenge = secrets.token_bytes(16)
        await write(challenge)
        response = await self._read(16)
        password = self._display.current_password()
        right = password is not None and hmac.compare_digest(response, des_response(password, challenge))
        self._display.logins.append(right)
        reason = struct.pack("!I", len(REFUSED)) + REFUSED if version == VERSION else b""
        await write(struct.pack("!I", 0) if right else struct.pack("!I", 1) + reason)
        return right

    async def _offer_tls(self) -> None:
        """vncterm without a websocket: version, and X509Plain as the only way. TLS itself is not modelled."""
        await self._connection.write(b"\0\2")
        if await self._read(2) == b"\0\2":
            await self._connection.write(struct.pack("!BBI", 0, 1, X509_PLAIN))
            await self._read(4)

    async def _greet(self) -> None:
        self._display.shared_flags.append((await self._read(1))[0])
        picture, name = self._display.picture, self._display.name.encode()
        size = struct.pack("!HH", picture.width, picture.height)
        await self._connection.write(size + PIXEL_FORMAT + struct.pack("!I", len(name)) + name)

    async def _converse(self) -> None:
        painter = asyncio.ensure_future(self._repaint())
        self._display.viewers.append(self._wake)
        try:
            while True:
                kind = (await self._read(1))[0]
                if kind not in FIXED:
                    raise ConnectionError("an unknown message")
                await self._handle(kind, await self._read(FIXED[kind]))
        finally:
            painter.cancel()
            self._display.viewers.remove(self._wake)

    async def _handle(self, kind: int, body: bytes) -> None:
        display = self._display
        if kind == 0:
            self._format = PixelFormat(body[3:])
        elif kind == 2:
            await self._read(4 * struct.unpack("!xH", body)[0])
        elif kind == 3:
            incremental, *area = struct.unpack("!BHHHH", body)
            if incremental:
                self._asked = (area[0], area[1], area[2], area[3])
                self._wake.set()
            else:
                await self._paint(area[0], area[1], area[2], area[3])
        elif kind == 4:
            down, key = struct.unpack("!BxxI", body)
            display.keys.append((key, bool(down)))
        elif kind == 5:
            display.pointer.append(struct.unpack("!BHH", body))
        elif kind == 6:
            display.clipboard.append((await self._read(struct.unpack("!xxxI", body)[0])).decode("latin-1"))
        else:
            down, key = struct.unpack("!xHI4x", body)
            display.keys.append((key, bool(down)))

    async def _paint(self, x: int, y: int, width: int, height: int) -> None:
        """One raw rectangle of the picture as it is."""
        picture, self._seen = self._display.picture, self._display.version
        width, height = min(width, picture.width - x), min(height, picture.height - y)
        if width <= 0 or height <= 0:
            return
        pixel = self._format.pixel
        rows = (picture.pixels[(row * picture.width + x) * 3 :][: width * 3] for row in range(y, y + height))
        data = b"".join(pixel(row[i : i + 3]) for row in rows for i in range(0, len(row), 3))
        await self._connection.write(struct.pack("!BxHHHHHi", 0, 1, x, y, width, height, 0) + data)

    async def _repaint(self) -> None:
        """Send what changed since the last picture to a client that asked for changes."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            rings, self._rung = self._display.rings - self._rung, self._display.rings
            if rings:
                await self._connection.write(BELL * rings)
            if self._asked is not None and self._seen != self._display.version:
                area, self._asked = self._asked, None
                await self._paint(*area)
