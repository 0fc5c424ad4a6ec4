# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure contestants in turns: what each run costs, what it asked of PVE, and whether it did what it should."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.support.embedded_pve import PveHandle

STARTER = Path(__file__).parent / "starter.py"
OK = "ok"
CAP_SECONDS = 60.0


@dataclass(frozen=True)
class Command:
    """One process: its words, its whole environment, and the file for its output (errors "" go there, too)."""

    words: Sequence[str]
    environment: Mapping[str, str]
    directory: str
    output: str
    errors: str = ""


@dataclass(frozen=True)
class Outcome:
    """How the processes of one run ended."""

    codes: list[int]
    outputs: list[Path]


@dataclass(frozen=True)
class Contestant:
    """Who does the case: prepare brings PVE into its state; judge says OK, or what is wrong with what came out."""

    prepare: Callable[[], list[Command]]
    judge: Callable[[Outcome], str]
    other_cpu: Callable[[], float] = lambda: 0.0
    """CPU seconds so far of a process that works for it and is not its child."""
    scale: int = 1
    """It does this part of the case only: time and requests are multiplied."""


@dataclass(frozen=True)
class Run:
    """What one run took: seconds, KiB of the largest process (of all, when several ran at once), and counts."""

    wall: float
    cpu: float
    kib: int
    requests: int
    connections: int
    result: str


@dataclass(frozen=True)
class Figures(Run):
    """Medians of so many runs."""

    runs: int


@dataclass(frozen=True)
class Row:
    """One line of the report."""

    topic: str
    case: str
    who: str
    figures: Figures


@dataclass
class Session:
    """The rows so far, and the process that starts all others."""

    starter: subprocess.Popen[str]
    pick: str = ""
    quick: bool = False
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def runs(self, count: int) -> int:
        return 1 if self.quick else count

    def wants(self, topic: str, case: str) -> bool:
        return self.pick in f"{topic}: {case}"

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    def say(self, text: str) -> None:
        print(f"{self.elapsed:6.1f} s  {text}", flush=True)

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.say(text)

    def measure(
        self,
        topic: str,
        case: str,
        pve: PveHandle,
        contestants: Mapping[str, Contestant],
        runs: int,
        cap: float = CAP_SECONDS,
    ) -> None:
        """Run each contestant so many times, in turns whose order changes, and keep the medians."""
        if not self.wants(topic, case):
            return
        taken: dict[str, list[Run]] = {who: [] for who in contestants}
        for number in range(self.runs(runs)):
            names = list(contestants)[:: 1 if number % 2 == 0 else -1]
            for who in names:
                if not any(is_unfinished(run.result) for run in taken[who]):
                    taken[who].append(self.once(pve, contestants[who], cap))
        for who, items in taken.items():
            row = Row(topic, case, who, median(items))
            self.rows.append(row)
            self.say(line(row))

    def once(self, pve: PveHandle, contestant: Contestant, cap: float) -> Run:
        commands = contestant.prepare()
        pve.reset_record()
        before = contestant.other_cpu()
        spent = self.start(commands, cap)
        cpu = contestant.other_cpu() - before + sum(process["cpu"] for process in spent["processes"])
        requests, connections = len(pve.exchanges), pve.connection_count
        outcome = Outcome(
            [process["code"] for process in spent["processes"]], [Path(command.output) for command in commands]
        )
        result = contestant.judge(outcome) if spent["finished"] else f"not finished in {cap:g} s"
        kib = sum(int(process["kib"]) for process in spent["processes"])
        times = contestant.scale
        return Run(spent["wall"] * times, cpu * times, kib, requests * times, connections * times, result)

    def start(self, commands: Sequence[Command], cap: float) -> dict[str, Any]:
        assert self.starter.stdin is not None
        assert self.starter.stdout is not None
        self.starter.stdin.write(json.dumps({"cap": cap, "commands": [asdict(item) for item in commands]}) + "\n")
        self.starter.stdin.flush()
        answer: dict[str, Any] = json.loads(self.starter.stdout.readline())
        return answer


@contextmanager
def session(pick: str = "", quick: bool = False) -> Iterator[Session]:
    """Everything that is measured in the block is started by one small process."""
    # The real interpreter, without site: the smaller it is, the less it adds to the figures.
    words = [os.path.realpath(sys.executable), "-ISs", str(STARTER)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, **pipes) as starter:
        yield Session(starter, pick, quick)


@contextmanager
def from_command_line(description: str = "") -> Iterator[Session]:
    """A session as the arguments say."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--pick", default="", metavar="TEXT", help='only the cases whose "topic: name" contains it')
    parser.add_argument("--quick", action="store_true", help="each case once, and without the dear ones")
    words = parser.parse_args()
    with session(words.pick, words.quick) as run:
        yield run


def is_unfinished(result: str) -> bool:
    return result.startswith("not finished")


def median(items: Sequence[Run]) -> Figures:
    """The medians, and the first result that is not OK."""
    return Figures(
        statistics.median(item.wall for item in items),
        statistics.median(item.cpu for item in items),
        int(statistics.median_low(item.kib for item in items)),
        statistics.median_low(item.requests for item in items),
        statistics.median_low(item.connections for item in items),
        next((item.result for item in items if item.result != OK), OK),
        len(items),
    )


def line(row: Row) -> str:
    item = row.figures
    return (
        f"{row.topic}: {row.case:<44.44} {row.who:<24} {item.wall:7.3f} s wall {item.cpu:7.3f} s cpu "
        f"{item.kib / 1024:6.0f} MiB {item.requests:6} requests {item.connections:6} connections  {item.result}"
    )
