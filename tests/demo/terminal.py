# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A user at a terminal: pve-console on a real pseudo-terminal, with keys that come when something is shown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.person import Person

from .stage import Run, show_command, show_output

ESCAPE_KEY = "\x1d"
# What a terminal acts on and does not show.
CODES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[=>c])")
SETTINGS = re.compile(r"^(before|after) [0-9a-f:]+.*$")


@dataclass(frozen=True)
class Typing:
    """A session: the arguments of pve-console, and what is typed when what has been shown."""

    arguments: Sequence[str]
    keys: Sequence[tuple[str, str]]


def sit_down(typing: Typing, home: Path, connection: Mapping[str, str]) -> Run:
    """Play the session, and show what the user saw; the exit code is 1 where the terminal is not as it was before."""
    show_command(("pve-console", *typing.arguments))
    with Person(home, connection, *typing.arguments) as person:
        for shown, typed in typing.keys:
            person.expect(re.escape(shown).encode())
            person.type(typed)
        code = person.end()
        seen = CODES.sub("", person.seen.decode(errors="replace")).replace("\r", "")
    lines = [line for line in seen.splitlines() if line and not SETTINGS.match(line)]
    for line in lines:
        show_output(line)
    return Run(code or int(not person.terminal_is_as_before), "\n".join(lines))
