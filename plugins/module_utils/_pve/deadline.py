# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The time one operation may take, on the monotonic clock, and the pauses between tries."""

from __future__ import annotations

import time
import typing as t

SHORTEST_PAUSE_SECONDS = 0.1
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 2.0


class Deadline:
    """Counts down from a number of seconds; every wait of an operation shares one."""

    def __init__(
        self,
        seconds: float,
        clock: t.Callable[[], float] = time.monotonic,
        sleep: t.Callable[[float], None] = time.sleep,
    ) -> None:
        self.seconds = seconds
        self._clock = clock
        self._sleep = sleep
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
        return Deadline(min(seconds, self.remaining), self._clock, self._sleep)

    def tries(self, seconds: float) -> Tries:
        """Return tries for so many seconds that do not outlive this deadline."""
        return Tries(self.within(seconds))

    def pause(self, seconds: float) -> None:
        """Sleep so many seconds, but not beyond the end."""
        self._sleep(min(seconds, self.remaining))


class Tries:
    """Tries with pauses between them that double, until a deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self._pause = FIRST_PAUSE_SECONDS
        self._left_at_try: float | None = None

    def again(self) -> bool:
        """Pause before the next try; False, at once, when the deadline leaves no time for one like the last."""
        left = self.deadline.remaining
        try_seconds = 0.0 if self._left_at_try is None else self._left_at_try - left
        pause = min(self._pause, left / 2, left - try_seconds)
        if pause < SHORTEST_PAUSE_SECONDS:
            return False
        self.deadline.pause(pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        self._left_at_try = self.deadline.remaining
        return True
