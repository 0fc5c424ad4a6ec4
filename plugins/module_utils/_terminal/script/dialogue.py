# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Type on a console, and wait for its output."""

from __future__ import annotations

import time
import typing as t

from ..._pve.deadline import Deadline
from ..session import TerminalSession
from .steps import ENTER
from .text import PlainText

# What has been shown longer ago is not looked at, and not kept.
MAX_UNMATCHED = 128 * 1024
MAX_TRANSCRIPT = 1024 * 1024
# A prompt is the last thing shown, and then nothing comes for so long.
QUIET_SECONDS = 0.2
# PVE's own first line (PVE::CLI::qm terminal), which comes from a silent line as well.
_OPENING = "starting serial terminal on interface serial"
# A console that shows nothing for so long may wait for a key.
WAKE_SECONDS = 1.0

Patterns = t.Mapping[str, t.Pattern[str]]


class Unanswered(Exception):
    """The expected output did not come. reason is one of ScriptFailed's, str() says what happened."""

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason = reason


class Found(t.NamedTuple):
    """Which of the patterns was found, and what was shown up to there."""

    name: str
    match: t.Match[str]
    shown: str


class Dialogue:
    """One session as text. Whatever has matched is not looked at again."""

    def __init__(self, session: TerminalSession, deadline: Deadline) -> None:
        self._session = session
        self._deadline = deadline
        self._plain = PlainText()
        self._unmatched = ""
        self._shown: list[str] = []
        self._length = 0
        self.ended = False

    @property
    def transcript(self) -> str:
        """Everything that was shown, or the end of it when that is very much; secrets and all."""
        text = "".join(self._shown)
        self._shown = [text]
        return text

    @property
    def silent(self) -> bool:
        """Whether there is no output of the guest: what comes up to PVE's own first line is PVE's."""
        before, opening, rest = self.transcript.partition(_OPENING)
        shown = rest.partition("\n")[2] if opening else before
        return not shown.strip() or (not opening and _OPENING.startswith(shown.strip()))

    def type(self, text: str) -> None:
        """Type it."""
        self._session.type(text.encode())

    def begin(self) -> None:
        """Wait until what is typed reaches the guest, and is not shown by PVE's own terminal."""
        while not (self._session.started or self.ended or self._deadline.expired):
            self._receive(min(self._session.attend(), self._deadline.remaining))

    def wake(self) -> None:
        """Press Enter if the console shows nothing of itself."""
        end = time.monotonic() + WAKE_SECONDS
        while self.silent and self._receive(max(0.0, end - time.monotonic())):
            pass
        if self.silent:
            self.type(ENTER)

    def expect(
        self,
        patterns: Patterns,
        seconds: float,
        at_rest: Patterns | None = None,
        marks: Patterns | None = None,
        waited: float = 0.0,
    ) -> Found:
        """Wait until one of the patterns is shown. The one that begins first wins. Raises Unanswered.

        waited is how long that has been waited for before.

        A match that reaches to the end of what is shown counts when nothing more comes, as more might make it another
        one; those at_rest count only then, and marks count at once.
        """
        end = time.monotonic() + min(seconds, self._deadline.remaining)
        restless = True
        while True:
            found = self._find(marks or {}, True) or self._find(patterns, False)
            if found is not None:
                return found
            left = max(0.0, end - time.monotonic())
            if restless and (patterns or at_rest):
                restless = self._receive(min(QUIET_SECONDS, left))
                if restless:
                    continue
                found = self._find({**patterns, **(at_rest or {})}, True)
                if found is not None:
                    return found
            if self.ended:
                raise Unanswered("ended", self._session.why_over or "PVE ended the session")
            if left <= 0:
                over = self._deadline.expired
                why = (
                    f"the time of {self._deadline.seconds:g} s was over"
                    if over
                    else f"not within {round(waited + seconds, 1):g} s"
                )
                raise Unanswered("silent" if self.silent else "timeout", why)
            restless = self._receive(left)

    def _find(self, patterns: Patterns, to_the_end: bool) -> Found | None:
        matches = ((name, pattern.search(self._unmatched)) for name, pattern in patterns.items())
        found = [
            (match.start(), name, match)
            for name, match in matches
            if match is not None and (to_the_end or match.end() < len(self._unmatched))
        ]
        if not found:
            return None
        dummy, name, match = min(found, key=lambda entry: entry[0])
        shown, self._unmatched = self._unmatched[: match.end()], self._unmatched[match.end() :]
        return Found(name, match, shown)

    def _receive(self, seconds: float) -> bool:
        """Take what is shown next; False when nothing came in that time."""
        end = time.monotonic() + seconds
        while not self.ended:
            pause = min(self._session.attend(), max(0.0, end - time.monotonic()))
            message = self._session.wait(pause)
            if message:
                self._take(self._plain.feed(message))
                return True
            if message is not None:
                self.ended = True
            elif time.monotonic() >= end:
                return False
        return False

    def _take(self, text: str) -> None:
        self._unmatched = (self._unmatched + text)[-MAX_UNMATCHED:]
        self._shown.append(text)
        self._length += len(text)
        if self._length > 2 * MAX_TRANSCRIPT:
            self._shown = [self.transcript[-MAX_TRANSCRIPT:]]
            self._length = MAX_TRANSCRIPT
