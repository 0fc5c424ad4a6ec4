# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests that are still being made and have no name yet: an interrupted run may have begun the one that is meant."""

from __future__ import annotations

import typing as t

from ..._pve.client import PveClient
from ..._pve.errors import PveError
from ..._pve.guests import BIRTH_LOCKS, QEMU, Guest, is_absent
from ..._pve.tasks import parse_upid

BIRTH_TASKS = frozenset({"qmcreate", "qmclone", "qmrestore"})
PAUSE_SECONDS = 0.5


def wait_for_unfinished(client: PveClient, guests: t.Iterable[Guest]) -> bool:
    """Give time to the guests that the caller itself is making and that have no name yet; False when there are none.

    While PVE makes a guest its configuration says nothing but that (PVE::QemuConfig, create_and_lock_config). A lock
    that no running task holds is a leftover, which nobody has to wait for.
    """
    unfinished = [guest for guest in guests if _may_be_unnamed(guest)]
    nodes = {guest.node for guest in unfinished if not _has_name(client, guest)}
    if not any(_makes_guests(client, node) for node in sorted(nodes)):
        return False
    client.deadline.pause(PAUSE_SECONDS)
    return True


def _may_be_unnamed(guest: Guest) -> bool:
    return guest.kind == QEMU and guest.lock in BIRTH_LOCKS


def _has_name(client: PveClient, guest: Guest) -> bool:
    try:
        return "name" in client.read("nodes", guest.node, guest.kind, guest.vmid, "config")
    except PveError as error:
        if is_absent(error):
            return True
        raise


def _makes_guests(client: PveClient, node: str) -> bool:
    entries: t.Iterable[t.Mapping[str, t.Any]] = client.read("nodes", node, "tasks", source="active")
    upids = (parse_upid(str(entry["upid"])) for entry in entries)
    return any(upid.type in BIRTH_TASKS and upid.user == client.identity for upid in upids)
