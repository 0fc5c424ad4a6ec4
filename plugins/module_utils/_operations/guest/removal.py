# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deleting a guest: only the one that is meant, and only when that is certain."""

from __future__ import annotations

import re
import typing as t

from ..._pve.commands import Command
from ..._pve.errors import ErrorReason, InvalidRequest, PveError
from ..._pve.guests import GuestHandle
from ..._pve.locks import outlast_lock
from ..plan import Applier, Change, Plan, PlanStep
from ..power import PowerRequest, bring_into_state
from .guest_request import GuestRequest
from .kind import GuestKind
from .state import GuestState, read_state

# PVE::API2::Qemu and PVE::API2::LXC, destroy_vm.
_BACKUP_LOCK = "backup"
_IS_RUNNING = re.compile("is running - destroy failed|container is running")


def remove_guest(applier: Applier, handle: GuestHandle, request: GuestRequest, state: GuestState) -> None:
    """Stop the guest, if that is allowed, and destroy it; raises a PveError and then has changed nothing or little."""
    _check_removable(request, state)
    if state.status is not None and state.status.lock == _BACKUP_LOCK and not applier.check_mode:
        # Of a stopped guest, whose disks QEMU lends to vzdump, PVE would only say that it runs.
        outlast_lock(handle, state.status.lock)
        state = read_state(handle)
    _stop(applier, handle, request, state)
    try:
        applier.apply(plan_removal(request, state, handle), handle)
    except PveError as error:
        # HA, or somebody else, has started it meanwhile.
        if not _IS_RUNNING.search(str(error)) or not request.force or _is_gone(handle, request.kind, state.values):
            raise
        _stop(applier, handle, request, read_state(handle))
        applier.apply(plan_removal(request, state, handle), handle)


def _stop(applier: Applier, handle: GuestHandle, request: GuestRequest, state: GuestState) -> None:
    if state.running and state.status is not None:
        stop = PowerRequest(request.selector, "stopped", stop_method="stop")
        bring_into_state(applier, handle, state.status, stop)


def _check_removable(request: GuestRequest, state: GuestState) -> None:
    label, node = state.guest.label, state.guest.node
    if state.running and not request.force:
        raise InvalidRequest(f"{label} on node {node} is running: stop it first, or set force to power it off")
    if state.values.get("protection") == "1":
        raise InvalidRequest(f"{label} on node {node} is protected against removal: set protection to false first")
    if state.status is not None and state.status.ha_managed and not request.purge:
        raise InvalidRequest(f"{label} on node {node} is an HA resource: set purge to remove it from HA, too")


def plan_removal(request: GuestRequest, state: GuestState, handle: GuestHandle | None = None) -> Plan:
    """The plan that destroys a stopped guest."""
    guest, kind = state.guest, request.kind
    form = {
        "purge": 1 if request.purge else None,
        "destroy-unreferenced-disks": 1 if request.destroy_unreferenced_disks else None,
    }
    command = Command(
        "DELETE",
        (kind.path, guest.vmid),
        form,
        node=guest.node,
        task_type=kind.task("destroy"),
        task_id=str(guest.vmid),
        done=lambda: handle is not None and _is_gone(handle, request.kind, state.values),
        accepts=frozenset({ErrorReason.GUEST_ABSENT}),
    )
    before = {"vmid": guest.vmid, "name": state.name, "node": guest.node}
    return Plan((PlanStep(f"delete {guest.label} on node {guest.node}", command, (Change("guest", before, None),)),))


def _is_gone(handle: GuestHandle, kind: GuestKind, before: t.Mapping[str, str]) -> bool:
    """Whether the guest is not there any more; another one with its number is none of our business."""
    config = handle.read_config()
    return config is None or any(str(config.get(key, "")) != before.get(key, "") for key in kind.identity)
