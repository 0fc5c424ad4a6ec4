# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The websocket of pveproxy: strict about the client's frames, and never a Close frame of its own.

Source: websocket_proxy in PVE::APIServer::AnyEvent.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from aiohttp import web

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MAX_PAYLOAD = 128 * 1024
# What pveproxy holds for a console that does not read (wbuf_max); with more it drops the connection. This console is
# slower than a loopback: it slows the client down at that point, and drops it when nothing is read for a while.
MAX_UNREAD = 5 * MAX_PAYLOAD
STALL_SECONDS = 1.0
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Taken(web.Response):
    """What a handler returns whose connection became a websocket (or was left to hang): nothing more is sent."""


def accept_key(key: str) -> str:
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def unmask(payload: bytes, mask: bytes) -> bytes:
    if not payload or mask == bytes(4):
        return payload
    keys = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(len(payload), "big")


def frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size <= 125:
        return struct.pack("!BB", 0x80 | opcode, size) + payload
    if size <= 0xFFFF:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


class Fatal(Exception):
    """A frame that pveproxy dies of: the connection is dropped."""


class WebSocket:
    """One connection: payloads of whole messages in, frames of at most `frame_bytes` out.

    aiohttp hands over the bytes behind the request's head (feed_data, feed_eof: its payload parser).
    """

    def __init__(self, request: Any, frame_bytes: int, report: Callable[[str], None]) -> None:
        self.peer = "127.0.0.1:{}".format((request.transport.get_extra_info("peername") or ("", 0))[1])
        self.closed = asyncio.Event()
        self.report = report
        self._request = request
        self._protocol = request.protocol
        self._transport = request.transport
        self._frame_bytes = min(frame_bytes, MAX_PAYLOAD)
        self._incoming = bytearray()
        self._messages: deque[bytes] = deque()
        self._unread = self._consumed = 0
        self._paused = False
        self._ready = asyncio.Event()
        self._protocol.set_parser(self)

    # ---- from aiohttp

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._incoming += data
        try:
            while not self.closed.is_set() and self._take_frame():
                pass
        except Fatal as problem:
            self.report(str(problem))
            self.close()
        return False, b""

    def feed_eof(self) -> None:
        self.closed.set()
        self._ready.set()

    def _take_frame(self) -> bool:
        buffer = self._incoming
        if len(buffer) < 2:
            return False
        first, second = buffer[0], buffer[1]
        if not first & 0x80:
            raise Fatal("received fragmented websocket frame")
        if first & 0x70:
            raise Fatal("received websocket frame with RSV flags")
        if not second & 0x80:
            raise Fatal("received unmasked websocket frame from client")
        size, offset = second & 0x7F, 2
        if size >= 126:
            width = 2 if size == 126 else 8
            if len(buffer) < 2 + width:
                return False
            size, offset = int.from_bytes(buffer[2 : 2 + width], "big"), 2 + width
        if size > MAX_PAYLOAD:
            raise Fatal(f"received too large websocket frame (len = {size})")
        if len(buffer) < offset + 4 + size:
            return False
        mask, payload = bytes(buffer[offset : offset + 4]), bytes(buffer[offset + 4 : offset + 4 + size])
        del buffer[: offset + 4 + size]
        self._handle(first & 0x0F, unmask(payload, mask))
        return True

    def _handle(self, opcode: int, payload: bytes) -> None:
        if opcode in (TEXT, BINARY):
            self._unread += len(payload)
            self._messages.append(payload)
            self._ready.set()
            if self._unread > MAX_UNREAD and not self._paused:
                self._paused = True
                self._transport.pause_reading()
                asyncio.get_running_loop().call_later(STALL_SECONDS, self._check_stall, self._consumed)
        elif opcode == PING:
            self._transport.write(frame(PONG, payload))
        elif opcode == CLOSE:
            self.close()
        elif opcode != PONG:
            raise Fatal(f"received unhandled websocket opcode {opcode}")

    def _check_stall(self, consumed: int) -> None:
        if not self._paused or self.closed.is_set():
            return
        if consumed == self._consumed:
            self.report(f"the client sent more than {MAX_UNREAD} bytes ahead of a console that does not read")
            self.close()
        else:
            asyncio.get_running_loop().call_later(STALL_SECONDS, self._check_stall, self._consumed)

    # ---- for the console behind it

    def accept(self) -> None:
        """Send the 101 with the client's own subprotocol (60-consoles.json: "ws subprotocol base64")."""
        headers = self._request.headers
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: upgrade"]
        lines.append(f"Sec-WebSocket-Accept: {accept_key(headers['Sec-WebSocket-Key'])}")
        if headers.get("Sec-WebSocket-Protocol"):
            lines.append(f"Sec-WebSocket-Protocol: {headers['Sec-WebSocket-Protocol']}")
        self._transport.write("\r\n".join([*lines, "", ""]).encode())

    async def read(self) -> bytes:
        """The payload of one message; empty at the end. An empty message is skipped."""
        while True:
            while self._messages:
                message = self._messages.popleft()
                self._unread -= len(message)
                self._consumed += len(message)
                if self._paused and self._unread < MAX_UNREAD // 2:
                    self._paused = False
                    self._transport.resume_reading()
                if message:
                    return message
            if self.closed.is_set():
                return b""
            self._ready.clear()
            await self._ready.wait()

    async def write(self, data: bytes) -> None:
        """Send, and wait while the client is slow; raises ConnectionError when it is gone."""
        step = self._frame_bytes
        if step < 1024:
            await self._put(b"".join(frame(BINARY, data[i : i + step]) for i in range(0, len(data), step)))
            return
        for start in range(0, len(data), step):
            await self._put(frame(BINARY, data[start : start + step]))

    async def _put(self, frames: bytes) -> None:
        if self.closed.is_set():
            raise ConnectionResetError("the client is gone")
        self._transport.write(frames)
        if self._protocol.writing_paused:
            drained = asyncio.ensure_future(self._protocol._drain_helper())
            gone = asyncio.ensure_future(self.closed.wait())
            try:
                await asyncio.wait((drained, gone), return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
                drained.cancel()
        if self.closed.is_set():
            raise ConnectionResetError("the client is gone")

    def close(self) -> None:
        """End of file for the client, after what was written."""
        if not self.closed.is_set():
            self.feed_eof()
            self._transport.close()
