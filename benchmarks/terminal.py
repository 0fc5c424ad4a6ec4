# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person feels of pve-console, and how much it carries.

    python -m benchmarks.terminal [keystrokes] [mebibytes]

A real pseudo-terminal, and the embedded PVE in a process of its own on the same machine, whose guest echoes what is
typed: the time from a key to its echo is that of the whole way there and back, over TLS and a websocket. Then the guest
floods the terminal; every byte is checked, and the memory that the command takes meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.collection_tree import REPOSITORY
from tests.support.embedded_pve import running_embedded_pve
from tests.support.embedded_pve.consoles.shell import flood_digest
from tests.support.person import Person, read_exactly, resident_kib

MEBIBYTE = 1 << 20
PATIENCE_SECONDS = 600
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def serve() -> None:
    """Run the embedded PVE until the standard input ends."""
    with running_embedded_pve() as pve:
        pve.add_guest(110, "term", status="running", config={"serial0": "socket"})
        print(json.dumps(pve.environment), flush=True)
        sys.stdin.read()


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    command = [sys.executable, "-m", "benchmarks.terminal", "serve"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=REPOSITORY, text=True, **pipes) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())


@contextmanager
def sitting(home: Path, connection: Mapping[str, str], *arguments: str) -> Iterator[tuple[Person, float]]:
    """A person at the prompt, and the seconds that it took."""
    began = time.perf_counter()
    with Person(home, connection, "term", "--wake", *arguments) as person:
        person.connected().expect(rb"~ # ")
        yield person, time.perf_counter() - began
        assert person.leave() == 0
        assert person.terminal_is_as_before


def echoes(person: Person, count: int) -> list[float]:
    """Seconds from each key to its echo."""
    # The prompt ends with a question for the cursor, which comes with it.
    person.type("\r")
    person.expect(rb"~ # \x1b\[6n")
    taken = []
    for number in range(count):
        letter = LETTERS[number % len(LETTERS)]
        began = time.perf_counter()
        person.type(letter)
        person.expect(letter.encode())
        taken.append(time.perf_counter() - began)
    person.type("\x03")
    person.expect(rb"~ # ")
    return taken


def flood(person: Person, count: int) -> tuple[float, int]:
    """Seconds that so many bytes take, and by how many KiB the command has grown at the most."""
    before = resident_kib(person.pid)
    person.type(f"flood {count}\r")
    person.expect(rb"flood \d+\r\n")
    began = time.perf_counter()
    shown = read_exactly(person, count, PATIENCE_SECONDS)
    seconds = time.perf_counter() - began
    assert hashlib.sha256(shown).hexdigest() == flood_digest(count), "what was shown is not what the guest said"
    return seconds, resident_kib(person.pid, "VmHWM") - before


def figures(keystrokes: int, mebibytes: int) -> list[tuple[str, str]]:
    """What is measured, and its value with the unit."""
    found = []
    with tempfile.TemporaryDirectory() as directory, serving() as connection:
        home = Path(directory)
        with sitting(home, connection) as (person, start):
            milliseconds = [1000 * seconds for seconds in echoes(person, keystrokes)]
            ranks = statistics.quantiles(milliseconds, n=100)
            found.append(("from the command to the prompt", f"{start:.2f} s"))
            found.append((f"from a key to its echo, median of {keystrokes}", f"{ranks[49]:.2f} ms"))
            found.append(("95 of 100 keys within", f"{ranks[94]:.2f} ms"))
            found.append(("99 of 100 keys within", f"{ranks[98]:.2f} ms"))
            flood(person, MEBIBYTE)
            person.expect(rb"~ # ")
            seconds, grown = flood(person, mebibytes * MEBIBYTE)
        found.append((f"a flood of {mebibytes} MiB, every byte shown", f"{mebibytes / seconds:.0f} MiB/s"))
        found.append(("by which the command grew meanwhile", f"{grown} KiB"))
        kept = home / "log"
        with sitting(home, connection, "--log", str(kept), "--record", str(home / "cast")) as (person, _start):
            seconds, grown = flood(person, mebibytes * MEBIBYTE)
        found.append(("the same flood with a log and a recording", f"{mebibytes / seconds:.0f} MiB/s"))
        found.append(("by which the command grew meanwhile, with them", f"{grown} KiB"))
    return found


def main(keystrokes: int, mebibytes: int) -> None:
    for what, value in figures(keystrokes, mebibytes):
        print(f"{what:<50} {value:>14}")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        numbers = [int(word) for word in sys.argv[1:]]
        main(*(numbers + [1000, 100][len(numbers) :]))
