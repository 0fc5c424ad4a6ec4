# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is left of a terminal's bytes, wherever they are cut, and that no secret is."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._terminal.script.text import MASK, Masker, PlainText
from tests.support.cutting import pieces_of

SHOWN = st.lists(
    st.sampled_from(
        ["a", "é", "日", "\r", "\n", "\r\n", "\x1b", "[", "0m", "m", "]", "\x07", "\\", "\x1b[6n", "P", "\0", "("]
    )
).map("".join)


def text_of(shown, cuts=()):
    plain = PlainText()
    return "".join(plain.feed(piece) for piece in pieces_of(shown, cuts))


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        ("\x1b[1;31mred\x1b[0m\x1b[K", "red"),
        ("~ # \x1b[6n", "~ # "),
        ("\x1b]0;title\x07a\x1b]0;title\x1b\\b\x1bP1$r\x1b\\c", "abc"),
        ("\x1b(B\x1b=\x1b7\x1bM\x1b[?2004hx", "x"),
        ("one\r\ntwo\r\r\nthree\rfour\n\n", "one\ntwo\nthree\nfour\n\n"),
        ("a\r\x1b[K\nb", "a\nb"),
        ("a\r\n\x1b[?2004l\rb", "a\nb"),
        ("tab\tbell\x07 null\0 c1\x9b", "tab\tbell null c1"),
        ("Ä 日本\r\n", "Ä 日本\n"),
    ],
)
def test_what_is_left(shown, text):
    assert text_of(shown.encode()) == text


def test_broken_utf8_does_no_harm():
    assert text_of(b"a\xffb\xe6\x97") == "a\ufffdb"


@given(SHOWN, st.lists(st.integers(min_value=0), max_size=5))
def test_the_cuts_do_not_matter(shown, cuts):
    encoded = shown.encode()
    assert text_of(encoded, cuts) == text_of(encoded)


def test_every_single_byte():
    shown = "\x1b[1mÄ\x1b[0m 日本\r\n\x1b]0;t\x1b\\~ # \x1b[6nx".encode()
    assert text_of(shown, range(len(shown))) == "Ä 日本\n~ # x"


def test_a_sequence_that_never_ends_does_not_swallow_everything():
    plain = PlainText()
    assert "later" in plain.feed(b"\x1b]" + b"x" * 5000) + plain.feed(b"later")


# ---- secrets

SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


@given(SECRETS, st.text(max_size=20), st.text(max_size=20))
def test_no_secret_is_left(secret, before, after):
    masker = Masker([secret])
    for spelling in (secret, shlex.quote(secret), shlex.quote(shlex.quote(secret))):
        masked = masker(before + spelling + after).replace(MASK, "")
        assert secret not in masked or secret in MASK or secret in (before + after)


@given(SECRETS.filter(lambda text: len(text) > 3), st.integers(min_value=1))
def test_a_line_that_the_shell_has_broken_is_masked(secret, place):
    place = 1 + place % (len(secret) - 1)
    broken = secret[:place] + " \n" + secret[place:]
    assert Masker([secret])(f"§ {broken} §") == f"§ {MASK} §"


def test_longer_secrets_come_first():
    assert Masker(["pass", "password"])("password pass") == f"{MASK} {MASK}"


def test_no_secrets_are_no_problem():
    assert Masker([])("text") == "text"
    assert Masker([""])("text") == "text"


def test_a_secret_of_several_lines():
    assert Masker(["one\ntwo"])("> one\n\ntwo") == f"> {MASK}"
