# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bytes of a console, carried over PVE's websocket (PVE::APIServer::AnyEvent, websocket_proxy)."""

from __future__ import annotations

import select
import socket
import ssl
import time
import traceback
import typing as t
from urllib.parse import quote

from .connection import Endpoint
from .errors import HTTP_BAD_REQUEST, MissingLibrary, PveError, TimedOut, Unreachable, error_from_answer
from .exchange import CONNECT_SECONDS
from .transport import Transport

IMPORT_ERROR: str | None = None
try:
    from websocket import (
        ABNF,
        WebSocket,
        WebSocketBadStatusException,
        WebSocketConnectionClosedException,
        WebSocketException,
        WebSocketTimeoutException,
        create_connection,
    )
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

# What PVE takes in one message: more is fatal, and so is a message in several frames.
MAX_MESSAGE_BYTES = 128 * 1024
# What is sent, pings too, must arrive in this time, or the server has gone without a word; TCP itself waits longer.
_GONE_SECONDS = 120
# Proxies in front of PVE cut idle connections after a minute or so.
KEEP_ALIVE_SECONDS = 25.0
# PVE speaks whatever is offered, but has not always done so.
SUBPROTOCOL = "binary"


def websocket_url(endpoint: Endpoint, path: str, port: int, ticket: str) -> str:
    """Say where the websocket to a console's port is; secret. path is that of the guest or node in the API."""
    url = f"{endpoint.url}/api2/json{path}/vncwebsocket".replace("https:", "wss:", 1)
    # A ticket may hold any printable character; a + would be read as a blank.
    return f"{url}?port={port}&vncticket={quote(ticket, safe='')}"


def require_websockets() -> None:
    """Raise MissingLibrary unless websocket-client can be imported."""
    if IMPORT_ERROR:
        raise MissingLibrary("the Python library websocket-client is required", "websocket-client", IMPORT_ERROR)


def open_channel(transport: Transport, path: str, port: int, ticket: str) -> ConsoleChannel:
    """Connect to a port that vncproxy, termproxy or vncshell has just opened, with the login that had it opened.

    path is that of the guest or node in the API. Raises TimedOut when nobody listens on the port any more, or
    another PveError.
    """
    require_websockets()
    seconds = min(CONNECT_SECONDS, transport.options.timeout)
    name = f"GET {path}/vncwebsocket"
    connection = transport.connect_beside(seconds)
    try:
        websocket = create_connection(
            websocket_url(transport.endpoint, path, port, ticket),
            socket=connection,
            header=transport.authorization(),
            subprotocols=[SUBPROTOCOL],
            suppress_origin=True,
            timeout=seconds,
            enable_multithread=False,
            skip_utf8_validation=True,
        )
    except WebSocketBadStatusException as error:
        connection.close()
        raise _refusal(name, error, transport) from error
    except (WebSocketException, OSError) as error:
        connection.close()
        if isinstance(error, (WebSocketTimeoutException, WebSocketConnectionClosedException, TimeoutError)):
            raise TimedOut(
                f"{transport.endpoint.url} opened no connection to port {port} of {path}: "
                f"PVE listens there for 10 s, and for one connection only"
            ) from error
        raise Unreachable(f"{transport.endpoint.url} broke {name} off: {error}") from error
    return ConsoleChannel(websocket, connection)


def _refusal(name: str, error: WebSocketBadStatusException, transport: Transport) -> PveError:
    body = error.resp_body if isinstance(error.resp_body, bytes) else b""
    # The library has no other place for the reason phrase than its message.
    reason = str(error).partition(" -+-+- ")[0].partition(f"{error.status_code} ")[2]
    if error.status_code < HTTP_BAD_REQUEST:
        return Unreachable(
            f"{transport.endpoint.url} opened no websocket for {name} ({error.status_code} {reason}): "
            f"if a proxy is in front of PVE, it must pass websockets on"
        )
    words = reason or body.decode(errors="replace")
    return error_from_answer(name, error.status_code, words, None, transport.options.identity)


class ConsoleChannel:
    """A session's bytes in both directions. Nothing waits but wait(): a caller selects on fileno() and wants_write.

    After fileno() became readable, receive() until it says None: TLS may hold more than the socket shows.
    """

    def __init__(self, websocket: WebSocket, connection: ssl.SSLSocket) -> None:
        self._websocket = websocket
        self._socket = connection
        self._socket.setblocking(False)
        # Keystrokes are small, and each is waited for.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GONE_SECONDS * 1000)
        self._unsent = bytearray()
        self.ended = False

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether flush() has anything to send."""
        return bool(self._unsent)

    @property
    def unsent(self) -> int:
        """How many bytes wait to be sent: stop reading what feeds this when it grows."""
        return len(self._unsent)

    def send(self, message: bytes) -> None:
        """Queue one message of at most MAX_MESSAGE_BYTES and send what can be sent at once."""
        if not 0 < len(message) <= MAX_MESSAGE_BYTES:
            raise ValueError(f"a message of {len(message)} bytes")
        self._queue(message, ABNF.OPCODE_BINARY)

    def ping(self) -> None:
        """Say something that the console does not see, for proxies on the way that end what is silent."""
        self._queue(b"", ABNF.OPCODE_PING)

    def flush(self) -> None:
        """Send as much as the network takes now."""
        while self._unsent and not self.ended:
            try:
                del self._unsent[: self._socket.send(self._unsent)]
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                return
            except OSError:
                self._end()

    def receive(self) -> bytes | None:
        """Return the next message, None when there is none yet, and b"" when the session has ended.

        PVE says nothing at a session's end: a closed connection is the normal end, and a broken one looks alike.
        """
        while not self.ended:
            try:
                frame = self._websocket.recv_frame()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError, WebSocketTimeoutException):
                return None
            except (OSError, WebSocketException):
                self._end()
                break
            if frame.opcode == ABNF.OPCODE_CLOSE:
                self._end()
            elif frame.opcode == ABNF.OPCODE_PING:
                self._queue(frame.data, ABNF.OPCODE_PONG)
            elif frame.opcode != ABNF.OPCODE_PONG and frame.data:
                return bytes(frame.data)
        return b""

    def wait(self, seconds: float) -> bytes | None:
        """Send what is queued and return the next message as receive() does, within so many seconds."""
        end = time.monotonic() + seconds
        while True:
            self.flush()
            message = self.receive()
            left = end - time.monotonic()
            if message is not None or left <= 0:
                return message
            select.select([self], [self] if self.wants_write else [], [], left)

    def close(self) -> None:
        """End the session: PVE ends what serves it when the connection closes."""
        self._end()
        self._socket.close()

    def _queue(self, payload: bytes, opcode: int) -> None:
        self._unsent += ABNF.create_frame(payload, opcode).format()
        self.flush()

    def _end(self) -> None:
        self.ended = True
        self._unsent.clear()

    def __enter__(self) -> ConsoleChannel:
        return self

    def __exit__(self, *_exception: t.Any) -> None:
        self.close()
