# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP as pveproxy speaks it: what it refuses, when it closes, and the faults a test planted.

Sources: PVE::APIServer::AnyEvent, 02-http-errors.json, 90-transport.json, 91-daemon-faults.json.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import ssl
import struct
import urllib.parse
from typing import Any

from aiohttp import web
from fakepve import schema as pve_schema
from fakepve.model import PveError
from fakepve.server import API, EXTJS, FORMATS, collect, error

from tests.support import canaries

from . import multipart
from .base import UNAUTHENTICATED, UPGRADED, EmbeddedBase, parameter_error
from .consoles.websocket import Taken
from .faults import Book, Fault, Hook
from .knobs import Knobs
from .parameters import request_parameters
from .recorder import Exchange, Recorder

DUPLICATE = "duplicate parameter (already defined in URI) with conflicting values!"
GZIP_FROM = 1024
BODY_LIMIT = 512 * 1024
REQUESTS_PER_CONNECTION = 100
STOP_SECONDS = 5
HTML_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


def bare(status: int, reason: str) -> web.Response:
    """An answer without a body: a 401, a 595, a 596 and the refusals of the HTTP layer have none."""
    return web.Response(status=status, reason=reason.splitlines()[0])


class CountingServer(web.Server):
    """aiohttp's server, telling the recorder about each connection."""

    recorder: Recorder

    def connection_made(self, handler: Any, transport: Any) -> None:
        self.recorder.accepted(handler)
        super().connection_made(handler, transport)


