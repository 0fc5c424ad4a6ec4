# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One terminal session with PVE's termproxy (proxmox-termproxy 2.1, main.rs): its login, its messages, its end."""

from __future__ import annotations

import time
import typing as t

from .._operations.console.opening import OpenConsole, connect, open_terminal
from .._operations.console.target import ConsoleTarget
from .._pve.channel import KEEP_ALIVE_SECONDS, MAX_MESSAGE_BYTES, ConsoleChannel
from .._pve.errors import AuthenticationFailed, Cause, PveError, TimedOut
from .._pve.guests import QEMU
from .._pve.tasks import parse_upid, read_log
from .watch import Watch

GREETING = b"OK"
# termproxy answers within 10 s, or never.
GREETING_SECONDS = 15.0
# Few and large: termproxy misreads a message whose head lies across the end of its buffer of 4096 bytes.
MAX_INPUT_BYTES = MAX_MESSAGE_BYTES - 16
# Beyond this, the caller waits until PVE has taken some.
MAX_UNSENT_BYTES = 64 * 1024
# qm terminal starts some seconds after termproxy's greeting, and later than this never.
START_SECONDS = 15.0


class TerminalSession:
    """What is typed and shown on one terminal. As with the channel below it, nothing waits but wait()."""

    def __init__(
        self,
        channel: ConsoleChannel,
        console: OpenConsole,
        first: bytes = b"",
        watch: Watch | None = None,
        starts_late: bool = False,
    ) -> None:
        """first is what PVE has shown already; watch looks after the session while it is silent.

        starts_late is for a virtual machine's: PVE's own terminal would echo, secrets as well, what is typed before
        `qm terminal` has said its first line.
        """
        self.console = console
        # Why the session is over, where that was not PVE's doing.
        self.why_over = ""
        self._channel = channel
        self._first = first
        self._watch = watch
        self._last_sent = self._began = time.monotonic()
        # What was typed before the terminal has started.
        self._early: bytearray | None = bytearray() if starts_late and b"\n" not in first else None
        if watch is not None and first:
            watch.shown(first)

    def fileno(self) -> int:
        return self._channel.fileno()

    @property
    def wants_write(self) -> bool:
        return self._channel.wants_write

    @property
    def takes_input(self) -> bool:
        """Whether PVE keeps up with what is typed."""
        return self._channel.unsent + len(self._early or b"") < MAX_UNSENT_BYTES

    @property
    def started(self) -> bool:
        """Whether what is typed reaches the guest."""
        return self._early is None

    @property
    def ended(self) -> bool:
        return self._channel.ended or bool(self.why_over)

    def type(self, text: bytes) -> None:
        """Send input, byte for byte."""
        if self._watch is not None and text:
            self._watch.typed(text)
        if self._early is not None:
            self._early += text
            return
        for start in range(0, len(text), MAX_INPUT_BYTES):
            part = text[start : start + MAX_INPUT_BYTES]
            self._send(b"0:%d:%s" % (len(part), part))

    def resize(self, columns: int, rows: int) -> None:
        """Tell the terminal's size; a serial line has none, so a virtual machine does not notice."""
        self._send(b"1:%d:%d:" % (columns, rows))

    def attend(self) -> float:
        """Do what is due in a silent session, a ping or a look at the guest; returns the seconds until the next time.

        When it turns out that the session is over, receive() says so.
        """
        if self.ended:
            return 0.0
        now = time.monotonic()
        if now - self._last_sent >= KEEP_ALIVE_SECONDS:
            self._send(b"2")
        pauses = [self._last_sent + KEEP_ALIVE_SECONDS - now]
        if self._early is not None:
            pauses.append(self._began + START_SECONDS - now)
            if pauses[-1] <= 0:
                self._start()
        if self._watch is not None:
            if self._watch.due <= 0:
                self.why_over = self._watch.over()
                probe, self._watch.probe = self._watch.probe, b""
                if probe:
                    self._send(b"0:%d:%s" % (len(probe), probe))
            pauses.append(0.0 if self.why_over else self._watch.due)
        return max(0.0, min(pauses))

    def flush(self) -> None:
        self._channel.flush()

    def receive(self) -> bytes | None:
        """Return what is shown next, None when there is nothing yet, b"" when the session has ended."""
        return self.wait(0.0)

    def wait(self, seconds: float) -> bytes | None:
        """Do the same, waiting so many seconds for it."""
        if self._first:
            first, self._first = self._first, b""
            return first
        if self.why_over:
            return b""
        data = self._channel.wait(seconds) if seconds > 0 else self._channel.receive()
        if data:
            self._note_output(data)
        return data

    def _note_output(self, data: bytes) -> None:
        if self._watch is not None:
            self._watch.shown(data)
        if self._early is not None and b"\n" in data:
            self._start()

    def _start(self) -> None:
        early, self._early = self._early, None
        if early:
            self.type(bytes(early))

    def close(self) -> None:
        """End the session, which frees a virtual machine's serial line for others."""
        self._channel.close()

    def _send(self, message: bytes) -> None:
        self._last_sent = time.monotonic()
        self._channel.send(message)

    def __enter__(self) -> TerminalSession:
        return self

    def __exit__(self, *_exception: t.Any) -> None:
        self.close()


def open_session(target: ConsoleTarget, serial: str | None = None, read_only: bool = False) -> TerminalSession:
    """Have PVE open a terminal and log in to it; raises a PveError. read_only is for one that nothing is typed on.

    PVE lets a terminal be opened on a guest that is stopped or has no serial line: check that before.
    """
    console = open_terminal(target, serial)
    channel = connect(target, console)
    try:
        first = _log_in(channel, console, target)
        watch = Watch(target, console.upid, read_only)
        return TerminalSession(channel, console, first, watch, starts_late=target.kind == QEMU)
    except BaseException:
        channel.close()
        raise


def _log_in(channel: ConsoleChannel, console: OpenConsole, target: ConsoleTarget) -> bytes:
    """Log in to termproxy; returns what came with the greeting."""
    channel.send(f"{console.user}:{console.ticket}\n".encode())
    end = time.monotonic() + GREETING_SECONDS
    shown = b""
    while len(shown) < len(GREETING):
        message = channel.wait(max(0.0, end - time.monotonic()))
        if message is None:
            raise TimedOut(f"the terminal of {target.label} gave no answer within {GREETING_SECONDS:g} s")
        if not message:
            # termproxy hangs up on a login that it refuses; the reason is in the log of its task only.
            raise _refused_login(console, target)
        shown += message
    if not shown.startswith(GREETING):
        raise PveError(f"the terminal of {target.label} answered {shown[:40]!r} instead of {GREETING.decode()}")
    return shown[len(GREETING) :]


def _refused_login(console: OpenConsole, target: ConsoleTarget) -> AuthenticationFailed:
    try:
        log = read_log(target.client, parse_upid(console.upid))
    except PveError:
        log = []
    why = next((line for line in log if "TASK" not in line and "client connection" not in line), "no reason given")
    cure = (
        "PVE lets API tokens open terminals from qemu-server 9.1.7 and 8.4.7 on: log in with a password instead"
        if "!" in console.user
        else "check that the user has VM.Console, or Sys.Console for a node"
    )
    return AuthenticationFailed(
        f"the terminal of {target.label} closed the login of {console.user} ({why}): {cure}",
        Cause(upid=console.upid, log_tail=tuple(log), pve_message=why),
    )
