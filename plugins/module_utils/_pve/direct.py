# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API by Python's own HTTP, for a process that lives as long as one request, and for one that keeps connections.

It stands in for Transport where there is an API token and no proxy. To import requests takes longer than all that most
calls of CloudStack do, and urllib3 resumes no TLS session.
"""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import ssl
import time
import typing as t
from urllib.parse import urlencode

from .connection import ConnectionOptions, Endpoint
from .errors import AnswerLost, Cause, InvalidRequest, MissingLibrary, PveError, error_from_answer
from .exchange import (
    CONNECT_SECONDS,
    UnreadableAnswer,
    certificate_rejected,
    fingerprint_of,
    lost_connection,
    no_connection,
    printed_fingerprint,
    read_data,
    read_errors,
    redirected,
    trusted_seconds,
    unusable_answer,
)
from .libraries import find_libraries

_REDIRECTIONS = (301, 302, 303, 307, 308)
_FIRST_ERROR = 400


class Tls:
    """How connections to the endpoints are secured; kept, it resumes the sessions of earlier connections."""

    def __init__(self, options: ConnectionOptions) -> None:
        self.fingerprint = options.fingerprint
        self.sessions: dict[Endpoint, ssl.SSLSession] = {}
        # Not create_default_context: the CA that PVE makes for itself does not pass VERIFY_X509_STRICT.
        self.context = context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if options.checks_authority:
            context.check_hostname = options.fingerprint is None
            context.load_verify_locations(options.ca_path or _public_authorities())
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE

    def wrap(self, plain: socket.socket, endpoint: Endpoint) -> ssl.SSLSocket:
        """Do the handshake; raises OSError, of which ssl.SSLError is one."""
        session = self.sessions.get(endpoint)
        # In bytes, so that no codec for international names has to be imported; the host is ASCII.
        secured = self.context.wrap_socket(plain, server_hostname=endpoint.host.encode(), session=session)
        if self.fingerprint:
            found = fingerprint_of(secured.getpeercert(binary_form=True) or b"")
            if found != self.fingerprint:
                secured.close()
                raise _FingerprintError(f"it is {found.upper()}")
        return secured


class _FingerprintError(Exception):
    """The certificate is another one than was named."""


class _RefusedConnectionError(Exception):
    """There is no connection, so nothing was sent; the cause says why."""


class _Connection(http.client.HTTPSConnection):
    def __init__(self, endpoint: Endpoint, tls: Tls, seconds: float) -> None:
        super().__init__(endpoint.host, endpoint.port, timeout=seconds, context=tls.context)
        self._endpoint = endpoint
        self._tls = tls
        self._is_kept = False

    def connect(self, address: str = "") -> None:
        host: t.Any = (address or self._endpoint.host).encode()
        self.sock = socket.create_connection((host, self._endpoint.port), self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._tls.wrap(self.sock, self._endpoint)

    def keep_session(self) -> None:
        """Remember the session of a full handshake, which TLS 1.3 sends together with the first answer."""
        secured = self.sock
        # CPython loses some memory each time that it is asked for the session.
        if self._is_kept or not isinstance(secured, ssl.SSLSocket) or secured.session_reused:
            return
        self._is_kept = True
        session = secured.session
        if session is not None:
            self._tls.sessions[self._endpoint] = session

    @property
    def is_dropped(self) -> bool:
        """The server has closed it, or says what nobody asked for."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))


