# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for the locks that PVE puts on a guest while it backs it up, moves it or takes a snapshot."""

from __future__ import annotations

import typing as t

from .deadline import Deadline


def wait_until_unlocked(read_lock: t.Callable[[], str], deadline: Deadline, seconds: float) -> bool:
    """Look until there is no lock any more, for so many seconds; False when there still is one then."""
    tries = deadline.tries(seconds)
    while read_lock():
        if not tries.again():
            return False
    return True
