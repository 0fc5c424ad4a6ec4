# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The least that a viewer does with what pve_console_info returned: connect, and log in."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import websocket

from .embedded_pve import PveHandle
from .embedded_pve.consoles.rfb import des_response

SECONDS = 10


def open_websocket(pve: PveHandle, console: Mapping[str, Any], token_secret: str = "") -> websocket.WebSocket:
    """Open the URL that was returned, as whom it says; the secret is that of the token, if it is one."""
    found = console["websocket"]
    value = found["header_value"] or f"PVEAPIToken={console['identity']['name']}={token_secret}"
    return websocket.create_connection(
        found["url"],
        header={found["header_name"]: value},
        subprotocols=[found["subprotocol"]],
        sslopt={"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": pve.cafile},
        timeout=SECONDS,
    )


def type_and_read(channel: websocket.WebSocket, handshake: str, text: str, wanted: str) -> str:
    """Log in to a terminal, type, and return what is shown until it holds what is wanted."""
    channel.send(handshake)
    shown = channel.recv()
    assert shown[:2] == b"OK", shown
    channel.send_binary(f"0:{len(text.encode())}:{text}".encode())
    while wanted.encode() not in shown:
        more = channel.recv()
        assert more, shown
        shown += more
    return str(shown[2:].decode())


def log_in_to_vnc(read: Callable[[], bytes], write: Callable[[bytes], Any], password: str) -> str:
    """Do RFB's handshake (RFC 6143) and return the name of the desktop."""
    buffer = b""

    def take(size: int) -> bytes:
        nonlocal buffer
        while len(buffer) < size:
            more = read()
            assert more, f"the end after {buffer!r}"
            buffer += more
        taken, buffer = buffer[:size], buffer[size:]
        return taken

    assert take(12) == b"RFB 003.008\n"
    write(b"RFB 003.008\n")
    assert take(2) == b"\1\2"
    write(b"\2")
    write(des_response(password, take(16)))
    assert take(4) == bytes(4), "the password is wrong"
    write(b"\1")
    # Width, height, pixel format, and the length of the name.
    return take(int.from_bytes(take(24)[20:], "big")).decode()


def vnc_by_websocket(channel: websocket.WebSocket, password: str) -> str:
    return log_in_to_vnc(channel.recv, channel.send_binary, password)


def vnc_by_tcp(host: str, port: int, password: str) -> str:
    with socket.create_connection((host, port), SECONDS) as connection:
        return log_in_to_vnc(lambda: connection.recv(4096), connection.sendall, password)
