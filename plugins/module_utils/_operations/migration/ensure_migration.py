# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest is on one of these nodes: read, choose, plan, move."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..._pve.errors import ErrorReason, InvalidRequest, Locked, PveError, Refused
from ..._pve.guests import GuestHandle
from ..._pve.locks import HIBERNATED_LOCK, held_by, wait_until_unlocked
from ..._pve.numbers import in_full
from ..facts import PAUSED, RUNNING, STOPPED, Status, guest_result, read_status
from ..guest.placement import read_cluster
from ..plan import Applier, Outcome, outcome
from ..selection import select_guest
from .migration_request import MigrationRequest
from .moving import MIGRATE_LOCK, apply_migration, cannot_be_moved, plan_migration
from .obstacles import obstacles
from .preconditions import Preconditions, read_preconditions
from .spreading import Move, gigabytes, spread


@dataclass(frozen=True)
class Look:
    """A guest that is to be moved, and the nodes of those asked for that it can go to, or why it cannot."""

    handle: GuestHandle
    status: Status
    preconditions: Preconditions | None = None
    obstacles: t.Mapping[str, t.Sequence[str]] | None = None

    @property
    def memory(self) -> int:
        """What it takes of the memory of the node that it goes to."""
        return self.status.max_memory if self.status.condition in (RUNNING, PAUSED) else 0

    @property
    def free(self) -> dict[str, int]:
        """The free memory of each node that is online, as far as the caller may see it."""
        nodes = self.preconditions.cluster.nodes if self.preconditions else ()
        return {node.name: node.free_memory for node in nodes}

    @property
    def suitable(self) -> tuple[str, ...]:
        """The nodes that nothing stands against."""
        return tuple(node for node, reasons in (self.obstacles or {}).items() if not reasons)


def ensure_migration(applier: Applier, request: MigrationRequest) -> Outcome:
    """Have a guest on one of the nodes; two requests when it is there already. Raises a PveError."""
    look = look_at_move(applier, request)
    handle, status = look.handle, look.status
    if look.preconditions is None:
        return outcome(applier, guest_result(handle.guest, status))
    target = target_of(look, request)
    plan = plan_migration(target, request, look.preconditions, handle)
    apply_migration(applier, handle, plan, target)
    if not applier.check_mode:
        before, status = status, read_status(handle)
        check_it_runs(handle, before, status)
    return outcome(applier, guest_result(handle.guest, status))


def look_at_move(applier: Applier, request: MigrationRequest) -> Look:
    """Read the guest, and what stands in the way of each node; neither when it is on one of them. Raises a PveError."""
    handle, status = select_guest(applier.client, request.selector, applier.guests)
    tries = applier.client.deadline.tries(applier.client.deadline.remaining)
    while True:
        status = _unlocked(handle, status)
        if handle.guest.node in request.nodes:
            return Look(handle, status)
        cluster = applier.cluster or read_cluster(applier.client)
        for node in request.nodes:
            cluster.check_known(node)
        try:
            preconditions = read_preconditions(handle, status, cluster)
        except PveError as error:
            # Somebody has begun something with it a moment ago.
            if error.pve_reason is not ErrorReason.LOCKED or not tries.again():
                raise
            status = read_status(handle)
        else:
            break
    against = {
        node: obstacles(preconditions, node, request.options, applier.client, applier.once) for node in request.nodes
    }
    return Look(handle, status, preconditions, against)


def _unlocked(handle: GuestHandle, status: Status) -> Status:
    """The guest once a move that is under way has ended, and, as far as the task waits for locks, any other lock."""
    client = handle.client
    if status.lock in ("", HIBERNATED_LOCK):
        return status
    seconds = client.deadline.remaining if status.lock == MIGRATE_LOCK else client.wait_for_lock or 0
    if not wait_until_unlocked(handle.read_lock, client.deadline, seconds):
        hint = "wait until that has ended, or set wait_for_lock"
        if client.wait_for_lock:
            hint = f"it still was after {in_full(client.wait_for_lock)} s, wait until that has ended"
        if status.lock == MIGRATE_LOCK:
            hint = "when no task moves it, an administrator has to unlock it with qm unlock or pct unlock"
        guest = handle.guest
        holder = held_by(client, guest.node, guest.vmid, status.lock)
        raise Locked(f"{guest.label} on node {guest.node} is locked ({status.lock}){holder}, and was not moved: {hint}")
    handle.follow()
    return read_status(handle)


def target_of(look: Look, request: MigrationRequest) -> str:
    """The node to move to: of several that with the most free memory; raises InvalidRequest when there is none."""
    guest, against = look.handle.guest, look.obstacles or {}
    if len(request.nodes) == 1 and not request.looks_at_memory:
        (node,) = request.nodes
        if against[node]:
            raise cannot_be_moved(guest, node, against[node])
        return node
    if request.planned in look.suitable:
        return str(request.planned)
    free = look.free if request.free is None else request.free
    move = Move(guest.vmid, look.memory, look.suitable)
    target = spread([move], free, overcommit=request.overcommit_memory)[guest.vmid]
    if target is None:
        raise no_node(look, free)
    return target


def no_node(look: Look, free: t.Mapping[str, int]) -> InvalidRequest:
    """The error that says of each node why the guest cannot go there."""
    guest = look.handle.guest
    words = []
    hint = "" if any(look.free.values()) else ": grant Sys.Audit on /nodes to see it, or set overcommit_memory"
    for node, reasons in (look.obstacles or {}).items():
        need = f"{gigabytes(free.get(node, 0))} of memory is free, and it needs {gigabytes(look.memory)}{hint}"
        words.append(f"to {node}: {'; and '.join(reasons) or need}")
    return InvalidRequest(f"{guest.label} cannot be moved from node {guest.node} {', '.join(words)}")


def check_it_runs(handle: GuestHandle, before: Status, after: Status) -> None:
    """Raise Refused when a guest that ran before it was moved does not any more."""
    if before.condition in (RUNNING, PAUSED) and after.condition == STOPPED:
        raise Refused(
            f"{handle.guest.label} was moved to node {handle.guest.node} and does not run there: "
            f"start it, and look at the node's log if it does not start"
        )
