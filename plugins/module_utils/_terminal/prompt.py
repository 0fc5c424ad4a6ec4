# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prompts on the terminal of the process."""

from __future__ import annotations

import contextlib
import getpass
import os
import typing as t
from pathlib import Path

from .exit_codes import Ending, ExitCode

TERMINAL = Path("/dev/tty")


class Prompt:
    """Prompts on the terminal of the process; around is a context in which the terminal reads whole lines."""

    def __init__(self) -> None:
        self.around: t.Callable[[], t.ContextManager[None]] = contextlib.nullcontext

    @property
    def possible(self) -> bool:
        """Whether there is a terminal."""
        try:
            os.close(os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY))
        except OSError:
            return False
        return True

    def say(self, sentence: str) -> None:
        """Show a message if there is a terminal."""
        with contextlib.suppress(OSError), self.around(), TERMINAL.open("w", encoding="utf-8") as terminal:
            terminal.write(f"[pve-console] {sentence}\n")

    def line(self, question: str) -> str:
        """Prompt with echo; raises Ending when there is no terminal."""
        self._require(question)
        with self.around(), TERMINAL.open("r+b", buffering=0) as terminal:
            terminal.write(question.encode())
            answer = terminal.readline()
        if not answer:
            raise Ending(ExitCode.CONFIGURATION, f"{question.rstrip(': ')} was not answered")
        return answer.decode(errors="replace").strip()

    def secret(self, question: str) -> str:
        """Prompt without echo; raises Ending when there is no terminal, or no answer."""
        self._require(question)
        try:
            with self.around():
                answer = getpass.getpass(question)
        except EOFError:
            answer = ""
        if not answer:
            raise Ending(ExitCode.NOT_ALLOWED, f"{question.rstrip(': ')} was not given")
        return answer

    def _require(self, question: str) -> None:
        if not self.possible:
            raise Ending(
                ExitCode.CONFIGURATION,
                f"{question.rstrip(': ')} is needed, and there is no terminal to ask at: "
                f"set PROXMOX_* or write a credentials file",
            )
