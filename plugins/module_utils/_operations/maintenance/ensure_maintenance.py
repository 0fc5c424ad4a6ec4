# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node whose guests are elsewhere, or back: one plan over one read of the cluster, and then guest after guest."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ..._pve.errors import InvalidRequest, PveError, Refused
from ..._pve.guests import LXC, Guest, Selector
from ..facts import RUNNING, split_tags
from ..guest.placement import Cluster, read_cluster
from ..ha import read_maintenance
from ..many.many_request import Entry, ManyRequest
from ..many.running import GuestOutcome, ManyOutcome, ensure_many
from ..migration.ensure_migration import Look, no_node
from ..migration.ensure_migrations import look_at_moves, look_of, planned
from ..migration.ha_moves import ManagerAttention
from ..migration.migration_request import MigrationRequest
from ..plan import Applier
from .maintenance_request import MaintenanceRequest
from .relocation import AWAY, BACK, FAIL, FORGET, NOTE, START, STAY, STOP, Relocation, relocate
from .remembering import remembered_home, was_moved_from, was_stopped_on
from .table import table_of

_LAST = 10**9


@dataclass(frozen=True)
class PlannedGuest:
    """A line of the plan: what is done with a guest, where it goes, and why it stays."""

    entry: Entry
    guest: Guest
    action: str
    look: Look | None = None
    target: str | None = None
    reason: str = ""

    @property
    def fails(self) -> bool:
        """It is to go somewhere, and cannot."""
        return self.action in (AWAY, BACK) and bool(self.reason)

    def as_result(self) -> dict[str, t.Any]:
        """The line as the plan of the result has it."""
        return {
            "vmid": self.guest.vmid,
            "name": self.guest.name or None,
            "type": self.guest.kind,
            "status": self._condition,
            "action": FAIL if self.fails else self.action,
            "from": self.guest.node,
            "to": self.target or self.guest.node,
            "how": self._how,
            "reason": self.reason or None,
        }

    @property
    def _condition(self) -> str:
        return self.look.status.condition if self.look else self.guest.status

    @property
    def _how(self) -> str | None:
        found = self.look.preconditions if self.look else None
        if self.action not in (AWAY, BACK) or self.fails or found is None:
            return None
        how = ("restart" if self.guest.kind == LXC else "live") if found.online else "offline"
        return f"{how}, by HA" if found.through_ha else how


def ensure_maintenance(applier: Applier, request: MaintenanceRequest) -> ManyOutcome:
    """Have the guests of a node elsewhere, or back; raises a PveError only before anything has been changed."""
    cluster = read_cluster(applier.client)
    cluster.check_known(request.node)
    plan = (
        _evacuation(applier, request, cluster) if request.state == "evacuated" else _return(applier, request, cluster)
    )
    plan.sort(key=lambda line: _order(line, request))
    entries = tuple(
        replace(line.entry, request=Relocation(line.action, request.node, line.entry.request, cluster.node_names))
        for line in plan
        if line.action != STAY
    )
    done = ManyOutcome(changed=False)
    if entries:
        done = ensure_many(applier, ManyRequest(entries, relocate, parallel=request.parallel))
        if request.state == "evacuated" and not applier.check_mode:
            done = _look_again(applier, request, plan, done)
    rows = [line.as_result() for line in plan]
    return replace(done, facts={"plan": rows, "table": table_of(rows)})


def _evacuation(applier: Applier, request: MaintenanceRequest, cluster: Cluster) -> list[PlannedGuest]:
    """What is done with each guest on the node."""
    ha = read_maintenance(applier.client)
    # What an administrator has taken out of service is no place for guests, whether HA has them or not.
    barred = {request.node, *ha.nodes}
    nodes = request.nodes or tuple(sorted(node.name for node in cluster.nodes if node.name not in barred))
    for node in nodes:
        cluster.check_known(node)
    here = [guest for guest in cluster.guests if guest.node == request.node and request.means(guest)]
    moving = [guest for guest in here if not guest.template]
    if not nodes and moving:
        raise InvalidRequest(
            f"no node beside {request.node} is online and not in HA's maintenance mode, so its guests can go nowhere"
        )
    looks = _looks(applier, request, moving, nodes)
    lines = [_leaving(request, guest, entry, look) for guest, (entry, look) in zip(moving, looks)]
    for guest in filter(request.means, cluster.guests):
        entry = _entry(request, guest, nodes)
        if guest.template and guest.node == request.node:
            lines.append(PlannedGuest(entry, guest, STAY, reason="it is a template"))
        elif ha.has_moved(guest, request.node) and not _is_remembered(guest, cluster):
            lines.append(PlannedGuest(entry, guest, NOTE, reason="HA has moved it already"))
    return lines


def _is_remembered(guest: Guest, cluster: Cluster) -> bool:
    return remembered_home(split_tags(guest.tags), guest.vmid, cluster.node_names)


