# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look at guests: one with its fresh status, or all of the cluster that fit, from one request."""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass, field, replace

from .._pve.client import PveClient, offline_in
from .._pve.errors import AnswerLost, InvalidRequest, PermissionDenied, PveError, Refused, TransportError
from .._pve.guests import Guest, GuestHandle, Selector, find_guest, is_absent, parse_guests, unless_absent
from .._pve.nodes import look_for_node
from .addresses import Interface, addresses_of, macs_of, own_interfaces
from .facts import (
    HIBERNATED,
    PAUSED,
    RUNNING,
    STOPPED,
    guest_result,
    listed_result,
    pending_result,
    read_pending,
    read_status,
)
from .plan import Applier, Outcome
from .selection import selector_from
from .snapshots.snapshot_tree import read_snapshots, select_snapshots
from .waiting import read_interfaces

STATUSES = (RUNNING, HIBERNATED, STOPPED)
# What can be read of each guest, and what results call it.
GATHER = {"config": "config", "pending": "pending", "snapshots": "snapshots", "agent": "addresses"}

GuestFacts = dict[str, t.Any]


@dataclass(frozen=True)
class GuestsRequest:
    """Which guests, and what to read of each; None and () are no condition."""

    selector: Selector | None = None
    node: str | None = None
    pool: str | None = None
    tags: tuple[str, ...] = ()
    status: str | None = None
    kind: str | None = None
    template: bool | None = None
    gather: tuple[str, ...] = ()

    def fits(self, guest: GuestFacts) -> bool:
        """Whether the guest meets all conditions; what is not known of it meets none."""
        tags = {tag.lower() for tag in guest["tags"]}
        return (
            self.node in (None, guest["node"])
            and self.pool in (None, guest["pool"])
            and self.kind in (None, guest["type"])
            and self.template in (None, guest["template"])
            and self.status in (None, RUNNING if guest["status"] == PAUSED else guest["status"])
            and all(tag.lower() in tags for tag in self.tags)
        )

    def unknown_of(self, guest: GuestFacts) -> list[str]:
        """The conditions that PVE cannot tell of a guest that meets all others."""
        asked = {"status": self.status is not None, "template": self.template is not None}
        unknown = [name for name in asked if asked[name] and guest[name] is None]
        return unknown if replace(self, status=None, template=None).fits(guest) else []


def guests_request(parameters: t.Mapping[str, t.Any]) -> GuestsRequest:
    """Check the options of a look at guests; raises InvalidRequest."""
    kind = None if parameters.get("guest_type") in (None, "auto") else parameters["guest_type"]
    selector = None
    if parameters.get("name") == "":
        # An empty variable would otherwise mean every guest.
        raise InvalidRequest("name is empty: give the name of a guest, or leave it out to list all guests")
    if parameters.get("vmid") is not None or parameters.get("name"):
        selector = selector_from(parameters)
        # A vmid of the other kind is no error here: there is no such guest.
        selector = selector._replace(kind=kind if selector.vmid is None else None)
    return GuestsRequest(
        selector=selector,
        node=parameters.get("node"),
        pool=parameters.get("pool"),
        tags=tuple(parameters.get("tags") or ()),
        status=parameters.get("status"),
        kind=kind,
        template=parameters.get("template"),
        gather=tuple(name for name in GATHER if name in (parameters.get("gather") or ())),
    )


def look_at_guests(applier: Applier, request: GuestsRequest) -> Outcome:
    """Return the guests that fit, by vmid; raises a PveError.

    One request for a list, two for one guest that is selected, one more for each guest and thing to gather, and one
    when a node has none.
    """
    client = applier.client
    guests: list[GuestFacts] = []
    if request.selector is None:
        found, silent = _listed(client, request)
    else:
        selected = _selected(client, request.selector)
        found, silent = ([selected] if selected else []), {}
    gatherer = _Gatherer(request.gather, silent)
    for handle, facts in found:
        unknown = request.unknown_of(facts)
        if unknown:
            gatherer.leave_out(handle.guest, unknown)
        elif request.fits(facts):
            guests += gatherer.gather_of(handle, facts)
    if request.node is not None and not guests:
        look_for_node(client, request.node)
    return Outcome(changed=False, warnings=tuple(gatherer.all_warnings()), facts={"guests": guests})


def _listed(client: PveClient, request: GuestsRequest) -> tuple[list[tuple[GuestHandle, GuestFacts]], dict[str, str]]:
    """All guests by vmid, and the nodes that are offline, each with these words; one request."""
    # The nodes matter only to who asks for more than the list of guests holds.
    more = request.gather or request.status is not None or request.template is not None
    resources = client.read("cluster", "resources", **({} if more else {"type": "vm"}))
    guests = sorted(parse_guests(resources), key=lambda guest: guest.vmid)
    found = [(GuestHandle(client, guest), listed_result(guest)) for guest in guests]
    return found, {node: f"node {node} is offline" for node in offline_in(resources)}


