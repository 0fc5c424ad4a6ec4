# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The protocol between the executable and the service.

The socket keeps the boundaries of messages (SOCK_SEQPACKET). The executable sends a request, with the open payload; the
service answers "ready" and how many seconds the answer may take, or "no" and why; the executable says "go". From then
on the service alone carries out the action. The service sends the answer with the exit code in front, and the
executable says "done" when it has printed it. An executable that gets anything but "ready" carries out the action
itself. templates/extension.py.j2 has the executable's side.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

GREETING = b"cloudbridge 1"
RUN = b"run"
STATUS = b"status"
GO = b"go"
DONE = b"done"
SIGNAL = b"signal "
# A message holds arguments, which CloudStack keeps short, and a few variables.
MAX_MESSAGE_BYTES = 64 * 1024
MOST_WORDS = 256


class BadMessage(Exception):
    """A message that no executable sends."""


@dataclass(frozen=True)
class CallMessage:
    """The request of a client: to run an action, with arguments and variables, or to show the state of the service."""

    kind: bytes
    release: str = ""
    arguments: tuple[str, ...] = ()
    environment: t.Mapping[str, str] | None = None


def parse_message(message: bytes) -> CallMessage:
    """Read the first message of a client; raises BadMessage."""
    if len(message) > MAX_MESSAGE_BYTES:
        raise BadMessage("the message is too long")
    words = message.split(b"\0")
    if len(words) > MOST_WORDS:
        raise BadMessage("the message has too many words")
    if words[0] != GREETING or len(words) < 2:
        raise BadMessage("it does not begin with the greeting")
    if words[1] == STATUS:
        return CallMessage(STATUS)
    if words[1] != RUN or len(words) < 4 or not words[3].isdigit():
        raise BadMessage("it asks for nothing that is known")
    texts = [word.decode("utf-8", "surrogateescape") for word in words[4:]]
    count = int(words[3][:6])
    if count > len(texts):
        raise BadMessage("it is shorter than it says")
    pairs = (text.partition("=") for text in texts[count:])
    release = words[2].decode("utf-8", "surrogateescape")
    return CallMessage(RUN, release, tuple(texts[:count]), {name: value for name, _equals, value in pairs})
