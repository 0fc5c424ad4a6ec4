# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The console relay: plain VNC for CloudStack's console proxy, PVE's websocket behind it.

One thread serves all connections; a few more ask PVE for consoles.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import selectors
import socket
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ..._operations.console.vnc_viewer import PROVED, Viewer
from ..._pve.channel import require_websockets
from ..._pve.errors import PveError
from ..._pve.rfb import require_des
from .console import ConsoleRequest, Offer, RelayedConsole
from .ports import Ports
from .settings import RelaySettings

if t.TYPE_CHECKING:
    from ..._pve.channel import ConsoleChannel
    from ..._pve.rfb import ClientHandshake

TICK_SECONDS = 1.0
# How many consoles PVE is asked for at once.
OPENERS = 16
# Without a limit, one tenant could hold all ports.
MOST_OFFERS_PER_GUEST = 5
_JOIN_SECONDS = 5.0
# How often, and how long each time, an offer waits for a port that another one gives up.
_TRIES = 3
_ROOM_SECONDS = 2.0


class Ledger(t.Protocol):
    """Counts the consoles of the relay, and closes them when the service stops."""

    def add(self, thing: RelayedConsole) -> bool:
        """Take charge of a console; False, and it is closed, when none may begin any more."""

    def remove(self, thing: RelayedConsole) -> None:
        """It has ended."""


class _NoLedger:
    def add(self, thing: RelayedConsole) -> bool:  # noqa: ARG002
        return True

    def remove(self, thing: RelayedConsole) -> None:
        pass


