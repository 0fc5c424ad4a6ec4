# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to do about refusals that come up with backups alone, by PVE's own words."""

from __future__ import annotations

import contextlib
import re
import typing as t

from ..._pve.errors import PveError

_DAMAGED = (
    r"got timeout reading VMA header|vma extract .* failed: (exit code|got signal)|Failed to extract config"
    r"|premature end|tar xpO?f .* failed: exit code"
)
# Texts as recorded from PVE 9.2; PVE::VZDump, PVE::Storage, PVE::API2::Qemu, PVE::API2::LXC, PVE::API2::Backup.
_ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"There is a max backup limit of \d+ enforced by the target storage",
        "set keep_as_storage to have it prune older ones, or delete one",
    ),
    (
        r"number of protected backups per guest is limited to \d+",
        "set protected to false on one of them, or raise max-protected-backups of the storage",
    ),
    (r"cannot remove protected volume", "set protected to false on it first"),
    (
        r"No space left on device|write error - Broken pipe|insufficient free space",
        "a storage is full: delete or prune backups on it, or name another storage",
    ),
    (r"storage '[^']*' is not online", "look at its server and its mount, then at pvesm status on the node"),
    (r"storage '[^']*' (does not exist|is not available on node)", "name a storage that the node has"),
    (_DAMAGED, "the backup is damaged: restore an older one, and look at its storage"),
    (r"live-restore is only compatible", "leave live_restore out, or restore from Proxmox Backup Server"),
    (
        r"Content type 'images' is not available|does not support container directories",
        "name a storage for disks by storage, or allow them in its configuration",
    ),
    (r"does not look like a QemuServer vzdump backup", "it is the backup of a container: look at its name"),
    (r"pool '[^']*' does not exist", "name a pool that there is, and grant Pool.Audit on it"),
    (
        r"invalid calendar event",
        "schedule is no calendar event of PVE: write it as in sat 03:00 or daily",
    ),
    (r"wrong content type", "name a storage that takes backups, or allow them in its configuration"),
    (
        r"no prune-backups options configured",
        "the storage has no retention of its own: give keep_last, keep_daily or the like",
    ),
)


def advice_for(error: PveError) -> str | None:
    """What to do about an error, where that is known."""
    words = " ".join((error.cause.pve_message, *error.cause.field_errors.values(), *error.cause.log_tail))
    return next((text for pattern, text in _ADVICE if re.search(pattern, words)), None)


def advised(error: PveError) -> PveError:
    """The error with what to do about it, where that is known."""
    advice = advice_for(error)
    return error if advice is None else type(error)(f"{error}: {advice}", error.cause)


@contextlib.contextmanager
def with_advice() -> t.Iterator[None]:
    """Let the errors that come out of the block say what to do about them."""
    try:
        yield
    except PveError as error:
        better = advised(error)
        if better is error:
            raise
        raise better from error
