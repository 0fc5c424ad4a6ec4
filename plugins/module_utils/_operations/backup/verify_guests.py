# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests that are made to prove backups: what they are called, how they are told from others, and how they go."""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import replace

from ..._pve.client import PveClient
from ..._pve.commands import Command, run_command
from ..._pve.deadline import Deadline
from ..._pve.errors import Conflict, ErrorReason, PveError, Refused
from ..._pve.guests import QEMU, UNNAMED, Guest, GuestHandle, read_guests, unless_absent
from ..facts import STOPPED, read_status, split_tags
from ..plan import Applier, Change
from .restoring import destruction, is_unfinished, last_restore_failed

MADE = "Made to verify a backup, and deleted by the next run of pve_backup_verify with the same tag."
KEPT = "{}-kept"
CLEAN_UP_SECONDS = 300.0
Config = t.Mapping[str, t.Any]


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


def is_made(config: Config, tag: str) -> bool:
    """The guest was made to verify a backup, under this tag."""
    return tag in split_tags(config.get("tags")) and MADE in str(config.get("description") or "")


def remove_left_overs(applier: Applier, guests: t.Iterable[Guest], tag: str, vmids: range | None) -> list[str]:
    """Delete what runs that were broken off have made, or note it in check mode; raises a PveError.

    Returns what was left alone, because it is not known to be that.
    """
    left = []
    for guest in guests:
        if tag in split_tags(guest.tags):
            left += _remove_made(applier, guest, tag)
        elif guest.name in ("", UNNAMED[guest.kind].format(guest.vmid)):
            left += _remove_remains(applier, guest, vmids is not None and guest.vmid in vmids)
    return left


def _remove_made(applier: Applier, guest: Guest, tag: str) -> list[str]:
    """Delete a guest that was restored to verify a backup; a lock says that somebody works on it."""
    config = GuestHandle(applier.client, guest).read_config()
    if config is None or not is_made(config, tag):
        return []
    if config.get("lock"):
        return [f"{guest.label} was made to verify a backup, and is locked ({config['lock']}): the next run deletes it"]
    notes = config.get("description")

    def is_same(now: Config) -> bool:
        return is_made(now, tag) and now.get("description") == notes and not now.get("lock")

    return _remove(applier, guest, f"delete {guest.label}, which a run that was broken off has left", is_same)


def _remove_remains(applier: Applier, guest: Guest, in_range: bool) -> list[str]:
    """Delete what a restore of the caller's that has failed has left, and nothing that anybody works on."""
    client = applier.client
    config = GuestHandle(client, guest).read_config()
    if config is None or not is_unfinished(config):
        return []
    if config.get("lock") or not last_restore_failed(client, guest):
        why = f"guest {guest.vmid} is empty or being made, and no restore of {client.identity} is known to have left it"
        return [f"{why}: it was left alone, look at its tasks"] if in_range else []
    title = f"delete guest {guest.vmid}, which a restore that failed has left"
    return _remove(applier, guest, title, lambda now: now == config and last_restore_failed(client, guest))


def _remove(applier: Applier, guest: Guest, title: str, is_same: t.Callable[[Config], bool]) -> list[str]:
    """Delete a left-over, unless it is another one or locked by now."""
    try:
        gone = applier.check_mode or delete_guest(applier.client, guest, is_same)
    except PveError as error:
        if error.pve_reason is not ErrorReason.LOCKED:
            raise
        gone = False
    if gone is None:
        return []
    if not gone:
        return [f"{guest.label} was changed while it was to be deleted as a left-over: it was left alone"]
    applier.record(title, Change("left over", title, None))
    return []


def delete_guest(
    client: PveClient, guest: Guest, is_same: t.Callable[[Config], bool], wait_for_lock: float | None = None
) -> bool | None:
    """Pull the plug of a guest and delete it, in time of its own; raises a PveError.

    The configuration is read again each time before that: False when it is not that of the guest which is meant, None
    when there is no guest any more.
    """
    cleaner = client.sibling(Deadline(CLEAN_UP_SECONDS))
    cleaner.wait_for_lock = wait_for_lock

    def check() -> None:
        config = GuestHandle(cleaner, guest).read_config()
        if config is None or not is_same(config):
            raise Conflict(f"{guest.label} is not the guest any more that was to be deleted: it was left alone")

    try:
        handle = GuestHandle(cleaner, guest)
        if unless_absent(lambda: read_status(handle).condition) not in (None, STOPPED):
            run_command(cleaner, replace(_stop(guest), check=check), handle)
        run_command(cleaner, replace(destruction(handle), check=check), handle)
        return True
    except Conflict:
        return None if GuestHandle(cleaner, guest).read_config() is None else False
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
