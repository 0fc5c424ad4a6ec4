# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read what an inventory needs, and no more: the list in one request, and of each guest what it asks for."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

from ..._pve.client import PveClient
from ..._pve.deadline import Deadline
from ..._pve.errors import Meaning, PveError
from ..._pve.guests import KIND_NAMES, Guest, parse_guests
from ..waiting import NO_AGENT, Addresses, addresses_of, interfaces_in
from .calls import Answer, Call, Workers
from .hosts import Facts, guest_facts, is_template, may_tell_addresses, route_to
from .memory import READABLE, Memory
from .request import InventoryRequest

NO_TIME = "agent_budget was over before it answered"
_THINGS = {"config": "the configuration", "agent": "the addresses"}


_PARSE: dict[str, t.Callable[[t.Any], t.Any]] = {
    "config": dict,
    "agent": lambda answer: addresses_of(interfaces_in(answer)),
}


@dataclass(frozen=True)
class Host:
    """A guest of the inventory: its variables without their prefix, and how it is reached."""

    guest: Guest
    facts: Facts
    address: str | None


def read_memory(client: PveClient, source: str) -> Memory:
    """Read the list of guests anew; one request. Raises a PveError."""
    resources = client.read("cluster", "resources", type="vm")
    return Memory(source, time.time(), [entry for entry in resources if entry.get("type") in KIND_NAMES])


class Reading:
    """One look at the cluster; what is not remembered is asked for, each thing once."""

    def __init__(self, client: t.Callable[[], PveClient], memory: Memory, request: InventoryRequest) -> None:
        self.memory = memory
        self.asked = False
        self._client = client
        self._request = request
        self._workers: Workers | None = None
        self._listed = parse_guests(memory.entries)
        self._entries = {guest.vmid: entry for guest, entry in zip(self._listed, memory.entries)}
        memory.forget_misses(time.time() - request.agent_retry)

    def guests(self) -> list[Guest]:
        """Return the guests that the cheap filters leave, by vmid; those without a name are completed first."""
        request = self._request
        fitting = [guest for guest in self._listed if request.filters.fit(guest)]
        guests = [guest for guest in fitting if request.templates or not guest.template]
        self._ask([Call("config", guest) for guest in guests if self._lacks_config(guest)])
        kept = [guest for guest in guests if request.templates or not is_template(guest, self._config(guest))]
        return sorted(kept, key=lambda guest: guest.vmid)

    def complete(self, guests: t.Sequence[Guest]) -> None:
        """Ask for the addresses that are wanted, and for what finding the way to connect takes."""
        while True:
            calls = [call for guest in guests for call in self._calls(guest)]
            if not calls:
                return
            self._ask(calls)

    def hosts(self, guests: t.Iterable[Guest]) -> list[Host]:
        """Return the guests with all that is known of them."""
        hosts = []
        for guest in guests:
            known = self.memory.known(guest.vmid)
            facts = guest_facts(guest, self._entries[guest.vmid], known, self._request)
            hosts.append(Host(guest, facts, route_to(guest, known, self._request).host))
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
        return self.memory.configs.get(guest.vmid)

    def _lacks_config(self, guest: Guest) -> bool:
        return (not guest.name or "config" in self._request.gather) and self._is_open("config", guest)

    def _is_open(self, what: str, guest: Guest) -> bool:
        return what not in self.memory.known(guest.vmid).settled

    def _calls(self, guest: Guest) -> list[Call]:
        known = self.memory.known(guest.vmid)
        wanted = {route_to(guest, known, self._request).needs}
        if "agent" in self._request.gather and may_tell_addresses(guest, known.config):
            wanted.add("agent")
        return [Call(what, guest) for what in READABLE if what in wanted and what not in known.settled]

    def _ask(self, calls: t.Sequence[Call]) -> None:
        if not calls:
            return
        self.asked = True
        try:
            if self._workers is None:
                self._workers = self._hire()
            answers = self._workers.ask(calls)
        except PveError as error:
            answers = [Answer(call, error=error) for call in calls]
        now = time.time()
        for call in calls:
            self.memory.miss(call.what, call.guest.vmid, now, NO_TIME)
        for answer in answers:
            self._note(answer, now)

    def _hire(self) -> Workers:
        request = self._request
        return Workers(
            self._client(),
            per_node=request.workers_per_node,
            seconds=request.agent_timeout,
            budget=Deadline(request.agent_budget),
        )

    def _note(self, answer: Answer, now: float) -> None:
        what, vmid, error = answer.call.what, answer.call.guest.vmid, answer.error
        if error is None:
            try:
                self.memory.keep(what, vmid, _PARSE[what](answer.data))
            except (AttributeError, TypeError):
                # What an agent says is up to who owns the guest.
                self.memory.miss(what, vmid, now, "its answer makes no sense")
        elif what == "agent" and _has_no_addresses(error):
            self.memory.keep(what, vmid, Addresses())
        else:
            self.memory.miss(what, vmid, now, error.cause.pve_message or str(error))


def _has_no_addresses(error: PveError) -> bool:
    """It is an answer that a guest does not run, or has no agent."""
    return error.meaning is Meaning.NOT_RUNNING or NO_AGENT in error.cause.pve_message
