# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ran on which PVE, and what was skipped and why, as a table at the end of `make live`."""

from __future__ import annotations

import collections
import datetime
import time
from pathlib import Path

import pytest

from tests.support.collection_tree import REPOSITORY

from .world import World

FILE = REPOSITORY / ".cache" / "live-report.md"
_WORLDS: list[World] = []


def note_world(world: World) -> None:
    """Remember where the tests ran."""
    if not _WORLDS:
        _WORLDS.append(world)


class Report:
    """A plugin of pytest that counts by file."""

    def __init__(self) -> None:
        self.counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self.reasons: collections.Counter[str] = collections.Counter()
        self.began = time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.counts[Path(report.nodeid.partition("::")[0]).stem][report.outcome] += 1
        if report.skipped and isinstance(report.longrepr, tuple):
            self.reasons[str(report.longrepr[2]).removeprefix("Skipped: ")] += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        text = self.text()
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(text, encoding="utf-8")
        terminalreporter.write_sep("=", "live report")
        terminalreporter.write_line(text)

    def text(self) -> str:
        """The report as Markdown."""
        if not _WORLDS:
            return "Nothing ran: PROXMOX_HOST names no PVE.\n"
        world = _WORLDS[0]
        nodes = len(world.api.data("GET", "/nodes"))
        today = datetime.datetime.now(datetime.UTC).date()
        minutes = (time.monotonic() - self.began) / 60
        lines = [
            f"Proxmox VE {world.release()}, {nodes} node{'s' * (nodes != 1)}, on {today}, in {minutes:.0f} minutes.",
            "",
            "| Cases | Passed | Failed | Skipped |",
            "| --- | --- | --- | --- |",
        ]
        for name, counts in sorted(self.counts.items()):
            cells = (name.removeprefix("test_"), counts["passed"], counts["failed"], counts["skipped"])
            lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
        if self.reasons:
            lines += ["", "Skipped:", ""]
            lines += [f"- {count} because {reason}" for reason, count in self.reasons.most_common()]
        return "\n".join(lines) + "\n"
