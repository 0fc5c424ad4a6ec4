# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A reverse proxy that has PVE below a path, as operators put one before the web interface."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .embedded_pve import PveHandle
from .embedded_pve.runner import HOST, certificate

HOP_BY_HOP = ("connection", "content-length", "transfer-encoding")


@contextmanager
def reverse_proxy(pve: PveHandle, prefix: str) -> Iterator[int]:
    """Forward what begins with the prefix, and answer 404 to all else, while the block runs; the port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            backend = http.client.HTTPSConnection(
                pve.host, pve.port, context=ssl.create_default_context(cafile=pve.cafile), timeout=30
            )
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            backend.request(self.command, self.path.removeprefix(prefix), body or None, headers)
            answer = backend.getresponse()
            content = answer.read()
            self.send_response(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            backend.close()

        do_GET = do_POST = do_PUT = do_DELETE = forward  # noqa: N815 - the names of http.server

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(HOST))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
