# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a move that failed has left: where the guest is, in which state, and what to do about PVE's reason."""

from __future__ import annotations

import re

from ..._pve.deadline import Deadline
from ..._pve.errors import PermissionDenied, PveError, TaskFailed, TimedOut, TransportError, one_line
from ..._pve.guests import LXC, Guest, GuestHandle
from ..facts import Status, read_status

LOOK_SECONDS = 3.0
# PVE's words, and what to do about them (PVE::QemuMigrate, PVE::LXC::Migrate, PVE::API2::Qemu migrate_vm).
ADVICE = (
    (r"without with-local-disks", "let its disks be copied by with_local_disks, or stop it first"),
    (r"local cdrom", "take the medium out of its drive first"),
    (r"online storage migration not possible if non-replicated snapshot", "delete its snapshots, or stop it first"),
    (
        r"non-migratable snapshot|migration with snapshots not supported",
        "delete its snapshots, or move its disks first",
    ),
    (r"uses local devices", "map them to devices of both nodes, or remove them"),
    (r"following mapped devices", "stop it first"),
    (r"missing mapped devices", "add the node to the mapping"),
    (r"not a replication target", "replicate it to that node, or stop it first"),
    (r"bind mount point|dev mount point", "mark it as shared if the other node has the same, or remove it"),
    (
        r"is a clone of|clone of '|referenced by linked clone",
        "make it independent of the template by a full clone first",
    ),
    (r"owned by other", "remove the disk of the other guest from it"),
    (
        r"is not available on (node|storage)|does not support (vm images|CT rootdirs)",
        "choose another storage by target_storage",
    ),
    (
        r"storage '[^']+' does not exist|storage '[^']+' is (disabled|not online)",
        "choose another storage by target_storage",
    ),
    (r"[Nn]o space left|insufficient free space|not enough space", "make room there, or choose another target_storage"),
    (
        r"using public key|ssh: |[Hh]ost key|Permission denied \(publickey",
        "have the nodes trust each other again by pvecm updatecerts",
    ),
    (r"bridge '[^']+' does not exist", "make the bridge there"),
    (r"clipboard", "set another clipboard, or stop it first"),
)


def explained(error: PveError, handle: GuestHandle, source: Guest, target: str) -> PveError | None:
    """The failure with where the guest is now and what to do; None when it was moved all the same.

    Looks once, and keeps the failure as it is when it cannot.
    """
    if isinstance(error, PermissionDenied):
        return error
    status = _look(handle)
    if status is None:
        return error
    here = handle.guest.node
    if here == target and isinstance(error, TaskFailed) and not status.lock:
        # Something else went wrong, after the guest was moved (PVE::AbstractMigrate, phase3_cleanup).
        return None
    where = f"it is on node {here} and {status.condition}"
    if status.lock == "migrate":
        where += _about_lock(error, handle)
    if isinstance(error, (TimedOut, TransportError)):
        return type(error)(f"{error}; {where}", error.cause)
    why = one_line(error.cause.pve_message)
    if not why:
        return type(error)(f"{error}; {where}", error.cause)
    advice = advice_for(why)
    return type(error)(
        f"{source.label} could not be moved from node {source.node} to {target}: {why}"
        f"{f' ({advice})' if advice else ''}; {where}",
        error.cause,
    )


def advice_for(why: str) -> str:
    """What to do about PVE's words; empty for words that nobody knows."""
    return next((advice for pattern, advice in ADVICE if re.search(pattern, why)), "")


def _look(handle: GuestHandle) -> Status | None:
    """Find the guest and read it; None when that fails. A move whose time is over leaves some for this."""
    client, deadline = handle.client, handle.client.deadline
    if deadline.expired:
        client.deadline = Deadline(LOOK_SECONDS)
    try:
        handle.follow()
        return read_status(handle)
    except PveError:
        return None
    finally:
        client.deadline = deadline


def _about_lock(error: PveError, handle: GuestHandle) -> str:
    guest = handle.guest
    if isinstance(error, (TimedOut, TransportError)):
        return ", locked until PVE's task has ended: run this again, which waits for that"
    tool = "pct" if guest.kind == LXC else "qm"
    return (
        f", and still locked for the move: make sure that it runs nowhere else, "
        f"and type '{tool} unlock {guest.vmid}' on {guest.node}"
    )
