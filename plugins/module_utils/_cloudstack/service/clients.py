# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A connection of an executable, and its state."""

from __future__ import annotations

import os
import socket
import struct
import time
import typing as t

from .messages import MAX_MESSAGE_BYTES

if t.TYPE_CHECKING:
    from .messages import CallMessage
    from .service_call import ServiceCall

MESSAGE_SECONDS = 2.0
_CREDENTIALS = struct.Struct("3i")

# It has sent nothing yet, waits for its turn, may send GO, waits for the answer, has the answer.
NEW, QUEUED, READY, RUNNING, ANSWERED = "new", "queued", "ready", "running", "answered"


class Client:
    """One connection. until is its time limit in this state, on the monotonic clock."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.state = NEW
        self.until: float | None = time.monotonic() + MESSAGE_SECONDS
        self.message: CallMessage | None = None
        self.call: ServiceCall | None = None
        # The open payload.
        self.stream = -1
        peer = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        # From the kernel.
        self.pid, self.user, dummy = _CREDENTIALS.unpack(peer)

    def receive(self, streams: list[int]) -> bytes:
        """The next message, empty when there will be none; the files that came with it are added to streams.

        Raises OSError, as BlockingIOError when there is no message yet.
        """
        size = MAX_MESSAGE_BYTES + 1 if self.state == NEW else 256
        message, ancillary, flags, _address = self.channel.recvmsg(size, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                streams += struct.unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4])
        return b"" if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) else message

    def send(self, message: bytes) -> bool:
        """Send a message; False if the executable is gone."""
        try:
            return bool(self.channel.send(message))
        except OSError:
            return False

    def close_payload(self) -> None:
        stream, self.stream = self.stream, -1
        if stream >= 0:
            os.close(stream)