class StrictHttp(EmbeddedBase):
    def __init__(self, host: str, port: int, knobs: Knobs) -> None:
        super().__init__(host, port, knobs)
        self.recorder = Recorder()
        self.faults: Book[Fault] = Book()
        self.hooks: Book[Hook] = Book()
        self._router: Any = None

    async def start(self, certfile: str, keyfile: str) -> None:
        self.certfile = certfile
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certfile, keyfile)
        self._router = self._build_app().router
        quiet = logging.getLogger("embedded_pve.http")
        server = CountingServer(
            self._front,
            request_factory=self._make_request,
            keepalive_timeout=self.knobs.idle_timeout,
            access_log=None,
            logger=quiet,
        )
        server.recorder = self.recorder
        self.runner = web.ServerRunner(server, shutdown_timeout=0.05)
        await self.runner.setup()
        await web.TCPSite(self.runner, self.host, self.port, ssl_context=context).start()
        if not self.port:
            self.port = self.runner.addresses[0][1]

    async def stop(self) -> None:
        self.stopping = True
        tasks = list(self.background)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_SECONDS)
        await super().stop()

    def _make_request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.Request:
        loop = asyncio.get_running_loop()
        return web.Request(message, payload, protocol, writer, task, loop, client_max_size=self.client_max_size)

    async def _front(self, request: Any) -> web.StreamResponse:
        """Everything between the socket and the API call."""
        refusal = self._refused_by_the_parser(request)
        path = self._normalised(request)
        if refusal is None and multipart.is_upload(request) and path.endswith("/upload"):
            refusal = await self._receive(request)
        body = b"" if refusal else await request.read()
        number = self._begin(request, path, body)
        request[UPGRADED] = lambda: self.recorder.finish(number, 101)
        if refusal is None and len(body) > BODY_LIMIT and "multipart" not in request.content_type:
            refusal = bare(501, "for data too large")
        if refusal is not None:
            return self._finish(request, number, refusal)
        shown = urllib.parse.unquote(path)
        self._run_hooks(request.method, shown)
        for delay in self.faults.take(request.method, shown, lambda entry: entry.kind == "delay"):
            await asyncio.sleep(delay.seconds)
        planted = self.faults.take(request.method, shown, lambda entry: entry.kind != "delay", most=1)
        fault = planted[0] if planted else None
        early = await self._fault_before(request, number, fault)
        if early is not None:
            return early
        response = await self._dispatch(request, path, body)
        if isinstance(response, Taken):
            return response
        if fault is not None:
            return await self._fault_after(request, number, fault, response)
        if self.recorder.requests_on(self.recorder.connection_of(request.protocol)) >= REQUESTS_PER_CONNECTION:
            response.force_close()
        return self._finish(request, number, response)

    async def _receive(self, request: Any) -> web.StreamResponse | None:
        """Read an upload into a file of the node; the answer when it cannot be read."""
        try:
            upload = await multipart.receive(request, self.directory, self.knobs.upload_breaks_after)
        except multipart.BrokenOff:
            return self._reset(request)
        except PveError as problem:
            return bare(problem.status, problem.message)
        request[multipart.UPLOADED] = upload
        # What is left of the request, for everybody else.
        request._read_bytes = b""
        return None

    def _run_hooks(self, method: str, path: str) -> None:
        for hook in self.hooks.take(method, path, lambda _: True):
            try:
                hook.callback()
            except BaseException as problem:  # noqa: BLE001 - raised again where the server was started
                self.internal_errors.append(problem)

    @staticmethod
    def _refused_by_the_parser(request: Any) -> web.Response | None:
        if request.method not in ("GET", "POST", "PUT", "DELETE"):
            return bare(501, f"method '{request.method}' not available")
        if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
            return bare(501, "chunked transfer encoding not supported")
        if request.method in ("GET", "DELETE") and int(request.headers.get("Content-Length") or 0):
            return bare(501, f"Unexpected content for method '{request.method}'")
        return None

    @staticmethod
    def _normalised(request: Any) -> str:
        """The raw path without the API prefix, empty fragments dropped (RESTHandler::find_handler)."""
        path = request.rel_url.raw_path
        for prefix in (API, EXTJS):
            if path == prefix or path.startswith(prefix + "/"):
                path = path[len(prefix) :]
                break
        return "/" + "/".join(segment for segment in path.split("/") if segment)

    def resolve(self, request: Any, prefix: str) -> Any:
        """A volume is the rest of the path, its slashes included (PVE::API2::Storage::Content: fragmentDelimiter)."""
        match = super().resolve(request, prefix)
        head, mark, volume = urllib.parse.unquote(self._normalised(request)).partition("/content/")
        if match is None and mark:
            match = pve_schema.load().match(f"{head}{mark}volume")
            if match is not None:
                match.params["volume"] = volume
        return match

    def _begin(self, request: Any, path: str, body: bytes) -> int:
        exchange = Exchange(
            method=request.method,
            path=urllib.parse.unquote(path),
            query=collect(request.query.items()),
            form=request[multipart.UPLOADED].fields if multipart.UPLOADED in request else self._form(request, body),
            headers=dict(request.headers),
            connection=self.recorder.connection_of(request.protocol),
            status=0,
            when=0.0,
            raw_body=body,
        )
        canaries.learn_request(exchange.headers, exchange.form)
        return self.recorder.begin(exchange)

    @staticmethod
    def _form(request: Any, body: bytes) -> dict[str, Any]:
        try:
            if request.content_type == "application/json":
                data = json.loads(body or b"{}")
                return data if isinstance(data, dict) else {}
            return collect(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        except ValueError:
            return {}

    def _finish(self, request: Any, number: int, response: web.StreamResponse) -> web.StreamResponse:
        if response.status >= 400:
            response.force_close()
        text = response.body if isinstance(response, web.Response) else None
        canaries.learn_answer(request.path, text)
        if isinstance(text, bytes) and len(text) > GZIP_FROM and "gzip" in request.headers.get("Accept-Encoding", ""):
            response.enable_compression(web.ContentCoding.gzip)
        self.recorder.finish(number, response.status)
        return response

    async def _dispatch(self, request: Any, path: str, body: bytes) -> web.Response:
        """The answer of the API, routed by the normalised path."""
        raw = request.rel_url.raw_path
        prefix = next((p for p in FORMATS if raw == p or raw.startswith(p + "/")), None)
        if prefix is None:
            return (
                bare(501, f"no formatter for uri {path}")
                if not raw.startswith("/api")
                else bare(500, f"no such file '{raw}'")
            )
        if raw != prefix + path:
            url = request.rel_url.with_path(prefix + path, encoded=True).with_query(request.rel_url.query)
            request._rel_url = url
            request._cache.clear()
        match = await self._router.resolve(request)
        request._match_info = match
        response = (
            await self._extjs(request, self._answer_json) if prefix == EXTJS else await self._answer_json(request)
        )
        if response.status == 401:
            await asyncio.sleep(self.knobs.auth_failure_delay)
            # What a method refuses has a body, a request without valid credentials gets none.
            return bare(401, response.reason) if request.get(UNAUTHENTICATED) else response
        if response.status in (595, 596):
            return bare(response.status, response.reason)
        return response

    async def _answer_json(self, request: Any) -> web.Response:
        try:
            response: web.Response = await self._middleware(request, request.match_info.handler)
        except web.HTTPException as problem:
            response = error(problem.status, problem.reason)
        except PveError as problem:
            response = error(problem.status, problem.message, problem.errors)
        return response

    async def _answer(self, request: Any, handler: Any, generic: Any, path_node: str | None) -> web.Response:
        """What pveproxy checks of every authenticated call before the method's own code runs."""
        try:
            match = self.resolve(request, API)
            if match is None or request.method not in match.methods:
                path = urllib.parse.unquote(self._normalised(request))
                return error(501, f"Method '{request.method} {path}' not implemented")
            given = await request_parameters(request)
            for name, value in match.params.items():
                if name in given and str(given[name]) != str(value):
                    raise parameter_error(**{name: DUPLICATE})
            node = match.params.get("node")
            if node is not None and re.fullmatch(r"[A-Za-z0-9-]+", node) and node not in (*self.nodes, "localhost"):
                text = f"hostname lookup '{node}' failed - failed to get address info for: {node}"
                raise PveError(500, f"{text}: Temporary failure in name resolution")
            if node in self.nodes and not self.nodes[node].get("online", True):
                await asyncio.sleep(self.knobs.no_route_seconds)
            response: web.Response = await super()._answer(request, handler, generic, path_node or node)
        except PveError as problem:
            response = error(problem.status, problem.message, problem.errors)
        except (web.HTTPException, asyncio.CancelledError):
            raise
        except Exception as problem:  # noqa: BLE001 - a mistake of ours: raised where the server was started
            self.internal_errors.append(problem)
            response = error(500, "internal error of the embedded PVE")
        return response

    async def _fault_before(self, request: Any, number: int, fault: Fault | None) -> web.StreamResponse | None:
        if fault is None:
            return None
        if fault.kind == "drop":
            return self._reset(request)
        if fault.kind == "595":
            return self._finish(request, number, bare(595, fault.message or "No route to host"))
        if fault.kind == "html":
            text = fault.message or HTML_PAGE
            page = web.Response(status=fault.status or 502, text=text, content_type="text/html")
            return self._finish(request, number, page)
        if fault.kind == "status":
            answer = error(fault.status or 500, fault.message or "internal error", fault.errors)
            return self._finish(request, number, bare(401, answer.reason) if answer.status == 401 else answer)
        return None

    async def _fault_after(self, request: Any, number: int, fault: Fault, response: web.Response) -> web.StreamResponse:
        if fault.kind == "596":
            return self._finish(request, number, bare(596, fault.message or "Connection timed out"))
        if fault.kind == "truncate":
            return await self._truncated(request, number, response)
        return self._reset(request)

    async def _truncated(self, request: Any, number: int, response: web.Response) -> web.StreamResponse:
        body = response.body if isinstance(response.body, bytes) else b""
        stream = web.StreamResponse(status=response.status, headers={"Content-Length": str(len(body))})
        stream.content_type = "application/json"
        stream.force_close()
        await stream.prepare(request)
        await stream.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        self.recorder.finish(number, response.status)
        return stream

    @staticmethod
    def _reset(request: Any) -> web.StreamResponse:
        """Close with a TCP reset: nothing is sent, and the exchange keeps the status 0."""
        transport = request.transport
        if transport is not None:
            connection = transport.get_extra_info("socket")
            if connection is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        return bare(500, "connection reset")
