# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An HTTP proxy that lets CONNECT through, and remembers who wanted to go where."""

from __future__ import annotations

import selectors
import socket
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

HOST = "127.0.0.1"
REFUSAL = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"


@dataclass
class ForwardProxy:
    """Where it listens, the Proxy-Authorization that it asks for, and what it was asked."""

    port: int
    authorization: str = ""
    # Host and port of each CONNECT, and the Proxy-Authorization of it.
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


@contextmanager
def forward_proxy(
    authorization: str = "", ways: Mapping[str, tuple[str, int]] = MappingProxyType({})
) -> Iterator[ForwardProxy]:
    """Serve while the block runs; ways has targets that are elsewhere than they say."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            method, target, _version = self.rfile.readline().decode("latin-1").split()
            headers: dict[str, str] = {}
            while (line := self.rfile.readline().decode("latin-1").strip()) != "":
                name, _colon, value = line.partition(":")
                headers[name.lower()] = value.strip()
            found.asked.append((target, headers.get("proxy-authorization", "")))
            if method != "CONNECT" or headers.get("proxy-authorization", "") != found.authorization:
                self.wfile.write(REFUSAL)
                return
            host, _colon, port = target.rpartition(":")
            with socket.create_connection(ways.get(target) or (host, int(port))) as server:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                carry(self.connection, server)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

        def handle_error(self, *_where: object) -> None:
            """Say nothing: either side may go away."""

    with Server((HOST, 0), Handler) as server:
        found = ForwardProxy(server.server_address[1], authorization)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield found
        finally:
            server.shutdown()


def carry(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until one side ends."""
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _events in selector.select():
                received = key.fileobj.recv(65536)  # type: ignore[union-attr]
                if not received:
                    return
                key.data.sendall(received)
