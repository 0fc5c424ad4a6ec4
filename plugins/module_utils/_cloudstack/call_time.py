# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The time that CloudStack gives a call before it kills the process."""

from __future__ import annotations

import time

DEFAULT_WAIT = 600.0
LEAST_MARGIN = 3.0
MARGIN_SHARE = 0.05
# The part of the margin that is left for writing the answer.
ANSWER_SHARE = 0.2


class CallTime:
    """wait is CloudStack's third argument, started the start of the process on the monotonic clock."""

    def __init__(self, wait: str, started: float) -> None:
        self.wait = parse_wait(wait)
        self._margin = margin_of(self.wait)
        self._started = started

    @property
    def elapsed(self) -> float:
        """Seconds since the process was started."""
        return time.monotonic() - self._started

    def for_work(self) -> float:
        """Seconds that are left for the action."""
        return self.wait - self._margin - self.elapsed

    def for_cleanup(self) -> float:
        """Seconds that are left to remove what a failed action has made."""
        return self.wait - self._margin * ANSWER_SHARE - self.elapsed


def parse_wait(text: str) -> float:
    """CloudStack's wait in seconds; the default if it is not a usable number."""
    try:
        seconds = int(text)
    except ValueError:
        return DEFAULT_WAIT
    return float(seconds) if 0 < seconds <= 10**6 else DEFAULT_WAIT


def margin_of(wait: float) -> float:
    """The part of the wait that is kept for cleaning up."""
    return min(max(LEAST_MARGIN, wait * MARGIN_SHARE), wait / 2)
