# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""proxmoxer on one requests session: TLS, login and keep-alive; a failure says whether PVE got the request."""

from __future__ import annotations

import copy
import email.utils
import ssl
import time
import traceback
import typing as t

from .connection import ConnectionOptions, Endpoint
from .errors import (
    AnswerLost,
    AuthenticationFailed,
    Cause,
    MissingLibrary,
    TransportError,
    Unreachable,
    error_from_answer,
)
from .exchange import (
    CONNECT_SECONDS,
    UnreadableAnswer,
    certificate_rejected,
    lost_connection,
    no_connection,
    printed_fingerprint,
    read_data,
    read_errors,
    redirected,
    trusted_seconds,
    unusable_answer,
)

IMPORT_ERROR: str | None = None
try:
    import requests
    from proxmoxer.backends.https import (
        JsonSerializer,
        ProxmoxHTTPApiTokenAuth,
        ProxmoxHTTPAuthBase,
        ProxmoxHttpSession,
    )
    from proxmoxer.core import ProxmoxResource, ResourceException
    from requests.adapters import HTTPAdapter
    from requests.utils import DEFAULT_CA_BUNDLE_PATH
    from urllib3.connection import HTTPSConnection
    from urllib3.connectionpool import HTTPSConnectionPool
except ImportError:
    IMPORT_ERROR = traceback.format_exc()
    HTTPAdapter = JsonSerializer = ProxmoxHTTPAuthBase = object  # type: ignore[assignment,misc]
    HTTPSConnection = HTTPSConnectionPool = object  # type: ignore[assignment,misc]

# A ticket lives two hours (PVE::AccessControl), and gets a new one while it does.
TICKET_SECONDS = 3600.0
TICKET_LIFE_SECONDS = 7200.0 - 60.0


def require_libraries() -> None:
    """Raise MissingLibrary unless proxmoxer and requests can be imported."""
    if IMPORT_ERROR:
        library = "requests" if "'requests'" in IMPORT_ERROR else "proxmoxer"
        raise MissingLibrary(f"the Python library {library} is required", library, IMPORT_ERROR)


class _Adapter(HTTPAdapter):
    """Pins the certificate, when a fingerprint is given, and knows whether a request can have been sent."""

    def __init__(self, fingerprint: str | None) -> None:
        self.connecting = False
        # The address of the server itself, as seen when the connection was made; empty behind a proxy.
        self.peer = ""
        self.certificate = b""
        self._tls: dict[str, t.Any] = {"assert_fingerprint": fingerprint} if fingerprint else {}
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: t.Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **pool_kwargs, **self._tls)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, proxy: t.Any, **proxy_kwargs: t.Any) -> t.Any:
        return self._watch(super().proxy_manager_for(proxy, **proxy_kwargs, **self._tls))

    def _watch(self, manager: t.Any) -> t.Any:
        adapter = self

        class Connection(HTTPSConnection):
            def connect(self) -> None:
                adapter.connecting = True
                super().connect()
                secured: t.Any = self.sock
                adapter.peer = "" if self.proxy else secured.getpeername()[0]
                adapter.certificate = secured.getpeercert(binary_form=True)
                adapter.connecting = False

        class Pool(HTTPSConnectionPool):
            ConnectionCls = Connection

        manager.pool_classes_by_scheme = {"https": Pool}
        return manager


class _Serializer(JsonSerializer):
    """proxmoxer's, but half an answer is an error, and an error keeps the whole body."""

    def loads(self, response: requests.Response) -> t.Any:
        return read_data(response.content, response.headers.get("Content-Type") or "")

    def loads_errors(self, response: requests.Response) -> dict[str, t.Any] | None:
        return read_errors(response.content)


