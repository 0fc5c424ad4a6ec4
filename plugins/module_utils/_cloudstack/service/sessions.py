# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections to PVE that outlive an action, by endpoint and credential, and how many requests PVE gets at once."""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t
from dataclasses import dataclass, field

from ..._pve.connection import ConnectionOptions, Endpoint
from ..._pve.deadline import Deadline
from ..._pve.errors import TimedOut
from ..._pve.exchange import IDLE_SECONDS
from ..._pve.tls import Tls, file_version
from ..._pve.transport import Transport

# How long a credential is remembered after its last use.
CREDENTIAL_SECONDS = 120.0
# How often a waiting request checks whether its action was interrupted.
LOOK_SECONDS = 0.5

Key = t.Tuple[ConnectionOptions, t.Tuple[int, ...]]  # noqa: UP006 - Python 3.9 evaluates it


@dataclass
class _Session:
    """What is kept for one credential at one endpoint; its repr() shows no secret."""

    tls: Tls
    endpoint: int = 0
    idle: list[Transport] = field(default_factory=list)
    in_use: int = 0
    last_used: float = 0.0


class Sessions:
    """Lends connections to actions; each has one user at a time."""

    def __init__(self, clock: t.Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[Key, _Session] = {}
        self.opened = 0

    def borrow(self, options: ConnectionOptions) -> Transport:
        """A connection with this credential; raises a PveError when none can be made."""
        key = _key(options)
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                session = self._sessions[key] = _Session(Tls(options.tls_policy))
            session.in_use += 1
            session.last_used = self._clock()
            if session.idle:
                transport = session.idle.pop()
                transport.begin_anew()
                return transport
            self.opened += 1
            # The executable does not ask a service when its environment names a proxy.
            return Transport(options, session.tls, session.endpoint, environment={})

    def give_back(self, transport: Transport) -> None:
        """Keep a connection for the next action."""
        key = _key(transport.options)
        with self._lock:
            session = self._sessions.get(key)
            if session is not None:
                session.in_use = max(0, session.in_use - 1)
                session.last_used = self._clock()
                session.endpoint = transport.endpoint_number
                if transport.is_open:
                    session.idle.append(transport)
                    return
        transport.close()

    def tidy(self) -> None:
        """Close what PVE is about to close, and forget credentials that were not used for some time."""
        now = self._clock()
        with self._lock:
            stale: list[Transport] = []
            for key, session in list(self._sessions.items()):
                old = [item for item in session.idle if now - item.last_used > IDLE_SECONDS]
                session.idle = [item for item in session.idle if item not in old]
                stale += old
                if not session.in_use and now - session.last_used > CREDENTIAL_SECONDS:
                    stale += session.idle
                    del self._sessions[key]
        for transport in stale:
            transport.close()

    def close(self) -> None:
        """Close what is idle and forget everything."""
        with self._lock:
            sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            for transport in session.idle:
                transport.close()

    @property
    def credentials(self) -> int:
        with self._lock:
            return len(self._sessions)

    @property
    def connections(self) -> int:
        with self._lock:
            return sum(len(session.idle) + session.in_use for session in self._sessions.values())


def _key(options: ConnectionOptions) -> Key:
    """What a connection depends on, the content of the CA's file included."""
    if options.ca_path is None:
        return options, ()
    try:
        return options, file_version(options.ca_path)
    except OSError:
        return options, ()


class _Gate:
    """The requests to one endpoint: how many are under way, and who waits."""

    def __init__(self, lock: threading.Lock) -> None:
        self.running = 0
        self.waiting = 0
        self.freed = threading.Condition(lock)


class Turns:
    """Limits the number of concurrent requests to one endpoint; the others wait in line."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._gates: dict[tuple[Endpoint, ...], _Gate] = {}

    @contextlib.contextmanager
    def turn(
        self, endpoints: tuple[Endpoint, ...], deadline: Deadline, check: t.Callable[[], None]
    ) -> t.Iterator[None]:
        """Wait for a turn, and have it; raises TimedOut, or what check raises."""
        with self._lock:
            gate = self._gates.setdefault(endpoints, _Gate(self._lock))
            gate.waiting += 1
            try:
                while gate.running >= self.most:
                    check()
                    if deadline.expired:
                        raise TimedOut(
                            f"the time of {deadline.seconds:g} s was over while {self.most} requests to "
                            f"{endpoints[0].url} were under way, which is as many as the service makes at once"
                        )
                    gate.freed.wait(min(LOOK_SECONDS, deadline.remaining))
                gate.running += 1
            finally:
                gate.waiting -= 1
                self._forget(endpoints, gate)
        try:
            yield
        finally:
            with self._lock:
                gate.running -= 1
                gate.freed.notify()
                self._forget(endpoints, gate)

    def _forget(self, endpoints: tuple[Endpoint, ...], gate: _Gate) -> None:
        if not gate.running and not gate.waiting:
            self._gates.pop(endpoints, None)

    @property
    def running(self) -> int:
        with self._lock:
            return sum(gate.running for gate in self._gates.values())

    @property
    def waiting(self) -> int:
        with self._lock:
            return sum(gate.waiting for gate in self._gates.values())
