# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plainest VNC client."""

from __future__ import annotations

import socket
import struct

from .console_client import RawWebSocket
from .embedded_pve.consoles.rfb import des_response

VERSION, OLD_VERSION = b"RFB 003.008\n", b"RFB 003.003\n"


class Viewer:
    """RFB 3.8 on a plain socket or a websocket."""

    def __init__(self, connection: socket.socket | RawWebSocket) -> None:
        self.connection = connection
        self.buffer = b""

    def read(self, size: int) -> bytes:
        while len(self.buffer) < size:
            one = self.connection
            data = one.read() if isinstance(one, RawWebSocket) else one.recv(65536)
            if not data:
                raise EOFError(self.buffer)
            self.buffer += data
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def send(self, data: bytes) -> None:
        if isinstance(self.connection, RawWebSocket):
            self.connection.send(data)
        else:
            self.connection.sendall(data)

    def log_in(self, password: str, version: bytes = VERSION) -> tuple[int, bytes]:
        """The number of the result, and the reason."""
        assert self.read(12) == VERSION
        self.send(version)
        if version == OLD_VERSION:
            assert self.read(4) == b"\0\0\0\2"
        else:
            assert self.read(2) == b"\1\2"
            self.send(b"\2")
        self.send(des_response(password, self.read(16)))
        (result,) = struct.unpack("!I", self.read(4))
        reason = self.read(struct.unpack("!I", self.read(4))[0]) if result and version == VERSION else b""
        return result, reason

    def start(self) -> tuple[int, int, str]:
        """Width, height and name."""
        self.send(b"\1")
        width, height, size = struct.unpack("!HH16xI", self.read(24))
        return width, height, self.read(size).decode()

    def picture(self, width: int, height: int, incremental: int = 0) -> bytes:
        """The pixels as red, green, blue."""
        self.send(struct.pack("!BBHHHH", 3, incremental, 0, 0, width, height))
        assert struct.unpack("!BxHHHHHi", self.read(16)) == (0, 1, 0, 0, width, height, 0)
        data = self.read(width * height * 4)
        return b"".join(data[i + 2 : i + 3] + data[i + 1 : i + 2] + data[i : i + 1] for i in range(0, len(data), 4))
