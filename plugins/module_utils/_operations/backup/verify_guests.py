# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests that are made to prove backups: what they are called, how they are told from others, and how they go."""

from __future__ import annotations

import contextlib
import typing as t

from ..._pve.client import PveClient
from ..._pve.commands import Command, run_command
from ..._pve.deadline import Deadline
from ..._pve.errors import PveError, Refused
from ..._pve.guests import QEMU, UNNAMED, Guest, GuestHandle, read_guests, unless_absent
from ..._pve.tasks import parse_upid, stop_task
from ..facts import STOPPED, read_status, split_tags
from .restoring import destruction, is_remains, last_restore_failed, running_restores

MADE = "Made to verify a backup, and deleted by the next run of pve_backup_verify with the same tag."
KEPT = "{}-kept"
CLEAN_UP_SECONDS = 300.0


def free_number(vmids: range) -> t.Callable[[PveClient], int]:
    """Find a number in the range that no guest has; each is given once."""
    given: set[int] = set()

    def find(client: PveClient) -> int:
        taken = {guest.vmid for guest in read_guests(client)} | given | client.turns.own_vmids
        number = next((number for number in vmids if number not in taken), None)
        if number is None:
            raise Refused(f"all numbers from {vmids[0]} to {vmids[-1]} are taken: give another range in vmids")
        given.add(number)
        client.turns.own_vmids.add(number)
        return number

    return find


def is_made(config: t.Mapping[str, t.Any], tag: str) -> bool:
    """The guest was made to verify a backup, under this tag."""
    return tag in split_tags(config.get("tags")) and MADE in str(config.get("description") or "")


def remove_left_overs(client: PveClient, guests: t.Iterable[Guest], tag: str, vmids: range | None) -> list[str]:
    """Delete what runs that were broken off have made, and say what that was; raises a PveError."""
    gone = []
    for guest in guests:
        handle = GuestHandle(client, guest)
        if tag in split_tags(guest.tags):
            config = unless_absent(lambda handle=handle: handle.read("config"))  # type: ignore[misc]
            if config is not None and is_made(config, tag):
                delete_guest(client, guest)
                gone.append(f"delete {guest.label}, which a run that was broken off has left")
        elif _is_unnamed(guest) and _is_left(client, handle, vmids):
            delete_guest(client, guest)
            gone.append(f"delete guest {guest.vmid}, which a restore that failed has left")
    return gone


def _is_unnamed(guest: Guest) -> bool:
    return guest.name in ("", UNNAMED[guest.kind].format(guest.vmid))


def _is_left(client: PveClient, handle: GuestHandle, vmids: range | None) -> bool:
    """Whether a restore of the caller's has left it; one in the range that still runs is stopped."""
    guest = handle.guest
    if vmids is not None and guest.vmid in vmids:
        for upid in running_restores(client, guest.node, guest.vmid):
            stop_task(client, parse_upid(upid))
    config = unless_absent(lambda: handle.read("config"))
    return config is not None and is_remains(config) and last_restore_failed(client, guest)


def delete_guest(client: PveClient, guest: Guest) -> None:
    """Pull the plug of a guest and delete it, in time of its own; raises a PveError."""
    cleaner = client.sibling(Deadline(CLEAN_UP_SECONDS))
    # As that of a backup job for all guests.
    cleaner.wait_for_lock = CLEAN_UP_SECONDS
    try:
        handle = GuestHandle(cleaner, guest)
        if unless_absent(lambda: read_status(handle).condition) not in (None, STOPPED):
            run_command(cleaner, _stop(guest), handle)
        run_command(cleaner, destruction(handle), handle)
    finally:
        cleaner.close()


def _stop(guest: Guest) -> Command:
    prefix = "qm" if guest.kind == QEMU else "vz"
    return Command(
        "POST",
        (guest.kind, guest.vmid, "status", "stop"),
        node=guest.node,
        task_type=f"{prefix}stop",
        task_id=str(guest.vmid),
    )


def keep_guest(client: PveClient, guest: Guest, tag: str) -> bool:
    """Give a guest the tag that no run deletes; False when that fails, and the next run may delete it."""
    keeper = client.sibling(Deadline(CLEAN_UP_SECONDS))
    try:
        with contextlib.suppress(PveError):
            handle = GuestHandle(keeper, guest)
            tags = [KEPT.format(tag) if one == tag else one for one in split_tags(handle.read("config").get("tags"))]
            keeper.write("PUT", *handle.path, "config", tags=";".join(tags))
            return True
    finally:
        keeper.close()
    return False
