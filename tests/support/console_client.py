# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plainest clients of consoles: what the tests of the embedded PVE's consoles connect with."""

from __future__ import annotations

import base64
import os
import socket
import ssl
import struct
import time
import urllib.parse
from typing import Any, Self

from .api_client import ApiClient
from .embedded_pve import PveHandle

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def websocket_path(path: str, port: int | str, ticket: str) -> str:
    quoted = urllib.parse.quote(ticket, safe="")
    return f"/api2/json{path}/vncwebsocket?port={port}&vncticket={quoted}"


def cookie(pve: PveHandle, user: str = "root@pam") -> dict[str, str]:
    """The headers of a session that logged in with a password."""
    ticket, csrf = pve.call(lambda: pve.server.issue_ticket(user))
    return {"Cookie": f"PVEAuthCookie={urllib.parse.quote(ticket)}", "CSRFPreventionToken": csrf}


class RawWebSocket:
    """A websocket whose frames the test makes itself."""

    def __init__(
        self,
        pve: PveHandle,
        path: str,
        headers: dict[str, str] | None = None,
        subprotocol: str | None = "binary",
        timeout: float = 10,
    ) -> None:
        context = ssl.create_default_context(cafile=pve.cafile)
        plain = socket.create_connection((pve.host, pve.port), timeout)
        self.socket = context.wrap_socket(plain, server_hostname=pve.host)
        self.opcodes: list[int] = []
        self._buffer = b""
        self.rest = b""
        given = headers or {"Authorization": f"PVEAPIToken={pve.token_id}={pve.token_secret}"}
        lines = [f"GET {path} HTTP/1.1", f"Host: {pve.host}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}"]
        lines += [f"Sec-WebSocket-Protocol: {subprotocol}"] if subprotocol else []
        lines += [f"{name}: {value}" for name, value in given.items()]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self.head = self._read_head()

    def _read_head(self) -> str:
        try:
            while b"\r\n\r\n" not in self._buffer:
                data = self.socket.recv(65536)
                if not data:
                    break
                self._buffer += data
        except TimeoutError:
            pass
        head, _blank, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head.decode()

    @property
    def status(self) -> int:
        return int(self.head.split()[1]) if self.head else 0

    def send(self, payload: bytes | str, opcode: int = BINARY) -> None:
        data = payload.encode() if isinstance(payload, str) else payload
        self.send_raw(0x80 | opcode, data)

    def send_raw(self, first: int, payload: bytes, masked: bool = True, size: int | None = None) -> None:
        """A frame of these flags; `size` lies about the length."""
        length = len(payload) if size is None else size
        bit = 0x80 if masked else 0
        if length <= 125:
            header = struct.pack("!BB", first, bit | length)
        elif length <= 0xFFFF:
            header = struct.pack("!BBH", first, bit | 126, length)
        else:
            header = struct.pack("!BBQ", first, bit | 127, length)
        self.socket.sendall(header + (bytes(4) if masked else b"") + payload)

    def frame(self) -> tuple[int, bytes] | None:
        """Opcode and payload of the next frame; None at the end of file."""
        header = self._exactly(2)
        if header is None:
            return None
        size = header[1] & 0x7F
        if size >= 126:
            more = self._exactly(2 if size == 126 else 8)
            assert more is not None
            size = int.from_bytes(more, "big")
        payload = self._exactly(size) or b""
        self.opcodes.append(header[0] & 0x0F)
        return header[0] & 0x0F, payload

    def _exactly(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            try:
                data = self.socket.recv(262144)
            except (ConnectionError, ssl.SSLEOFError):
                data = b""
            if not data:
                return None
            self._buffer += data
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def read(self) -> bytes:
        """The payload of the next data frame; empty at the end of file."""
        while True:
            found = self.frame()
            if found is None:
                return b""
            if found[0] in (TEXT, BINARY):
                return found[1]

    def read_exactly(self, size: int) -> bytes:
        while len(self.rest) < size:
            data = self.read()
            assert data, f"the end of file after {self.rest!r}"
            self.rest += data
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken

    def read_until(self, text: bytes | str) -> bytes:
        """Everything up to the text and with it."""
        wanted = text.encode() if isinstance(text, str) else text
        while wanted not in self.rest:
            data = self.read()
            assert data, f"the end of file after {self.rest!r}, before {wanted!r}"
            self.rest += data
        position = self.rest.index(wanted) + len(wanted)
        taken, self.rest = self.rest[:position], self.rest[position:]
        return taken

    def read_all(self) -> bytes:
        """What comes until the end of file."""
        while data := self.read():
            self.rest += data
        taken, self.rest = self.rest, b""
        return taken

    def read_for(self, seconds: float) -> bytes:
        """What comes within these seconds."""
        deadline = time.monotonic() + seconds
        timeout = self.socket.gettimeout()
        try:
            while (left := deadline - time.monotonic()) > 0:
                self.socket.settimeout(left)
                data = self.read()
                if not data:
                    break
                self.rest += data
        except TimeoutError:
            pass
        finally:
            self.socket.settimeout(timeout)
        taken, self.rest = self.rest, b""
        return taken

    def close(self) -> None:
        """Vanish without a Close frame."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Terminal(RawWebSocket):
    """A terminal session: termproxy, websocket, credentials; `OK` is left to the test."""

    def __init__(
        self, pve: PveHandle, path: str, headers: dict[str, str] | None = None, identity: str | None = None, **form: Any
    ) -> None:
        api = ApiClient(pve)
        if headers:
            api.session.headers.clear()
            api.session.headers.update(headers)
        self.answer = api.data("POST", f"{path}/termproxy", **form)
        super().__init__(pve, websocket_path(path, self.answer["port"], self.answer["ticket"]), headers)
        if self.status == 101:
            self.send(f"{identity or self.answer['user']}:{self.answer['ticket']}\n", TEXT)

    def type(self, text: bytes | str) -> None:
        data = text.encode() if isinstance(text, str) else text
        self.send(b"0:%d:" % len(data) + data)

    def resize(self, columns: int, rows: int) -> None:
        self.send(f"1:{columns}:{rows}:")