def _leaving(request: MaintenanceRequest, guest: Guest, entry: Entry, seen: GuestOutcome) -> PlannedGuest:
    look = look_of(seen)
    if look is None:
        # Why it cannot be looked at, its own turn says.
        action = STAY if request.unmovable == "leave" else AWAY
        return PlannedGuest(entry, guest, action, reason=str(seen.error))
    line = PlannedGuest(entry, guest, AWAY, look, entry.request.planned)
    if look.preconditions is None:
        return replace(line, target=look.handle.guest.node)
    if not look.preconditions.online and not request.move_stopped:
        return replace(line, action=STAY, target=None, reason=f"it is {look.status.condition}")
    if line.target is not None:
        return line
    reason = str(no_node(look, entry.request.free or {}))
    if request.unmovable == "fail":
        return replace(line, reason=reason)
    stops = request.unmovable == "stop" and look.preconditions.online
    return replace(line, action=STOP if stops else STAY, reason=reason)


def _look_again(
    applier: Applier, request: MaintenanceRequest, plan: list[PlannedGuest], done: ManyOutcome
) -> ManyOutcome:
    """Add the guests that came to the node meanwhile, as failures."""
    try:
        cluster = read_cluster(applier.client)
    except PveError as error:
        warning = f"whether guests came to node {request.node} meanwhile could not be looked at: {error}"
        return replace(done, warnings=(*done.warnings, warning))
    late = _late(request, plan, done, cluster)
    plan.extend(late)
    came = tuple(GuestOutcome(line.entry, error=Refused(line.reason)) for line in late)
    return replace(done, guests=(*done.guests, *came))


def _late(
    request: MaintenanceRequest, plan: t.Sequence[PlannedGuest], done: ManyOutcome, cluster: Cluster
) -> list[PlannedGuest]:
    """Those on the node that the plan did not leave there, and whose own turn did not fail."""
    failed = {guest.entry.selector.vmid for guest in done.guests if guest.error is not None}
    expected = failed | {line.guest.vmid for line in plan if line.action in (STAY, STOP)}
    lines = []
    for guest in filter(request.means, cluster.guests):
        if guest.node != request.node or guest.template or guest.vmid in expected:
            continue
        if guest.status == RUNNING or request.move_stopped:
            reason = f"{guest.label} came to node {request.node} after the plan was made: run the evacuation again"
            lines.append(PlannedGuest(_entry(request, guest, ()), guest, FAIL, reason=reason))
    return lines


def _return(applier: Applier, request: MaintenanceRequest, cluster: Cluster) -> list[PlannedGuest]:
    """What is done with each guest that belongs to the node."""
    cluster.check_node(request.node)
    node = request.node
    meant = filter(request.means, cluster.guests)
    tagged = [guest for guest in meant if was_moved_from(guest, node) or was_stopped_on(guest, node)]
    away = [guest for guest in tagged if guest.node != node and not was_stopped_on(guest, node)]
    if any(guest.ha_state for guest in away):
        _await_end_of_ha_maintenance(applier, node)
    looks = _looks(applier, request, away, (node,))
    lines = []
    for guest, (entry, seen) in zip(away, looks):
        look = look_of(seen)
        reason = str(seen.error) if look is None else ""
        if look is not None and look.preconditions is not None and entry.request.planned is None:
            reason = str(no_node(look, entry.request.free or {}))
        lines.append(PlannedGuest(entry, guest, BACK, look, node, reason))
    for guest in tagged:
        if guest not in away:
            action = START if was_stopped_on(guest, node) else FORGET
            lines.append(PlannedGuest(_entry(request, guest, (node,)), guest, action))
    return lines


def _await_end_of_ha_maintenance(applier: Applier, node: str) -> None:
    """Give HA's manager the time to notice that the mode was disabled; what stays of it, each guest's plan says."""
    client = applier.client
    tries, attention = client.deadline.tries(client.deadline.remaining), ManagerAttention(client)
    while node in read_maintenance(client).nodes and not attention.is_over and tries.again():
        pass


def _looks(
    applier: Applier, request: MaintenanceRequest, guests: t.Sequence[Guest], nodes: tuple[str, ...]
) -> list[tuple[Entry, GuestOutcome]]:
    """Each guest as it was seen, and its entry with the node that the plan has for it."""
    entries = tuple(_entry(request, guest, nodes) for guest in guests)
    if not entries:
        return []
    seen = look_at_moves(applier, ManyRequest(entries, relocate, parallel=request.parallel))
    return list(zip(planned(seen), seen))


def _entry(request: MaintenanceRequest, guest: Guest, nodes: tuple[str, ...]) -> Entry:
    # The list has names that are up to ten seconds old: they only count when guests were selected by them.
    by_name = request.selection is not None and request.selection.names
    selector = Selector(guest.vmid, guest.name if by_name else None)
    # What ran on a node before has its memory there again.
    overcommits = request.overcommit_memory or request.state == "returned"
    move = MigrationRequest(selector, nodes, request.options, overcommits, looks_at_memory=True)
    return Entry(f"node {request.node}", selector, move, request.seconds, request.wait_for_lock)


def _order(line: PlannedGuest, request: MaintenanceRequest) -> tuple[int, int, int]:
    """By the tags that go first, by the order in which they start with a node, and by number."""
    tags = {tag.lower() for tag in split_tags(line.guest.tags)}
    first = next((number for number, tag in enumerate(request.first) if tag.lower() in tags), len(request.first))
    found = line.look.preconditions if line.look else None
    order = _LAST if found is None or found.startup_order is None else found.startup_order
    return first, order, line.guest.vmid
