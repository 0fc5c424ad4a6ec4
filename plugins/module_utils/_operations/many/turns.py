# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The turns of guests that are worked on side by side: what PVE would refuse waits, and no node bears too much."""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t
from collections import Counter
from dataclasses import dataclass, field

from ..._pve.deadline import Deadline
from ..._pve.errors import TimedOut
from ..._pve.turns import Places, Turns

# A clone takes its number when its task has begun, a moment after PVE's answer (PVE::API2::Qemu, clone_vm).
NUMBER_SECONDS = 5.0
_Place = tuple[str, str]


class GuestDeadline(Deadline):
    """The time of one guest, which does not run while it waits for its turn, and ends with the task's."""

    def __init__(self, seconds: float, task: Deadline) -> None:
        super().__init__(min(seconds, task.remaining))
        self._task = task

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return min(super().remaining, self._task.remaining)

    def wait(self, condition: threading.Condition) -> None:
        """Wait for news, at the longest until the task's end."""
        began = time.monotonic()
        condition.wait(self._task.remaining)
        self._end += time.monotonic() - began

    @property
    def task_is_over(self) -> bool:
        return self._task.expired


@dataclass
class Limits:
    """How much may go on at once, and what does."""

    per_node: int | None = None
    per_storage: int | None = None
    own_vmids: set[int] = field(default_factory=set)
    unsure_vmids: set[int] = field(default_factory=set)
    numbers: threading.Lock = field(default_factory=threading.Lock)
    _news: threading.Condition = field(default_factory=threading.Condition)
    _busy: Counter[_Place] = field(default_factory=Counter)

    def _most(self, places: Places) -> dict[_Place, int]:
        """How many may be at each of the places at once."""
        most: dict[_Place, int] = {}
        if places.node and self.per_node:
            most["node", places.node] = self.per_node
        if self.per_storage:
            most.update({("storage", name): self.per_storage for name in places.storages})
        if places.only_one_of is not None:
            most["guest", str(places.only_one_of)] = 1
        return most

    def take(self, places: Places, deadline: GuestDeadline) -> list[_Place]:
        """Wait until all places are free, and take them at once; raises TimedOut."""
        most = self._most(places)
        with self._news:
            while any(self._busy[place] >= limit for place, limit in most.items()):
                if deadline.task_is_over:
                    busy = ", ".join(" ".join(place) for place in most)
                    raise TimedOut(f"the time of the task was over before it was this guest's turn at {busy}")
                deadline.wait(self._news)
            self._busy.update(most.keys())
        return list(most)

    def free(self, taken: t.Sequence[_Place]) -> None:
        """Let the next ones have these places."""
        with self._news:
            self._busy.subtract(taken)
            self._news.notify_all()


class SharedTurns(Turns):
    """The turns of one guest among those of its task; each thread has its own."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.own_vmids = limits.own_vmids
        self.unsure_vmids = limits.unsure_vmids
        self._limits = limits
        self._inside = False
        self._has_number = False

    @contextlib.contextmanager
    def taken(self, places: Places, deadline: Deadline) -> t.Iterator[None]:
        """Wait until these places are free, and keep them; raises TimedOut. Within a turn there is no other one."""
        if self._inside:
            yield
            return
        taken = self._limits.take(places, t.cast("GuestDeadline", deadline))
        self._inside = True
        try:
            yield
        finally:
            self._inside = False
            self._limits.free(taken)

    def next_number(self, read_number: t.Callable[[], int], deadline: Deadline) -> int:
        """Return the next free number; nobody else of this run gets one before the next change has been sent."""
        self._limits.numbers.acquire()
        self._has_number = True
        try:
            tries = deadline.tries(NUMBER_SECONDS)
            number = read_number()
            while number in self.own_vmids and tries.again():
                number = read_number()
        except BaseException:
            self.sent()
            raise
        return number

    def sent(self) -> None:
        """Let the next one have a number."""
        if self._has_number:
            self._has_number = False
            self._limits.numbers.release()
