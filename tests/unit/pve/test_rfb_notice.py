# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The screen that shows one sentence, to viewers of every kind."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.rfb_notice import (
    COLUMNS,
    MAX_LINES,
    WIDTH,
    Notice,
)
from tests.support.cutting import pieces_of

TEXT = "guest 105 (i-2-45-VM) is stopped, so it has no console: start it first"
ASK_ALL, ASK_CHANGES = b"\3\0" + bytes(8), b"\3\1" + bytes(8)


def begun(text=TEXT):
    notice = Notice(text)
    head = notice.feed(b"\1")
    assert struct.unpack("!HH", head[:4]) == (WIDTH, notice.height)
    assert head[24:].decode() == text
    return notice


def dots(picture, size=4):
    """The picture as rows of 0 and 1."""
    pixels = picture[16:]
    row = WIDTH * size
    return [
        "".join(str(int(any(pixels[start + x : start + x + size]))) for x in range(0, row, size))
        for start in range(0, len(pixels), row)
    ]


def test_the_letters_are_there():
    rows = dots(begun("I.").picture())
    # Twice as large as they are drawn, after the margin.
    letter = [row[20:32:2] for row in rows[20:36:2]]
    assert letter == ["011100", "001000", "001000", "001000", "001000", "001000", "011100", "000000"]
    assert len(rows) == begun("I.").height


@pytest.mark.parametrize(
    ("pixel_format", "size", "light"),
    [
        (struct.pack("!BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0), 4, b"\xff\xff\xff\0"),
        (struct.pack("!BBBBHHHBBBxxx", 32, 24, 1, 1, 255, 255, 255, 16, 8, 0), 4, b"\0\xff\xff\xff"),
        (struct.pack("!BBBBHHHBBBxxx", 16, 16, 0, 1, 31, 63, 31, 11, 5, 0), 2, b"\xff\xff"),
        (struct.pack("!BBBBHHHBBBxxx", 8, 8, 0, 1, 7, 7, 3, 0, 3, 6), 1, b"\xff"),
        (struct.pack("!BBBBHHHBBBxxx", 8, 8, 0, 0, 0, 0, 0, 0, 0, 0), 1, b"\xff"),
    ],
)
def test_pixels_of_every_kind(pixel_format, size, light):
    notice = begun()
    usual = dots(notice.picture())
    notice.feed(b"\0\0\0\0" + pixel_format)
    picture = notice.picture()
    assert dots(picture, size) == usual
    assert {picture[16 + start : 16 + start + size] for start in range(0, len(picture) - 16, size)} == {
        light,
        bytes(size),
    }


def test_a_picture_for_each_request_of_all_and_none_for_changes():
    notice = begun()
    assert not notice.wanted
    notice.feed(ASK_CHANGES)
    assert notice.wanted
    notice.picture()
    notice.feed(ASK_CHANGES)
    assert not notice.wanted
    # However many there are: it is one picture that is owed.
    assert notice.feed(ASK_ALL * 1000) == b""
    assert notice.wanted


@given(st.lists(st.integers(min_value=0), max_size=8))
def test_what_viewers_say_in_whatever_pieces(cuts):
    said = b"".join(
        [
            b"\1",
            b"\2\0\0\2" + bytes(8),
            b"\4\1\0\0\0\0\0a",
            b"\5" + bytes(5),
            b"\6\0\0\0\0\0\0\5hello",
            ASK_ALL,
        ]
    )
    notice = Notice(TEXT)
    for piece in pieces_of(said, cuts):
        notice.feed(piece)
    assert notice.wanted
    assert not notice.broken


@pytest.mark.parametrize("said", [b"\xff", b"GET / HTTP/1.0", b"\6\0\0\0\xff\xff\xff\xff"])
def test_what_no_viewer_says(said):
    notice = begun()
    notice.feed(said)
    assert notice.broken


@given(st.text())
def test_any_text_has_a_picture_of_a_fair_size(text):
    notice = Notice(text)
    picture = notice.picture()
    assert len(picture) == 16 + 4 * WIDTH * notice.height
    assert notice.height <= (MAX_LINES * 10 + 20) * 2
    assert COLUMNS * 12 < WIDTH
