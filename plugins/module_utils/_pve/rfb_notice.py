# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VNC screen that shows one sentence, for viewers that show no other reason why there is no console (RFC 6143).

A refusal in the handshake is all that the protocol has, and CloudStack's console proxy takes that for a wrong password.
Nothing here reads or writes: what was received is fed in, and what is to be sent comes out.
"""

from __future__ import annotations

import struct
import textwrap

from .rfb import Handshake, Talk

COLUMNS = 48
MAX_LINES = 12
_SCALE = 2
_CELL_WIDTH, _CELL_HEIGHT = 6, 10
_MARGIN = 10
WIDTH = (2 * _MARGIN + COLUMNS * _CELL_WIDTH) * _SCALE
# Bits per pixel, depth, big endian, true colour, and for red, green and blue the maximum and the shift.
_PIXEL_FORMAT = struct.pack("!BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
# Message type: how many bytes follow. SetPixelFormat, SetEncodings, FramebufferUpdateRequest, KeyEvent, PointerEvent,
# ClientCutText.
_FIXED = {0: 19, 2: 3, 3: 9, 4: 7, 5: 5, 6: 7}
_MAX_CUT_TEXT = 64 * 1024
# Dot matrix letters from the blank to the tilde, five columns each, the lowest bit on top.
_LETTERS = bytes.fromhex(
    "0000000000 00005f0000 0007000700 147f147f14 242a7f2a12 2313086462 3649562050 0008070300 001c224100 0041221c00"
    "2a1c7f1c2a 08083e0808 0080703000 0808080808 0000606000 2010080402 3e5149453e 00427f4000 7249494946 2141494d33"
    "1814127f10 2745454539 3c4a494931 4121110907 3649494936 464949291e 0000140000 0040340000 0008142241 1414141414"
    "0041221408 0201590906 3e415d594e 7c1211127c 7f49494936 3e41414122 7f4141413e 7f49494941 7f09090901 3e41415173"
    "7f0808087f 00417f4100 2040413f01 7f08142241 7f40404040 7f021c027f 7f0408107f 3e4141413e 7f09090906 3e4151215e"
    "7f09192946 2649494932 03017f0103 3f4040403f 1f2040201f 3f4038403f 6314081463 0304780403 6159494d43 007f414141"
    "0204081020 004141417f 0402010204 4040404040 0003070800 2054547840 7f28444438 3844444428 384444287f 3854545418"
    "00087e0902 18a4a49c78 7f08040478 00447d4000 2040403d00 7f10284400 00417f4000 7c04780478 7c08040478 3844444438"
    "fc18242418 18242418fc 7c08040408 4854545424 04043f4424 3c4040207c 1c2040201c 3c4030403c 4428102844 4c9090907c"
    "4464544c44 0008364100 0000770000 0041360800 0201020402"
)


class Notice(Handshake):
    """What comes after a viewer was let in: ClientInit, and then requests for a picture that never changes."""

    def __init__(self, text: str) -> None:
        wrapped = textwrap.wrap(text, COLUMNS) or [""]
        self._lines = wrapped[:MAX_LINES]
        self._name = text.encode()[:200]
        self.height = (2 * _MARGIN + len(self._lines) * _CELL_HEIGHT) * _SCALE
        self._format = _PIXEL_FORMAT
        self._shown = False
        # The viewer waits for the picture. It is for the owner to send it, when the last one has been taken.
        self.wanted = False
        super().__init__()

    @property
    def broken(self) -> bool:
        """The viewer says what no viewer has a reason to say."""
        return self._ended

    def picture(self) -> bytes:
        """All of the screen, in the viewer's own pixels."""
        self.wanted, self._shown = False, True
        light, dark = _pixels(self._format)
        rows = [_row(line, y, light, dark) for line in self._lines for y in range(_CELL_HEIGHT)]
        blank = dark * WIDTH
        margin = [blank] * (_MARGIN * _SCALE)
        picture = [*margin, *(row for row in rows for _number in range(_SCALE)), *margin]
        return struct.pack("!BxHHHHHi", 0, 1, 0, 0, WIDTH, self.height, 0) + b"".join(picture)

    def _steps(self) -> Talk:
        yield 1
        head = struct.pack("!HH", WIDTH, self.height) + _PIXEL_FORMAT
        self._say(head + len(self._name).to_bytes(4, "big") + self._name)
        while True:
            kind = (yield 1)[0]
            if kind not in _FIXED:
                return
            body = yield _FIXED[kind]
            if kind == 0:
                self._format = body[3:]
            elif kind == 2:
                yield 4 * int.from_bytes(body[1:3], "big")
            elif kind == 3:
                # A request for changes alone waits for ever once the picture is there.
                self.wanted = self.wanted or not self._shown or body[0] == 0
            elif kind == 6:
                size = int.from_bytes(body[3:7], "big")
                if size > _MAX_CUT_TEXT:
                    return
                yield size


def _pixels(packed: bytes) -> tuple[bytes, bytes]:
    """The brightest and the darkest pixel of a format."""
    bits, _depth, big_endian, true_colour, *rest = struct.unpack("!BBBBHHHBBBxxx", packed)
    size = bits // 8 if bits in (8, 16, 32) else 4
    value = (1 << 8 * size) - 1
    if true_colour:
        value &= sum(maximum << shift for maximum, shift in zip(rest[:3], rest[3:]) if shift < 32)
    return value.to_bytes(size, "big" if big_endian else "little"), bytes(size)


def _row(line: str, y: int, light: bytes, dark: bytes) -> bytes:
    """One row of dots of a line of text."""
    cells = []
    for character in line.ljust(COLUMNS):
        index = ord(character) - 0x20
        if not 0 <= index < len(_LETTERS) // 5:
            index = ord("?") - 0x20
        columns = [*_LETTERS[5 * index : 5 * index + 5], 0]
        cells += [(light if column >> y & 1 and y < 8 else dark) * _SCALE for column in columns]
    margin = dark * (_MARGIN * _SCALE)
    return margin + b"".join(cells) + margin
