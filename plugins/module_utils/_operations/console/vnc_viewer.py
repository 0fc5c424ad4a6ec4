# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One VNC viewer, from its first byte to the last: it is let in, gets a console, and then bytes go both ways.

Nothing here blocks. The owner of viewers waits for the events that they name, with one thread for each or one for
all, and calls pump().
"""

from __future__ import annotations

import socket
import time
import typing as t
from dataclasses import dataclass
from selectors import EVENT_READ, EVENT_WRITE

from ..._pve.channel import KEEP_ALIVE_SECONDS, ConsoleChannel
from ..._pve.errors import PveError, TimedOut
from ..._pve.rfb import ClientHandshake, ServerHandshake, SharedSession
from ..._pve.rfb_notice import Notice
from .abilities import Abilities, check_vnc, read_abilities
from .opening import connect, open_vnc
from .target import ConsoleTarget

# What one side has not taken yet; beyond this the other side is not listened to.
MAX_UNSENT_BYTES = 256 * 1024
_READ_BYTES = 64 * 1024
# Until the viewer has taken the last words, and until it has read them.
_LAST_SECONDS = 5.0
_READ_SECONDS = 1.0

# What a viewer is at: it logs in; it waits for a console; PVE is asked for the picture; the console is shown, or the
# reason why there is none; it gets the last bytes; it is gone.
ADMISSION, PROVED, LOGIN, SHOWN, REFUSED, LEAVING, ENDED = (
    "admission",
    "proved",
    "login",
    "shown",
    "refused",
    "leaving",
    "ended",
)
# RFC 6143, 7.6.2 and 7.6.3.
_BELL, _CUT_TEXT = b"\2", 3


# A console that PVE has opened, and the handshake that comes first.
ConsoleConnection = t.Tuple[ConsoleChannel, ClientHandshake]  # noqa: UP006 - Python 3.9 evaluates it


@dataclass(frozen=True)
class ViewerLimits:
    """How many seconds a viewer has to log in, PVE to show a picture, and the console to last; None is for ever.

    idle is how long the viewer may send nothing, and unasked how long after it has got something: a viewer asks for
    the next picture as soon as it has one. refusal is how long a refusal is shown as a picture; None gives it in the
    handshake.
    """

    admission: float = 120.0
    # qm vncproxy takes a second to say something, more when the guest is on another node.
    console: float = 20.0
    idle: float | None = None
    total: float | None = None
    unasked: float | None = None
    refusal: float | None = None


def open_for_viewer(target: ConsoleTarget, abilities: Abilities | None = None) -> ConsoleConnection:
    """Have PVE open the target's console, for a viewer that is there; raises a PveError.

    abilities are those of the target if they have just been read.
    """
    check_vnc(target, abilities or read_abilities(target, target.found))
    console = open_vnc(target, websocket=True)
    return connect(target, console), ClientHandshake(console.password, target.label)


class Viewer:
    """The connection of a viewer, and what it is shown.

    pump() after each time that something it waits for has come, tick() every few seconds. When phase is PROVED, the
    owner gives it a console by attach(), or says why there is none by refuse(); when it is ENDED, close() it.
    """

    def __init__(
        self,
        connection: socket.socket,
        passwords: t.Collection[str] | None,
        limits: ViewerLimits,
        unwatch: t.Callable[[t.Any], None] = lambda _closing: None,
        clock: t.Callable[[], float] = time.monotonic,
    ) -> None:
        """passwords are those that let it in, None lets everybody in.

        unwatch gets connection or channel before it closes: a number of a closed one may be another's at once.
        """
        self.connection = connection
        self.channel: ConsoleChannel | None = None
        self.phase = ADMISSION
        # How the viewer ended, and the error that it was shown.
        self.ending = ""
        self.error: PveError | None = None
        # It was ended because of the time.
        self.timed_out = False
        # When it was last heard, and since when it has had something that it has not answered.
        self.heard_at = clock()
        self.unanswered_since: float | None = None
        # There is more to carry than what was waited for shows.
        self.restless = False
        self._limits = limits
        self._unwatch = unwatch
        self._clock = clock
        self._begun = self._carried = self._taken_at = self.heard_at
        self._notice: Notice | None = None
        self._until: float | None = self._begun + limits.admission
        self._handshake = ServerHandshake(passwords)
        self._console: ClientHandshake | None = None
        self._session = SharedSession()
        self._typed = bytearray()
        self._unsent = bytearray()
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def wrong_password(self) -> bool:
        """It gave a password that is none of those that let it in."""
        return self._handshake.mistaken

    @property
    def viewer_events(self) -> int:
        """What is waited for on connection, in the words of selectors; 0 is nothing."""
        if self.phase in (PROVED, ENDED):
            return 0
        return (EVENT_READ if self._takes_typing else 0) | (EVENT_WRITE if self._unsent else 0)

    @property
    def channel_events(self) -> int:
        """What is waited for on channel."""
        if self.channel is None or self.phase not in (LOGIN, SHOWN):
            return 0
        readable = EVENT_READ if len(self._unsent) < MAX_UNSENT_BYTES else 0
        return readable | (EVENT_WRITE if self.channel.wants_write else 0)

    def pump(self) -> None:
        """Carry what can be carried at once, but no more than a share."""
        self.restless = False
        try:
            self._send_some()
            self._listen()
            if self.phase == ADMISSION:
                self._admit()
            if self.phase == LOGIN:
                self._log_in()
            if self.phase == SHOWN:
                self._show()
            if self.phase == REFUSED:
                self._show_refusal()
            self._send_some()
        except PveError as error:
            self.refuse(error)
        except OSError as error:
            self._end(f"it went away ({error.strerror or error})")

    def attach(self, channel: ConsoleChannel, console: ClientHandshake) -> None:
        """Show it this console, which closes with it."""
        if self.phase != PROVED:
            channel.close()
            return
        self.channel, self._console = channel, console
        self.phase, self._until = LOGIN, self._clock() + self._limits.console
        self._typed += self._handshake.rest
        self.pump()

    def refuse(self, error: PveError) -> None:
        """Tell it why there is no console."""
        if self.phase not in (PROVED, LOGIN):
            self._leave(str(error))
            return
        self.error = error
        if self._limits.refusal is None:
            self._unsent += self._handshake.refuse(str(error))
            self._leave(str(error))
            return
        if self.phase == PROVED:
            self._typed += self._handshake.rest
        self._notice = Notice(f"There is no console: {error}")
        self.phase, self.ending, self._until = REFUSED, str(error), self._clock() + self._limits.refusal
        self._unsent += self._handshake.accept()
        self._let_go()

    def tick(self) -> None:
        """Look at the clock: end what has lasted too long, keep alive what is silent."""
        now, limits = self._clock(), self._limits
        if self._until is not None and now >= self._until:
            self._overdue()
        elif self.phase == SHOWN and limits.total is not None and now - self._begun >= limits.total:
            self._time_out(f"its time of {limits.total:g} s was over")
        elif self.phase == SHOWN and limits.idle is not None and now - self.heard_at >= limits.idle:
            self._time_out(f"it was idle for {limits.idle:g} s")
        elif self.phase == SHOWN and limits.unasked is not None and self._unanswered(now) >= limits.unasked:
            self._time_out(f"it got a picture and asked for nothing for {limits.unasked:g} s")
        elif self.phase == SHOWN and self.channel is not None and now - self._carried >= KEEP_ALIVE_SECONDS:
            self._carried = now
            self.channel.ping()
        if self.phase == LEAVING:
            self.pump()

    def close(self, ending: str = "") -> None:
        """End it without a word."""
        self._end(ending)
        self._unwatch(self.connection)
        self.connection.close()

    def _unanswered(self, now: float) -> float:
        """For how long it has had something, all of which it has taken or stopped taking, and answered nothing."""
        return 0.0 if self.unanswered_since is None else now - max(self.unanswered_since, self._taken_at)

    # ---- what comes

    @property
    def _takes_typing(self) -> bool:
        if self.phase == SHOWN:
            return self.channel is not None and self.channel.unsent < MAX_UNSENT_BYTES
        return len(self._typed) < _READ_BYTES

    def _listen(self) -> None:
        """Read what the viewer has sent."""
        if self.phase in (PROVED, ENDED) or not self._takes_typing:
            return
        try:
            received = self.connection.recv(_READ_BYTES)
        except BlockingIOError:
            return
        if not received:
            self._end(self.ending or ("left without logging in" if self.phase == ADMISSION else "it left"))
        elif self.phase != LEAVING:
            self.heard_at = self._carried = self._clock()
            self.unanswered_since = None
            self._typed += received

    def _admit(self) -> None:
        received = bytes(self._typed)
        self._typed.clear()
        self._unsent += self._handshake.feed(received)
        if self._handshake.refused:
            self._leave("turned away: it speaks no VNC, or did not know the password")
        elif self._handshake.proved:
            self.phase, self._until = PROVED, None

    def _log_in(self) -> None:
        """Go on with the handshake with the console's server; raises a PveError."""
        channel, console = t.cast("ConsoleChannel", self.channel), t.cast("ClientHandshake", self._console)
        channel.flush()
        while not console.done:
            message = channel.receive()
            if message is None:
                return
            if not message:
                raise console.broken_off()
            answer = console.feed(message)
            if answer:
                channel.send(answer)
        self.heard_at = self.unanswered_since = self._clock()
        self.phase, self._until = SHOWN, None
        self._unsent += self._handshake.accept() + console.rest
        self._console = None

    def _show(self) -> None:
        channel = t.cast("ConsoleChannel", self.channel)
        if self._typed:
            channel.send(self._session.to_server(bytes(self._typed)))
            self._typed.clear()
        channel.flush()
        share = MAX_UNSENT_BYTES
        while share > 0 and len(self._unsent) < MAX_UNSENT_BYTES:
            message = channel.receive()
            if message is None:
                return
            if not message:
                self._leave("PVE ended the console")
                return
            self._carried = self._clock()
            if self.unanswered_since is None and not _is_aside(message):
                self.unanswered_since = self._carried
            self._unsent += message
            share -= len(message)
        self._send_some()
        # What TLS holds already, no wait for the socket would show.
        self.restless = len(self._unsent) < MAX_UNSENT_BYTES

    def _show_refusal(self) -> None:
        """Show it the reason why there is no console."""
        notice = t.cast("Notice", self._notice)
        received = bytes(self._typed)
        self._typed.clear()
        self._unsent += notice.feed(received)
        if notice.broken:
            self._leave(self.ending)
        elif notice.wanted and not self._unsent:
            self._unsent += notice.picture()

    # ---- what goes

    def _time_out(self, ending: str) -> None:
        self.timed_out = True
        self._leave(ending)

    def _send_some(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self.connection.send(self._unsent)]
                self._taken_at = self._clock()
        except BlockingIOError:
            return
        if self.phase == LEAVING:
            # To close it now would take from it what it has not read yet.
            self.connection.shutdown(socket.SHUT_WR)
            self._until = min(self._until or 0.0, self._clock() + _READ_SECONDS)

    def _leave(self, ending: str) -> None:
        """Let the viewer have the last bytes, and then end."""
        if self.phase in (LEAVING, ENDED):
            return
        self.phase, self.ending, self._until = LEAVING, self.ending or ending, self._clock() + _LAST_SECONDS
        self._let_go()

    def _end(self, ending: str) -> None:
        if self.phase != ENDED:
            self.phase, self.ending, self._until = ENDED, self.ending or ending, None
            self._let_go()
            self._unsent.clear()

    def _let_go(self) -> None:
        channel, self.channel = self.channel, None
        if channel is not None:
            self._unwatch(channel)
            channel.close()

    def _overdue(self) -> None:
        if self.phase == ADMISSION:
            self._leave(f"turned away: it did not log in within {self._limits.admission:g} s")
        elif self.phase == LOGIN:
            label, seconds = t.cast("ClientHandshake", self._console).label, self._limits.console
            self.refuse(TimedOut(f"the VNC console of {label} gave no answer within {seconds:g} s"))
        elif self.phase == REFUSED:
            self._leave(self.ending)
        else:
            self._end("")


def _is_aside(message: bytes) -> bool:
    """The server says something that no viewer answers: a bell, or what was cut."""
    if message == _BELL:
        return True
    return len(message) >= 8 and message[0] == _CUT_TEXT and len(message) == 8 + int.from_bytes(message[4:8], "big")
