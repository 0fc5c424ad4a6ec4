# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for the locks that PVE puts on a guest while it backs it up, moves it or takes a snapshot."""

from __future__ import annotations

import re
import typing as t

from .client import PveClient
from .deadline import Deadline
from .errors import Locked
from .guests import GuestHandle
from .numbers import in_full
from .tasks import find_holder

# A hibernated guest stays locked until somebody starts it.
HIBERNATED_LOCK = "suspended"
_NAMED = re.compile(r"is locked \((\S+)\)")


def wait_until_unlocked(read_lock: t.Callable[[], str], deadline: Deadline, seconds: float) -> bool:
    """Look until there is no lock any more, for so many seconds; False when there still is one then."""
    tries = deadline.tries(seconds)
    while read_lock():
        if not tries.again():
            return False
    return True


def lock_in(message: str) -> str:
    """The lock that PVE's refusal names."""
    found = _NAMED.search(message)
    return found[1] if found else ""


def held_by(client: PveClient, node: str, vmid: int, lock: str) -> str:
    """The words about the task that holds the lock, as far as the caller may see it."""
    upid = find_holder(client, node, vmid, lock)
    if upid is None:
        return ""
    guest = f" of {upid.id}" if upid.id else ""
    return f", held by the task {upid.type}{guest} of {upid.user} on node {upid.node}"


def outlast_lock(handle: GuestHandle, lock: str) -> bool:
    """Wait for this lock of the guest as long as the caller does; False when there is none. Raises Locked."""
    if not lock:
        return False
    client, label = handle.client, handle.guest.label
    if lock == HIBERNATED_LOCK:
        raise Locked(f"{label} is locked ({lock}), as it is hibernated: resume it first")
    seconds = client.wait_for_lock
    if not seconds:
        holder = held_by(client, handle.guest.node, handle.guest.vmid, lock)
        raise Locked(f"{label} is locked ({lock}){holder}: wait for what is being done to it, or set wait_for_lock")
    if not wait_until_unlocked(handle.read_lock, client.deadline, seconds):
        raise Locked(
            f"{label} is locked ({lock}), and still was after {in_full(seconds)} s: look at what is being done to it"
        )
    return True
