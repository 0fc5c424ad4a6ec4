# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The least that a viewer does with what pve_console_info returned: connect, and log in."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from typing import Any

import websocket

from .embedded_pve import PveHandle
from .rfb_client import Viewer

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


class _Carried:
    """A websocket as a socket."""

    def __init__(self, channel: websocket.WebSocket) -> None:
        self._channel = channel
        self.sendall = channel.send_binary

    def recv(self, _size: int) -> Any:
        return self._channel.recv()


def desktop(connection: Any, password: str) -> str:
    """Log in to VNC and return the name of the desktop."""
    viewer = Viewer(connection)
    assert viewer.log_in(password) == (0, b"")
    return viewer.start()[2]


def vnc_by_websocket(channel: websocket.WebSocket, password: str) -> str:
    return desktop(_Carried(channel), password)


def vnc_by_tcp(host: str, port: int, password: str) -> str:
    with socket.create_connection((host, port), SECONDS) as connection:
        return desktop(connection, password)
