# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""cloud-init's settings that a running guest has not read, and its drive, which is made anew for them.

They are never pending in PVE: they are written at once, and the guest reads them from its drive when it boots. PVE
lists what the drive lacks, but of the addresses only those that are new or gone (PVE::API2::Qemu cloudinit_pending).
"""

from __future__ import annotations

import typing as t

from ..._pve.commands import Command
from ..._pve.guests import QEMU, GuestHandle
from ..._pve.vm_config import CLOUD_INIT_KEY
from ..facts import Pending
from ..guest.desired import MASK, readable
from ..guest.state import GuestState
from ..plan import Change, Plan, PlanStep
from .cloud_init import cloud_init_drives


def not_read(
    handle: GuestHandle, state: GuestState, changes: t.Sequence[Change], *, looks: bool
) -> tuple[Pending, ...]:
    """What PVE says that the guest has not read, and what this run has changed; PVE is asked when that matters."""
    if not state.running or not cloud_init_drives(state.in_effect):
        return ()
    mine = {change.key: _pending(change.key, change.before, change.after) for change in _of_cloud_init(changes)}
    if not mine and not looks:
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


def plan_drive(state: GuestState) -> Plan:
    """Make the drive anew, unless PVE does that itself at each change."""
    if not state.not_read or "cloudinit" in state.in_effect.get("hotplug", "").replace(";", ",").split(","):
        return Plan()
    guest = state.guest
    keys = ", ".join(item.key for item in state.not_read)
    command = Command("PUT", (QEMU, guest.vmid, "cloudinit"), node=guest.node, done=lambda: True)
    return Plan((PlanStep(f"make the cloud-init drive of {guest.label} anew with {keys}", command),))