class _TicketAuth(ProxmoxHTTPAuthBase):
    """A login with user and password, through the session itself: one connection, one way to check its certificate.

    proxmoxer's own login opens a connection of its own, which knows no fingerprint.
    """

    def __init__(self, options: ConnectionOptions, verify: bool | str) -> None:
        super().__init__(timeout=options.timeout, verify_ssl=verify)  # type: ignore[no-untyped-call]
        self._options = options
        self._ticket: str | None = None
        self._csrf_token = ""
        self._born = 0.0

    @property
    def is_fresh(self) -> bool:
        return self._ticket is not None and time.monotonic() - self._born < TICKET_SECONDS

    def log_in(self, resource: ProxmoxResource) -> None:
        """Get a ticket from access/ticket."""
        # A half expired ticket is a valid password (PVE::API2::AccessControl create_ticket).
        alive = time.monotonic() - self._born < TICKET_LIFE_SECONDS
        password = self._ticket if self._ticket and alive else self._options.password
        data = resource.post(username=self._options.user, password=password)
        if data.get("NeedTFA"):
            if not self._options.otp:
                raise AuthenticationFailed(f"{self._options.user} has a second factor: give api_otp", needs_code=True)
            # A recovery key is written as recovery:KEY (PVE::AccessControl, authenticate_2nd_new).
            code = self._options.otp if ":" in self._options.otp else f"totp:{self._options.otp}"
            form = {"tfa-challenge": data["ticket"], "password": code}
            data = resource.post(username=self._options.user, **form)
            # It serves one login only.
            self._options = self._options._replace(otp=None)
        self._ticket, self._csrf_token, self._born = data["ticket"], data["CSRFPreventionToken"], time.monotonic()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._ticket:
            request.headers["Cookie"] = "PVEAuthCookie=" + self._ticket
            if request.method != "GET":
                request.headers["CSRFPreventionToken"] = self._csrf_token
        return request


def verification_of(options: ConnectionOptions) -> t.Literal[False] | str:
    """Return the file of authorities that the certificate must be signed by, or False."""
    # A path and False are passed on as they are; True would let REQUESTS_CA_BUNDLE in (requests.sessions).
    return (options.ca_path or DEFAULT_CA_BUNDLE_PATH) if options.checks_authority else False


def _auth(options: ConnectionOptions) -> ProxmoxHTTPAuthBase:
    verify = verification_of(options)
    if not options.token_name:
        return _TicketAuth(options, verify)
    return ProxmoxHTTPApiTokenAuth(
        options.user_in_header, options.token_name, options.token_secret, timeout=options.timeout, verify_ssl=verify
    )


