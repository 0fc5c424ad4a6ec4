# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read from many guests in parallel, with a limit for each node."""

from __future__ import annotations

import collections
import threading
import time
import typing as t
from dataclasses import dataclass

from ..._pve.client import PveClient
from ..._pve.deadline import Deadline
from ..._pve.errors import NODE_UNREACHABLE, AnswerLost, PveError
from ..._pve.guests import Guest
from ..addresses import interfaces_path

# One node passes on all requests to the others, and its pveproxy has three workers.
MOST_WORKERS = 12
# A silent agent blocks its worker on the node for so long, even when the client has gone (measured on 9.2).
AGENT_HOLDS_SECONDS = 3.0

_PATHS = {"config": ("config",), "status": ("status", "current"), "snapshots": ("snapshot",)}


@dataclass(frozen=True)
class GuestQuery:
    """A read of one of memory.READABLE from a guest."""

    what: str
    guest: Guest

    @property
    def path(self) -> tuple[str | int, ...]:
        """The path in the API."""
        tail = _PATHS.get(self.what) or interfaces_path(self.guest.kind)
        return ("nodes", self.guest.node, self.guest.kind, self.guest.vmid, *tail)


@dataclass(frozen=True)
class QueryResult:
    """The result of a query: data, or an error."""

    query: GuestQuery
    data: t.Any = None
    error: PveError | None = None


class _Schedule:
    """Gives queries to workers, at most per_node for one node at a time."""

    def __init__(self, queries: t.Iterable[GuestQuery], per_node: int) -> None:
        self.answers: list[QueryResult] = []
        self._lock = threading.Lock()
        self._per_node = per_node
        self._busy: collections.Counter[str] = collections.Counter()
        self._waiting: dict[str, collections.deque[GuestQuery]] = {}
        for query in queries:
            self._waiting.setdefault(query.guest.node, collections.deque()).append(query)

    @property
    def useful_workers(self) -> int:
        """How many workers can be busy at the same time, before the first query is taken."""
        return min(MOST_WORKERS, sum(min(self._per_node, len(queries)) for queries in self._waiting.values()))

    def take(self) -> GuestQuery | None:
        """Return the next query; None when all that wait are for nodes at the limit, whose workers will take them."""
        with self._lock:
            free = [node for node, queries in self._waiting.items() if queries and self._busy[node] < self._per_node]
            if not free:
                return None
            node = min(free, key=lambda name: self._busy[name])
            self._busy[node] += 1
            return self._waiting[node].popleft()

    def note(self, answer: QueryResult) -> None:
        """Add the answer; when the node is unreachable, its queries that wait get the same error."""
        with self._lock:
            node = answer.query.guest.node
            self.answers.append(answer)
            if answer.error is not None and answer.error.cause.status == NODE_UNREACHABLE:
                waiting = self._waiting.pop(node, collections.deque())
                self.answers.extend(QueryResult(query, error=answer.error) for query in waiting)

    def free(self, node: str) -> None:
        """Allow the next query to the node."""
        with self._lock:
            self._busy[node] -= 1

    def collect(self) -> list[QueryResult]:
        """Return the answers so far; no further queries are given to workers."""
        with self._lock:
            self._waiting = {}
            return list(self.answers)


class Workers:
    """Threads with a connection each, which is kept between the rounds, and one deadline."""

    def __init__(self, client: PveClient, *, per_node: int, seconds: float, budget: Deadline) -> None:
        self._client = client
        self._per_node = per_node
        self._seconds = seconds
        self._budget = budget
        self._clients: list[PveClient] = []

    def ask(self, queries: t.Sequence[GuestQuery]) -> list[QueryResult]:
        """Make the queries in parallel; returns the answers, at the latest when the budget ends.

        A query without an answer was not made, or not finished in time.
        """
        schedule = _Schedule(queries, self._per_node)
        try:
            for dummy in range(len(self._clients), schedule.useful_workers):
                self._clients.append(self._client.sibling(self._budget, self._seconds))
        except PveError as error:
            return [QueryResult(query, error=error) for query in queries]
        # A thread that resolves a name cannot be stopped, and must not keep the process alive.
        threads = [
            threading.Thread(target=_work, args=(client, schedule, self._budget), daemon=True)
            for client in self._clients[: schedule.useful_workers]
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(self._budget.remaining)
        return schedule.collect()

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.close()


def _work(client: PveClient, schedule: _Schedule, budget: Deadline) -> None:
    while not budget.expired:
        query = schedule.take()
        if query is None:
            return
        began = time.monotonic()
        answer = _answer(client, query)
        schedule.note(answer)
        if query.what == "agent" and isinstance(answer.error, AnswerLost) and answer.error.cause.status is None:
            budget.pause(max(0.0, AGENT_HOLDS_SECONDS - (time.monotonic() - began)))
        schedule.free(query.guest.node)


def _answer(client: PveClient, query: GuestQuery) -> QueryResult:
    try:
        return QueryResult(query, data=client.read_once(*query.path))
    except PveError as error:
        return QueryResult(query, error=error)
