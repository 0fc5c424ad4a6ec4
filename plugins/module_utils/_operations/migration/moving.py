# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Move a virtual machine to another node."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..._pve.client import PveClient
from ..._pve.commands import Command, run_command
from ..._pve.errors import InvalidRequest, NotFound, Refused, TimedOut
from ..._pve.guests import Guest, GuestHandle
from ..._pve.numbers import in_full
from ..._pve.tasks import Task
from ..facts import HIBERNATED, PAUSED, RUNNING, Status, read_status
from ..ha import takes_commands
from ..plan import Applier, Change, Plan, PlanStep

# PVE makes cloud-init's drive anew on the other node (PVE::QemuMigrate scan_local_volumes).
_CLOUD_INIT = "cloudinit"


@dataclass(frozen=True)
class MigrationRequest:
    """Which node the guest is to be on; the disks of a running guest are copied only where that is asked for."""

    target: str
    with_local_disks: bool = False


@dataclass(frozen=True)
class Preconditions:
    """What PVE says about moving a guest, and the nodes of the cluster with their status."""

    nodes: t.Mapping[str, str] = field(default_factory=dict)
    not_allowed: t.Mapping[str, t.Any] = field(default_factory=dict)
    local_disks: tuple[str, ...] = ()
    local_isos: tuple[str, ...] = ()
    local_devices: tuple[str, ...] = ()


@dataclass(frozen=True)
class MigrationStep(PlanStep):
    """A migration; the task of an HA guest ends before anything has happened, so this goes on until something has."""

    target: str = ""
    through_ha: bool = False

    def run(self, client: PveClient, handle: GuestHandle | None) -> Task | None:
        if handle is None:
            raise TypeError("a migration is about a guest")
        if self.through_ha:
            _await_settled(handle)
        task = run_command(client, self.command, handle)
        if self.through_ha:
            _await_node(handle, self.target)
        return task


def migrate_guest(applier: Applier, handle: GuestHandle, status: Status, request: MigrationRequest) -> None:
    """Move a guest that has been read; raises a PveError, with the reason when it cannot be moved."""
    if handle.guest.node == request.target:
        return
    plan = plan_migration(request, handle.guest, status, read_preconditions(handle, request.target), handle)
    if applier.apply(plan, handle):
        handle.guest = handle.guest._replace(node=request.target)


def read_preconditions(handle: GuestHandle, target: str) -> Preconditions:
    """Ask what stands against moving the guest; two requests."""
    nodes = {str(entry["node"]): str(entry.get("status")) for entry in handle.client.read("nodes")}
    if target not in nodes:
        raise NotFound(f"there is no node {target} in the cluster: it has {', '.join(sorted(nodes))}")
    data = handle.read("migrate", target=target)
    disks = [entry for entry in data.get("local_disks") or () if _CLOUD_INIT not in str(entry.get("volid"))]
    volumes: dict[bool, list[str]] = {True: [], False: []}
    for entry in disks:
        volumes[bool(int(entry.get("cdrom") or 0))].append(str(entry.get("volid")))
    devices = (*(data.get("local_resources") or ()), *(data.get("mapped-resources") or ()))
    return Preconditions(
        nodes=nodes,
        not_allowed=data.get("not_allowed_nodes") or {},
        local_disks=tuple(volumes[False]),
        local_isos=tuple(volumes[True]),
        local_devices=tuple(str(device) for device in devices),
    )


def plan_migration(
    request: MigrationRequest,
    guest: Guest,
    status: Status,
    preconditions: Preconditions,
    handle: GuestHandle | None = None,
) -> Plan:
    """Say what has to be sent; raises InvalidRequest or Refused with the reason why the guest cannot be moved."""
    target, online = request.target, status.condition in (RUNNING, PAUSED)
    reason = "".join(_reasons(request, status, preconditions, online)[:1])
    if reason:
        raise InvalidRequest(f"{guest.label} cannot be moved from node {guest.node} to {target}: {reason}")
    form = {
        "target": target,
        "online": 1 if online else None,
        "with-local-disks": 1 if online and preconditions.local_disks else None,
    }
    through_ha = status.ha_managed and status.ha_state != "ignored"
    command = Command(
        "POST",
        (guest.kind, guest.vmid, "migrate"),
        form,
        node=guest.node,
        task_type="hamigrate" if through_ha else "qmigrate",
        task_id=str(guest.vmid),
        done=lambda: handle is not None and _node_of(handle) == target,
    )
    step = MigrationStep(f"move {guest.label} to node {target}", command, target=target, through_ha=through_ha)
    return Plan((step,), (Change("node", guest.node, target),))


def _reasons(request: MigrationRequest, status: Status, preconditions: Preconditions, online: bool) -> list[str]:
    found = []
    if preconditions.nodes.get(request.target) != "online":
        found.append(f"node {request.target} is {preconditions.nodes.get(request.target)}")
    if status.condition == HIBERNATED:
        found.append("it is hibernated, and the node of its memory has to wake it: resume it first")
    # PVE lists nodes here that nothing stands against, too.
    barred = {name: why for name, why in dict(preconditions.not_allowed.get(request.target) or {}).items() if why}
    storages = ", ".join(map(str, barred.get("unavailable_storages") or ()))
    if storages:
        found.append(f"its storage {storages} is not there")
    elif barred:
        found.append(f"PVE does not allow it ({barred})")
    if preconditions.local_isos:
        found.append(f"{', '.join(preconditions.local_isos)} in its drive is on this node only: detach it first")
    if preconditions.local_devices and online:
        found.append(f"it uses devices of this node ({', '.join(preconditions.local_devices)}): stop it first")
    if online and preconditions.local_disks and not request.with_local_disks:
        disks = ", ".join(preconditions.local_disks)
        found.append(f"it runs, and its disks are on this node only ({disks}): stop it first, or let them be copied")
    return found


def _await_settled(handle: GuestHandle) -> None:
    """Wait while HA starts or moves the guest: commands meanwhile are lost; raises TimedOut at the deadline."""
    deadline = handle.client.deadline
    tries = deadline.tries(deadline.remaining)
    while not takes_commands(read_status(handle).ha_state):
        if not tries.again():
            raise TimedOut(
                f"HA was still starting or moving {handle.guest.label} after {deadline.seconds:g} s, so it was not "
                f"asked to move it: look at it with ha-manager status"
            )


def _node_of(handle: GuestHandle) -> str:
    handle.follow()
    return handle.guest.node


def _await_node(handle: GuestHandle, target: str) -> None:
    """Wait until HA has moved the guest; raises Refused when HA gave it up, TimedOut at the deadline."""
    deadline = handle.client.deadline
    tries = deadline.tries(deadline.remaining)
    while _node_of(handle) != target:
        if read_status(handle).ha_state == "error":
            raise Refused(f"{handle.guest.label} is in the HA state error: look at it with ha-manager status")
        if not tries.again():
            raise TimedOut(
                f"{handle.guest.label} is still on node {handle.guest.node} after {in_full(deadline.seconds)} s: "
                f"HA was asked to move it to {target}, look at it with ha-manager status"
            )
