# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many calls for agents of one node are under way at once, over all processes of this controller.

PVE does not say how many of a node's workers are busy, and the forks of a play share no memory. But the kernel knows
names: in Linux's abstract namespace of sockets one process at a time has a name, and has it no longer when it ends,
however it ends. A slot is such a name, and no file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import random
import socket
import sys
import typing as t

from ..._pve.deadline import Deadline

HAS_SLOTS = sys.platform == "linux"
_FIRST_PAUSE_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 0.1
# Any user of this system can hold the names, and nobody is to be held up by that for ever.
LONGEST_WAIT_SECONDS = 120.0


@contextlib.contextmanager
def taken_slot(place: str, count: int, deadline: Deadline) -> t.Iterator[bool]:
    """Wait for one of the slots of a place, and keep it; False when the deadline has passed before.

    Whoever has waited for LONGEST_WAIT_SECONDS goes on without one. Where the system has no slots, nobody waits.
    """
    slot = _wait_for_slot(place, count, deadline) if HAS_SLOTS else None
    try:
        yield slot is not None or not HAS_SLOTS
    finally:
        if slot is not None:
            slot.close()


def _wait_for_slot(place: str, count: int, deadline: Deadline) -> socket.socket | None:
    key = hashlib.sha256(place.encode()).hexdigest()[:32]
    names = [f"\0cloudbridge.proxmox/agent/{os.getuid()}/{key}/{number}" for number in range(count)]
    pause, patience = _FIRST_PAUSE_SECONDS, deadline.within(LONGEST_WAIT_SECONDS)
    while True:
        for name in names:
            slot = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                slot.bind(name)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    slot.close()
                    continue
                # The system allows no such names, and it is better to go on without them.
            return slot
        if deadline.expired:
            return None
        if patience.expired:
            return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # Those who wait together must not look together.
        deadline.pause(pause * (0.5 + random.random()))  # noqa: S311
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
