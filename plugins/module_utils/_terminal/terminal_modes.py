# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a session has switched on in the person's terminal, to be switched off when it ends."""

from __future__ import annotations

import re

# Those that a terminal has switched off by itself: application cursor keys, mouse, focus, other screens, pasting.
_OFF = frozenset({1, 9, 47, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 1047, 1049, 2004, 2026})
# And those that it has switched on: line wrap, the cursor.
_ON = frozenset({7, 25})
_CODE = re.compile(
    rb"\x1b(?:\[\?(?P<modes>[\d;]{1,40})(?P<switch>[hl])|\[(?P<kitty>[<>])[\d;]{0,12}u|\[>4(?:;(?P<other>\d?))?m"
    rb"|(?P<keypad>[=>])|(?P<reset>c))"
)
# The longest code that may still be incomplete at the end of the output.
_TAIL = 48


class TerminalModes:
    """Follows the output, however it is cut into pieces."""

    def __init__(self) -> None:
        self._changed: dict[int, bool] = {}
        self._kitty = 0
        self._other_keys = self._keypad = False
        # Whether anything was shown.
        self.used = False
        self._tail = b""

    def follow(self, output: bytes) -> None:
        """Note what this output switches."""
        self.used = True
        data = self._tail + output
        end = 0
        for code in _CODE.finditer(data):
            end = code.end()
            if code["modes"]:
                for mode in filter(None, code["modes"].split(b";")):
                    self._switch(int(mode), code["switch"] == b"h")
            elif code["kitty"]:
                self._kitty = max(0, self._kitty + (1 if code["kitty"] == b">" else -1))
            elif code["keypad"]:
                self._keypad = code["keypad"] == b"="
            elif code["reset"]:
                self._changed.clear()
                self._kitty, self._other_keys, self._keypad = 0, False, False
            else:
                self._other_keys = code["other"] not in (None, b"", b"0")
        # A code is counted once: what is kept begins behind the last one.
        rest = data[max(end, len(data) - _TAIL) :]
        start = rest.rfind(b"\x1b")
        self._tail = rest[start:] if start >= 0 else b""

    def _switch(self, mode: int, on: bool) -> None:
        if (mode in _OFF and on) or (mode in _ON and not on):
            self._changed[mode] = on
        else:
            self._changed.pop(mode, None)

    def undo(self) -> bytes:
        """What to write so that the terminal is as a shell expects it; empty when nothing was shown."""
        if not self.used:
            return b""
        codes = [b"\x1b[?%d%s" % (mode, b"l" if on else b"h") for mode, on in sorted(self._changed.items())]
        codes += [b"\x1b[<u"] * self._kitty
        codes += [b"\x1b[>4m"] * self._other_keys + [b"\x1b>"] * self._keypad
        return b"".join(codes) + b"\x1b[0m"
