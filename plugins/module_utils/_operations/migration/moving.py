# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Move a guest to another node: the plan, and the step that waits until the guest is really there."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..._pve.client import PveClient
from ..._pve.commands import Command, run_command
from ..._pve.errors import InvalidRequest, PveError
from ..._pve.guests import LXC, Guest, GuestHandle, Selector
from ..._pve.locks import wait_until_unlocked
from ..._pve.tasks import Task
from ..facts import Status
from ..guest.placement import read_cluster
from ..plan import Applier, Change, Plan, PlanStep
from .after_a_failure import explained
from .ha_moves import MIGRATE_LOCKED, move_through_ha
from .migration_request import MigrationOptions, MigrationRequest
from .obstacles import obstacles
from .preconditions import Preconditions, read_preconditions

MIGRATE_LOCK = "migrate"


@dataclass(frozen=True)
class MigrationStep(PlanStep):
    """A migration; the task of an HA guest ends before anything has happened, so this goes on until something has."""

    target: str = ""
    through_ha: bool = False
    # Where it may be as well, when HA moves it somewhere else meanwhile.
    nodes: tuple[str, ...] = ()

    def run(self, client: PveClient, handle: GuestHandle | None) -> Task | None:
        if handle is None:
            raise TypeError("a migration is about a guest")
        source = handle.guest
        if source.node in self.nodes:
            # Somebody else has moved it since this was planned.
            return None
        try:
            return self._move(client, handle)
        except PveError as error:
            problem = explained(error, handle, source, self.target)
            if problem is None:
                return None
            raise problem from error

    def _move(self, client: PveClient, handle: GuestHandle) -> Task | None:
        if self.through_ha:
            return move_through_ha(handle, self.command, self.target, self.nodes)
        while True:
            try:
                return run_command(client, self.command, handle)
            except PveError as error:
                # Somebody else was faster; where that takes the guest shows when it has ended.
                if MIGRATE_LOCKED not in error.cause.pve_message:
                    raise
                if not wait_until_unlocked(handle.read_lock, client.deadline, client.deadline.remaining):
                    raise
                handle.follow()
                if handle.guest.node in self.nodes:
                    return None


def migrate_guest(
    applier: Applier, handle: GuestHandle, status: Status, target: str, options: MigrationOptions
) -> None:
    """Move a guest that has been read; raises a PveError, with the reasons when it cannot be moved."""
    if handle.guest.node == target:
        return
    cluster = applier.cluster or read_cluster(applier.client)
    cluster.check_known(target)
    preconditions = read_preconditions(handle, status, cluster)
    reasons = obstacles(preconditions, target, options, applier.client, applier.once)
    if reasons:
        raise cannot_be_moved(handle.guest, target, reasons)
    request = MigrationRequest(Selector(handle.guest.vmid), (target,), options)
    apply_migration(applier, handle, plan_migration(target, request, preconditions, handle), target)


def cannot_be_moved(guest: Guest, target: str, reasons: t.Sequence[str]) -> InvalidRequest:
    """The error that says all that stands in the way."""
    return InvalidRequest(f"{guest.label} cannot be moved from node {guest.node} to {target}: {'; and '.join(reasons)}")


def apply_migration(applier: Applier, handle: GuestHandle, plan: Plan, target: str) -> None:
    """Carry the plan out, or in check mode note it; raises a PveError that says where the guest is."""
    # Where it was when this was planned.
    source = plan.changes[0].before
    if applier.apply(plan, handle) and handle.guest.node == source:
        handle.guest = handle.guest._replace(node=target)


def plan_migration(target: str, request: MigrationRequest, preconditions: Preconditions, handle: GuestHandle) -> Plan:
    """Say what has to be sent; nothing may stand in the way any more."""
    guest, through_ha, options = preconditions.guest, preconditions.through_ha, request.options
    move = "vzmigrate" if guest.kind == LXC else "qmigrate"
    command = Command(
        "POST",
        (guest.kind, guest.vmid, "migrate"),
        _form(target, options, preconditions),
        node=guest.node,
        task_type="hamigrate" if through_ha else move,
        task_id=str(guest.vmid),
        done=lambda: _node_of(handle) in request.nodes,
    )
    title = f"move {guest.label} to node {target}"
    step = MigrationStep(title, command, target=target, through_ha=through_ha, nodes=request.nodes)
    return Plan((step,), (Change("node", guest.node, target), *_storage_changes(options, preconditions)))


def _form(target: str, options: MigrationOptions, preconditions: Preconditions) -> dict[str, t.Any]:
    online = preconditions.online
    common = {"target": target, "bwlimit": options.bandwidth}
    if preconditions.guest.kind == LXC:
        restart = {"restart": 1, "timeout": options.shutdown_timeout} if online else {}
        return {**common, **restart, "target-storage": options.storage_list}
    copies = online and any(volume.attached for volume in preconditions.local_volumes)
    return {
        **common,
        # HA may be about to start what does not run yet; of a guest that is stopped PVE ignores this.
        "online": 1 if online or preconditions.through_ha else None,
        "with-local-disks": 1 if copies else None,
        "targetstorage": options.storage_list,
    }


def _storage_changes(options: MigrationOptions, preconditions: Preconditions) -> t.Iterator[Change]:
    shared = frozenset().union(*(node.shared for node in preconditions.cluster.nodes))
    for volume in (*preconditions.local_volumes, *preconditions.mounts):
        wanted = options.storage_for(volume.storage)
        if volume.key and wanted != volume.storage and volume.storage not in shared:
            yield Change(f"{volume.key}.storage", volume.storage, wanted)


def _node_of(handle: GuestHandle) -> str:
    handle.follow()
    return handle.guest.node
