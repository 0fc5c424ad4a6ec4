# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moves that HA carries out: it takes its time, loses what comes too early, and says nowhere why it gave up."""

from __future__ import annotations

import typing as t

from ..._pve.client import PveClient
from ..._pve.commands import Command, run_command
from ..._pve.deadline import Tries
from ..._pve.errors import ErrorReason, PermissionDenied, PveError, Refused, TimedOut
from ..._pve.guests import LXC, GuestHandle, unless_absent
from ..._pve.numbers import in_full
from ..._pve.tasks import Task, ended_task, parse_upid, read_task
from ..facts import read_status
from ..ha import no_move_to, read_maintenance, read_round, takes_commands

# HA's manager takes up a command in its next round, of ten seconds each (PVE::HA::Manager, update_crm_commands). Who
# may not see the rounds waits as long as three of them take.
HEEDED_ROUNDS = 3
HEEDED_SECONDS = 35.0
_MOVING = ("migrate", "relocate")
MIGRATE_LOCKED = "is locked (migrate)"


def move_through_ha(handle: GuestHandle, command: Command, target: str, nodes: t.Collection[str]) -> Task | None:
    """Ask HA for the move, and ask again when it was lost, until the guest is there and settled.

    HA may have been moving it to another of the nodes already. Raises Refused or TaskFailed when HA gave it up,
    TimedOut at the deadline.
    """
    deadline = handle.client.deadline
    tries, task = deadline.tries(deadline.remaining), None
    while True:
        _await_settled(handle, target, tries)
        if handle.guest.node in nodes:
            return task
        since = handle.client.server_time
        try:
            task = run_command(handle.client, command, handle)
            if _arrives(handle, target, tries, since):
                return task
        except PveError as error:
            # It is being moved by somebody else, or PVE's clean-up holds it: what comes of that shows in a moment.
            busy = error.pve_reason is ErrorReason.LOCK_TIMEOUT or MIGRATE_LOCKED in error.cause.pve_message
            if not busy or not tries.again():
                raise


def _await_settled(handle: GuestHandle, target: str, tries: Tries) -> None:
    """Wait while HA starts, stops or moves the guest: commands meanwhile are lost; raises TimedOut at the deadline."""
    while True:
        state = _state(handle)
        if state == "error":
            raise _in_error(handle)
        if state == "stopped" or takes_commands(state):
            return
        if not tries.again():
            seconds = in_full(handle.client.deadline.seconds)
            raise TimedOut(
                f"HA was still starting or moving {handle.guest.label} after {seconds} s, so it was not "
                f"asked to move it to {target}: look at it with ha-manager status"
            )


class ManagerAttention:
    """Whether HA has had the time to take up a command."""

    def __init__(self, client: PveClient) -> None:
        self._client = client
        self._patience = client.deadline.within(HEEDED_SECONDS)
        self._rounds = {read_round(client)}

    @property
    def is_over(self) -> bool:
        self._rounds.add(read_round(self._client))
        if None in self._rounds:
            return self._patience.expired
        return len(self._rounds) > HEEDED_ROUNDS


def _arrives(handle: GuestHandle, target: str, tries: Tries, since: int) -> bool:
    """Wait until the guest is there and settled; False when HA took no notice of what it was asked for."""
    source = handle.guest.node
    attention, moving = ManagerAttention(handle.client), False
    while True:
        state = _state(handle)
        if state == "error":
            raise _in_error(handle)
        if state in _MOVING:
            moving = True
        elif handle.guest.node == target and takes_commands(state):
            return True
        elif takes_commands(state) and (moving or attention.is_over):
            _raise_failed_move(handle, source, since)
            if moving:
                raise Refused(f"HA gave up to move {handle.guest.label} to node {target}: look at ha-manager status")
            if target in read_maintenance(handle.client).nodes:
                raise Refused(f"HA does not move {handle.guest.label}: {no_move_to(target)}")
            return False
        if not tries.again():
            seconds = in_full(handle.client.deadline.seconds)
            raise TimedOut(
                f"{handle.guest.label} is still on node {handle.guest.node} after {seconds} s: "
                f"HA was asked to move it to {target}, look at it with ha-manager status"
            )


def _state(handle: GuestHandle) -> str:
    """The state of the resource; as if it moved while the guest is between two nodes."""
    status = unless_absent(lambda: read_status(handle))
    return _MOVING[0] if status is None else status.ha_state


def _in_error(handle: GuestHandle) -> Refused:
    return Refused(
        f"{handle.guest.label} is in the HA state error, in which HA does not move it: look at ha-manager status"
    )


def _raise_failed_move(handle: GuestHandle, node: str, since: int) -> None:
    """Raise TaskFailed for the newest task by which HA tried to move the guest, when it has failed."""
    client, guest = handle.client, handle.guest
    kind = "vzmigrate" if guest.kind == LXC else "qmigrate"
    try:
        entries: list[dict[str, t.Any]] = client.read(
            "nodes", node, "tasks", vmid=guest.vmid, typefilter=kind, since=since, source="archive"
        )
        upids = [parse_upid(str(entry["upid"])) for entry in entries]
        newest = max(upids, key=lambda upid: upid.start, default=None)
        task = None if newest is None else read_task(client, newest)
    except (PermissionDenied, Refused):
        return
    if newest is not None and task is not None and not task.running:
        ended_task(client, newest, task)
