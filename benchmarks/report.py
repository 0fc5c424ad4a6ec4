# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""RESULTS.md: the figures as tables, with what they were measured with."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from tests.support.collection_tree import REPOSITORY

from .bridge_cases import TASKS
from .runner import OK, Figures, Row

TITLES = {
    "bridge": "The bridge: what CloudStack calls",
    "modules": "Modules: playbooks of one task",
    "tasks": "Many tasks, and tasks for many guests",
    "agent": "Tasks over the guest agent",
    "inventory": "Inventory",
    "parallel": "Twenty deploys at a time",
}
OURS_FIRST = "cloudbridge"
PEERS = ("ngine", "community.proxmox")
MEASURES = ("wall", "cpu", "kib", "requests")
NAMES = {
    "wall": "wall time",
    "cpu": "CPU time",
    "kib": "peak memory",
    "requests": "requests",
    "connections": "connections",
}
# What is said to be slower or more: noise is below.
NOTABLE = 1.05


@dataclass(frozen=True)
class Report:
    """Everything that goes into the document."""

    rows: Sequence[Row]
    notes: Sequence[str]
    terminal: Sequence[tuple[str, str]]
    facts: Mapping[str, str]
    command: str


def machine() -> dict[str, str]:
    """What it ran on."""
    cpus = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in cpus if line.startswith("model name")), "unknown")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "Machine": f"{os.cpu_count()} cores ({model}), {pages / 2**30:.0f} GiB",
        "System": f"{platform.system()} {platform.release()}",
        "Load before the first run": f"{os.getloadavg()[0]:.2f}",
        "Date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
    }


def our_version() -> str:
    """The version of galaxy.yml, and the commit."""
    version = yaml.safe_load((REPOSITORY / "galaxy.yml").read_text("utf-8"))["version"]
    words = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return f"{version} ({done.stdout.strip() or 'no git'})"


def peer_of(row: Row, rows: Iterable[Row]) -> Row | None:
    """The row of the peer in the same case, for a row of ours."""
    if not row.who.startswith(OURS_FIRST):
        return None
    same = (item for item in rows if (item.topic, item.case) == (row.topic, row.case))
    return next((item for item in same if item.who in PEERS), None)


def ratio(ours: Figures, theirs: Figures, measure: str) -> float | None:
    """Ours divided by theirs; none when either did not do what it should."""
    if ours.result != OK or theirs.result != OK or not getattr(theirs, measure):
        return None
    return float(getattr(ours, measure) / getattr(theirs, measure))


def slower(rows: Sequence[Row]) -> list[str]:
    """Where ours takes more than the peer, the most first."""
    found: list[tuple[float, str]] = []
    for row in rows:
        peer = peer_of(row, rows)
        for measure in MEASURES if peer else ():
            assert peer is not None
            times = ratio(row.figures, peer.figures, measure)
            if times is not None and times > NOTABLE:
                mine, other = (shown(item.figures, measure) for item in (row, peer))
                text = f"| {row.topic} | {row.case} | {row.who} | {NAMES[measure]} | {mine} | {other} | {times:.2f} |"
                found.append((times, text))
    return [text for _times, text in sorted(found, reverse=True)]


def shown(item: Figures, measure: str) -> str:
    if measure in ("wall", "cpu"):
        return f"{getattr(item, measure):.3f} s"
    if measure == "kib":
        return f"{item.kib / 1024:.0f} MiB"
    return str(getattr(item, measure))


def wrong(rows: Sequence[Row]) -> list[str]:
    return [f"| {row.topic} | {row.case} | {row.who} | {cell(row.figures.result)} |" for row in rows if bad(row)]


def bad(row: Row) -> bool:
    return row.figures.result != OK


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def table(rows: Sequence[Row]) -> list[str]:
    figures = ("wall s:", "CPU s:", "MiB:", "requests:", "connections:", "wall / peer's:", "CPU / peer's:")
    lines = headed("case", "who", *figures, "result")
    last = ""
    for row in rows:
        item, peer = row.figures, peer_of(row, rows)
        times = [ratio(item, peer.figures, measure) if peer else None for measure in ("wall", "cpu")]
        ratios = " | ".join("" if value is None else f"{value:.2f}" for value in times)
        lines.append(
            f"| {row.case if row.case != last else ''} | {row.who} | {item.wall:.3f} | {item.cpu:.3f} "
            f"| {item.kib / 1024:.0f} | {item.requests} | {item.connections} | {ratios} | {cell(item.result)} |"
        )
        last = row.case
    return lines


