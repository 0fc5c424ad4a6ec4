# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one way to PVE's API: reads that survive a flapping network, writes that are sent once."""

from __future__ import annotations

import typing as t
from urllib.parse import quote

from .connection import ConnectionOptions, Endpoint
from .deadline import Deadline
from .errors import NODE_UNREACHABLE, AnswerLost, ErrorReason, PveError, TimedOut, TransportError, Unreachable
from .numbers import in_full
from .transport import Transport
from .turns import Turns

if t.TYPE_CHECKING:
    from .channel import ConsoleChannel

# How long a read is repeated while PVE cannot be reached (a restart of pveproxy takes seconds).
PATIENCE_SECONDS = 60.0


class PveClient:
    """One session with PVE, bounded by one deadline."""

    def __init__(self, options: ConnectionOptions, deadline: Deadline, transport: Transport | None = None) -> None:
        self.deadline = deadline
        self._transport = transport or Transport(options)
        # The tasks that this run knows to be its own.
        self.own_upids: set[str] = set()
        # How many changes had to be looked up, because the answer to them did not arrive.
        self.lost_answers = 0
        # How many changes it has sent, or tried to.
        self.changes_sent = 0
        # So many seconds a guest is waited for that PVE has locked for something else.
        # None where nobody can choose to wait.
        self.wait_for_lock: float | None = None
        # Who else of this run changes something at the same time.
        self.turns = Turns()

    @property
    def identity(self) -> str:
        """user@realm or user@realm!token."""
        return self._transport.options.identity

    @property
    def server_time(self) -> int:
        """The server's clock at its last answer, in seconds since 1970; 0 before the first one."""
        return self._transport.server_time

    @property
    def address(self) -> str:
        """The URL of the endpoint in use."""
        return self._transport.endpoint.url

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint in use."""
        return self._transport.endpoint

    @property
    def peer(self) -> str:
        """The address of the server that answered; empty when a proxy hides it, or before the first answer."""
        return self._transport.peer

    @property
    def tls_fingerprint(self) -> str:
        """The SHA-256 fingerprint of the certificate of the server that answered, as PVE prints it; empty before."""
        return self._transport.fingerprint

    def authorization(self) -> dict[str, str]:
        """Return the header that says who asks, for a connection beside the API's; secret."""
        return self._transport.authorization()

    def close(self) -> None:
        self._transport.close()

    def log_in(self) -> None:
        """Log in unless that has been done; raises a PveError, AuthenticationFailed when PVE wants a code."""
        if not self._transport.logged_in:
            self.read_once("version")

    def sibling(self, deadline: Deadline, seconds: float | None = None) -> PveClient:
        """Return a client for another thread: its own connection, the same login, so many seconds for an answer.

        Raises a PveError when the login fails.
        """
        # A one-time password serves only one login.
        self.log_in()
        options = self._transport.options
        options = options if seconds is None else options._replace(timeout=seconds)
        client = PveClient(options, deadline, self._transport.sibling(options))
        client.wait_for_lock = self.wait_for_lock
        return client

    def read(self, *path: str | int, **query: t.Any) -> t.Any:
        """GET the path and return its data; repeated while PVE is only out of reach for a moment.

        Raises a PveError; TimedOut when the deadline passes first, Unreachable at once when the node is offline.
        """
        tries = self.deadline.tries(PATIENCE_SECONDS)
        looked = False
        passing: PveError | None = None
        while True:
            try:
                return self.read_once(*path, **query)
            except TimedOut as error:
                # What it was tried again for says more than that the time is over.
                if passing is not None:
                    raise passing from error
                raise
            except PveError as error:
                if not self._is_passing(error):
                    raise
                if error.cause.status == NODE_UNREACHABLE and path[0] == "nodes" and not looked:
                    looked = True
                    self.check_node(str(path[1]), error)
                if not tries.again():
                    raise
                passing = error
                if isinstance(error, AnswerLost) and error.cause.status is None:
                    self._transport.next_endpoint()

    def read_once(self, *path: str | int, **query: t.Any) -> t.Any:
        """GET the path and return its data, for a caller that can do without it; a failure is not waited out."""
        try:
            return self._send("GET", path, query)
        except TransportError as error:
            if not self.deadline.expired:
                raise
            # The operation's own deadline ended the wait.
            raise TimedOut(f"the time of {in_full(self.deadline.seconds)} s was over: {error}", error.cause) from error

    def offline_nodes(self) -> frozenset[str]:
        """The nodes that the cluster has lost, by its own list; none when the list cannot be read."""
        try:
            return offline_in(self.read_once("cluster", "resources", type="node"))
        except PveError:
            return frozenset()

    def check_node(self, node: str, error: PveError) -> None:
        """Raise Unreachable when the node that could not be reached is offline: waiting does not bring it back."""
        if node in self.offline_nodes():
            raise Unreachable(f"{error}; node {node} is offline", error.cause) from error

    def write(self, method: str, *path: str | int, **form: t.Any) -> t.Any:
        """Send a change once and return its data, which is mostly a UPID.

        Raises Unreachable when PVE did nothing, AnswerLost when it may have done it, or another PveError.
        """
        try:
            return self._send(method, path, form)
        finally:
            self.turns.sent()

    def upload(
        self,
        *path: str | int,
        fields: t.Mapping[str, str],
        file_field: str,
        file_name: str,
        source: t.BinaryIO,
        size: int,
    ) -> t.Any:
        """POST a form with a file of so many bytes, read from source as it is sent, and return the answer's data.

        It is sent once. Raises Unreachable when PVE has not got all of it, and keeps nothing; AnswerLost when PVE
        may have all of it; TimedOut when the deadline passes meanwhile; InvalidRequest when source ends early.
        """
        from .multipart import FileForm

        form = FileForm(fields, file_field, file_name, source, size, self.deadline)
        seconds = self._seconds(f"POST {encoded_path(path)}")
        self.changes_sent += 1
        try:
            return self._transport.upload(encoded_path(path), form, seconds)
        finally:
            self.turns.sent()

    def channel(self, *path: str | int, port: int, ticket: str) -> ConsoleChannel:
        """Connect to a console's port that this client has just had opened; path is that of the guest or node.

        Raises TimedOut when nobody listens on the port any more, or another PveError.
        """
        from .channel import open_channel

        return open_channel(self._transport, encoded_path(path), port, ticket)

    def _is_passing(self, error: PveError) -> bool:
        """A read may be repeated after this."""
        if isinstance(error, AnswerLost):
            return True
        if isinstance(error, Unreachable):
            # A host that was never reached is down or wrong: say so at once.
            return self._transport.reached
        # An agent that does not answer times out too, but it is for the caller to say how long that is waited for.
        return error.pve_reason is ErrorReason.LOCK_TIMEOUT or (
            "got timeout" in error.cause.pve_message and error.pve_reason is not ErrorReason.QEMU_TIMEOUT
        )

    def _send(self, method: str, path: tuple[str | int, ...], form: t.Mapping[str, t.Any]) -> t.Any:
        encoded = encoded_path(path)
        values = {name: _form_value(value) for name, value in form.items() if value is not None}
        left = len(self._transport.options.endpoints)
        while True:
            seconds = self._seconds(f"{method} {encoded}")
            self.changes_sent += method != "GET"
            try:
                return self._transport.send(method, encoded, values, seconds)
            except Unreachable as error:
                if error.cause.status is not None:
                    raise
                self._transport.next_endpoint()
                left -= 1
                if not left:
                    raise

    def _seconds(self, request: str) -> float:
        """How long to wait for the network at once; raises TimedOut when there is no time for the request."""
        if self.deadline.expired:
            raise TimedOut(f"the time of {in_full(self.deadline.seconds)} s was over before {request}")
        return min(self._transport.options.timeout, self.deadline.remaining)


def offline_in(resources: t.Iterable[t.Mapping[str, t.Any]]) -> frozenset[str]:
    """Pick the nodes that are offline from the list of everything in the cluster."""
    nodes = (entry for entry in resources if entry.get("type") == "node")
    return frozenset(str(entry["node"]) for entry in nodes if entry.get("status") == "offline")


def encoded_path(path: tuple[str | int, ...]) -> str:
    """Write a path as it is in a URL."""
    return "".join("/" + quote(str(part), safe="") for part in path)


def _form_value(value: t.Any) -> t.Any:
    return int(value) if isinstance(value, bool) else value
