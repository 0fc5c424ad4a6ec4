# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one answer of getconsole leads to: an open port, then a viewer with a console, then nothing."""

from __future__ import annotations

import errno
import socket
import time
import typing as t
from dataclasses import dataclass

from ..._operations.console.vnc_viewer import (
    ENDED,
    LEAVING,
    PROVED,
    REFUSED,
    SHOWN,
    ConsoleConnection,
    Viewer,
    ViewerLimits,
)
from ..._pve.rfb import new_password
from .settings import RelaySettings

# CloudStack's console proxy connects once and has the right password. A client has so many attempts for each answer.
# With one attempt, anyone who reaches the port could end the consoles of others.
MOST_TRIES = 3
# With more of these, the oldest one is closed, so that silent connections cannot block the others.
MOST_STRANGERS = 4
# A viewer asks for the next picture at once; one that has not for so long is thought to have left.
ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class ConsoleRequest:
    """A console that is offered to a viewer.

    open is called in a thread of the relay when a viewer has given the password: it has PVE open the console and keeps
    nothing else open; it may raise a PveError. It is forgotten, with the credentials that it holds, when nobody is
    waited for any more: as soon as it is called, unless the viewer may come back.
    label is how messages call the console. guest and endpoint are what it is counted for.
    """

    open: t.Callable[[], ConsoleConnection]
    label: str
    guest: str = ""
    endpoint: str = ""

    def __repr__(self) -> str:
        return f"ConsoleRequest({self.label!r})"


@dataclass(frozen=True)
class Offer:
    """Where a viewer connects; only this holds the password."""

    host: str
    port: int
    password: str

    def __repr__(self) -> str:
        return f"Offer({self.host!r}, {self.port})"


class Floor(t.Protocol):
    """What a console needs of the relay. All but stop() run in the relay's thread."""

    settings: RelaySettings

    def watch(self, console: RelayedConsole, viewer: Viewer) -> None:
        """Wait for what the viewer waits for."""

    def ignore(self, closing: t.Any) -> None:
        """Wait for nothing there any more."""

    def open(self, console: RelayedConsole) -> None:
        """Have the console opened for its viewer."""

    def opened(self, console: RelayedConsole) -> None:
        """The console is open, or will not be."""

    def make_room(self, console: RelayedConsole) -> None:
        """A viewer has connected: end other consoles of its guest beyond the limit."""

    def stop(self, console: RelayedConsole) -> None:
        """End the console; from any thread."""

    def gone(self, console: RelayedConsole, outcome: str, words: str) -> None:
        """The console has ended."""

    def refused(self, why: str) -> None:
        """A connection was refused."""

    def say(self, words: str) -> None:
        """Write a line to the operator's log."""


