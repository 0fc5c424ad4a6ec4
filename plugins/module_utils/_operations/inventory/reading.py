# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read what an inventory needs: the list in one request, and of each guest what the options ask for."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

from ..._pve.client import PveClient
from ..._pve.deadline import Deadline
from ..._pve.errors import ErrorReason, PveError
from ..._pve.guests import KIND_NAMES, QEMU, Guest, parse_guests
from ..addresses import interfaces_in
from ..facts import PAUSED, RUNNING, parse_status
from ..snapshots.snapshot_tree import parse_snapshots
from .guest_queries import GuestQuery, QueryResult, Workers
from .hosts import (
    NODE,
    Facts,
    doubtful_names,
    exact_status,
    guest_facts,
    is_template,
    may_have_addresses,
    named,
    node_facts,
    route_to,
)
from .inventory_request import PRELAUNCH, InventoryRequest, status_of
from .memory import READABLE, Memory

NO_TIME = "agent_budget was over before it answered"
_THINGS = {
    "config": "the configuration",
    "status": "the exact status",
    "snapshots": "the snapshots",
    "agent": "the addresses",
}


def _status(answer: t.Mapping[str, t.Any]) -> dict[str, str]:
    condition, qmpstatus = parse_status(answer).condition, str(answer.get("qmpstatus") or "")
    return {"status": PRELAUNCH if (condition, qmpstatus) == (PAUSED, PRELAUNCH) else condition, "qmpstatus": qmpstatus}


_PARSE: dict[str, t.Callable[[t.Any], t.Any]] = {
    "config": dict,
    "status": _status,
    "snapshots": lambda answer: parse_snapshots(answer).as_result(),
    "agent": lambda answer: [interface.as_result() for interface in interfaces_in(answer)],
}


@dataclass(frozen=True)
class Host:
    """A guest of the inventory, or a node: its variables without their prefix, and how it is reached."""

    facts: Facts
    address: str | None
    # A node is no guest.
    guest: Guest | None = None
    # It has no address, and is reached over its agent.
    by_agent: bool = False

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.guest.label if self.guest is not None else f"node {self.facts['node']}"


def read_memory(client: PveClient, source: str, request: InventoryRequest) -> Memory:
    """Read the list of guests, and of nodes if these are asked for, anew; one request. Raises a PveError.

    The addresses of the nodes take one more.
    """
    query = {} if request.nodes else {"type": "vm"}
    resources = client.read("cluster", "resources", **query)
    nodes: list[dict[str, t.Any]] = [dict(entry) for entry in resources if entry.get("type") == NODE]
    if nodes and request.node_address == "cluster":
        known = {item.get("name"): item.get("ip") for item in client.read("cluster", "status")}
        for entry in nodes:
            entry["address"] = known.get(entry["node"])
    return Memory(source, time.time(), [entry for entry in resources if entry.get("type") in KIND_NAMES], [*nodes])


