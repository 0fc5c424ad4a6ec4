# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a terminal's bytes to the text that patterns are matched on, and that secrets are masked in."""

from __future__ import annotations

import codecs
import re
import typing as t

MASK = "********"
# ECMA-48: control sequences, operating system commands, other strings, escapes of two or three characters; and what
# is none of these, but has their first character.
_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-OQ-WYZ\\`-~])?"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[PX^_][^\x1b]*\x1b?|[ -/]*)\Z")
# Of a sequence that never ends, so much is waited for.
_MAX_SEQUENCE = 4096
# A return at the beginning of a line ends none.
_LINE_END = re.compile(r"\r+\n|(?P<beginning>(?<=\n)\r+)|\r+")
# What a shell puts into a long line that it shows while it is typed.
_WRAPPED = r"[ \n]*"


class PlainText:
    """Turns what a terminal shows into text: UTF-8, without colours and cursor movements, with \\n at line ends.

    A request for the cursor's position vanishes like every other sequence, and is not answered: to a guest that does
    not wait for it any more, the answer would be typed text.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._sequence = ""
        self._returns = ""
        self._last = ""

    def feed(self, shown: bytes) -> str:
        """Return the text that is certain now, however the bytes were cut."""
        text = self._sequence + self._decoder.decode(shown)
        unfinished = _UNFINISHED.search(text, max(0, len(text) - _MAX_SEQUENCE))
        self._sequence = unfinished.group() if unfinished else ""
        text = self._returns + _SEQUENCE.sub("", text[: len(text) - len(self._sequence)])
        # A line feed may follow.
        self._returns = text[len(text.rstrip("\r")) :]
        text = self._last + text[: len(text) - len(self._returns)]
        plain = _LINE_END.sub(lambda found: "" if found["beginning"] else "\n", text)[len(self._last) :]
        self._last = plain[-1:] or self._last
        return plain


class Masker:
    """Takes secrets out of texts, also where a shell has quoted them, or broken the line that they were typed in."""

    def __init__(self, secrets: t.Iterable[str]) -> None:
        spellings = set[str]().union(*(_spellings(secret) for secret in secrets))
        # The longest first, as one secret may be part of another.
        ordered = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
        self._pattern = re.compile("|".join(map(_tolerant, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text


def _spellings(secret: str) -> set[str]:
    """The secret as it is, and as it may be quoted: in a command, and once more when the command is sent."""
    spellings = {secret} if secret.strip() else set[str]()
    for dummy in range(2):
        spellings |= {quoted for spelling in spellings for quoted in _quoted(spelling)}
    return spellings


def _quoted(text: str) -> t.Iterator[str]:
    yield text.replace("'", "'\"'\"'")
    yield text.replace("'", "'\\''")
    yield re.sub(r"[^\w@%+=:,./-]", r"\\\g<0>", text)
    yield re.sub(r'["$`\\]', r"\\\g<0>", text)


def _tolerant(secret: str) -> str:
    return _WRAPPED.join(r"\s+" if character.isspace() else re.escape(character) for character in secret)