class RelayedConsole:
    """A console that is offered at a port: the connections there, and the viewer that has given the password."""

    def __init__(self, floor: Floor, request: ConsoleRequest, listener: socket.socket) -> None:
        self.request: ConsoleRequest | None = request
        self.label, self.guest, self.endpoint = request.label, request.guest, request.endpoint
        self.listener: socket.socket | None = listener
        self.viewer: Viewer | None = None
        self.password = new_password()
        # A viewer has given the password.
        self.taken = False
        # It is about to end, so it does not count.
        self.condemned = False
        # PVE is being asked for it: until the picture is there, and until PVE has opened it.
        self.opening = self.fetching = False
        self._floor = floor
        self._strangers: dict[Viewer, str] = {}
        self._mistaken: set[Viewer] = set()
        # Where the viewer came from, and until when it may come back.
        self._address = ""
        self._kept_until = 0.0
        self._begun = time.monotonic()
        self._ended = False

    @property
    def kind(self) -> str:
        """What counters call it."""
        return "console" if self.taken else "console offer"

    @property
    def silence(self) -> tuple[bool, float]:
        """Whether the viewer seems to have left, and for how long. The greatest one is ended first."""
        viewer, now = self.viewer, time.monotonic()
        if viewer is None:
            return True, now - self._begun
        since = viewer.unanswered_since
        if since is not None and now - since >= ANSWER_SECONDS:
            return True, now - since
        return False, now - viewer.heard_at

    def close(self) -> None:
        """End it; from any thread."""
        self._floor.stop(self)

    # ---- in the relay's own thread

    def accept(self) -> None:
        """Accept a connection."""
        listener = self.listener
        if listener is None:
            return
        try:
            connection, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                time.sleep(0.02)
            return
        if not self._floor.settings.admits(str(address[0])) or (self.taken and str(address[0]) != self._address):
            connection.close()
            self._floor.refused("foreign source")
            return
        if len(self._strangers) >= MOST_STRANGERS:
            self._drop(next(iter(self._strangers)))
        try:
            viewer = Viewer(connection, (self.password,), self._limits(), self._floor.ignore)
        except OSError:
            connection.close()
            return
        self._strangers[viewer] = str(address[0])
        self.pump(viewer)

    def _limits(self) -> ViewerLimits:
        settings = self._floor.settings
        # The total time also counts for a viewer that comes back.
        spent = time.monotonic() - self._begun if self.taken else 0.0
        return ViewerLimits(
            settings.login_seconds,
            idle=settings.idle_seconds or None,
            total=max(0.0, settings.total_seconds - spent) if settings.total_seconds else None,
            unasked=settings.unasked_seconds,
            refusal=settings.told_seconds,
        )

    def pump(self, viewer: Viewer) -> None:
        """Let a viewer go on."""
        if self._ended or (viewer is not self.viewer and viewer not in self._strangers):
            return
        viewer.pump()
        if viewer is self.viewer and self.opening and viewer.phase in (SHOWN, REFUSED, LEAVING, ENDED):
            self._release_turn()
        if viewer.wrong_password and viewer not in self._mistaken and self._is_last_try(viewer):
            self._withdraw()
        elif viewer.phase == PROVED and viewer is not self.viewer:
            self._choose(viewer)
        elif viewer.phase == ENDED:
            self._lose(viewer)
        else:
            self._floor.watch(self, viewer)

    def tick(self) -> None:
        """Look at the clock."""
        now, settings = time.monotonic(), self._floor.settings
        if not self.taken and now - self._begun >= settings.offer_seconds:
            self.end("unused", f"no viewer connected within {settings.offer_seconds:g} s")
        elif self.taken and self.viewer is None and now >= self._kept_until:
            self.end("ended", f"it did not come back within {settings.reconnect_seconds:g} s")
        for viewer in [*self._strangers, *([self.viewer] if self.viewer else [])]:
            viewer.tick()
            if viewer.phase in (LEAVING, ENDED):
                self.pump(viewer)
            elif not self._ended:
                self._floor.watch(self, viewer)

    def fetched(self, viewer: Viewer) -> bool:
        """PVE has answered for this viewer; returns whether it still waits."""
        self.fetching = False
        if viewer is self.viewer and not self._ended:
            return True
        # The viewer has been replaced, or has left.
        self._release_turn()
        return False

    def end(self, outcome: str, words: str) -> None:
        """Close all that it has."""
        if self._ended:
            return
        self._ended, self.request, self.password = True, None, ""
        if self.opening:
            self._floor.opened(self)
        self._close_listener()
        for viewer in list(self._strangers):
            self._drop(viewer)
        if self.viewer is not None:
            self.viewer.close(words)
        self._floor.gone(self, outcome, words)

    @property
    def ended(self) -> bool:
        return self._ended

    def _choose(self, viewer: Viewer) -> None:
        """This viewer has given the password. It is the only one."""
        address, returned = self._strangers.pop(viewer), self.taken
        before, self.viewer = self.viewer, viewer
        if before is not None:
            before.close("it came back")
            self._release_turn()
        self.taken, self._address = True, address
        if not returned:
            self._begun = time.monotonic()
        if not self._floor.settings.reconnect_seconds:
            self._shut()
        self._floor.watch(self, viewer)
        self._floor.say(f"console of {self.label}: {address} has come{' back' if returned else ''}")
        self._floor.make_room(self)
        self._floor.open(self)

    def _release_turn(self) -> None:
        """Another console of the guest may be opened, unless PVE is still about to answer for this one."""
        if self.opening and not self.fetching:
            self._floor.opened(self)

    def _is_last_try(self, viewer: Viewer) -> bool:
        """Count a wrong password."""
        self._mistaken.add(viewer)
        self._floor.refused("wrong password")
        self._floor.say(f"console of {self.label}: {self._strangers[viewer]} did not know the password")
        return len(self._mistaken) >= MOST_TRIES

    def _withdraw(self) -> None:
        """After too many wrong passwords an offer ends; an open console goes on, but its viewer cannot come back."""
        words = f"withdrawn after {MOST_TRIES} wrong passwords"
        if not self.taken:
            self.end("wrong password", words)
            return
        self._floor.say(f"console of {self.label}: its place is {words}")
        self._shut()
        if self.viewer is None:
            self.end("ended", words)

    def _lose(self, viewer: Viewer) -> None:
        """A viewer has ended."""
        if viewer is not self.viewer:
            self._drop(viewer)
            return
        if self.listener is not None and viewer.error is None and not viewer.timed_out:
            viewer.close()
            self.viewer, self._kept_until = None, time.monotonic() + self._floor.settings.reconnect_seconds
            self._release_turn()
            self._floor.say(f"console of {self.label}: {viewer.ending}; it may come back")
            return
        seconds = time.monotonic() - self._begun
        outcome = "failed" if viewer.error else "ended"
        self.end(outcome, viewer.ending if viewer.error else f"{viewer.ending}, after {seconds:.0f} s")

    def _shut(self) -> None:
        """Accept no other viewer."""
        self.password = ""
        self._close_listener()
        for other in list(self._strangers):
            self._drop(other)

    def _drop(self, viewer: Viewer) -> None:
        self._strangers.pop(viewer, None)
        viewer.close()

    def _close_listener(self) -> None:
        listener, self.listener = self.listener, None
        if listener is not None:
            self._floor.ignore(listener)
            listener.close()
