# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A web server with images, for PVE to download from: plain, or with TLS and an authority of its own."""

from __future__ import annotations

import hashlib
import http.server
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOST = "127.0.0.1"
CHUNK = 64 * 1024


def qcow2(disk_size: int = 64 * 1024**2, size: int = 4096) -> bytes:
    """As much of a qcow2 image as PVE looks at: its mark, and the size of its disk."""
    head = struct.pack(">4sIQIIQ", b"QFI\xfb", 3, 0, 0, 16, disk_size)
    return head.ljust(size, b"\0")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class WebServer(http.server.ThreadingHTTPServer):
    """Serves `files`; paths below /slow/ arrive drop by drop, those below /cut/ break off, /redir/ leads elsewhere."""

    daemon_threads = True

    def __init__(self, certificate: tuple[Path, Path] | None = None) -> None:
        super().__init__((HOST, 0), Handler)
        self.files: dict[str, bytes] = {}
        # What was asked for: "GET /a.iso".
        self.asked: list[str] = []
        # Set, it ends the slowness of /slow/.
        self.hurry = threading.Event()
        self.scheme = "http"
        if certificate is not None:
            self.scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*map(str, certificate))
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def url(self, name: str) -> str:
        return f"{self.scheme}://{HOST}:{self.server_address[1]}/{name}"

    def add(self, name: str, content: bytes) -> str:
        """Have a file; returns its URL."""
        self.files[name] = content
        return self.url(name)

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever hangs up has heard enough."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: WebServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        way, _slash, name = self.path[1:].partition("?")[0].partition("/")
        if not name:
            way, name = "", way
        content = self.server.files.get(name)
        if way == "redir":
            self.send_response(302)
            self.send_header("Location", f"/{name}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif content is None:
            self.send_error(404, "File not found")
        else:
            self.send_response(200)
            if way == "nolen":
                self.close_connection = True
            else:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self._send(content, way)

    def _send(self, content: bytes, way: str) -> None:
        if way == "cut":
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            return
        for start in range(0, len(content), CHUNK):
            if way == "slow" and not self.server.hurry.is_set():
                self.server.hurry.wait(30)
            self.wfile.write(content[start : start + CHUNK])


@contextmanager
def running_web_server(certificate: tuple[Path, Path] | None = None) -> Iterator[WebServer]:
    server = WebServer(certificate)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.hurry.set()
        server.shutdown()
        server.server_close()
        thread.join()
