# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The time one operation may take, on the monotonic clock."""

from __future__ import annotations

import time
import typing as t


class Deadline:
    """Counts down from a number of seconds; every wait of an operation shares one."""

    def __init__(self, seconds: float, clock: t.Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - self._clock())

    @property
    def expired(self) -> bool:
        return self.remaining <= 0

    def within(self, seconds: float) -> Deadline:
        """Return a deadline of so many seconds that does not outlive this one."""
        return Deadline(min(seconds, self.remaining), self._clock)

    def pause(self, seconds: float) -> None:
        """Sleep so many seconds, but not beyond the end."""
        time.sleep(min(seconds, self.remaining))
