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
from ..._pve.guests import LXC, Guest, GuestHandle
from ..._pve.tasks import Task
from ..facts import PAUSED, RUNNING, STOPPED, Status
from ..guest.placement import read_cluster
from ..plan import Applier, Change, Plan, PlanStep
from .after_a_failure import explained
from .ha_moves import move_through_ha
from .migration_request import MigrationOptions
from .obstacles import obstacles
from .preconditions import Preconditions, read_preconditions


@dataclass(frozen=True)
class MigrationStep(PlanStep):
    """A migration; the task of an HA guest ends before anything has happened, so this goes on until something has."""

    target: str = ""
    through_ha: bool = False

    def run(self, client: PveClient, handle: GuestHandle | None) -> Task | None:
        if handle is None:
            raise TypeError("a migration is about a guest")
        source = handle.guest
        try:
            if self.through_ha:
                return move_through_ha(handle, self.command, self.target)
            return run_command(client, self.command, handle)
        except PveError as error:
            problem = explained(error, handle, source, self.target)
            if problem is None:
                return None
            raise problem from error


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
    apply_migration(applier, handle, plan_migration(target, options, preconditions, handle), target)


def cannot_be_moved(guest: Guest, target: str, reasons: t.Sequence[str]) -> InvalidRequest:
    """The error that says all that stands in the way."""
    return InvalidRequest(f"{guest.label} cannot be moved from node {guest.node} to {target}: {'; and '.join(reasons)}")


def apply_migration(applier: Applier, handle: GuestHandle, plan: Plan, target: str) -> None:
    """Carry the plan out, or in check mode note it; raises a PveError that says where the guest is."""
    if applier.apply(plan, handle):
        handle.guest = handle.guest._replace(node=target)


def plan_migration(target: str, options: MigrationOptions, preconditions: Preconditions, handle: GuestHandle) -> Plan:
    """Say what has to be sent; nothing may stand in the way any more."""
    guest, through_ha = preconditions.guest, preconditions.through_ha
    move = "vzmigrate" if guest.kind == LXC else "qmigrate"
    command = Command(
        "POST",
        (guest.kind, guest.vmid, "migrate"),
        _form(target, options, preconditions),
        node=guest.node,
        task_type="hamigrate" if through_ha else move,
        task_id=str(guest.vmid),
        done=lambda: _node_of(handle) == target,
    )
    step = MigrationStep(f"move {guest.label} to node {target}", command, target=target, through_ha=through_ha)
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


def was_interrupted(before: Status, after: Status) -> bool:
    """The guest ran before it was moved, and does not now."""
    return before.condition in (RUNNING, PAUSED) and after.condition == STOPPED


def _node_of(handle: GuestHandle) -> str:
    handle.follow()
    return handle.guest.node