def in_short(rows: Sequence[Row]) -> list[str]:
    """The median of the ratios of each topic's cases, for each of ours."""
    lines = []
    for topic, who in dict.fromkeys((row.topic, row.who) for row in rows if row.who.startswith(OURS_FIRST)):
        mine = [row for row in rows if (row.topic, row.who) == (topic, who)]
        pairs = [(row.figures, peer.figures) for row in mine if (peer := peer_of(row, rows)) is not None]
        medians = []
        for measure in (*MEASURES, "connections"):
            ratios = [times for ours, peer in pairs if (times := ratio(ours, peer, measure)) is not None]
            medians.append(f"{statistics.median(ratios):.2f}" if ratios else "")
        both = sum(ours.result == peer.result == OK for ours, peer in pairs)
        lines.append(f"| {topic} | {who} | {both} | {' | '.join(medians)} |")
    return lines


def document(report: Report) -> str:
    """The text of RESULTS.md."""
    lines = ["# What it costs, beside the peers", "", f"Made by `{report.command}`, which writes this file.", ""]
    lines += [SHORT, "", *headed("topic", "who", "cases", *(f"{NAMES[name]}:" for name in (*MEASURES, "connections")))]
    lines += [*in_short(report.rows), "", "![Ours beside the peers](results.svg)", ""]
    lines += ["## What did not come out as it should", "", *headed("topic", "case", "who", "result")]
    lines += [*wrong(report.rows), ""]
    lines += tables(report)
    lines += ["## Where ours takes more", "", MORE, ""]
    lines += [*headed("topic", "case", "who", "what", "ours:", "peer:", "ours / peer:"), *slower(report.rows), ""]
    lines += ["## How it was measured", "", *(f"* {name}: {value}" for name, value in report.facts.items()), ""]
    lines += METHOD.format(tasks=", ".join(f"{name} {seconds:g} s" for name, seconds in TASKS.items())).split("\n")
    return "\n".join(lines)


def headed(*names: str) -> list[str]:
    """The first two lines of a table; columns whose name ends in a colon are figures."""
    rules = ["---:" if name.endswith(":") else "---" for name in names]
    return [f"| {' | '.join(name.rstrip(':') for name in names)} |", f"| {' | '.join(rules)} |"]


def tables(report: Report) -> list[str]:
    """Each topic with all its figures."""
    lines: list[str] = []
    for topic, title in TITLES.items():
        rows = [row for row in report.rows if row.topic == topic]
        if rows:
            lines += [f"## {title}", "", f"By `python -m benchmarks.{topic}`.", "", *table(rows), ""]
    for note in report.notes:
        lines += [note, ""]
    if report.terminal:
        lines += ["## The terminal", "", "By `python -m benchmarks.terminal 500 20`; it has no peer.", ""]
        lines += [*headed("what", ":"), *(f"| {what} | {value} |" for what, value in report.terminal), ""]
    return lines


METHOD = """* Both sides run in one session against the embedded PVE of `tests/support`, in turns. A figure is the
  median of the runs.
* Every run is checked: PVE has to be as the case says, and what was reported has to be true. Where it is not, the
  column `result` says so, and there is no ratio.
* `ngine` is cloudstack-extension-proxmox-ngine. A ratio below 1 means that ours takes less.
* Time is that of the whole process with its children. Memory is the peak of the largest process, or the sum of the
  peaks where several were started at once.
* The embedded PVE runs on the same machine and answers at once, so wall times are not those of a real PVE. Where tasks
  take time, they take: {tasks}.
* Modules and inventories of both sides run with the same ansible-core, Python, proxmoxer and environment.
* `cloudbridge with service` is the executable that hands the action to its resident service. The CPU time of the
  service is in the figure. A connection that the service has kept is not counted again.
* In the topic `tasks`, `debug` is as many tasks of ansible.builtin.debug, and `curl` makes the requests of ours, one
  after the other over one connection. Of the 1,000 guests community.proxmox looked at 100; its time and requests are
  multiplied by 10.
* In the topic `agent` the guest's programs run on the same machine, and are in no figure of CPU and memory. The tasks
  over the connections `cloudbridge.proxmox.pve_agent` and `community.proxmox.proxmox_qemu_api` are the same, and both
  know node and number of the guest.
* To read addresses from agents, the plugin of community.proxmox reads each guest's status, configuration and snapshots,
  too. The case of addresses and configurations is the one in which both read about the same.
"""
SHORT = (
    "Ours divided by the peer, as the median of all cases that both did right: below 1 ours takes less. The bridge is "
    "beside cloudstack-extension-proxmox-ngine, the rest beside community.proxmox."
)
MORE = (
    "Each case in which ours takes over 5 % more than the peer, of those that both did right. A few milliseconds or a "
    "few percent of a playbook are within what one run differs from another. Ours asks more where it looks whether the "
    "guest is the one that was meant, and whether it became what it should."
)


def save(report: Report, path: Path) -> None:
    """The same as JSON, for the plot."""
    data = {**asdict(report), "rows": [asdict(row) for row in report.rows]}
    path.write_text(json.dumps(data, indent=1), "utf-8")


def load(path: Path) -> Report:
    data = json.loads(path.read_text("utf-8"))
    rows = [Row(**{**row, "figures": Figures(**row["figures"])}) for row in data.pop("rows")]
    return Report(rows=rows, **data)
