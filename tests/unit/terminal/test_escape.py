# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The escape key is found wherever it is, and nothing else is touched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._terminal.escape import parse_escape, read_keys
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._terminal.exit_codes import Ending, ExitCode
from tests.support.cutting import pieces_of

KEY = parse_escape("^]")
# Bytes that matter often, among all others.
BYTES = st.lists(st.sampled_from([b"\x1d", b"\x1b[93;5u", b"a", b"\r", b"\x1b", b"[", b"\xc3\xa9"]), max_size=12).map(
    b"".join
) | st.binary(max_size=60)


@given(st.binary())
def test_without_an_escape_key_everything_is_typed(data):
    assert read_keys(data, None).typed == data


@given(st.binary().filter(lambda data: KEY.codes.search(data) is None))
def test_what_holds_no_escape_key_is_typed_as_it_is(data):
    keys = read_keys(data, KEY)
    assert (keys.typed, keys.half, keys.leave) == (data, False, False)


@given(st.binary().filter(lambda data: b"\x1b" not in data))
def test_twice_is_once(data):
    keys = read_keys(data.replace(b"\x1d", b"\x1d\x1d"), KEY)
    assert (keys.typed, keys.half, keys.leave) == (data, False, False)


@given(BYTES, st.binary(max_size=9).filter(lambda data: data and KEY.codes.match(data) is None))
def test_once_leaves_and_drops_the_rest(before, after):
    before = KEY.codes.sub(b"", before)
    keys = read_keys(before + b"\x1d" + after, KEY)
    if KEY.codes.search(before + b"\x1d" + after).start() == len(before):
        assert (keys.typed, keys.leave) == (before, True)


@given(st.binary().filter(lambda data: b"\x1b" not in data), st.data())
def test_wherever_the_input_is_cut(data, draw):
    """Only the long codes of a key come in one piece."""
    typed, half, left = b"", False, False
    for piece in pieces_of(data, draw.draw(st.lists(st.integers(0, len(data)), max_size=4))):
        if left or not piece:
            continue
        keys = read_keys(piece, KEY, half)
        typed, half, left = typed + keys.typed, keys.half, keys.leave
    whole = read_keys(data, KEY)
    assert (typed, half, left) == (whole.typed, whole.half, whole.leave)


@pytest.mark.parametrize("text", ["^]", "ctrl-]", "Ctrl+]", "C-]", "^A", "^a", "^_", "^@"])
def test_control_keys(text):
    key = parse_escape(text)
    assert key.byte == ord(text[-1].upper()) & 0x1F
    assert key.name == f"Ctrl-{text[-1].upper()}"


def test_none_is_no_key():
    assert parse_escape("none") is None


@pytest.mark.parametrize("text", ["", "x", "^", "]", "^^^", "ctrl-", "alt-x", "^M", "ctrl-j", "^[", "^?"])
def test_keys_that_do_not_do(text):
    with pytest.raises(Ending, match="--escape") as told:
        parse_escape(text)
    assert told.value.code == ExitCode.USAGE


@pytest.mark.parametrize(
    "code", [b"\x1d", b"\x1b[93;5u", b"\x1b[93;5:1u", b"\x1b[93:125;5u", b"\x1b[27;5;93~"], ids=repr
)
def test_a_terminal_may_send_the_key_in_other_ways(code):
    assert read_keys(b"a" + code + b"b", KEY).leave
    assert read_keys(code + code, KEY).typed == code


def test_the_release_of_a_key_is_none():
    assert read_keys(b"\x1b[93;5:3u", KEY).typed == b"\x1b[93;5:3u"
