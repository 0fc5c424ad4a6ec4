# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one way that bytes travel to PVE's API and back: TLS, proxy, login, keep-alive, and what a failure means.

It is Python's own HTTP. To import requests takes longer than most calls, and urllib3 resumes no TLS session; proxmoxer
would add the import of logging, for joining a path and looking at a status.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import select
import socket
import ssl
import time
import typing as t
from urllib.parse import urlencode

from .connection import ConnectionOptions, Endpoint, host_and_port
from .errors import HTTP_BAD_REQUEST, AnswerLost, Cause, TransportError, Unreachable, error_from_answer
from .exchange import (
    CONNECT_SECONDS,
    UnreadableAnswer,
    certificate_rejected,
    lost_connection,
    no_connection,
    read_data,
    read_errors,
    redirected,
    trusted_seconds,
    unusable_answer,
)
from .login import TICKET_PATH, login_for
from .proxy import Proxy, proxy_for
from .tls import FingerprintMismatch, Tls, printed_fingerprint

if t.TYPE_CHECKING:
    from .multipart import FileForm

_REDIRECTIONS = (301, 302, 303, 307, 308)


class _Connection(http.client.HTTPConnection):
    """One connection to an endpoint, secured; at one of its addresses, if that is given."""

    default_port = http.client.HTTPS_PORT

    def __init__(self, endpoint: Endpoint, tls: Tls, proxy: Proxy | None, seconds: float, address: str = "") -> None:
        place: t.Any = proxy or endpoint
        super().__init__(place.host, place.port, timeout=seconds)
        if proxy:
            self.set_tunnel(endpoint.host, endpoint.port, proxy.headers)
            if ":" in endpoint.host:
                # Older releases of Python leave the brackets out.
                self._tunnel_host = f"[{endpoint.host}]"
        self._endpoint, self._tls, self._proxy = endpoint, tls, proxy
        self._address = address or endpoint.host
        self._is_kept = False
        # The address of the server itself; empty behind a proxy.
        self.peer = ""
        self.certificate = b""

    def connect(self) -> None:
        if self._proxy:
            super().connect()
        else:
            # In bytes, so that no codec for international names has to be imported.
            host: t.Any = self._address.encode()
            self.sock = socket.create_connection((host, self._endpoint.port), self.timeout)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secured = self.sock = self._tls.wrap(self.sock, self._endpoint.host, self._endpoint.port)
        self.peer = "" if self._proxy else secured.getpeername()[0]
        self.certificate = secured.getpeercert(binary_form=True) or b""

    def keep_session(self) -> None:
        """Remember the session of a full handshake, which TLS 1.3 sends together with the first answer."""
        secured = self.sock
        # CPython loses some memory each time that it is asked for the session.
        if self._is_kept or not isinstance(secured, ssl.SSLSocket) or secured.session_reused:
            return
        self._is_kept = True
        session = secured.session
        if session is not None:
            self._tls.sessions[self._endpoint.host, self._endpoint.port] = session

    @property
    def is_dropped(self) -> bool:
        """The server has closed it, or says what nobody asked for."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))


class _Request(t.NamedTuple):
    """One request; path begins after /api2/json."""

    method: str
    path: str
    query: str = ""
    body: bytes | None = None
    headers: t.Mapping[str, str] = {}
    # The body in its place.
    upload: FileForm | None = None

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def _request_of(method: str, path: str, form: t.Mapping[str, t.Any]) -> _Request:
    text = urlencode(form, doseq=True)
    if method in ("GET", "DELETE"):
        return _Request(method, path, query=f"?{text}" if text else "")
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if text else {}
    return _Request(method, path, body=text.encode("ascii") or None, headers=headers)


def _answer(
    connection: _Connection, request: _Request, target: str, headers: t.Mapping[str, str]
) -> http.client.HTTPResponse:
    """Send a request and wait for the head of the answer."""
    try:
        connection.request(request.method, target, request.upload or request.body, headers)
    except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError) as error:
        if request.upload is None:
            raise
        # PVE refuses an upload before it has read it, and closes the connection.
        try:
            return connection.getresponse()
        except (OSError, http.client.HTTPException):
            raise error from None
    return connection.getresponse()


class Transport:
    """Sends one request at a time to the endpoint in use, over one kept-alive connection."""

    def __init__(
        self,
        options: ConnectionOptions,
        tls: Tls | None = None,
        endpoint: int = 0,
        environment: t.Mapping[str, str] | None = None,
    ) -> None:
        """tls brings the sessions of other connections; environment (os.environ if not given) names the proxies."""
        self.options = options
        self.reached = False
        self.last_used = 0.0
        # The address of the server that the connection is to, or that it was to last; empty behind a proxy.
        self.peer = ""
        self.endpoint_number = endpoint
        self._date = ""
        self._is_reading = False
        self._certificate = b""
        self._environment = os.environ if environment is None else environment
        # Made for the first connection: until then nobody may need it.
        self._tls = tls
        self._login = login_for(options)
        self._connection: _Connection | None = None

    @property
    def endpoint(self) -> Endpoint:
        """The address in use."""
        return self.options.endpoints[self.endpoint_number]

    def next_endpoint(self) -> None:
        """Turn to the next address of the list."""
        self.endpoint_number = (self.endpoint_number + 1) % len(self.options.endpoints)
        self.close()

    def sibling(self, options: ConnectionOptions) -> Transport:
        """Return one for another thread: with a connection of its own, and the same login."""
        self._tls = self._tls or Tls(options.tls_policy)
        sibling = Transport(options, self._tls, self.endpoint_number, self._environment)
        sibling.reached = self.reached
        sibling._login = self._login.copy()
        return sibling

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    def begin_anew(self) -> None:
        """Forget what the last user has learnt, but keep the connection."""
        self._date = ""
        self.reached = False

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def cut_off(self) -> None:
        """End the read that another thread is waiting for, as if the connection had broken; a change is let through."""
        connection = self._connection
        secured = connection.sock if connection else None
        if secured is not None and self._is_reading:
            # It may just have ended by itself.
            with contextlib.suppress(OSError):
                # Not the method of ssl.SSLSocket, which takes the other thread's TLS away from under it.
                socket.socket.shutdown(secured, socket.SHUT_RDWR)

    @property
    def server_time(self) -> int:
        """What a clock on the server says, in seconds since 1970; 0 before the first answer."""
        import email.utils

        stamp = email.utils.parsedate_tz(self._date)
        return 0 if stamp is None else email.utils.mktime_tz(stamp)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 fingerprint of the server's certificate, as PVE prints it; empty before the first connection."""
        return printed_fingerprint(self._certificate)

    @property
    def logged_in(self) -> bool:
        """Whether no login comes before the next request."""
        return self._login.is_fresh

    def authorization(self) -> dict[str, str]:
        """Return the headers that say who asks; secret. There is a login, or a token."""
        return self._login.headers("GET")

    def connect_beside(self, seconds: float) -> ssl.SSLSocket:
        """Connect once more to the server that answered; seconds bounds each wait. Raises a PveError."""
        # PVE opens ports on the node that answered; behind a name with several addresses, only that one has them.
        return t.cast("ssl.SSLSocket", self._open("TLS", seconds, self.peer).sock)

    def send(self, method: str, path: str, form: t.Mapping[str, t.Any], seconds: float) -> t.Any:
        """Send one request and return the data of its answer.

        path begins after /api2/json; seconds bounds each wait for the network.
        Raises a TransportError, or the PveError that the answer means.
        """
        return self._send(_request_of(method, path, form), seconds)

    def upload(self, path: str, form: FileForm, seconds: float) -> t.Any:
        """POST a form with a file, and return the data of the answer; seconds bounds each wait for the network.

        Raises Unreachable when the connection breaks before all was sent: PVE throws the half away.
        """
        return self._send(_Request("POST", path, headers=form.headers, upload=form), seconds)

    def _send(self, request: _Request, seconds: float) -> t.Any:
        if not self._login.is_fresh:
            self._log_in(request, seconds)
        return self._exchange(request, self._login.headers(request.method), seconds)

    def _log_in(self, request: _Request, seconds: float) -> None:
        """Log in for the request that comes next."""

        def post(form: t.Mapping[str, str]) -> t.Any:
            return self._exchange(_request_of("POST", TICKET_PATH, form), {}, seconds)

        try:
            self._login.log_in(post)
        except AnswerLost as error:
            if request.method == "GET":
                raise
            raise Unreachable(f"{error}; so {request.name} was not sent", error.cause) from error

    def _exchange(self, request: _Request, credentials: t.Mapping[str, str], seconds: float) -> t.Any:
        """Send a request and read its answer; every failure says whether PVE can have got it."""
        self._is_reading = request.method == "GET"
        connection = self._connect(request, seconds)
        target = f"{self.endpoint.prefix}/api2/json{request.path}{request.query}"
        headers = {"Accept": "application/json", **credentials, **request.headers}
        if ":" in self.endpoint.host:
            # Python would take the brackets of the tunnel for a part of the address.
            headers["Host"] = host_and_port(self.endpoint.host, self.endpoint.port)
        try:
            answer = _answer(connection, request, target, headers)
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._lost(request, error, seconds) from error
        except BaseException:
            # Half a request is on its way.
            self.close()
            raise
        finally:
            self.last_used = time.monotonic()
        connection.keep_session()
        if answer.will_close or (request.upload is not None and not request.upload.is_taken):
            self.close()
        return self._read(request.name, answer, content)

    def _lost(self, request: _Request, error: Exception, seconds: float) -> TransportError:
        """Say how the connection ended before the answer."""
        late_after = seconds if isinstance(error, socket.timeout) else None
        lost = lost_connection(self.endpoint.url, error, Cause(request=request.name), late_after)
        if request.upload is not None and not request.upload.is_taken:
            sent = f"{request.upload.taken} of {request.upload.length} bytes were sent, and PVE keeps none of them"
            return Unreachable(f"{lost}; {sent}", lost.cause)
        return lost

    def _connect(self, request: _Request, seconds: float) -> _Connection:
        """The connection, a new one unless the last is surely alive; raises what _open does."""
        connection = self._connection
        idle = time.monotonic() - self.last_used
        if connection is not None and (idle > trusted_seconds(request.method) or connection.is_dropped):
            self.close()
            connection = None
        if connection is None:
            connection = self._open(request.name, min(CONNECT_SECONDS, seconds))
            self._connection, self.peer, self._certificate = connection, connection.peer, connection.certificate
        connection.sock.settimeout(seconds)
        return connection

    def _open(self, name: str, seconds: float, address: str = "") -> _Connection:
        """A new connection for the request of this name; raises CertificateRejected, Unreachable or InvalidRequest."""
        url, cause = self.endpoint.url, Cause(request=name)
        proxy = proxy_for(self.endpoint, self._environment)
        connection: _Connection | None = None
        try:
            self._tls = self._tls or Tls(self.options.tls_policy)
            connection = _Connection(self.endpoint, self._tls, proxy, seconds, address)
            connection.connect()
        except (OSError, http.client.HTTPException, UnicodeError, FingerprintMismatch) as error:
            if connection is not None:
                connection.close()
            if isinstance(error, (ssl.SSLCertVerificationError, FingerprintMismatch)):
                raise certificate_rejected(url, error, self.options, cause) from error
            way = f"{url} through the proxy {proxy.address}" if proxy else url
            raise no_connection(way, error, cause, seconds if isinstance(error, socket.timeout) else None) from error
        return connection

    def _read(self, name: str, answer: http.client.HTTPResponse, content: bytes) -> t.Any:
        """The data of an answer; raises the PveError that it means."""
        url, cause = self.endpoint.url, Cause(request=name)
        self._date = answer.getheader("Date") or self._date
        if answer.status >= HTTP_BAD_REQUEST:
            self.reached = True
            raise error_from_answer(name, answer.status, answer.reason, read_errors(content), self.options.identity)
        if answer.status in _REDIRECTIONS:
            raise redirected(url, cause)
        try:
            data = read_data(content, answer.getheader("Content-Type") or "")
        except UnreadableAnswer as error:
            raise unusable_answer(url, error, cause, self.reached) from error
        self.reached = True
        return data
