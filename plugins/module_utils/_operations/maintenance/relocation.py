# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one guest goes through: it leaves the node, or is stopped there; it comes back, or is started again."""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass

from ..._pve.errors import PveError, TimedOut, TransportError
from ..._pve.guests import GuestHandle
from ..facts import Status, guest_result, read_status
from ..maintenance_tags import moved_tag, stopped_tag
from ..migration.ensure_migration import check_it_runs, look_at_move, target_of
from ..migration.migration_request import MigrationRequest
from ..migration.moving import apply_migration, plan_migration
from ..plan import Applier, Outcome, Plan, outcome
from ..power import PowerRequest, bring_into_state
from ..selection import select_guest
from .remembering import TagStep, remembered_home

AWAY, NOTE, STOP, BACK, START, FORGET = "move", "note", "stop", "return", "start", "forget"
# What a plan says of those that nothing is done with.
STAY, FAIL = "stay", "fail"


@dataclass(frozen=True)
class Relocation:
    """What is done with a guest because of a node, how it may be moved, and the nodes that the cluster has."""

    action: str
    node: str
    request: MigrationRequest
    nodes: frozenset[str] = frozenset()


def relocate(applier: Applier, relocation: Relocation) -> Outcome:
    """Carry it out for one guest; raises a PveError that says where the guest is."""
    carry_out: dict[str, t.Callable[[Applier, Relocation], Outcome]] = {
        AWAY: _move_away,
        NOTE: _note,
        STOP: _stop,
        BACK: _move_back,
        START: _start,
        FORGET: _start,
    }
    return carry_out[relocation.action](applier, relocation)


def _move_away(applier: Applier, relocation: Relocation) -> Outcome:
    """Note where it belongs, and move it; what was noted is taken back when the move fails."""
    look = look_at_move(applier, relocation.request)
    handle, status = look.handle, look.status
    notes = _noting(handle, status, relocation)
    if look.preconditions is None:
        # HA has moved it along with another one.
        applier.apply(Plan(notes), handle)
        return _found(applier, handle, status)
    target = target_of(look, relocation.request)
    plan = plan_migration(target, relocation.request, look.preconditions, handle)
    applier.apply(Plan(notes), handle)
    try:
        apply_migration(applier, handle, plan, target)
    except PveError as error:
        if notes and not _goes_on(error) and handle.guest.node == relocation.node:
            _take_back(applier, handle, *notes)
        raise
    return _found(applier, handle, status)


def _note(applier: Applier, relocation: Relocation) -> Outcome:
    """Note where a guest belongs that HA has moved already."""
    handle, status = select_guest(applier.client, relocation.request.selector, applier.guests)
    applier.apply(Plan(_noting(handle, status, relocation)), handle)
    return _found(applier, handle, status)


def _goes_on(error: PveError) -> bool:
    """PVE goes on with what has no time left here, or of which there is no news."""
    return isinstance(error, (TimedOut, TransportError))


def _take_back(applier: Applier, handle: GuestHandle, written: TagStep) -> None:
    """Take the tag away that was just written, as nothing came of it."""
    if applier.check_mode or written.add is None:
        return
    with contextlib.suppress(PveError):
        TagStep("", remove=(written.add,)).run(applier.client, handle)
        applier.titles.remove(written.title)


def _noting(handle: GuestHandle, status: Status, relocation: Relocation) -> tuple[TagStep, ...]:
    """The tag that says where it belongs; none when it belongs to another node that is in maintenance."""
    vmid = handle.guest.vmid
    if remembered_home(status.tags, vmid, relocation.nodes):
        return ()
    tag = moved_tag(relocation.node, vmid)
    return (TagStep(f"tag {handle.guest.label} with {tag}", tag, before=status.tags),)


def _move_back(applier: Applier, relocation: Relocation) -> Outcome:
    look = look_at_move(applier, relocation.request)
    handle, status = look.handle, look.status
    if look.preconditions is not None:
        target = target_of(look, relocation.request)
        plan = plan_migration(target, relocation.request, look.preconditions, handle)
        apply_migration(applier, handle, plan, target)
    _forget(applier, handle, status, relocation.node)
    return _found(applier, handle, status)


def _stop(applier: Applier, relocation: Relocation) -> Outcome:
    """Note that it ran, and shut it down; what was noted is taken back when it runs on."""
    handle, status = select_guest(applier.client, relocation.request.selector, applier.guests)
    tag = stopped_tag(relocation.node, handle.guest.vmid)
    note = TagStep(f"tag {handle.guest.label} with {tag}", tag, before=status.tags)
    applier.apply(Plan((note,)), handle)
    timeout = relocation.request.options.shutdown_timeout
    request = PowerRequest(relocation.request.selector, "stopped", shutdown_timeout=timeout)
    try:
        status = bring_into_state(applier, handle, status, request) or status
    except PveError as error:
        if not _goes_on(error) and _runs_on(handle, status):
            _take_back(applier, handle, note)
        raise
    return outcome(applier, guest_result(handle.guest, status))


def _runs_on(handle: GuestHandle, before: Status) -> bool:
    with contextlib.suppress(PveError):
        return read_status(handle).condition == before.condition
    return False


def _start(applier: Applier, relocation: Relocation) -> Outcome:
    """Start it when it was stopped for the maintenance, and forget that."""
    handle, status = select_guest(applier.client, relocation.request.selector, applier.guests)
    tags = status.tags
    if relocation.action == START:
        request = PowerRequest(relocation.request.selector, "started")
        status = bring_into_state(applier, handle, status, request) or status
    _forget(applier, handle, status._replace(tags=tags), relocation.node)
    return _found(applier, handle, status)


def _forget(applier: Applier, handle: GuestHandle, status: Status, node: str) -> None:
    vmid = handle.guest.vmid
    tags = (moved_tag(node, vmid), stopped_tag(node, vmid))
    found = [tag for tag in status.tags if tag.lower() in tags]
    if found:
        title = f"take the tag {' and '.join(found)} from {handle.guest.label}"
        applier.apply(Plan((TagStep(title, remove=tags, before=status.tags),)), handle)


def _found(applier: Applier, handle: GuestHandle, before: Status) -> Outcome:
    """The answer, with the guest as it is now; raises Refused when it does not run any more although it did."""
    status = before
    if applier.done:
        status = read_status(handle)
        check_it_runs(handle, before, status)
    return outcome(applier, guest_result(handle.guest, status))
