# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The key that ends a session, and how to find it in the input."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from .exit_codes import Ending, ExitCode

DEFAULT_ESCAPE = "^]"
# These keys are needed to type a line.
_NEEDED = {"^M": "Enter", "^J": "Enter", "^[": "Escape, which begins the codes of other keys", "^?": "Backspace"}
_SPELLING = re.compile(r"(?:\^|ctrl[-+]|c-)(?P<key>[@a-z\[\\\]^_?])", re.IGNORECASE)


@dataclass(frozen=True)
class EscapeKey:
    """A control key; byte is what a terminal sends for it."""

    byte: int
    codes: t.Pattern[bytes] = field(repr=False)

    @property
    def name(self) -> str:
        """How the banner calls it."""
        return f"Ctrl-{chr(self.byte ^ 0x40)}"


@dataclass(frozen=True)
class Keys:
    """What is to be sent of some input; half says that it ended in one escape key, which may become two."""

    typed: bytes
    half: bool = False
    leave: bool = False


def parse_escape(text: str) -> EscapeKey | None:
    """Read ^], ctrl-], or none; raises Ending for a key that is needed to type."""
    if text.lower() == "none":
        return None
    match = _SPELLING.fullmatch(text)
    if not match:
        raise Ending(ExitCode.USAGE, f"--escape {text!r} is no control key: write it as ^], ctrl-], or none")
    key = match["key"].upper()
    if f"^{key}" in _NEEDED:
        raise Ending(ExitCode.USAGE, f"--escape {text!r} is {_NEEDED[f'^{key}']}: take another key")
    return EscapeKey(ord(key) ^ 0x40, _codes(ord(key) ^ 0x40))


def _codes(byte: int) -> t.Pattern[bytes]:
    # A program in the guest may have the terminal send longer codes (xterm's modifyOtherKeys, kitty's protocol).
    character = ord(chr(byte ^ 0x40).lower())
    longer = rb"\x1b\[(?:27;5;%d~|%d(?::\d*)*;5(?::1)?u)" % (character, character)
    return re.compile(re.escape(bytes([byte])) + b"|" + longer)


def read_keys(data: bytes, escape: EscapeKey | None, half: bool = False) -> Keys:
    """Look for the escape key: twice in a row it is typed once, alone it leaves, and what follows it is dropped.

    half says that the input before ended in one escape key.
    """
    if escape is None:
        return Keys(data)
    typed = bytearray()
    position = 0
    while True:
        if half:
            second = escape.codes.match(data, position)
            if second is None:
                return Keys(bytes(typed), half=position == len(data), leave=position < len(data))
            typed += second[0]
            position = second.end()
        first = escape.codes.search(data, position)
        if first is None:
            return Keys(bytes(typed) + data[position:])
        typed += data[position : first.start()]
        position, half = first.end(), True
