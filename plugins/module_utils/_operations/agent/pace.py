# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How often a guest agent is asked: soon at first, and less while PVE's answers say that others wait.

Each call holds one of the three workers of a node's pvedaemon, and whatever else needs one waits meanwhile: starts,
stops, consoles. The calls of one controller are counted by worker_slots. Nobody counts those of all controllers, but
each of them sees the queue: an answer that takes several times as long as the best one has waited for a worker. Then
each of them asks less often.
"""

from __future__ import annotations

import random
import typing as t

WORKERS_OF_A_NODE = 3
FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 2.0
_GROWTH = 1.4
# An answer that takes so many times as long as the best one, and so many seconds longer, has waited for others.
_QUEUED_FACTOR = 3.0
_QUEUED_SECONDS = 0.5


class Pace:
    """The pauses between the calls of one client."""

    def __init__(self, workers_per_node: int = 2, jitter: t.Callable[[], float] = random.random) -> None:
        """workers_per_node is how many of a node's workers all clients together may keep busy."""
        self.workers = workers_per_node
        # After an answer that has waited: the share of the time in which no worker is asked for.
        self._rest = max(0.0, WORKERS_OF_A_NODE / workers_per_node - 1)
        self._jitter = jitter
        self._best: float | None = None
        self.brake = 0.0

    def measure(self, seconds: float) -> None:
        """Note how long the answer to a small question took."""
        best = self._best = seconds if self._best is None else min(seconds, self._best)
        if seconds > best * _QUEUED_FACTOR and seconds > best + _QUEUED_SECONDS:
            self.brake = min(max(seconds * self._rest, 2 * self.brake), LONGEST_PAUSE_SECONDS)
        else:
            self.brake = self.brake / 2 if self.brake > FIRST_PAUSE_SECONDS else 0.0

    def pauses(self, first: float = FIRST_PAUSE_SECONDS) -> t.Iterator[float]:
        """The pauses before one look after the other."""
        pause = first
        while True:
            yield max(pause, self.breath())
            pause = min(pause * _GROWTH, LONGEST_PAUSE_SECONDS)

    def breath(self) -> float:
        """The pause before the next call of many, which is none while nobody waits."""
        # Forks that began together must not go on together.
        return self.brake * (0.75 + self._jitter() / 2)
