# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A shell on a console: reach its prompt, and run commands with their exit status."""

from __future__ import annotations

import contextlib
import re
import secrets
import shlex
import time
import typing as t

from .dialogue import WAKE_SECONDS, Dialogue, Found, Patterns, Unanswered
from .steps import ENTER, Script

INTERRUPT = "\x03"
WAKE_AGAIN_SECONDS = 5.0
# The least time for a console to show its prompt.
PROMPT_SECONDS = 10.0
LEAVE_SECONDS = 5.0
# Not the "Last login: Tue Nov 17" of somebody who has just logged in.
_LOGIN = re.compile(r"(?<!last )(?:login|username):[ \t]*\Z", re.IGNORECASE)
_PASSWORD = re.compile(r"password[^\n]*:[ \t]*\Z", re.IGNORECASE)
_INCORRECT = re.compile(r"login incorrect|authentication failure|permission denied", re.IGNORECASE)


class Completed(t.NamedTuple):
    """A command that has ended."""

    status: int
    output: str


class Shell:
    """The shell of the user who is logged in on the console; it must be of the Bourne family."""

    def __init__(self, dialogue: Dialogue, script: Script) -> None:
        self._dialogue = dialogue
        self._script = script
        self.logged_in = False

    def reach(self) -> None:
        """Reach a shell, with a login if the script has one. Raises Unanswered."""
        login = self._script.login
        began, seconds = time.monotonic(), login.seconds if login else max(self._script.seconds, PROMPT_SECONDS)
        found = self._wake(began, seconds)
        if found == "login":
            self._log_in(began, seconds)
        elif login is not None:
            # A shell of another user is not for this script.
            user = self.run("id -un", self._script.seconds).output.strip()
            if user != login.user:
                raise Unanswered(
                    "login", f"the console has a shell of {user!r} open, not of {login.user!r}: end that session first"
                )

    def run(self, command: str, seconds: float) -> Completed:
        """Run a command and wait for its end. Raises Unanswered."""
        mark = secrets.token_hex(4)
        # The quotes keep the echo of what is typed from looking like the marks that it prints. A blank in front keeps
        # the line out of the history of most shells.
        line = f' echo "<""{mark}>"; eval {shlex.quote(command)}; echo "<{mark}:""$?>"'
        self._dialogue.type(line.replace("\n", ENTER) + ENTER)
        began = time.monotonic()
        self._await(rf"<{mark}>\n", began, seconds)
        found = self._await(rf"<{mark}:(\d+)>", began, seconds)
        return Completed(int(found.match[1]), found.shown[: found.match.start()])

    def leave(self, interrupt: bool) -> bool:
        """Log out, if this has logged in; whether that is known to be done. interrupt ends what still runs."""
        if not self.logged_in or self._dialogue.ended:
            return True
        with contextlib.suppress(Unanswered):
            if interrupt:
                # What is typed right behind it is lost with what it ends.
                self._dialogue.type(INTERRUPT)
                self._dialogue.expect({}, LEAVE_SECONDS, at_rest={"shell": self._script.prompt})
            self._dialogue.type("exit" + ENTER)
            self._dialogue.expect({}, LEAVE_SECONDS, at_rest={"login": _LOGIN})
            return True
        return self._dialogue.ended

    def _await(self, pattern: str, began: float, seconds: float) -> Found:
        """Wait for it until so many seconds after the beginning."""
        found = self._until(began, seconds, {}, at_rest={"login": _LOGIN}, marks={"mark": re.compile(pattern)})
        if found.name == "login":
            self.logged_in = False
            raise Unanswered("login", "there is no shell any more, but a login prompt")
        return found

    def _until(self, began: float, seconds: float, patterns: Patterns, **more: Patterns) -> Found:
        """Expect it until so many seconds after the beginning, and name all of them when it does not come."""
        waited = min(seconds, time.monotonic() - began)
        return self._dialogue.expect(patterns, seconds - waited, waited=waited, **more)

    def _wake(self, began: float, seconds: float) -> str:
        """Wait for a prompt, pressing Enter when none comes; returns which one it is."""
        prompts = {"login": _LOGIN, "password": _PASSWORD, "shell": self._script.prompt}
        patience = WAKE_SECONDS
        while True:
            waited = min(seconds, time.monotonic() - began)
            left = seconds - waited
            pause = min(patience, left) if self._script.wake else left
            try:
                name = self._dialogue.expect({}, pause, prompts, waited=waited).name
                if name == "login" and self._script.login is None:
                    raise Unanswered("login", "the console asks for a login: give login")
                if name != "password":
                    return name
            except Unanswered as error:
                if error.reason in ("ended", "login") or not self._script.wake or left <= patience:
                    raise
            # Of a password that somebody else was asked for, Enter leads back to the name.
            self._dialogue.type(ENTER)
            patience = WAKE_AGAIN_SECONDS

    def _log_in(self, began: float, seconds: float) -> None:
        login = self._script.login
        if login is None:
            raise TypeError("the script has no login")
        prompts = {"login": _LOGIN, "password": _PASSWORD, "shell": self._script.prompt}
        self._dialogue.type(login.user + ENTER)
        # What is shown by then is the name itself.
        name = self._until(began, seconds, {}, at_rest=prompts).name
        if name == "password":
            self._dialogue.type(login.password + ENTER)
            name = self._until(began, seconds, {"incorrect": _INCORRECT}, at_rest=prompts).name
        if name != "shell":
            asks = "asks for another password" if name == "password" else "refused the login"
            raise Unanswered("login", f"the guest {asks} of {login.user!r}: check the user and the password")
        self.logged_in = True