class DirectTransport:
    """Sends one request at a time to the endpoint in use, over one kept-alive connection."""

    # An API token needs no login.
    logged_in = True

    def __init__(self, options: ConnectionOptions, tls: Tls | None = None, endpoint: int = 0) -> None:
        if not options.token_name:
            raise InvalidRequest("an API token is required")
        self.options = options
        self._date = ""
        self._is_reading = False
        self.reached = False
        self.last_used = 0.0
        # The address of the server that the connection is to, or that it was to last.
        self.peer = ""
        self.endpoint_number = endpoint
        self._tls = tls
        self._connection: _Connection | None = None
        self._headers = {
            "Accept": "application/json",
            "Authorization": f"PVEAPIToken={options.user_in_header}!{options.token_name}={options.token_secret}",
        }

    @property
    def endpoint(self) -> Endpoint:
        """The address in use."""
        return self.options.endpoints[self.endpoint_number]

    def sibling(self, options: ConnectionOptions) -> DirectTransport:
        """Return one for another thread: with a connection of its own, secured in the same way."""
        self._tls = self._tls or Tls(options)
        sibling = DirectTransport(options, self._tls, self.endpoint_number)
        sibling.reached = self.reached
        return sibling

    def next_endpoint(self) -> None:
        """Turn to the next address of the list."""
        self.endpoint_number = (self.endpoint_number + 1) % len(self.options.endpoints)
        self.close()

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    def begin_anew(self) -> None:
        """Forget what the last user has learnt, but keep the connection."""
        self._date = ""
        self.reached = False

    @property
    def server_time(self) -> int:
        """What a clock on the server says, in seconds since 1970; 0 before the first answer."""
        import email.utils

        stamp = email.utils.parsedate_tz(self._date)
        return 0 if stamp is None else email.utils.mktime_tz(stamp)

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @property
    def fingerprint(self) -> str:
        """The SHA-256 fingerprint of the server's certificate, as PVE prints it; empty without a connection."""
        secured = self._connection.sock if self._connection else None
        if not isinstance(secured, ssl.SSLSocket):
            return ""
        return printed_fingerprint(secured.getpeercert(binary_form=True) or b"")

    def authorization(self) -> dict[str, str]:
        """Return the header that says who asks; secret."""
        return {"Authorization": self._headers["Authorization"]}

    def connect_beside(self, seconds: float) -> ssl.SSLSocket:
        """Connect once more to the server that answered; seconds bounds each wait. Raises a PveError."""
        self._tls = self._tls or Tls(self.options)
        connection = _Connection(self.endpoint, self._tls, seconds)
        try:
            # PVE opens ports on the node that answered; behind a name with several addresses, only that one has them.
            connection.connect(self.peer)
        except (OSError, UnicodeError, _FingerprintError) as error:
            connection.close()
            refusal = _RefusedConnectionError()
            refusal.__cause__ = error
            raise self._no_connection(refusal, "TLS", (seconds, seconds)) from error
        return t.cast("ssl.SSLSocket", connection.sock)

    def cut_off(self) -> None:
        """End the read that another thread is waiting for, as if the connection had broken; a change is let through."""
        connection = self._connection
        secured = connection.sock if connection else None
        if secured is not None and self._is_reading:
            # It may just have ended by itself.
            with contextlib.suppress(OSError):
                # Not the method of ssl.SSLSocket, which takes the other thread's TLS away from under it.
                socket.socket.shutdown(secured, socket.SHUT_RDWR)

    def send(self, method: str, path: str, form: t.Mapping[str, t.Any], seconds: float) -> t.Any:
        """Send one request and return the data of its answer.

        path begins after /api2/json; seconds bounds each wait for the network.
        Raises a TransportError, or the PveError that the answer means.
        """
        name = f"{method} {path}"
        self._is_reading = method == "GET"
        timeout = (min(CONNECT_SECONDS, seconds), seconds)
        try:
            connection = self._connect(method, timeout)
        except _RefusedConnectionError as refusal:
            raise self._no_connection(refusal, name, timeout) from refusal.__cause__
        target, body, headers = f"{self.endpoint.prefix}/api2/json{path}", None, self._headers
        query = urlencode(form, doseq=True)
        if method not in ("GET", "DELETE"):
            body = query.encode("ascii")
            headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"} if body else headers
        elif query:
            target = f"{target}?{query}"
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._lost(error, name, timeout) from error
        finally:
            self.last_used = time.monotonic()
        connection.keep_session()
        if answer.will_close:
            self.close()
        return self._read(name, answer, content)

    def _connect(self, method: str, timeout: tuple[float, float]) -> _Connection:
        """The connection, a new one unless the last is surely alive; raises _RefusedConnectionError."""
        connection = self._connection
        idle = time.monotonic() - self.last_used
        if connection is not None and (idle > trusted_seconds(method) or connection.is_dropped):
            self.close()
            connection = None
        try:
            if connection is None:
                self._tls = self._tls or Tls(self.options)
                connection = self._connection = _Connection(self.endpoint, self._tls, timeout[0])
                connection.connect()
                self.peer = connection.sock.getpeername()[0]
            connection.sock.settimeout(timeout[1])
        except (OSError, http.client.HTTPException, UnicodeError, _FingerprintError) as error:
            self.close()
            raise _RefusedConnectionError from error
        return connection

    def _no_connection(self, refusal: _RefusedConnectionError, name: str, timeout: tuple[float, float]) -> PveError:
        url, cause, root = self.endpoint.url, Cause(request=name), refusal.__cause__
        if isinstance(root, (ssl.SSLCertVerificationError, _FingerprintError)):
            return certificate_rejected(url, root, self.options, cause)
        return no_connection(url, root, cause, timeout[0] if isinstance(root, socket.timeout) else None)

    def _lost(self, error: Exception, name: str, timeout: tuple[float, float]) -> AnswerLost:
        late_after = timeout[1] if isinstance(error, socket.timeout) else None
        return lost_connection(self.endpoint.url, error, Cause(request=name), late_after)

    def _read(self, name: str, answer: http.client.HTTPResponse, content: bytes) -> t.Any:
        """The data of an answer; raises the PveError that it means."""
        url, cause = self.endpoint.url, Cause(request=name)
        self._date = answer.getheader("Date") or self._date
        if answer.status >= _FIRST_ERROR:
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


def _public_authorities() -> str:
    """The file of the authorities that requests trusts; raises MissingLibrary."""
    find_libraries()
    try:
        import certifi
    except ImportError as error:
        raise MissingLibrary("the Python library certifi is required", "certifi", str(error)) from error
    return certifi.where()
