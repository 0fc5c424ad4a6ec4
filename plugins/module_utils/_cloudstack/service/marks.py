# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose guests are, remembered for a while: CloudStack asks for all of a node every minute."""

from __future__ import annotations

import threading
import time
import typing as t

from ..ownership import Mark

KEPT_SECONDS = 600.0
MOST_MARKS = 100_000


class Marks:
    """The marks that were read, by what the list of a node tells of each guest."""

    def __init__(self, clock: t.Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._marks: dict[t.Hashable, tuple[float, Mark]] = {}

    def get(self, key: t.Hashable, read: t.Callable[[], Mark]) -> Mark:
        """The mark under this key; read is asked for one that is not known, or not any more. Raises what that does."""
        now = self._clock()
        with self._lock:
            until, mark = self._marks.get(key, (0.0, Mark()))
        if now < until:
            return mark
        mark = read()
        with self._lock:
            if len(self._marks) >= MOST_MARKS:
                self._marks.clear()
            self._marks[key] = (now + KEPT_SECONDS, mark)
        return mark