@dataclass
class _Gatherer:
    """Reads more of guests, one after the other, and asks no node again that does not answer."""

    gather: tuple[str, ...]
    # Why a node does not answer.
    silent: dict[str, str]
    warnings: list[str] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)

    def leave_out(self, guest: Guest, unknown: t.Sequence[str]) -> None:
        """Note a guest of which PVE cannot say whether it fits."""
        what = " and ".join(unknown)
        if guest.node in self.silent:
            self.left_out[guest.node, what] += 1
        else:
            self.warnings.append(f"{guest.label} was left out: PVE does not know its {what} now")

    def gather_of(self, handle: GuestHandle, facts: GuestFacts) -> list[GuestFacts]:
        """The guest with what was asked for besides; none when it is gone meanwhile."""
        if not self.gather or handle.guest.node not in self.silent:
            try:
                return list(_gathered(handle, facts, self.gather, self.warnings))
            except TransportError as error:
                if error.cause.status is None:
                    raise  # PVE itself is out of reach, not one of its nodes.
                self.silent[handle.guest.node] = str(error)
        self.unread[handle.guest.node] += 1
        unread = {
            **{GATHER[name]: None for name in self.gather},
            **({"interfaces": None} if "agent" in self.gather else {}),
        }
        return [{**facts, **unread}]

    def all_warnings(self) -> t.Iterator[str]:
        """The warnings, of a node that does not answer one for all of its guests."""
        yield from self.warnings
        for (node, what), count in sorted(self.left_out.items()):
            yield f"{self.silent[node]}: {_guests(count)} left out, because PVE does not know the {what} now"
        for node, count in sorted(self.unread.items()):
            what = ", ".join(GATHER[name] for name in self.gather)
            yield f"{self.silent[node]}: {_guests(count)} returned without {what}"


def _guests(count: int) -> str:
    return "1 guest there was" if count == 1 else f"{count} guests there were"


def _selected(client: PveClient, selector: Selector) -> tuple[GuestHandle, GuestFacts] | None:
    """Find one guest and read its status; None when there is none."""
    for fresh in (False, True):
        guest = find_guest(client, selector, fresh=fresh)
        if guest is None:
            return None
        handle = GuestHandle(client, guest)
        status = unless_absent(lambda: read_status(handle))  # noqa: B023 - called at once
        if status is None:
            return None
        if selector.name in (None, status.name):
            return handle, guest_result(handle.guest, status)
        if selector.vmid is not None:
            return None
    return None


def _gathered(
    handle: GuestHandle, facts: GuestFacts, gather: tuple[str, ...], warnings: list[str]
) -> t.Iterator[GuestFacts]:
    """Read what is asked for besides; yields nothing when the guest is gone meanwhile."""
    found = dict(facts)
    try:
        if "config" in gather:
            found["config"] = handle.read("config")
        if "pending" in gather:
            found["pending"] = pending_result(read_pending(handle))
        if "snapshots" in gather:
            found["snapshots"] = read_snapshots(handle).as_result()
    except PveError as error:
        if is_absent(error):
            return
        raise
    if "agent" in gather:
        interfaces = _interfaces(handle, facts, warnings)
        found["interfaces"] = None if interfaces is None else [interface.as_result() for interface in interfaces]
        macs = macs_of(handle.guest.kind, found["config"]) if "config" in found else ()
        own = None if interfaces is None else own_interfaces(interfaces, macs)
        found["addresses"] = None if own is None else addresses_of(own).as_result()
    yield found


def _interfaces(handle: GuestHandle, facts: GuestFacts, warnings: list[str]) -> tuple[Interface, ...] | None:
    """Ask for the interfaces; None of a guest that does not run, or that does not answer."""
    if facts["status"] in (STOPPED, HIBERNATED):
        return None
    try:
        return read_interfaces(handle)
    except (Refused, PermissionDenied, AnswerLost) as error:
        why = error.cause.pve_message or str(error)
        warnings.append(f"the addresses of {handle.guest.label} on node {handle.guest.node} are not known: {why}")
        return None


def snapshots_request(parameters: t.Mapping[str, t.Any]) -> Selector:
    """Check which guest is meant; raises InvalidRequest."""
    return selector_from(parameters)


def look_at_snapshots(applier: Applier, selector: Selector) -> Outcome:
    """Return the snapshots of a guest; two requests. Raises a PveError."""
    target = select_snapshots(applier.client, selector)
    held = target.snapshots
    return Outcome(
        changed=False,
        guest=listed_result(target.handle.guest, held.running),
        facts={"snapshots": held.as_result(), "current": {"parent": held.current_parent or None}},
    )
