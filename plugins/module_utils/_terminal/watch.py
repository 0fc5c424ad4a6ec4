# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check whether a silent session is still alive.

termproxy waits for its terminal to become readable, and a hang-up is not that (termproxy 2.1, main.rs): when the guest
stops, restarts or moves, or a shell is left, the websocket stays open and silent until something is typed.
"""

from __future__ import annotations

import re
import time
import typing as t

from .._operations.console.target import ConsoleTarget
from .._operations.facts import PAUSED, RUNNING, read_status
from .._pve.errors import PveError
from .._pve.guests import LXC, GuestHandle, is_absent
from .._pve.tasks import parse_upid, read_task

# A session that shows nothing is looked at after so many seconds, and then again after so many; the last goes on.
LOOK_SECONDS = (10.0, 15.0, 25.0)
# After the last words of a shell, so long a silence is its end.
CLOSING_SECONDS = 0.5
# One look may take this long, as nothing is typed or shown meanwhile.
LOOKING_SECONDS = 2.0
# PVE rounds a guest's uptime down to seconds.
_UPTIME_SLACK_SECONDS = 2.0
# To a line that is empty these are nothing. A terminal without a program still echoes them, and only that makes it
# readable for termproxy, which then finds that it has hung up (seen on Linux 6.18).
_NOTHING = b" \x7f"
_TAIL_BYTES = 256
_END_OF_FILE = b"\x04"
_SEQUENCE = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\r")
# bash and sh at "exit" and at Ctrl-D; login(1) when nobody logs in; bash with TMOUT.
_SHELL_CLOSED = re.compile(
    rb"(?:(?:\A|\n|[#$%>] ?)(?:exit|logout)(?: \d+)?|Login timed out after \d+ seconds\.?"
    rb"|Maximum number of tries exceeded \(\d+\)|auto-logout)\s*\n\Z"
)
_NO_MORE_THAN_GOODBYE = re.compile(rb"\s*(?:logout|exit)?\s*\Z")
# dtach, attach.c
_DTACH_CLOSED = re.compile(rb"\n\[(?:EOF - dtach terminating|detached)\]\n\Z")


class Watch:
    """Watches one session. Its owner passes on input and output, and calls over() when that is due."""

    def __init__(
        self,
        target: ConsoleTarget,
        upid: str,
        read_only: bool = False,
        clock: t.Callable[[], float] = time.monotonic,
    ) -> None:
        """upid is the task that serves the session; read_only forbids to type anything."""
        self._target = target
        self._upid = upid
        self._read_only = read_only
        self._clock = clock
        self._node = target.node
        self._began = self._heard_at = clock()
        self._next_look = self._heard_at + LOOK_SECONDS[0]
        self._looks = 0
        self._tail = self._answer = b""
        self._last_key = b""
        self._tried = False
        # What is to be typed to see whether somebody is there.
        self.probe = b""

    def shown(self, data: bytes) -> None:
        """The session has shown this."""
        self._heard_at = self._clock()
        self._looks = 0
        self._next_look = self._heard_at + LOOK_SECONDS[0]
        self._tail = (self._tail + data)[-_TAIL_BYTES:]
        self._answer = (self._answer + data)[-_TAIL_BYTES:]
        self._tried = False

    def typed(self, data: bytes) -> None:
        """This was typed."""
        self._last_key, self._answer, self._tried = data[-1:], b"", False

    @property
    def due(self) -> float:
        """Seconds until over() has something to look at."""
        until = self._next_look
        if not self._tried and self._seems_closed():
            until = min(until, self._heard_at + CLOSING_SECONDS)
        return max(0.0, until - self._clock())

    def over(self) -> str:
        """Say why the session has ended; empty when it goes on or that is not known.

        Afterwards, what is in probe is to be typed.
        """
        now = self._clock()
        if not self._tried and now >= self._heard_at + CLOSING_SECONDS and self._seems_closed():
            self._tried = True
            if self._target.kind == LXC or self._read_only:
                # dtach keeps what runs in a container; and in a shell that is only looked at, nothing runs.
                return f"the console of {self._target.label} has closed"
            self.probe = _NOTHING
        if now < self._next_look:
            return ""
        self._looks = min(self._looks + 1, len(LOOK_SECONDS) - 1)
        why = self._look(now)
        self._next_look = self._clock() + LOOK_SECONDS[self._looks]
        return why

    def _seems_closed(self) -> bool:
        if self._target.kind == LXC:
            return _DTACH_CLOSED.search(_SEQUENCE.sub(b"", self._tail)) is not None
        if self._target.handle is not None:
            return False
        if self._last_key == _END_OF_FILE and _NO_MORE_THAN_GOODBYE.match(_SEQUENCE.sub(b"", self._answer)):
            return True
        return _SHELL_CLOSED.search(_SEQUENCE.sub(b"", self._tail)) is not None

    def _look(self, now: float) -> str:
        """Ask PVE; a look that fails says nothing."""
        handle = self._target.handle
        try:
            with self._target.looking(LOOKING_SECONDS):
                return self._look_at_guest(handle, now) if handle is not None else self._look_at_task()
        except PveError as error:
            return f"{self._target.label} is gone" if is_absent(error) else ""

    def _look_at_guest(self, handle: GuestHandle, now: float) -> str:
        label, status = self._target.label, read_status(handle)
        if handle.guest.node != self._node:
            return f"{label} has moved to node {handle.guest.node}"
        if status.condition not in (RUNNING, PAUSED):
            return f"{label} is {status.condition}"
        if status.uptime + _UPTIME_SLACK_SECONDS < now - self._began:
            return f"{label} was restarted"
        return ""

    def _look_at_task(self) -> str:
        running = read_task(self._target.client, parse_upid(self._upid)).running
        return "" if running else f"the shell of {self._target.label} has ended"
