# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of every request the embedded PVE was sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Exchange:
    """One request and the status of its answer (0: none was sent)."""

    method: str
    path: str
    query: Mapping[str, Any]
    form: Mapping[str, Any]
    headers: Mapping[str, str]
    connection: int
    status: int
    when: float
    raw_body: bytes = b""

    @property
    def summary(self) -> str:
        return f"{self.method} {self.path}"


class Recorder:
    """Exchanges in the order they arrived, safe to read from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._exchanges: dict[int, Exchange] = {}
        self._next = 0
        self._connections: dict[int, int] = {}
        self._accepted = 0
        self._accepted_before = 0
        self._requests: dict[int, int] = {}

    def accepted(self, protocol: object) -> None:
        with self._lock:
            self._accepted += 1
            self._connections[id(protocol)] = self._accepted

    def connection_of(self, protocol: object) -> int:
        return self._connections.get(id(protocol), 0)

    def begin(self, exchange: Exchange) -> int:
        with self._lock:
            self._next += 1
            self._requests[exchange.connection] = self._requests.get(exchange.connection, 0) + 1
            self._exchanges[self._next] = replace(exchange, when=time.time())
            return self._next

    def finish(self, number: int, status: int) -> None:
        with self._lock:
            if number in self._exchanges:
                self._exchanges[number] = replace(self._exchanges[number], status=status)

    def requests_on(self, connection: int) -> int:
        """Requests seen on this connection so far."""
        return self._requests.get(connection, 0)

    def exchanges(self) -> list[Exchange]:
        with self._lock:
            return list(self._exchanges.values())

    @property
    def connection_count(self) -> int:
        with self._lock:
            return self._accepted - self._accepted_before

    def reset(self) -> None:
        with self._lock:
            self._exchanges.clear()
            self._accepted_before = self._accepted
