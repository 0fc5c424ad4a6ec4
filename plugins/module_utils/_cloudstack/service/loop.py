# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An event loop: one thread for many channels, none of which can block it."""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import time
import traceback
import typing as t

from .say import say

TICK_SECONDS = 1.0


class Loop:
    """Calls a function when its channel can be read, and one every second."""

    def __init__(self, tick: t.Callable[[], None], failed: t.Callable[[], None]) -> None:
        self._tick = tick
        self._failed = failed
        self._selector = selectors.DefaultSelector()
        self._bell, self._ring = socket.socketpair()
        self._bell.setblocking(False)
        self._ring.setblocking(False)
        self.watch(self._bell, self._hear)
        self._next_tick = 0.0

    def watch(self, channel: socket.socket | int, heard: t.Callable[[], None]) -> None:
        """Call a function whenever there is something to read."""
        self._selector.register(channel, selectors.EVENT_READ, heard)

    def unwatch(self, channel: socket.socket | int) -> None:
        self._selector.unregister(channel)

    def wake(self) -> None:
        """Wake the loop; from any thread."""
        with contextlib.suppress(OSError):
            self._ring.send(b"!")

    def turn(self) -> None:
        """Wait for events, and handle them."""
        for key, dummy in self._selector.select(max(0.0, self._next_tick - time.monotonic())):
            self.guarded(key.data)
        if time.monotonic() >= self._next_tick:
            self._next_tick = time.monotonic() + TICK_SECONDS
            self.guarded(self._tick)

    def guarded(self, act: t.Callable[[], None]) -> None:
        """Call a function; its error is logged, and the loop goes on for the other clients."""
        try:
            act()
        except Exception as error:  # noqa: BLE001
            place = traceback.extract_tb(error.__traceback__)[-1]
            say(f"internal error, please report it: {type(error).__name__} at {place.name}:{place.lineno}")
            self._failed()

    def _hear(self) -> None:
        with contextlib.suppress(OSError):
            self._bell.recv(4096)


def accepted(listener: socket.socket) -> socket.socket | None:
    """The next connection, which never blocks; None when there is none after all."""
    try:
        channel, dummy = listener.accept()
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            time.sleep(0.05)  # Until a descriptor is free.
        return None
    channel.setblocking(False)
    return channel
