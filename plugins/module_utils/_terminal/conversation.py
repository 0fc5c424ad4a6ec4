# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A person at a terminal session: keys in, output out, each waiting for the other side where that is slow."""

from __future__ import annotations

import enum
import os
import select
import time

from .escape import EscapeKey, read_keys
from .recording import Recorders
from .screen import Screen
from .session import MAX_INPUT_BYTES, TerminalSession

# What waits to be shown: more is only fetched when the terminal has taken some.
MAX_SHOWN_BYTES = 256 * 1024
SECOND_ESCAPE_SECONDS = 0.4
# No key sends so much: it is a paste, of which more may follow at once, and which goes as few messages.
_PASTE_BYTES = 32
_PASTE_PAUSE_SECONDS = 0.01
_READ_BYTES = 64 * 1024


class End(enum.Enum):
    """Why a conversation is over."""

    LEFT = "left"
    ENDED = "ended"
    GONE = "gone"


class Conversation:
    """One person's, over as many sessions as it takes."""

    def __init__(self, screen: Screen, escape: EscapeKey | None, recorders: Recorders, read_only: bool = False) -> None:
        self._screen = screen
        self._escape = escape
        self._recorders = recorders
        self._read_only = read_only
        self._unseen = bytearray()
        self._leave_at = 0.0
        # The last of what was typed, and when.
        self.last_typed = b""
        self.typed_at = 0.0

    def hold(self, session: TerminalSession) -> End:
        """Carry on until the person leaves, the session ends, or the terminal goes away."""
        self._screen.resized = True
        self._unseen.clear()
        self._leave_at = 0.0
        while True:
            if self._screen.resized:
                self._tell_size(session)
            ended = self._fetch(session)
            self._show()
            if ended and not self._unseen:
                return End.ENDED
            if self._leave_at and time.monotonic() >= self._leave_at:
                return End.LEFT
            if self._screen.keys in self._wait(session, ended):
                end = self._take_keys(session)
                if end is not None:
                    return end
            session.flush()

    def _tell_size(self, session: TerminalSession) -> None:
        self._screen.resized = False
        columns, rows = self._screen.size()
        self._recorders.resized(columns, rows)
        if not session.ended:
            session.resize(columns, rows)

    def _fetch(self, session: TerminalSession) -> bool:
        """Take what has come, as long as there is room; True when there will be no more."""
        while len(self._unseen) < MAX_SHOWN_BYTES:
            data = session.receive()
            if data is None:
                return False
            if not data:
                return True
            self._recorders.shown(data)
            self._unseen += data
        return False

    def _show(self) -> None:
        if self._unseen:
            del self._unseen[: self._screen.show(self._unseen)]

    def _wait(self, session: TerminalSession, ended: bool) -> list[int]:
        """Wait until there is something to do; returns what can be read."""
        reading: list[int] = [self._screen.wake]
        writing: list[int] = [self._screen.output] if self._unseen else []
        seconds = None
        if session.takes_input or ended:
            reading.append(self._screen.keys)
        if not ended:
            seconds = session.attend()
            reading += [session.fileno()] if len(self._unseen) < MAX_SHOWN_BYTES else []
            writing += [session.fileno()] if session.wants_write else []
        if self._leave_at:
            left = max(0.0, self._leave_at - time.monotonic())
            seconds = left if seconds is None else min(left, seconds)
        readable = select.select(reading, writing, [], seconds)[0]
        if self._screen.wake in readable:
            self._screen.drain_signals()
        return readable

    def _take_keys(self, session: TerminalSession) -> End | None:
        data = self._read()
        if not data:
            return End.GONE
        keys = read_keys(data, self._escape, half=self._leave_at > 0)
        if keys.typed and not self._read_only and not session.ended:
            session.type(keys.typed)
            self.last_typed, self.typed_at = keys.typed[-1:], time.monotonic()
        if keys.leave:
            return End.LEFT
        self._leave_at = time.monotonic() + SECOND_ESCAPE_SECONDS if keys.half else 0.0
        return None

    def _read(self) -> bytes:
        """Read what was typed; of a paste, all that comes without a pause."""
        keys = self._screen.keys
        try:
            data = os.read(keys, _READ_BYTES)
            while (
                _PASTE_BYTES <= len(data) < MAX_INPUT_BYTES and select.select([keys], [], [], _PASTE_PAUSE_SECONDS)[0]
            ):
                more = os.read(keys, min(_READ_BYTES, MAX_INPUT_BYTES - len(data)))
                if not more:
                    break
                data += more
        except OSError:
            # The terminal has gone.
            return b""
        return data
