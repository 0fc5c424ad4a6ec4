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

from ..._operations.console.vnc_viewer import ENDED, LEAVING, PROVED, SHOWN, Opened, Viewer, ViewerLimits
from ..._pve.rfb import new_password
from .settings import RelaySettings

# CloudStack's console proxy connects once and has the right password. Who guesses gets so many tries for each answer:
# at one try, anybody who reaches the port could take consoles away from those whom they belong to.
MOST_TRIES = 3
# Beyond these, the one that came first makes room, so that nobody can keep the others out by silence.
MOST_STRANGERS = 4


@dataclass(frozen=True)
class Wanted:
    """A console that somebody may come for.

    open is called once, in a thread of the relay, when a viewer has given the password: it has PVE open the console
    and keeps nothing else open; it may raise a PveError. It is forgotten, with the credentials that it holds, as soon
    as it is called or nobody is waited for any more.
    label is how messages call the console. guest and endpoint are what it is counted for.
    """

    open: t.Callable[[], Opened]
    label: str
    guest: str = ""
    endpoint: str = ""

    def __repr__(self) -> str:
        return f"Wanted({self.label!r})"


@dataclass(frozen=True)
class Offer:
    """Where somebody may come, once; only this holds the password."""

    host: str
    port: int
    password: str

    def __repr__(self) -> str:
        return f"Offer({self.host!r}, {self.port})"


class Floor(t.Protocol):
    """What a console needs of the relay, in the relay's own thread but for stop()."""

    settings: RelaySettings

    def watch(self, console: RelayedConsole, viewer: Viewer) -> None:
        """Wait for what the viewer waits for."""

    def ignore(self, closing: t.Any) -> None:
        """Wait for nothing there any more."""

    def open(self, console: RelayedConsole) -> None:
        """Have the console opened for its viewer."""

    def opened(self, console: RelayedConsole) -> None:
        """The console is open, or will not be."""

    def stop(self, console: RelayedConsole) -> None:
        """End the console; from any thread."""

    def gone(self, console: RelayedConsole, outcome: str, words: str) -> None:
        """The console has ended."""

    def refused(self, why: str) -> None:
        """Somebody was turned away."""

    def say(self, words: str) -> None:
        """Tell the operator."""


class RelayedConsole:
    """An answer's port, the viewers that come there, and the one that knows the password."""

    def __init__(self, floor: Floor, wanted: Wanted, listener: socket.socket) -> None:
        self.wanted: Wanted | None = wanted
        self.label, self.guest, self.endpoint = wanted.label, wanted.guest, wanted.endpoint
        self.listener: socket.socket | None = listener
        self.viewer: Viewer | None = None
        self.password = new_password()
        self._floor = floor
        self._strangers: dict[Viewer, str] = {}
        self._mistaken: set[Viewer] = set()
        # PVE is being asked for it.
        self.opening = False
        self._begun = time.monotonic()
        self._ended = False

    @property
    def kind(self) -> str:
        """What counters call it."""
        return "console" if self.viewer else "console offer"

    def close(self) -> None:
        """End it; from any thread."""
        self._floor.stop(self)

    # ---- in the relay's own thread

    def accept(self) -> None:
        """Let somebody in who has connected."""
        listener = self.listener
        if listener is None:
            return
        try:
            connection, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                time.sleep(0.02)
            return
        settings = self._floor.settings
        if not settings.admits(str(address[0])):
            connection.close()
            self._floor.refused("foreign source")
            return
        if len(self._strangers) >= MOST_STRANGERS:
            self._drop(next(iter(self._strangers)))
        limits = ViewerLimits(
            settings.login_seconds, idle=settings.idle_seconds or None, total=settings.total_seconds or None
        )
        try:
            viewer = Viewer(connection, (self.password,), limits, self._floor.ignore)
        except OSError:
            connection.close()
            return
        self._strangers[viewer] = str(address[0])
        self.pump(viewer)

    def pump(self, viewer: Viewer) -> None:
        """Let a viewer go on."""
        if self._ended:
            return
        viewer.pump()
        if self.opening and viewer.phase in (SHOWN, LEAVING, ENDED):
            self._floor.opened(self)
        if viewer.wrong_password and viewer not in self._mistaken and self._is_last_try(viewer):
            self.end("wrong password", f"withdrawn after {MOST_TRIES} wrong passwords")
        elif viewer.phase == PROVED and viewer is not self.viewer:
            self._choose(viewer)
        elif viewer.phase == ENDED:
            self._lose(viewer)
        else:
            self._floor.watch(self, viewer)

    def tick(self) -> None:
        """Look at the clock."""
        if self.viewer is None and time.monotonic() - self._begun >= self._floor.settings.offer_seconds:
            self.end("unused", f"nobody came within {self._floor.settings.offer_seconds:g} s")
        for viewer in [*self._strangers, *([self.viewer] if self.viewer else [])]:
            viewer.tick()
            if viewer.phase in (LEAVING, ENDED):
                self.pump(viewer)
            elif not self._ended:
                self._floor.watch(self, viewer)

    def end(self, outcome: str, words: str) -> None:
        """Close all that it has."""
        if self._ended:
            return
        self._ended, self.wanted, self.password = True, None, ""
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
        """This one knows the password; there is no second one."""
        address = self._strangers.pop(viewer)
        self.viewer, self.password, self._begun = viewer, "", time.monotonic()
        self._close_listener()
        for other in list(self._strangers):
            self._drop(other)
        self._floor.watch(self, viewer)
        self._floor.say(f"console of {self.label}: {address} has come")
        self._floor.open(self)

    def _is_last_try(self, viewer: Viewer) -> bool:
        """Count somebody who was turned away."""
        self._mistaken.add(viewer)
        self._floor.refused("wrong password")
        self._floor.say(f"console of {self.label}: {self._strangers[viewer]} did not know the password")
        return len(self._mistaken) >= MOST_TRIES

    def _lose(self, viewer: Viewer) -> None:
        """A viewer has ended."""
        if viewer is not self.viewer:
            self._drop(viewer)
            return
        seconds = time.monotonic() - self._begun
        outcome = "failed" if viewer.error else "ended"
        self.end(outcome, viewer.ending if viewer.error else f"{viewer.ending}, after {seconds:.0f} s")

    def _drop(self, viewer: Viewer) -> None:
        self._strangers.pop(viewer, None)
        viewer.close()

    def _close_listener(self) -> None:
        listener, self.listener = self.listener, None
        if listener is not None:
            self._floor.ignore(listener)
            listener.close()
