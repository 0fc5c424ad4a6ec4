# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An interactive session: open it, carry keys and output, follow the guest, restore the terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass

from .connecting import OpenTerminal, SessionRequest, open_for
from .conversation import Conversation, End
from .credentials import Credentials
from .escape import EscapeKey
from .exit_codes import Ending, ExitCode
from .prompt import Prompt
from .reconnect import MAX_SHORT, SHORT_SECONDS, final_ending, open_again, too_short
from .recording import Recorders, Recording, SessionLog
from .screen import STDIN, Screen

NAME = "pve-console"


@dataclass(frozen=True)
class SessionOptions:
    """How an interactive session runs."""

    escape: EscapeKey | None
    read_only: bool = False
    wake: bool = False
    reconnect: bool = True
    log: str | None = None
    record: str | None = None


def check_terminal_is_there() -> None:
    """Raise Ending unless standard input is a terminal."""
    if not os.isatty(STDIN):
        raise Ending(ExitCode.USAGE, "standard input is not a terminal: use --script FILE for a session without one")


def run_interactive_session(
    credentials: Credentials, prompt: Prompt, request: SessionRequest, options: SessionOptions
) -> int:
    """Run a session at the terminal; returns the exit code. Raises Ending or a PveError before it has begun."""
    recorders = Recorders(notify)
    with contextlib.closing(recorders):
        _add_recorders(recorders, options)
        opened = open_for(credentials, request, notify)
        screen = Screen(options.escape)
        recorders.begun(opened.target.label, *screen.size())
        with screen:
            # From the banner on, all keys go to the guest.
            screen.say(*(f"[{NAME}] {sentence}" for sentence in (_banner(opened, options), *opened.notes)))
            prompt.around, recorders.say = screen.asking, lambda sentence: screen.say(f"[{NAME}] {sentence}")
            ending = _InteractiveSession(credentials, request, options, screen, recorders).run(opened)
    notify(str(ending))
    return ending.code


class _InteractiveSession:
    """Sessions with the same guest, one after the other."""

    def __init__(
        self,
        credentials: Credentials,
        request: SessionRequest,
        options: SessionOptions,
        screen: Screen,
        recorders: Recorders,
    ) -> None:
        self._credentials = credentials
        self._request = request
        self._options = options
        self._screen = screen
        self._recorders = recorders
        self._conversation = Conversation(screen, options.escape, recorders, options.read_only)
        self._sessions = self._short_ones = 0

    def run(self, opened: OpenTerminal) -> Ending:
        """Run sessions until one ends for good; returns how it ended."""
        if self._options.wake and not self._options.read_only:
            opened.session.type(b"\r")
        while True:
            began = time.monotonic()
            with opened.session as session:
                end = self._conversation.hold(session)
            if end is not End.ENDED:
                return Ending(ExitCode.OK, f"left {opened.target.label}")
            with self._screen.waiting():
                last = self._final_ending(opened, time.monotonic() - began)
                if last is not None:
                    return last
                try:
                    opened = self._open_again(opened)
                except Ending as ending:
                    return ending

    def _final_ending(self, opened: OpenTerminal, lived: float) -> Ending | None:
        self._sessions += 1
        self._short_ones = self._short_ones + 1 if lived < SHORT_SECONDS else 0
        typed = (self._conversation.last_typed, self._conversation.typed_at)
        ending = final_ending(self._credentials, opened, self._request, typed)
        if ending is None and self._short_ones and (self._sessions == 1 or self._short_ones > MAX_SHORT):
            return too_short(opened, lived)
        if ending is None and not self._options.reconnect:
            return Ending(ExitCode.NO_CONNECTION, f"the session with {opened.target.label} broke off")
        return ending

    def _open_again(self, opened: OpenTerminal) -> OpenTerminal:
        escape = self._options.escape
        keys = f"{escape.name} or Ctrl-C" if escape else "Ctrl-C"
        why = f" ({opened.session.why_over})" if opened.session.why_over else ""
        self._note(f"the session with {opened.target.label} broke off{why}", f": opening it again ({keys} gives up)")
        opened = open_again(self._credentials, opened, self._request, notify)
        self._note(f"opened again, on node {opened.target.node}: what was shown meanwhile is missing")
        return opened

    def _note(self, text: str, hint: str = "") -> None:
        self._recorders.noted(text)
        self._screen.say(f"[{NAME}] {text}{hint}")


def notify(sentence: str) -> None:
    """Print a message of pve-console itself."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"[{NAME}] {sentence}\n")
        sys.stderr.flush()


def _add_recorders(recorders: Recorders, options: SessionOptions) -> None:
    if options.log:
        recorders.add(SessionLog(options.log))
    if options.record:
        recorders.add(Recording(options.record))


def _banner(opened: OpenTerminal, options: SessionOptions) -> str:
    where = f" on node {opened.target.node}" if opened.target.handle else ""
    line = f", {opened.serial}" if opened.serial else ""
    leave = (
        f"{options.escape.name} leaves, twice types it"
        if options.escape
        else "no key leaves, the session goes on until it ends"
    )
    watching = "; read-only: nothing that is typed is sent" if options.read_only else ""
    return f"connected to {opened.target.label}{where}{line}: {leave}{watching}"
