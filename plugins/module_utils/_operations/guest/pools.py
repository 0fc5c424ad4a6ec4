# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which pool a guest is in, also for somebody to whom PVE's list of guests does not tell it, and how it changes."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..._pve.client import PveClient
from ..._pve.commands import Command
from ..._pve.errors import Refused
from ..._pve.guests import Guest, GuestHandle
from .state import GuestState


def see_pool(handle: GuestHandle, pool: str | None, state: GuestState) -> GuestState:
    """Return the state with the pool asked for when the guest is in it; raises a PveError when there is no such pool.

    The list of guests names a pool only to those with Pool.Audit on it, so a pool that differs is looked at itself.
    """
    if not pool or pool == handle.guest.pool:
        return state
    for entry in _read_pool(handle.client, pool):
        if any(member.get("vmid") == handle.guest.vmid for member in entry.get("members") or ()):
            handle.guest = handle.guest._replace(pool=pool)
    return replace(state, guest=handle.guest)


def _read_pool(client: PveClient, name: str) -> list[dict[str, t.Any]]:
    try:
        return t.cast("list[dict[str, t.Any]]", client.read("pools", poolid=name))
    except Refused as error:
        if "poolid" not in error.cause.field_errors:
            raise
    # Before PVE 8.1 each pool has a path of its own, and needs Pool.Audit (pve-manager, PVE::API2::Pool).
    return [client.read("pools", name)]


def pool_command(guest: Guest, pool: str) -> Command:
    """Put the guest into a pool, out of the one that it is in; an empty name only takes it out."""
    leave = Command("PUT", ("pools", guest.pool), {"vms": guest.vmid, "delete": 1})
    enter = Command("PUT", ("pools", pool), {"vms": guest.vmid})
    # PVE 8.0 has neither the call without a pool in its path nor, at first, the move from one pool to another.
    if not pool:
        return Command("PUT", ("pools",), {**leave.form, "poolid": guest.pool}, instead=(leave,))
    instead = (leave, enter) if guest.pool else (enter,)
    return Command("PUT", ("pools",), {**enter.form, "poolid": pool, "allow-move": 1}, instead=instead)
