# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guest's programs have switched on in the terminal is switched off in the end."""

from __future__ import annotations

import re

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._terminal.terminal_modes import TerminalModes

CODES = [
    *(b"\x1b[?%d%s" % (mode, switch) for mode in (1, 7, 25, 1000, 1006, 1049, 2004) for switch in (b"h", b"l")),
    *(b"\x1b[?1000;1006h", b"\x1b[>5u", b"\x1b[<u", b"\x1b[>4;2m", b"\x1b[>4m", b"\x1b=", b"\x1b>", b"\x1bc"),
    *(b"\x1b[31m", b"text", b"\x1b", b"[", b"?"),
]
OUTPUT = st.lists(st.sampled_from(CODES), max_size=10).map(b"".join)


def undone(*parts: bytes) -> bytes:
    modes = TerminalModes()
    for part in parts:
        modes.follow(part)
    return modes.undo()


def test_nothing_is_undone_where_nothing_was_shown():
    assert TerminalModes().undo() == b""


@pytest.mark.parametrize(
    ("output", "codes"),
    [
        (b"text", b""),
        (b"\x1b[?1049h\x1b[?25l", b"\x1b[?25h\x1b[?1049l"),
        (b"\x1b[?1049h\x1b[?25l...\x1b[?25h\x1b[?1049l", b""),
        (b"\x1b[?1000;1006h", b"\x1b[?1000l\x1b[?1006l"),
        (b"\x1b[?7l", b"\x1b[?7h"),
        (b"\x1b[?12l\x1b[?9999h", b""),
        (b"\x1b[>1u\x1b[>5u\x1b[<u", b"\x1b[<u"),
        (b"\x1b[>4;2m", b"\x1b[>4m"),
        (b"\x1b=", b"\x1b>"),
        (b"\x1b[?1049h\x1b=\x1b[>1u\x1bc", b""),
    ],
)
def test_what_is_undone(output, codes):
    assert undone(output) == codes + b"\x1b[0m"


@given(OUTPUT)
def test_byte_by_byte_it_is_the_same(output):
    assert undone(*(bytes([byte]) for byte in output)) == (undone(output) if output else b"")


@given(OUTPUT)
def test_the_modes_are_as_a_terminal_has_them_by_itself(output):
    screen = pyte.Screen(80, 24)
    stream = pyte.Stream(screen)
    # Not what pyte takes for something else: codes cut short, and those of kitty and of xterm.
    stream.feed("".join(re.findall(r"\x1b\[\?[\d;]+[hl]|\x1bc", output.decode())))
    stream.feed("".join(re.findall(r"\x1b\[\?[\d;]+[hl]", undone(output).decode())))
    own = pyte.Screen(80, 24).mode
    assert {mode for mode in screen.mode ^ own if mode >> 5 in (7, 25)} == set()
