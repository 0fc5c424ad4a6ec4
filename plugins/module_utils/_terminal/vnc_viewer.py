# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One VNC viewer at the bridge: it is let in, a console is opened for it, and then bytes go both ways."""

from __future__ import annotations

import select
import socket
import threading
import time
import typing as t

from .._operations.console.abilities import check_vnc, read_abilities
from .._operations.console.opening import connect, open_vnc
from .._operations.console.target import ConsoleTarget
from .._pve.channel import ConsoleChannel
from .._pve.errors import PveError, TimedOut
from .._pve.rfb import ClientHandshake, ServerHandshake, SharedSession
from .session import KEEP_ALIVE_SECONDS

# Somebody may have to type the password.
ADMISSION_SECONDS = 120.0
# qm vncproxy takes a second to say something, more when the guest is on another node.
CONSOLE_SECONDS = 20.0
# What one side has not taken yet; beyond this the other side is not listened to.
MAX_UNSENT_BYTES = 256 * 1024
_READ_BYTES = 64 * 1024
_LAST_SECONDS = 5.0

FindTarget = t.Callable[[], ConsoleTarget]


class ViewerGone(Exception):
    """There is nobody to show a console to; str() says what came of the viewer."""


def serve_viewer(
    viewer: socket.socket, passwords: t.Collection[str] | None, find: FindTarget, opening: threading.Lock
) -> str:
    """Show the target's console to a viewer until one of both ends it; returns who did.

    opening is held while a console is opened: of two at once, PVE would take one's password for both.

    Nothing is asked of PVE before the viewer has given one of the passwords. Raises ViewerGone, or the PveError that
    the viewer was told as well.
    """
    try:
        viewer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        handshake = _admit(viewer, passwords)
    except OSError as error:
        raise ViewerGone(f"went away ({error})") from error
    try:
        with opening:
            channel, shown = _open_console(find())
    except PveError as error:
        _answer(viewer, handshake.refuse(str(error)))
        raise
    with channel:
        _answer(viewer, handshake.accept())
        return _carry(viewer, channel, handshake.rest, shown)


def _admit(viewer: socket.socket, passwords: t.Collection[str] | None) -> ServerHandshake:
    handshake = ServerHandshake(passwords)
    end = time.monotonic() + ADMISSION_SECONDS
    received = b""
    while True:
        answer = handshake.feed(received)
        if answer:
            viewer.sendall(answer)
        if handshake.proved:
            return handshake
        if handshake.refused:
            raise ViewerGone("turned away: it speaks no VNC, or did not know the password")
        viewer.settimeout(max(0.001, end - time.monotonic()))
        try:
            received = viewer.recv(_READ_BYTES)
        except TimeoutError as error:
            raise ViewerGone(f"turned away: it did not log in within {ADMISSION_SECONDS:g} s") from error
        if not received:
            raise ViewerGone("left without logging in")


def _answer(viewer: socket.socket, message: bytes) -> None:
    try:
        viewer.settimeout(CONSOLE_SECONDS)
        viewer.sendall(message)
    except OSError as error:
        raise ViewerGone(f"went away ({error})") from error


def _open_console(target: ConsoleTarget) -> tuple[ConsoleChannel, bytes]:
    """Open and log in to the console; returns what it shows first."""
    check_vnc(target, read_abilities(target))
    console = open_vnc(target, websocket=True)
    channel = connect(target, console)
    try:
        handshake = ClientHandshake(console.password, target.label)
        end = time.monotonic() + CONSOLE_SECONDS
        while not handshake.done:
            message = channel.wait(max(0.0, end - time.monotonic()))
            if message is None:
                raise TimedOut(f"the VNC console of {target.label} gave no answer within {CONSOLE_SECONDS:g} s")
            if not message:
                raise handshake.broken_off()
            answer = handshake.feed(message)
            if answer:
                channel.send(answer)
        return channel, handshake.rest
    except BaseException:
        channel.close()
        raise


def _carry(viewer: socket.socket, channel: ConsoleChannel, typed: bytes, shown: bytes) -> str:
    """Carry bytes both ways; neither side is listened to while the other does not take what there is."""
    viewer.setblocking(False)
    session, to_viewer = SharedSession(), bytearray(shown)
    while True:
        if typed:
            channel.send(session.to_server(typed))
        full = _collect(channel, to_viewer)
        try:
            _send_some(viewer, to_viewer)
            if channel.ended:
                _send_last(viewer, to_viewer)
                return "PVE ended the console"
            # What TLS holds already, no wait for the socket would show.
            missed = full and len(to_viewer) < MAX_UNSENT_BYTES
            typed = b"" if missed else _wait(viewer, channel, to_viewer)
        except ViewerGone as gone:
            return str(gone)
        except OSError as error:
            return f"it went away ({error})"


def _collect(channel: ConsoleChannel, to_viewer: bytearray) -> bool:
    """Take what the console shows; says whether there may be more than the viewer has taken."""
    while len(to_viewer) < MAX_UNSENT_BYTES:
        message = channel.receive()
        if not message:
            return False
        to_viewer += message
    return True


def _wait(viewer: socket.socket, channel: ConsoleChannel, to_viewer: bytearray) -> bytes:
    """Wait until something can be carried; returns what the viewer has sent."""
    readers: list[t.Any] = [viewer] if channel.unsent < MAX_UNSENT_BYTES else []
    if len(to_viewer) < MAX_UNSENT_BYTES:
        readers.append(channel)
    writers: list[t.Any] = [*([viewer] if to_viewer else []), *([channel] if channel.wants_write else [])]
    readable, writable, dummy = select.select(readers, writers, [], KEEP_ALIVE_SECONDS)
    if channel in writable:
        channel.flush()
    elif not readable and not writable:
        channel.ping()
    if viewer not in readable:
        return b""
    received = viewer.recv(_READ_BYTES)
    if not received:
        raise ViewerGone("it left")
    return received


def _send_some(viewer: socket.socket, to_viewer: bytearray) -> None:
    try:
        while to_viewer:
            del to_viewer[: viewer.send(to_viewer)]
    except BlockingIOError:
        pass


def _send_last(viewer: socket.socket, to_viewer: bytearray) -> None:
    viewer.settimeout(_LAST_SECONDS)
    viewer.sendall(to_viewer)