class Reading:
    """One read of the cluster; what the memory lacks is requested once."""

    def __init__(
        self,
        client: t.Callable[[], PveClient],
        memory: Memory,
        request: InventoryRequest,
        names_elsewhere: t.Collection[str] = (),
    ) -> None:
        self.memory = memory
        self.asked = False
        self._client = client
        self._request = request
        self._workers: Workers | None = None
        self._listed = parse_guests(memory.entries)
        self._entries = {guest.vmid: entry for guest, entry in zip(self._listed, memory.entries)}
        self._names_elsewhere = names_elsewhere
        self._doubtful: frozenset[int] = frozenset()
        memory.forget_misses(time.time() - request.agent_retry)

    def guests(self) -> list[Guest]:
        """Return the guests that the cheap filters leave, by vmid; those without a name are completed first."""
        request = self._request
        fitting = [guest for guest in self._listed if request.filters.fit(guest)]
        guests = [guest for guest in fitting if request.templates or not guest.template]
        self._ask([GuestQuery("config", guest) for guest in guests if self._lacks_config(guest)])
        kept = [guest for guest in guests if request.templates or not is_template(guest, self._config(guest))]
        self._ask([GuestQuery("status", guest) for guest in kept if self._lacks_status(guest)])
        kept = [guest for guest in kept if self._fits_status(guest)]
        self._doubtful = doubtful_names(
            ((guest.vmid, named(guest, self._config(guest))) for guest in kept),
            [*(str(entry["node"]) for entry in self.memory.nodes), *self._names_elsewhere],
        )
        return sorted(kept, key=lambda guest: guest.vmid)

    def nodes(self) -> list[Host]:
        """Return the nodes, by name; none unless they are asked for."""
        wanted = self._request.filters.nodes
        return [
            Host(node_facts(entry, self._request), entry.get("address"))
            for entry in sorted(self.memory.nodes, key=lambda entry: str(entry["node"]))
            if not wanted or entry["node"] in wanted
        ]

    def complete(self, guests: t.Sequence[Guest]) -> None:
        """Ask for the addresses that are wanted, and for what finding the way to connect takes."""
        while True:
            queries = [query for guest in guests for query in self._queries(guest)]
            if not queries:
                return
            self._ask(queries)

    def hosts(self, guests: t.Iterable[Guest]) -> list[Host]:
        """Return the guests with all that is known of them."""
        hosts = []
        for guest in guests:
            known = self.memory.known(guest.vmid)
            facts = guest_facts(guest, self._entries[guest.vmid], known, self._request)
            route = route_to(guest, known, self._request, guest.vmid in self._doubtful)
            hosts.append(Host(facts, route.host, guest, by_agent=route.by_agent))
        return hosts

    def warnings(self, guests: t.Sequence[Guest]) -> list[str]:
        """Say of how many guests something is not known, and why it is not of one of them."""
        found = []
        for what in READABLE:
            missed = [guest for guest in guests if guest.vmid in self.memory.missed[what]]
            if missed:
                miss, guest = self.memory.missed[what][missed[0].vmid], missed[0]
                found.append(
                    f"{_THINGS[what]} of {len(missed)} of {len(guests)} guests could not be read, "
                    f"as of {guest.label} on node {guest.node}: {miss.why}"
                )
        return found

    def close(self) -> None:
        """Close the connections that were needed."""
        if self._workers is not None:
            self._workers.close()

    def _config(self, guest: Guest) -> t.Mapping[str, t.Any] | None:
        return self.memory.known(guest.vmid).config

    def _lacks_config(self, guest: Guest) -> bool:
        return (not guest.name or "config" in self._request.gather) and self._is_open("config", guest)

    def _lacks_status(self, guest: Guest) -> bool:
        """A container cannot be paused."""
        running = guest.kind == QEMU and status_of(guest) == RUNNING
        return self._request.asks_status and running and self._is_open("status", guest)

    def _fits_status(self, guest: Guest) -> bool:
        return self._request.filters.fits_status(guest, exact_status(guest, self.memory.known(guest.vmid)))

    def _is_open(self, what: str, guest: Guest) -> bool:
        return what not in self.memory.known(guest.vmid).settled

    def _queries(self, guest: Guest) -> list[GuestQuery]:
        known = self.memory.known(guest.vmid)
        wanted = {route_to(guest, known, self._request, guest.vmid in self._doubtful).needs}
        if "agent" in self._request.gather and may_have_addresses(guest, known):
            wanted.add("agent")
        if "snapshots" in self._request.gather:
            wanted.add("snapshots")
        return [GuestQuery(what, guest) for what in READABLE if what in wanted and what not in known.settled]

    def _ask(self, queries: t.Sequence[GuestQuery]) -> None:
        if not queries:
            return
        self.asked = True
        try:
            if self._workers is None:
                self._workers = self._open_workers()
            answers = self._workers.ask(queries)
        except PveError as error:
            answers = [QueryResult(query, error=error) for query in queries]
        now = time.time()
        for query in queries:
            self.memory.miss(query.what, query.guest.vmid, now, NO_TIME)
        for answer in answers:
            self._note(answer, now)

    def _open_workers(self) -> Workers:
        request = self._request
        return Workers(
            self._client(),
            per_node=request.workers_per_node,
            seconds=request.agent_timeout,
            budget=Deadline(request.agent_budget),
        )

    def _note(self, answer: QueryResult, now: float) -> None:
        what, vmid, error = answer.query.what, answer.query.guest.vmid, answer.error
        if error is None:
            try:
                self.memory.keep(what, vmid, _PARSE[what](answer.data))
            except PveError as problem:
                self.memory.miss(what, vmid, now, str(problem))
            except (AttributeError, KeyError, TypeError, ValueError):
                self.memory.miss(what, vmid, now, "its answer makes no sense")
        elif what == "agent" and _has_no_addresses(error):
            self.memory.keep(what, vmid, [])
        else:
            self.memory.miss(what, vmid, now, error.cause.pve_message or str(error))


def _has_no_addresses(error: PveError) -> bool:
    """Whether the error means that the guest does not run, or has no agent."""
    return error.pve_reason in (ErrorReason.NOT_RUNNING, ErrorReason.AGENT_NOT_ENABLED)
