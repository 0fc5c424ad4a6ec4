# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all actions of the service share."""

from __future__ import annotations

import threading
import time
import typing as t
from dataclasses import dataclass, field

from ..._pve.errors import MissingLibrary
from ..ownership import Mark
from .journal import Journal
from .metrics import Counters
from .say import say
from .sessions import Sessions, Turns

if t.TYPE_CHECKING:
    from ..relay.relay import Relay
    from ..relay.settings import RelaySettings

KEPT_SECONDS = 600.0
MOST_MARKS = 100_000


class Marks:
    """The marks that were read, by the entry of each guest in the list of its node."""

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


@dataclass(frozen=True)
class Settings:
    """How the service was started. Times are in seconds."""

    extension: str = ""
    release: str = ""
    policy_file: str = ""
    log_file: str = ""
    socket: str = ""
    state_directory: str = ""
    most_actions: int = 256
    most_requests: int = 16
    stop_seconds: float = 60.0
    # None is no console relay.
    relay: RelaySettings | None = None


class LongLived(t.Protocol):
    """A resource that outlives the action that created it, like a console."""

    @property
    def kind(self) -> str:
        """What the counters call it."""

    def close(self) -> None:
        """End it; called once, from any thread."""


class LongLivedResources:
    """Resources that outlive their actions: counted, and closed when the service stops."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._things: list[LongLived] = []
        self._closed = False

    def add(self, thing: LongLived) -> bool:
        """Add a resource; False if the service is stopping: then it is closed."""
        with self._lock:
            if not self._closed:
                self._things.append(thing)
                return True
        thing.close()
        return False

    def remove(self, thing: LongLived) -> None:
        """It has ended by itself."""
        with self._lock:
            if thing in self._things:
                self._things.remove(thing)

    def refuse(self) -> None:
        """Accept no new resources; the others go on."""
        with self._lock:
            self._closed = True

    def close(self) -> None:
        """Close all resources, and accept no new ones."""
        with self._lock:
            things, self._things, self._closed = self._things, [], True
        for thing in things:
            thing.close()

    def counts(self) -> dict[str, int]:
        """How many there are of each kind."""
        counts: dict[str, int] = {}
        with self._lock:
            for thing in self._things:
                counts[thing.kind] = counts.get(thing.kind, 0) + 1
        return counts


@dataclass
class Resources:
    """The one instance of each."""

    settings: Settings
    sessions: Sessions = field(default_factory=Sessions)
    counters: Counters = field(default_factory=Counters)
    marks: Marks = field(default_factory=Marks)
    long_lived: LongLivedResources = field(default_factory=LongLivedResources)
    turns: Turns = field(init=False)
    journal: Journal = field(init=False)
    relay: Relay | None = field(init=False, default=None)
    no_relay: str = field(init=False, default="the service was started without one (--console-ports)")

    def __post_init__(self) -> None:
        self.turns = Turns(self.settings.most_requests)
        self.journal = Journal(self.settings.state_directory)
        if self.settings.relay is None:
            return
        try:
            from ..relay.relay import Relay

            self.relay = Relay(self.settings.relay, say, self._count_console, self.long_lived)
        except MissingLibrary as error:
            self.no_relay = str(error)
            say(f"no console relay: {error}")

    def _count_console(self, what: str) -> None:
        self.counters.add("consoles", what)