class Transport:
    """Sends one request at a time to the endpoint in use, over one kept-alive connection."""

    def __init__(self, options: ConnectionOptions, like: Transport | None = None) -> None:
        """Make a connection of one's own; like another one, it has its login and its endpoint."""
        require_libraries()
        self.options = options
        # What a clock on the server says, in seconds since 1970; 0 before the first answer.
        self.server_time = 0
        self.reached: bool = like.reached if like else False
        self._endpoint: int = like._endpoint if like else 0
        self._last_used = 0.0
        self._auth: ProxmoxHTTPAuthBase = copy.copy(like._auth) if like else _auth(options)
        self._adapter = _Adapter(options.fingerprint)
        self._session = self._new_session()

    def _new_session(self) -> ProxmoxHttpSession:
        session = ProxmoxHttpSession()
        session.mount("https://", self._adapter)
        session.headers["accept"] = "application/json"
        session.max_redirects = 0
        session.hooks["response"].append(self._note_server_time)
        session.auth = self._auth
        return session

    def _note_server_time(self, response: requests.Response, **_options: t.Any) -> None:
        stamp = email.utils.parsedate_tz(response.headers.get("Date", ""))
        if stamp is not None:
            self.server_time = email.utils.mktime_tz(stamp)

    @property
    def endpoint(self) -> Endpoint:
        """The address in use."""
        return self.options.endpoints[self._endpoint]

    def next_endpoint(self) -> None:
        """Turn to the next address of the list."""
        self._endpoint = (self._endpoint + 1) % len(self.options.endpoints)

    def sibling(self, options: ConnectionOptions) -> Transport:
        """Return one for another thread: with a connection of its own, and the same login."""
        return Transport(options, self)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    @property
    def peer(self) -> str:
        """The address of the server that the connection is to, or that it was to last; empty when unknown."""
        return self._adapter.peer

    @property
    def fingerprint(self) -> str:
        """The SHA-256 fingerprint of the server's certificate, as PVE prints it; empty before the first connection."""
        return printed_fingerprint(self._adapter.certificate)

    def authorization(self) -> dict[str, str]:
        """Return the headers that say who asks; secret. There is a login, or a token."""
        request = requests.Request("GET", self.endpoint.url, auth=self._auth).prepare()
        return {name: value for name, value in request.headers.items() if name in ("Authorization", "Cookie")}

    def connect_beside(self, seconds: float) -> ssl.SSLSocket:
        """Connect once more to the server that answered; seconds bounds each wait. Raises a PveError."""
        from .tls import connect_tls

        # PVE opens ports on the node that answered; behind a name with several addresses, only that one has them.
        return connect_tls(self.options, self.endpoint, self.peer, seconds)

    @property
    def logged_in(self) -> bool:
        """Whether no login comes before the next request."""
        return not isinstance(self._auth, _TicketAuth) or self._auth.is_fresh

    def send(self, method: str, path: str, form: t.Mapping[str, t.Any], seconds: float) -> t.Any:
        """Send one request and return the data of its answer.

        path begins after /api2/json; seconds bounds each wait for the network.
        Raises a TransportError, or the PveError that the answer means.
        """
        if time.monotonic() - self._last_used > trusted_seconds(method):
            self._session.close()
        timeout = (min(CONNECT_SECONDS, seconds), seconds)
        self._auth.timeout = timeout
        if isinstance(self._auth, _TicketAuth) and not self._auth.is_fresh:
            self._log_in(self._auth, f"{method} {path}", timeout)
        request = getattr(self._resource(path), method.lower())
        return self._exchange(f"{method} {path}", timeout, lambda: request(**form))

    def _log_in(self, auth: _TicketAuth, name: str, timeout: tuple[float, float]) -> None:
        resource = self._resource("/access/ticket")
        try:
            self._exchange("POST /access/ticket", timeout, lambda: auth.log_in(resource))
        except AnswerLost as error:
            if name.startswith("GET "):
                raise
            raise Unreachable(f"{error}; so {name} was not sent", error.cause) from error

    def _resource(self, path: str) -> ProxmoxResource:
        base_url = f"{self.endpoint.url}/api2/json{path}"
        return ProxmoxResource(base_url=base_url, session=self._session, serializer=_Serializer())

    def _exchange(self, name: str, timeout: tuple[float, float], request: t.Callable[[], t.Any]) -> t.Any:
        """Carry a request out; every failure becomes a PveError that says whether PVE can have got it."""
        url, cause = self.endpoint.url, Cause(request=name)
        self._adapter.connecting = False
        try:
            answer = request()
        except ResourceException as error:
            self.reached = True
            raise error_from_answer(
                name, error.status_code, str(error.content), error.errors, self.options.identity
            ) from error
        except UnreadableAnswer as error:
            raise unusable_answer(url, error, cause, self.reached) from error
        except requests.exceptions.TooManyRedirects as error:
            raise redirected(url, cause) from error
        except requests.exceptions.RequestException as error:
            raise self._transport_error(error, name, timeout) from error
        finally:
            self._last_used = time.monotonic()
        self.reached = True
        return answer

    def _transport_error(self, error: Exception, name: str, timeout: tuple[float, float]) -> TransportError:
        """Say whether PVE can have got the request."""
        url, root, cause = self.endpoint.url, root_cause(error), Cause(request=name)
        timed_out = isinstance(error, requests.exceptions.Timeout)
        if not self._adapter.connecting:
            return lost_connection(url, root, cause, timeout[1] if timed_out else None)
        if _is_about_certificate(error, root):
            return certificate_rejected(url, root, self.options, cause)
        return no_connection(url, root, cause, timeout[0] if timed_out else None)


def _is_about_certificate(error: Exception, root: BaseException) -> bool:
    # A fingerprint that differs is an SSLError of urllib3 that no ssl.SSLError is behind.
    other = isinstance(root, (ssl.SSLError, OSError)) and not isinstance(root, ssl.SSLCertVerificationError)
    return isinstance(error, requests.exceptions.SSLError) and not other


def root_cause(error: BaseException) -> BaseException:
    """The innermost of the errors that requests and urllib3 have wrapped into each other."""
    return list(_causes(error))[-1]


def _causes(error: BaseException | None) -> t.Iterator[BaseException]:
    """Walk down what requests and urllib3 have wrapped into each other."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((item for item in reversed(error.args) if isinstance(item, BaseException)), None)
        error = inner or error.__cause__
