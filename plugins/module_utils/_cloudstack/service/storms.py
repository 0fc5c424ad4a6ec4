# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many calls for the state of instances on one node, at the same time, answered from few reads.

While a read is under way, later calls line up, and the next read, which has not been sent yet, answers all of them. So
no call is answered from anything older than itself. A call that meets no other one is not delayed.
"""

from __future__ import annotations

import math
import threading
import time
import typing as t
from dataclasses import dataclass, field

from ..._pve.errors import PveError, TimedOut
from ..._pve.guests import QEMU

if t.TYPE_CHECKING:
    from ..run import Run

Answer = t.Dict[str, t.Any]  # noqa: UP006 - Python 3.9 evaluates it
Guests = t.Sequence[t.Mapping[str, t.Any]]
Alone = t.Callable[[], Answer]
Listed = t.Callable[[Guests], t.Optional[Answer]]

# How long calls line up behind a read before they make one of their own.
PATIENCE_SECONDS = 1.0
# Where there are two calls there are more: how long those that have lined up wait for others.
GATHERING_SECONDS = 0.1
# PVE asks every guest of a node for its full list. So it is read for so many calls, and for that share of the guests.
LEAST_FOR_LIST = 4
SHARE_FOR_LIST = 0.1
# One guest that hangs delays the list: then, for a while, each call looks by itself.
LIST_SECONDS = 2.0
SLOW_LIST_SECONDS = 60.0
MOST_NODES = 1000


@dataclass(eq=False)
class _Caller:
    """One call that waits, and what became of it."""

    run: Run
    alone: Alone
    listed: Listed
    turn: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    # Another call that asks exactly the same.
    twin: _Caller | None = None
    guests: Guests | None = None
    answer: Answer | None = None
    error: BaseException | None = None

    def outcome(self) -> Answer:
        """The answer, from the list, from another call that asks the same, or else from PVE; raises its error."""
        return self._ask() if self.twin is None else self._copy(self.twin)

    def _ask(self) -> Answer:
        try:
            self.answer = (self.listed(self.guests) if self.guests else None) or self.alone()
            return self.answer
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.ended.set()

    def _copy(self, twin: _Caller) -> Answer:
        if not twin.ended.wait(self.run.deadline.remaining):
            raise TimedOut(f"the time of {self.run.deadline.seconds:g} s was over before PVE answered")
        if twin.answer is not None:
            return dict(twin.answer)
        if isinstance(twin.error, PveError):
            raise twin.error
        # It was interrupted, which is nobody else's business.
        return self.alone()


@dataclass(eq=False)
class _Line:
    """The calls for one node: how many reads are under way, and who waits for the next."""

    reading: int = 0
    waiting: list[_Caller] = field(default_factory=list)
    freed: threading.Event = field(default_factory=threading.Event)


class Storms:
    """Brings together the calls for the state of instances."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[t.Hashable, _Line] = {}
        # How many guests a node had when it was last listed, and until when that counts.
        self._sizes: dict[t.Hashable, tuple[float, float]] = {}
        self.joined = 0

    def join(self, run: Run, alone: Alone, listed: Listed) -> Answer:
        """Answer a call, alone or together with others; raises what alone raises."""
        key = (run.connection(), run.node)
        caller = _Caller(run, alone, listed)
        with self._lock:
            line = self._lines.setdefault(key, _Line())
            is_free = not line.reading and not line.waiting
            if is_free:
                line.reading += 1
            else:
                line.waiting.append(caller)
            leads, freed = line.waiting[:1] == [caller], line.freed
        if not is_free and not leads:
            if not caller.turn.wait(run.deadline.remaining):
                raise TimedOut(f"the time of {run.deadline.seconds:g} s was over before PVE answered")
            return caller.outcome()
        try:
            if leads:
                self._lead(line, run, freed)
            return caller.outcome()
        finally:
            self._leave(key, line)

    def _lead(self, line: _Line, run: Run, freed: threading.Event) -> None:
        """Wait for the read that is under way, and for others; then make one read for all in the line.

        Raises what interrupts the waiting; those in the line go on by themselves then.
        """
        interruption: BaseException | None = None
        try:
            began = time.monotonic()
            freed.wait(min(PATIENCE_SECONDS, run.deadline.remaining))
            run.deadline.pause(max(0.0, began + GATHERING_SECONDS - time.monotonic()))
        except BaseException as error:  # noqa: BLE001
            interruption = error
        with self._lock:
            callers, line.waiting, line.freed = line.waiting, [], threading.Event()
            line.reading += 1
            self.joined += len(callers) - 1
        try:
            if interruption is None:
                _pair(callers)
                self._read_list([caller for caller in callers if caller.twin is None])
        finally:
            for caller in callers:
                caller.turn.set()
        if interruption is not None:
            raise interruption

    def _read_list(self, callers: t.Sequence[_Caller]) -> None:
        """Read the state of all guests of the node, when that is less work than to look for each one."""
        run, now = callers[0].run, time.monotonic()
        key = (run.connection().endpoints, run.node)
        size, until = self._sizes.get(key, (0, 0.0))
        if len(callers) < LEAST_FOR_LIST or (now < until and len(callers) < size * SHARE_FOR_LIST):
            return
        client, whole = run.client, run.client.deadline
        client.deadline = whole.within(LIST_SECONDS)
        size = math.inf
        try:
            guests = client.read_once("nodes", run.node, QEMU, full=1)
            size = len(guests)
            for caller in callers:
                caller.guests = guests
        except PveError:
            pass  # Each of them finds out for itself what is wrong.
        finally:
            client.deadline = whole
            if len(self._sizes) > MOST_NODES:
                self._sizes.clear()
            self._sizes[key] = (size, now + SLOW_LIST_SECONDS)

    def _leave(self, key: t.Hashable, line: _Line) -> None:
        with self._lock:
            line.reading -= 1
            if line.waiting:
                line.freed.set()
            elif not line.reading:
                self._lines.pop(key, None)


def _pair(callers: t.Sequence[_Caller]) -> None:
    """Find those who ask exactly the same as another one before them."""
    first: dict[t.Hashable, _Caller] = {}
    for caller in callers:
        run = caller.run
        known = first.setdefault((run.payload.uuid, run.payload.name, run.wait), caller)
        if known is not caller and known.run.payload == run.payload:
            caller.twin = known
