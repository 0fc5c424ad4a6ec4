# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest that a backup is restored into to see that it can be, before another one is replaced by it."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..._pve.client import PveClient
from ..._pve.errors import Conflict
from ..._pve.guests import NAME_KEYS, GuestHandle, Selector, read_guests
from ..plan import Applier, Plan, PlanStep
from .restore_request import RestoreRequest
from .restoring import CHECK_MARK, destruction, restored_from

CHECK_SUFFIX = "-restore-check"
# The longest part of a DNS name.
_LONGEST_LABEL = 63


def check_name(request: RestoreRequest) -> str:
    label = str(request.name).partition(".")[0]
    return f"{label[: _LONGEST_LABEL - len(CHECK_SUFFIX)]}{CHECK_SUFFIX}"


def check_notes(notes: str, vmid: int) -> str:
    """The notes of the guest that is made to check a backup for the guest of this number."""
    return f"{_mark(vmid)}\n{notes}"


def _mark(vmid: int) -> str:
    return f"{CHECK_MARK}{vmid}, and deleted by it."


def find_check(client: PveClient, request: RestoreRequest, vmid: int) -> GuestHandle | None:
    """The guest that an earlier run, which was broken off, has made to check the same backup for the same guest."""
    selector = Selector(name=check_name(request), kind=request.kind)
    listed = [guest for guest in read_guests(client) if selector.names(guest) and guest.kind == request.kind]
    for handle in (GuestHandle(client, guest) for guest in listed):
        if _is_check(handle.read_config() or {}, request, vmid):
            return handle
    return None


def _is_check(config: t.Mapping[str, t.Any], request: RestoreRequest, vmid: int) -> bool:
    notes = str(config.get("description") or "")
    is_named = config.get(NAME_KEYS[request.kind]) == check_name(request)
    return is_named and _mark(vmid) in notes.splitlines() and restored_from(notes) == request.backup


def delete_check(applier: Applier, request: RestoreRequest, vmid: int, checked: GuestHandle | None) -> list[str]:
    """Delete the guest that was made to check the backup, unless it is another one by now; returns what to warn of.

    In check mode there is none yet.
    """
    title = f"delete {check_name(request)}, which was made to check the backup of guest {vmid}"
    if checked is None:
        applier.note(title)
        return []

    def look() -> None:
        if not _is_check(checked.read("config"), request, vmid):
            number = checked.guest.vmid
            raise Conflict(f"guest {number} is not the one any more that was made to check the backup: look at it")

    try:
        applier.apply(Plan((PlanStep(title, replace(destruction(checked), check=look)),)), checked)
    except Conflict as error:
        return [str(error)]
    return []


def delete_left_check(applier: Applier, request: RestoreRequest, vmid: int | None) -> list[str]:
    """Delete what an earlier run, which was broken off, has made to check the backup; returns what to warn of."""
    if not request.force or vmid is None:
        return []
    checked = find_check(applier.client, request, vmid)
    return [] if checked is None else delete_check(applier, request, vmid, checked)
