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
from .._pve.tasks import parse_upid, read_log

GREETING = b"OK"
# termproxy answers within 10 s, or never.
GREETING_SECONDS = 15.0
# Few and large: termproxy misreads a message whose head lies across the end of its buffer of 4096 bytes.
MAX_INPUT_BYTES = MAX_MESSAGE_BYTES - 16
# Beyond this, whoever feeds the session waits until PVE has taken some.
MAX_UNSENT_BYTES = 64 * 1024


class TerminalSession:
    """What is typed and shown on one terminal. As with the channel below it, nothing waits but wait()."""

    def __init__(self, channel: ConsoleChannel, console: OpenConsole, first: bytes = b"") -> None:
        """first is what PVE has shown already."""
        self.console = console
        self._channel = channel
        self._first = first
        self._last_sent = time.monotonic()

    def fileno(self) -> int:
        return self._channel.fileno()

    @property
    def wants_write(self) -> bool:
        return self._channel.wants_write

    @property
    def takes_input(self) -> bool:
        """Whether PVE keeps up with what is typed."""
        return self._channel.unsent < MAX_UNSENT_BYTES

    @property
    def ended(self) -> bool:
        return self._channel.ended

    def type(self, text: bytes) -> None:
        """Send input, byte for byte."""
        for start in range(0, len(text), MAX_INPUT_BYTES):
            part = text[start : start + MAX_INPUT_BYTES]
            self._send(b"0:%d:%s" % (len(part), part))

    def resize(self, columns: int, rows: int) -> None:
        """Tell the terminal's size; a serial line has none, so a virtual machine does not notice."""
        self._send(b"1:%d:%d:" % (columns, rows))

    def keep_alive(self) -> float:
        """Ping when nothing was sent for a while; returns the seconds until the next time that it is due."""
        if time.monotonic() - self._last_sent >= KEEP_ALIVE_SECONDS:
            self._send(b"2")
        return max(0.0, self._last_sent + KEEP_ALIVE_SECONDS - time.monotonic())

    def flush(self) -> None:
        self._channel.flush()

    def receive(self) -> bytes | None:
        """Return what is shown next, None when there is nothing yet, b"" when the session has ended."""
        if self._first:
            first, self._first = self._first, b""
            return first
        return self._channel.receive()

    def wait(self, seconds: float) -> bytes | None:
        """Do the same, waiting so many seconds for it."""
        return self.receive() if self._first else self._channel.wait(seconds)

    def close(self) -> None:
        """End the session: until then nobody else can use a virtual machine's serial line."""
        self._channel.close()

    def _send(self, message: bytes) -> None:
        self._last_sent = time.monotonic()
        self._channel.send(message)

    def __enter__(self) -> TerminalSession:
        return self

    def __exit__(self, *_exception: t.Any) -> None:
        self.close()


def open_session(target: ConsoleTarget, serial: str | None = None) -> TerminalSession:
    """Have PVE open a terminal and log in to it; raises a PveError.

    PVE lets a terminal be opened on a guest that is stopped or has no serial line: check that before.
    """
    console = open_terminal(target, serial)
    channel = connect(target, console)
    try:
        return TerminalSession(channel, console, _log_in(channel, console, target))
    except BaseException:
        channel.close()
        raise


def _log_in(channel: ConsoleChannel, console: OpenConsole, target: ConsoleTarget) -> bytes:
    """Say who asks; returns what came with the greeting."""
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
