# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interactive session as a whole: open, talk, follow the guest, and leave the terminal as it was."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass

from .connecting import Opened, Wish, open_for
from .credentials import Login
from .escape import EscapeKey
from .exit_codes import Ending, ExitCode
from .interactive import Conversation, End
from .prompt import Prompt
from .reconnect import MAX_SHORT, SHORT_SECONDS, final_word, open_again, too_short
from .recording import Keepers, Log, Recording
from .screen import STDIN, Screen

NAME = "pve-console"


@dataclass(frozen=True)
class Manner:
    """How a session is held."""

    escape: EscapeKey | None
    read_only: bool = False
    wake: bool = False
    reconnect: bool = True
    log: str | None = None
    record: str | None = None


def check_terminal_is_there() -> None:
    """Raise Ending unless a person can type."""
    if not os.isatty(STDIN):
        raise Ending(
            ExitCode.USAGE, "the standard input is no terminal: --script FILE is for sessions that nobody types in"
        )


def talk(login: Login, prompt: Prompt, wish: Wish, manner: Manner) -> int:
    """Hold a session at the terminal; returns the exit code. Raises Ending or a PveError before it has begun."""
    keepers = Keepers(tell)
    with contextlib.closing(keepers):
        _keep(keepers, manner)
        opened = open_for(login, wish, tell)
        screen = Screen(manner.escape)
        keepers.begun(opened.target.label, *screen.size())
        with screen:
            # What is typed from the banner on reaches the guest as it is.
            screen.say(*(f"[{NAME}] {sentence}" for sentence in (_banner(opened, manner), *opened.notes)))
            prompt.around, keepers.say = screen.asking, lambda sentence: screen.say(f"[{NAME}] {sentence}")
            ending = _Talk(login, wish, manner, screen, keepers).go_on_with(opened)
    tell(str(ending))
    return ending.code


class _Talk:
    """Session after session with the same guest."""

    def __init__(self, login: Login, wish: Wish, manner: Manner, screen: Screen, keepers: Keepers) -> None:
        self._login = login
        self._wish = wish
        self._manner = manner
        self._screen = screen
        self._keepers = keepers
        self._conversation = Conversation(screen, manner.escape, keepers, manner.read_only)
        self._sessions = self._short_ones = 0

    def go_on_with(self, opened: Opened) -> Ending:
        """Hold sessions until one is the last, and say why it is."""
        if self._manner.wake and not self._manner.read_only:
            opened.session.type(b"\r")
        while True:
            began = time.monotonic()
            with opened.session as session:
                end = self._conversation.hold(session)
            if end is not End.ENDED:
                return Ending(ExitCode.OK, f"left {opened.target.label}")
            with self._screen.waiting():
                last = self._last_word(opened, time.monotonic() - began)
                if last is not None:
                    return last
                try:
                    opened = self._open_again(opened)
                except Ending as ending:
                    return ending

    def _last_word(self, opened: Opened, lived: float) -> Ending | None:
        self._sessions += 1
        self._short_ones = self._short_ones + 1 if lived < SHORT_SECONDS else 0
        typed = (self._conversation.last_typed, self._conversation.typed_at)
        word = final_word(self._login, opened, self._wish, typed)
        if word is None and self._short_ones and (self._sessions == 1 or self._short_ones > MAX_SHORT):
            return too_short(opened, lived)
        if word is None and not self._manner.reconnect:
            return Ending(ExitCode.NO_CONNECTION, f"the session with {opened.target.label} broke off")
        return word

    def _open_again(self, opened: Opened) -> Opened:
        escape = self._manner.escape
        keys = f"{escape.name} or Ctrl-C" if escape else "Ctrl-C"
        why = f" ({opened.session.why_over})" if opened.session.why_over else ""
        self._note(f"the session with {opened.target.label} broke off{why}", f": opening it again ({keys} gives up)")
        opened = open_again(self._login, opened, self._wish, tell)
        self._note(f"opened again, on node {opened.target.node}: what was shown meanwhile is missing")
        return opened

    def _note(self, text: str, hint: str = "") -> None:
        self._keepers.noted(text)
        self._screen.say(f"[{NAME}] {text}{hint}")


def tell(sentence: str) -> None:
    """Tell the person something, beside what the guest shows."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"[{NAME}] {sentence}\n")
        sys.stderr.flush()


def _keep(keepers: Keepers, manner: Manner) -> None:
    if manner.log:
        keepers.add(Log(manner.log))
    if manner.record:
        keepers.add(Recording(manner.record))


def _banner(opened: Opened, manner: Manner) -> str:
    where = f" on node {opened.target.node}" if opened.target.handle else ""
    line = f", {opened.serial}" if opened.serial else ""
    leave = (
        f"{manner.escape.name} leaves, twice types it"
        if manner.escape
        else "no key leaves, the session goes on until it ends"
    )
    watching = "; read-only: nothing that is typed is sent" if manner.read_only else ""
    return f"connected to {opened.target.label}{where}{line}: {leave}{watching}"
