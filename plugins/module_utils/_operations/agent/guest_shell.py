# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guest's shell has to be able to do, so that commands run in it and files get there: PosixShell, PowerShell."""

from __future__ import annotations

import re
import typing as t

# What the agent passes on as it is: other characters in an argument hang it.
PLAIN = re.compile(rb"[\t\n -~]*")
# The file that tells the guest to keep the files of a job longer.
WAIT = "wait"


class Attributes(t.NamedTuple):
    """Who a file belongs to, and its mode in octal; None is as it is."""

    mode: str | None = None
    owner: str | None = None
    group: str | None = None


AS_IT_IS = Attributes()


class GuestShell(t.Protocol):
    """What runs in guests of one kind."""

    name: str
    # So much input comes along with a command. What is before it comes as input of programs, one for each of at most so
    # many pieces; more comes in files.
    most_input: int
    most_pieces: int
    # Its files have modes and owners.
    has_modes: bool

    def takes(self, script: bytes) -> bool:
        """Whether the script can be an argument."""

    def is_absolute(self, path: str) -> bool:
        """Whether it is the whole path of a file."""

    def directory(self, key: str) -> str:
        """Where the files of a job are."""

    def prepare(self, directory: str) -> list[str]:
        """Make the directory."""

    def piece(self, directory: str, number: int) -> list[str]:
        """Keep a piece of input."""

    def run(self, directory: str, most: int, pieces: int | None, script: str, remove: t.Sequence[str]) -> list[str]:
        """Run a script once, with the input of so many pieces and what is sent along; None is no input."""

    def remove(self, *directories: str) -> list[str]:
        """Remove directories."""

    def command(self, text: str) -> str:
        """A command as Ansible sends it, as a script."""

    def line(self, argv: t.Sequence[str]) -> str:
        """A command of words as a script."""

    def within(self, directory: str, script: str) -> str:
        """The script in a directory."""

    def exists(self, pattern: str, directory: str) -> str:
        """A script that succeeds when there is such a file."""

    def answering(self, script: str, directory: str, length: int, prompt: str, success: str) -> str:
        """The script with a password, the first bytes of its input, left out unless it asks for it."""

    def is_alive(self, directory: str) -> str:
        """A script that succeeds while the job runs."""

    def put(self, path: str, key: str, checksum: str, attributes: Attributes) -> str:
        """A script that makes a file of its input."""

    def begin_put(self, path: str, key: str, directory: str, attributes: Attributes) -> str:
        """A script that begins a file which comes in pieces."""

    def append(self, directory: str, part: str) -> str:
        """A script that adds the pieces."""

    def end_put(self, path: str, part: str, checksum: str, directory: str, attributes: Attributes) -> str:
        """A script that ends the file."""

    def cut(self, path: str, directory: str, number: int, size: int) -> str:
        """A script that copies one of the parts of a file into the file part of the directory."""

    def change(self, path: str, attributes: Attributes) -> str:
        """A script that changes mode and owner of a file."""

    def delete(self, path: str) -> str:
        """A script that deletes a file."""

    def examine(self, path: str, most: int) -> str:
        """A script that prints all about a file, and its content up to so many bytes."""

    def abandon(self, directory: str, part: str) -> str:
        """A script that removes what there is of an unfinished file."""

    def look(self, path: str, directory: str = "") -> str:
        """A script that prints the size and the checksum of a file, and makes it readable in the directory."""
