# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Start processes and say what they cost; a process of its own, because Linux counts the memory of who starts.

The peak memory that wait4 tells of a process includes what its parent held when it was started. This one is small.
Each line of standard input is an order, each line of standard output its answer, both JSON. It imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from typing import Any


class TooLong(Exception):
    """The time that the order gives is over."""


def ring(_signal: int, _frame: object) -> None:
    raise TooLong


def carry_out(order: dict[str, Any]) -> dict[str, Any]:
    """Start all commands at once and wait for all; those that take too long are killed with their children."""
    spent: dict[int, dict[str, float]] = {}
    finished = True
    began = time.monotonic()
    pids = [start(command) for command in order["commands"]]
    signal.setitimer(signal.ITIMER_REAL, order["cap"])
    try:
        collect(set(pids), spent)
    except (TooLong, KeyboardInterrupt) as reason:
        finished = False
        for pid in set(pids) - set(spent):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        collect(set(pids) - set(spent), spent)
        if isinstance(reason, KeyboardInterrupt):
            raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return {"wall": time.monotonic() - began, "finished": finished, "processes": [spent[pid] for pid in pids]}


def start(command: dict[str, Any]) -> int:
    """Start a process in a group of its own, with nothing to read and both streams in one file."""
    os.chdir(command["directory"])
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, command["output"], flags, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, command["errors"], flags, 0o600) if command["errors"] else (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    words = command["words"]
    return os.posix_spawn(words[0], words, command["environment"], file_actions=files, setpgroup=0)


def collect(missing: set[int], spent: dict[int, dict[str, float]]) -> None:
    while missing:
        try:
            pid, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            # The alarm came between the end of the last one and the note of it.
            spent.update({pid: {"code": -1, "cpu": 0.0, "kib": 0} for pid in missing})
            return
        cpu = usage.ru_utime + usage.ru_stime
        spent[pid] = {"code": os.waitstatus_to_exitcode(status), "cpu": cpu, "kib": usage.ru_maxrss}
        missing.discard(pid)


def main() -> None:
    signal.signal(signal.SIGALRM, ring)
    for line in sys.stdin:
        print(json.dumps(carry_out(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
