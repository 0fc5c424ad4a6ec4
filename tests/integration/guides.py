# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The code blocks of README.md and docs/, and a user who types them.

A YAML or INI block whose first line is `# name.yml` is saved under that name; any other YAML block is run. A console
block is run line by line: `$` is a shell on the controller, `#` one of root on a node. Lines below a command must be in
its output in that order, where `...` stands for anything. A mermaid block is a picture, and no block here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.collection_tree import REPOSITORY

FENCE = re.compile(r"^```(?P<language>\S*)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# (?P<name>[\w.-]+\.(yml|ini))\n")


@dataclass(frozen=True)
class Command:
    """One line at a prompt, and what must come of it."""

    prompt: str
    line: str
    expected: list[str] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line)

    def missing_in(self, output: str) -> str | None:
        """The first expected line that does not come, in order, in the output."""
        lines = iter(output.splitlines())
        for expected in self.expected:
            pattern = re.compile(".*".join(re.escape(part.strip()) for part in expected.split("...")))
            if not any(pattern.search(" ".join(line.split())) or pattern.search(line) for line in lines):
                return expected
        return None


@dataclass(frozen=True)
class Block:
    """One fenced block and the line of the document that it begins at."""

    language: str
    text: str
    line: int

    @property
    def name(self) -> str | None:
        found = NAMED.match(self.text)
        return found["name"] if found else None

    def commands(self) -> Iterator[Command]:
        command: Command | None = None
        for line in self.text.replace("\\\n", "").splitlines():
            if line.startswith(("$ ", "# ")):
                if command:
                    yield command
                command = Command(line[0], line[2:])
            elif command and line.strip(" ."):
                command.expected.append(line)
        if command:
            yield command


def documents() -> list[Path]:
    return [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def blocks(document: Path) -> list[Block]:
    text = document.read_text(encoding="utf-8")
    return [
        Block(found["language"], found["text"], text.count("\n", 0, found.start()) + 1)
        for found in FENCE.finditer(text)
        if found["language"] != "mermaid"
    ]


def privileges(document: Path) -> list[tuple[str, list[str], str]]:
    """The rows of a table of privileges: what for, which ones, and on which path."""
    rows = []
    for line in document.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if len(cells) == 3 and re.fullmatch(r"(`[A-Z]\w+(\.\w+)+` ?)+", cells[1]):
            rows.append((cells[0], re.findall(r"`([^`]+)`", cells[1]), cells[2].strip("`")))
    return rows


def role_privileges(document: Path) -> list[set[str]]:
    """What each role that is made in a guide may do."""
    consoles = (block for block in blocks(document) if block.language == "console")
    words = (command.words for block in consoles for command in block.commands())
    return [set(line[-1].split()) for line in words if line[:3] == ["pveum", "role", "add"]]