class Relay:
    """Offers consoles, each at a port of its own for one viewer, and carries those that are open.

    say gets lines for the operator, count the names of events; neither contains a secret.
    """

    def __init__(
        self,
        settings: RelaySettings,
        say: t.Callable[[str], None] = lambda _words: None,
        count: t.Callable[[str], None] = lambda _what: None,
        ledger: Ledger | None = None,
    ) -> None:
        """Raise MissingLibrary where there is no DES for VNC, or no websocket."""
        require_des()
        require_websockets()
        self.settings = settings
        self._say = say
        self._count = count
        self._ledger: Ledger = ledger or _NoLedger()
        self._ports = Ports(settings)
        self._lock = threading.Lock()
        # The oldest first.
        self._consoles: dict[RelayedConsole, None] = {}
        self._steps: collections.deque[t.Callable[[], None]] = collections.deque()
        self._selector = selectors.DefaultSelector()
        self._restless: dict[Viewer, RelayedConsole] = {}
        # The guests whose consoles PVE is being asked for, and those that wait for their turn.
        self._opening: dict[str, collections.deque[RelayedConsole]] = {}
        self._executor = ThreadPoolExecutor(OPENERS, "console")
        self._bell, self._ring = socket.socketpair()
        self._bell.setblocking(False)
        self._ring.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ, self._hear)
        self._thread: threading.Thread | None = None
        self._closed = False

    # ---- from any thread

    def offer(self, request: ConsoleRequest, host: str) -> Offer:
        """Wait for a viewer of this console; returns where, and the password. Nothing is asked of PVE.

        host is this server's address for viewers. Raises a PveError when there is no room.
        """
        console, listener = self._begin(request, self.settings.bind or host)
        offer = Offer(host, listener.getsockname()[1], console.password)
        if not self._ledger.add(console):
            raise PveError("the service is stopping, so it opens no console")
        self._run_later(lambda: self._listen(console, listener))
        self._count("offered")
        return offer

    def check(self, host: str) -> None:
        """Raise a PveError unless a port can be opened."""
        with self._lock:
            listener = self._ports.listen(self.settings.bind or host)
        if listener is None:
            raise self._ports.all_in_use()
        listener.close()

    @property
    def count(self) -> int:
        """How many consoles are open, or are being opened."""
        with self._lock:
            return sum(console.taken for console in self._consoles)

    @property
    def waiting(self) -> int:
        """How many ports wait for a viewer."""
        with self._lock:
            return sum(not console.taken for console in self._consoles)

    def close(self) -> None:
        """End all consoles."""
        with self._lock:
            self._closed, thread = True, self._thread
        self._wake()
        if thread is not None:
            thread.join(_JOIN_SECONDS)
        self._executor.shutdown(wait=False)

    def stop(self, console: RelayedConsole) -> None:
        """End one console."""
        self._run_later(lambda: console.end("stopped", "the service was stopped"))

    def _begin(self, request: ConsoleRequest, address: str) -> tuple[RelayedConsole, socket.socket]:
        """Take a place and a port; raises a PveError when there is none, and none can be made."""
        for tries_left in reversed(range(_TRIES)):
            with self._lock:
                self._check_room(request)
                listener = self._ports.listen(address)
                if listener is not None:
                    console = RelayedConsole(self, request, listener)
                    self._consoles[console] = None
                    if self._thread is None:
                        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
                        self._thread.start()
                    return console, listener
                waiting = [console for console in self._counted() if console.listener is not None]
                spare = self._spare(waiting) if tries_left else None
                if spare is None:
                    break
                gone = self._condemn(spare, "made room for another one")
            gone.wait(_ROOM_SECONDS)
        raise self._ports.all_in_use()

    def _check_room(self, request: ConsoleRequest) -> None:
        settings, known = self.settings, self._counted()
        if self._closed:
            raise PveError("the console relay is closed")
        if len(known) >= settings.most:
            self._make_place(
                known, f"the console relay has {settings.most} consoles, which is as many as it may: close some"
            )
        same = [console for console in self._counted() if console.endpoint == request.endpoint]
        if len(same) >= settings.most_per_endpoint:
            self._make_place(
                same,
                f"the console relay has {len(same)} consoles of {request.endpoint or 'one PVE'}, which is as many as "
                f"it may: close some",
            )
        waiting = [console for console in same if console.guest == request.guest and not console.taken]
        if request.guest and len(waiting) >= MOST_OFFERS_PER_GUEST:
            self._condemn(waiting[0], "no viewer connected before others were offered")

    def _counted(self) -> list[RelayedConsole]:
        """Those that are not about to end, the oldest first."""
        return [console for console in self._consoles if not console.condemned]

    def _make_place(self, full: t.Sequence[RelayedConsole], words: str) -> None:
        spare = self._spare(full)
        if spare is None:
            raise PveError(words)
        self._condemn(spare, "made room for another one")

    @staticmethod
    def _spare(consoles: t.Sequence[RelayedConsole]) -> RelayedConsole | None:
        """The one to end first: its viewer seems to have left, or it is an offer of a guest that has a later one."""
        left = [console for console in consoles if console.taken and console.silence[0]]
        if left:
            return max(left, key=lambda console: console.silence)
        offers: dict[str, list[RelayedConsole]] = {}
        for console in consoles:
            if console.guest and not console.taken:
                offers.setdefault(console.guest, []).append(console)
        most = max(offers.values(), key=len, default=[])
        return most[0] if len(most) > 1 else None

    def _condemn(self, console: RelayedConsole, words: str) -> threading.Event:
        """End it in the relay's thread; the event is set when it has ended."""
        console.condemned, gone = True, threading.Event()

        def end() -> None:
            console.end("ended" if console.taken else "unused", words)
            gone.set()

        self._run_later(end)
        return gone

    def _run_later(self, step: t.Callable[[], None]) -> None:
        self._steps.append(step)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._ring.send(b"!")

    # ---- in the relay's own thread

    def _run(self) -> None:
        next_tick = 0.0
        while not self._closed:
            patience = 0.0 if self._restless else max(0.0, next_tick - time.monotonic())
            ready = self._selector.select(patience)
            restless, self._restless = self._restless, {}
            for viewer, console in restless.items():
                self._guard(console, functools.partial(console.pump, viewer))
            for key, dummy in ready:
                # An earlier event may have closed it, and another channel may have its number.
                known = self._selector.get_map().get(key.fd)
                if known is not None and known.data is key.data:
                    key.data()
            while self._steps:
                self._steps.popleft()()
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + TICK_SECONDS
                for console in self._all():
                    self._guard(console, console.tick)
        for console in self._all():
            console.end("stopped", "the service was stopped")
        self._selector.close()

    def _all(self) -> list[RelayedConsole]:
        with self._lock:
            return list(self._consoles)

    def _hear(self) -> None:
        with contextlib.suppress(OSError):
            self._bell.recv(4096)

    def _guard(self, console: RelayedConsole, step: t.Callable[[], None]) -> None:
        """Run a step; an error in it ends this console alone."""
        try:
            step()
        except Exception as error:  # noqa: BLE001
            console.end("failed", f"{type(error).__name__}: an error of the relay itself")

    def _listen(self, console: RelayedConsole, listener: socket.socket) -> None:
        if not console.ended:
            self._selector.register(
                listener, selectors.EVENT_READ, functools.partial(self._guard, console, console.accept)
            )

    def ignore(self, closing: t.Any) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(closing)

    def watch(self, console: RelayedConsole, viewer: Viewer) -> None:
        step = functools.partial(self._guard, console, functools.partial(console.pump, viewer))
        self._wait_for(viewer.connection, viewer.viewer_events, step)
        if viewer.channel is not None:
            self._wait_for(viewer.channel, viewer.channel_events, step)
        if viewer.restless:
            self._restless[viewer] = console

    def _wait_for(self, thing: t.Any, events: int, step: t.Callable[[], None]) -> None:
        known = self._selector.get_map().get(thing) if thing.fileno() >= 0 else None
        if known is None:
            if events and thing.fileno() >= 0:
                self._selector.register(thing, events, step)
        elif not events:
            self._selector.unregister(thing)
        elif known.events != events:
            self._selector.modify(thing, events, known.data)

    def open(self, console: RelayedConsole) -> None:
        # Of two that PVE opens for one guest at once, the later one's password takes the place of the other's.
        waiting = self._opening.get(console.guest) if console.guest else None
        if waiting is not None:
            waiting.append(console)
            return
        self._opening[console.guest] = collections.deque()
        self._ask_pve(console)

    def make_room(self, console: RelayedConsole) -> None:
        if not console.guest:
            return
        others = [
            other for other in self._all() if other.taken and other.guest == console.guest and other is not console
        ]
        others.sort(key=lambda other: other.silence, reverse=True)
        for other in others[: max(0, len(others) + 1 - self.settings.most_per_guest)]:
            other.end("ended", f"made room: its guest has {self.settings.most_per_guest} consoles already")

    def opened(self, console: RelayedConsole) -> None:
        console.opening = False
        waiting = self._opening.pop(console.guest, None)
        while waiting:
            following = waiting.popleft()
            # Its viewer may have left, and come back.
            if not following.ended and following.viewer is not None and following.viewer.phase == PROVED:
                self._opening[following.guest] = waiting
                self._ask_pve(following)
                return

    def _ask_pve(self, console: RelayedConsole) -> None:
        console.opening = console.fetching = True
        request = t.cast("ConsoleRequest", console.request)
        if not self.settings.reconnect_seconds:
            console.request = None
        self._executor.submit(self._fetch, console, t.cast("Viewer", console.viewer), request)

    def gone(self, console: RelayedConsole, outcome: str, words: str) -> None:
        with self._lock:
            self._consoles.pop(console, None)
        self._ledger.remove(console)
        self._count(outcome)
        self._say(f"console of {console.label}: {words}")

    def refused(self, why: str) -> None:
        self._count(why)

    def say(self, words: str) -> None:
        self._say(words)

    # ---- in a thread that may wait for PVE

    def _fetch(self, console: RelayedConsole, viewer: Viewer, request: ConsoleRequest) -> None:
        """Open the console, and hand it to the relay's thread."""
        try:
            channel, handshake = request.open()
        except PveError as error:
            # Its frames hold the credentials.
            failure = error.with_traceback(None)
        except Exception as error:  # noqa: BLE001 - the viewer gets a reason for any error
            failure = PveError(f"the console of {console.label} could not be opened: {type(error).__name__}")
        else:
            if self._closed:
                channel.close()
                return
            self._run_later(lambda: self._guard(console, lambda: self._give(console, viewer, channel, handshake)))
            return
        self._run_later(lambda: self._guard(console, lambda: self._deny(console, viewer, failure)))

    def _give(
        self, console: RelayedConsole, viewer: Viewer, channel: ConsoleChannel, handshake: ClientHandshake
    ) -> None:
        if not console.fetched(viewer):
            channel.close()
            return
        viewer.attach(channel, handshake)
        self._count("opened")
        console.pump(viewer)

    def _deny(self, console: RelayedConsole, viewer: Viewer, error: PveError) -> None:
        if not console.fetched(viewer):
            return
        self._say(f"console of {console.label}: {error}")
        viewer.refuse(error)
        console.pump(viewer)
