# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The counters over HTTP, for Prometheus, on a loopback port."""

from __future__ import annotations

import socket
import time
import typing as t

from .loop import Loop, accepted

MAX_BYTES = 8192
SECONDS = 2.0
MOST = 16


class Scrapes:
    """Answers whatever is asked with the counters."""

    def __init__(self, loop: Loop, text: t.Callable[[], str]) -> None:
        self._loop = loop
        self._text = text
        # What each has said so far, and when it has to have finished.
        self._waiting: dict[socket.socket, tuple[bytes, float]] = {}

    def accept(self, listener: socket.socket) -> None:
        channel = accepted(listener)
        if channel is None:
            return
        if len(self._waiting) >= MOST:
            channel.close()
            return
        self._waiting[channel] = b"", time.monotonic() + SECONDS
        self._loop.watch(channel, lambda: self._read(channel))

    def tidy(self, everything: bool = False) -> None:
        """Close those that take too long."""
        now = time.monotonic()
        for channel in [item for item, (_said, until) in self._waiting.items() if everything or until < now]:
            self._close(channel)

    def _read(self, channel: socket.socket) -> None:
        if channel not in self._waiting:
            return
        said, until = self._waiting[channel]
        try:
            data = channel.recv(MAX_BYTES)
            said += data
            self._waiting[channel] = said, until
            if data and b"\r\n\r\n" not in said and len(said) < MAX_BYTES:
                return
            body = self._text().encode()
            head = f"HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(body)}\r\n\r\n"
            channel.send(head.encode() + body)
            channel.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return
        except OSError:
            pass  # Whoever asked is gone.
        self._close(channel)

    def _close(self, channel: socket.socket) -> None:
        del self._waiting[channel]
        self._loop.unwatch(channel)
        channel.close()
