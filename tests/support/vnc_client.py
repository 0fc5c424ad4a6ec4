# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VNC clients: vncdotool, which others wrote, one that logs in as CloudStack's console proxy does, and raw sockets."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from pathlib import Path

from .embedded_pve.consoles.rfb import des_response

SECONDS = 20
TOOLS = Path(sys.executable).parent
BANNER = b"RFB 003.008\n"


class TurnedAway(Exception):
    """The server did not let us in; str() is its reason."""


def capture(host: str, port: int, password: str, file: Path) -> subprocess.CompletedProcess[str]:
    """vncdotool logs in, types a key, and takes a picture."""
    return subprocess.run(
        [TOOLS / "vncdo", "-s", f"{host}::{port}", "-p", password, "key", "a", "capture", str(file)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


class VncClient:
    """A client in steps: what CloudStack's console proxy does (NoVncClient), which is RFC 6143."""

    # What the console proxy knows of: none, VNC authentication, VeNCrypt.
    KNOWN_SECURITY = (1, 2, 19, 261)

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), SECONDS)
        self.received = b""
        self.name = ""

    def read(self, size: int) -> bytes:
        """So many bytes, fewer at the end."""
        while len(self.received) < size:
            try:
                part = self.socket.recv(65536)
            except ConnectionError:
                part = b""
            if not part:
                break
            self.received += part
        taken, self.received = self.received[:size], self.received[size:]
        return taken

    def prove(self, password: str) -> None:
        """Everything up to the answer to the challenge."""
        banner = self.read(12)
        if banner != BANNER:
            raise TurnedAway(f"it began with {banner!r}")
        # The console proxy says the server's version.
        self.socket.sendall(banner)
        count = self.read(1)[0]
        offered = self.read(count)
        security = next((kind for kind in offered if kind in self.KNOWN_SECURITY), None)
        if security != 2:
            raise TurnedAway(f"it offers {list(offered)}")
        self.socket.sendall(bytes([security]))
        self.socket.sendall(des_response(password, self.read(16)))

    def log_in(self, password: str) -> None:
        """Log in; raises TurnedAway with the reason."""
        self.prove(password)
        result = self.read(4)
        if result != bytes(4):
            length = int.from_bytes(self.read(4) or bytes(4), "big")
            raise TurnedAway(self.read(length).decode() if result else "closed")

    def begin(self, shared: int = 0) -> tuple[int, int]:
        """ClientInit and ServerInit; returns width and height."""
        self.socket.sendall(bytes([shared]))
        head = self.read(24)
        self.name = self.read(int.from_bytes(head[20:24], "big")).decode()
        width, height = struct.unpack(">HH", head[:4])
        return width, height

    def ask(self, width: int, height: int, changes: bool = False) -> None:
        """FramebufferUpdateRequest of all, or of what changes."""
        self.socket.sendall(struct.pack(">BBHHHH", 3, changes, 0, 0, width, height))

    def picture(self, width: int, height: int) -> bytes:
        """The update that answers a request, when it is one raw rectangle of 32 bits a pixel."""
        return self.read(4 + 12 + width * height * 4)

    def press(self, key: int) -> None:
        self.socket.sendall(struct.pack(">BBHI", 4, 1, 0, key))

    def close(self) -> None:
        self.socket.close()


def connected(host: str, port: int, password: str) -> VncClient:
    """A client that has logged in."""
    client = VncClient(host, port)
    try:
        client.log_in(password)
    except BaseException:
        client.close()
        raise
    return client
