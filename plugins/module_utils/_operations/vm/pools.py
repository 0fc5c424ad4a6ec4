# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a guest is in a pool, also for somebody to whom PVE's list of guests does not tell it."""

from __future__ import annotations

from dataclasses import replace

from ..._pve.guests import GuestHandle
from .request import VmRequest
from .state import VmState


def see_pool(handle: GuestHandle, request: VmRequest, state: VmState) -> VmState:
    """Return the state with the pool asked for when the guest is in it; raises a PveError when there is no such pool.

    The list of guests names a pool only to those with Pool.Audit on it, so a pool that differs is looked at itself.
    """
    if not request.pool or request.pool == handle.guest.pool:
        return state
    for pool in handle.client.read("pools", poolid=request.pool):
        if any(member.get("vmid") == handle.guest.vmid for member in pool.get("members") or ()):
            handle.guest = replace(handle.guest, pool=request.pool)
    return replace(state, guest=handle.guest)
