# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests that are still being made and have no name yet: another run may have begun the one that is meant."""

from __future__ import annotations

import typing as t

from ..._pve.client import PveClient
from ..._pve.guests import CREATION_LOCKS, NAME_KEYS, Guest, GuestHandle, read_guests, unless_absent
from ..._pve.tasks import parse_upid
from .kind import GuestKind

PAUSE_SECONDS = 0.5


def wait_for_unfinished(client: PveClient, kind: GuestKind, guests: t.Iterable[Guest]) -> bool:
    """Give time to the guests that the caller itself is making and that have no name yet; False when there are none.

    While PVE makes a guest its configuration says nothing but that (PVE::QemuConfig, create_and_lock_config). A lock
    that no running task holds is a leftover, which nobody has to wait for.
    """
    unfinished = [
        guest for guest in guests if _may_be_unnamed(kind, guest) and guest.vmid not in client.turns.own_vmids
    ]
    nodes = {guest.node for guest in unfinished if not _has_name(client, guest)}
    if not any(_makes_guests(client, kind, node) for node in sorted(nodes)):
        return False
    client.deadline.pause(PAUSE_SECONDS)
    return True


def find_rival(
    client: PveClient, kind: GuestKind, name: str, vmid: int, known: t.Container[int], seconds: float
) -> Guest | None:
    """Find a guest that another run made under the same name before guest vmid, when known were all the guests.

    What is still being made has no name yet, and gets so many seconds for it.
    """
    watch = client.deadline.within(seconds)
    while True:
        own = client.turns.own_vmids - client.turns.unsure_vmids
        others = (item for item in read_guests(client) if item.vmid not in own)
        guests = [item for item in others if item.vmid < vmid and item.vmid not in known]
        if watch.expired or all(_has_name(client, guest) for guest in guests if _may_be_unnamed(kind, guest)):
            break
        client.deadline.pause(PAUSE_SECONDS)
    return next((guest for guest in guests if guest.kind == kind.path and _name_of(client, guest) == name), None)


def _name_of(client: PveClient, guest: Guest) -> str:
    config = GuestHandle(client, guest).read_config()
    return str((config or {}).get(NAME_KEYS[guest.kind]) or "")


def _may_be_unnamed(kind: GuestKind, guest: Guest) -> bool:
    return guest.kind == kind.path and guest.lock in CREATION_LOCKS


def _has_name(client: PveClient, guest: Guest) -> bool:
    config = unless_absent(lambda: client.read("nodes", guest.node, guest.kind, guest.vmid, "config"))
    return config is None or NAME_KEYS[guest.kind] in config


def _makes_guests(client: PveClient, kind: GuestKind, node: str) -> bool:
    entries: t.Iterable[t.Mapping[str, t.Any]] = client.read("nodes", node, "tasks", source="active")
    upids = (parse_upid(str(entry["upid"])) for entry in entries)
    return any(upid.type in kind.creation_tasks and upid.user == client.identity for upid in upids)
