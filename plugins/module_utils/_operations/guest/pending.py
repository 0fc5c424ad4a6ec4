# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bringing about what a running guest has not taken: by a reboot, and for cloud-init by making its drive anew.

cloud-init's settings are never pending in PVE: they are written at once, and the guest reads them from its drive when
it boots. PVE lists what the drive lacks, but of the addresses only those that are new or gone (PVE::API2::Qemu
cloudinit_pending).
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..._pve.commands import Command
from ..._pve.guests import QEMU, GuestHandle
from ..._pve.vm_config import CLOUD_INIT_KEY
from ..facts import Pending
from ..plan import Applier, Change, Plan, PlanStep
from ..power import PowerRequest, bring_into_state
from ..vm.vm_request import VmRequest
from .config_plan import cloud_init_drives
from .desired import MASK, readable
from .state import GuestState, Origin, read_state


def bring_about(
    applier: Applier, request: VmRequest, handle: GuestHandle, state: GuestState, changes: t.Sequence[Change]
) -> GuestState:
    """Do for what a running guest has not taken what the request says; changes are those that this run has made."""
    state = replace(state, not_read=_not_read(request, handle, state, changes))
    if request.apply_pending == "reboot" and state.reboot_required and state.status is not None:
        reboot = PowerRequest(request.selector, "restarted", shutdown_timeout=request.shutdown_timeout)
        status = bring_into_state(applier, handle, state.status, reboot)
        return state if status is None else read_state(handle, Origin.WRITTEN, status)
    if _is_drive_due(request, state):
        applier.apply(Plan((_drive_step(state),)), handle)
    return state


def _not_read(
    request: VmRequest, handle: GuestHandle, state: GuestState, changes: t.Sequence[Change]
) -> tuple[Pending, ...]:
    """What the running guest has not read of its cloud-init settings: what PVE says, and what this run has changed."""
    if not state.running or not cloud_init_drives(state.in_effect):
        return ()
    mine = {change.key: _pending(change.key, change.before, change.after) for change in _of_cloud_init(changes)}
    if not mine and request.apply_pending == "never" and _regenerate(request) == "on_change":
        return ()
    entries: list[dict[str, t.Any]] = handle.read("cloudinit")
    drive = {
        str(entry["key"]): _pending(str(entry["key"]), entry.get("value"), entry.get("pending"))
        for entry in entries
        if "pending" in entry or entry.get("delete")
    }
    found = {**mine, **{key: item for key, item in drive.items() if CLOUD_INIT_KEY.fullmatch(key)}}
    return tuple(found[key] for key in sorted(found))


def _of_cloud_init(changes: t.Iterable[Change]) -> t.Iterator[Change]:
    return (change for change in changes if CLOUD_INIT_KEY.fullmatch(change.key))


def _pending(key: str, current: t.Any, pending: t.Any) -> Pending:
    if key == "cipassword":
        current, pending = (None if text is None else MASK for text in (current, pending))
    before, after = (None if text is None else readable(key, str(text)) for text in (current, pending))
    return Pending(key, before, after, delete=pending is None)


def _regenerate(request: VmRequest) -> str:
    return request.cloud_init.regenerate if request.cloud_init is not None else "on_change"


def _is_drive_due(request: VmRequest, state: GuestState) -> bool:
    return bool(state.not_read) and _regenerate(request) != "never" and not _regenerates_itself(state)


def _regenerates_itself(state: GuestState) -> bool:
    """With this feature PVE makes the drive anew at each change."""
    return "cloudinit" in state.in_effect.get("hotplug", "").replace(";", ",").split(",")


def _drive_step(state: GuestState) -> PlanStep:
    guest = state.guest
    keys = ", ".join(item.key for item in state.not_read)
    command = Command("PUT", (QEMU, guest.vmid, "cloudinit"), node=guest.node, done=lambda: True)
    return PlanStep(f"make the cloud-init drive of {guest.label} anew with {keys}", command)
