# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything in one session: `make bench`, or

    python -m benchmarks [--pick TEXT] [--quick]

With --pick or --quick it writes into .cache/benchmarks, otherwise RESULTS.md and results.svg beside this file.
"""

from __future__ import annotations

import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.support.collection_tree import REPOSITORY

from . import agent, bridge, inventory, modules, parallel, peers, report, tasks, terminal
from .runner import from_command_line

HERE = Path(__file__).parent
CACHE = REPOSITORY / ".cache" / "benchmarks"


def facts() -> dict[str, str]:
    found = {**report.machine(), "cloudbridge.proxmox": report.our_version()}
    return {**found, **peers.versions(), "fakepve, which the embedded PVE builds on": version("fakepve")}


def write(found: report.Report, target: Path) -> None:
    """The figures as JSON, the plot and the document."""
    target.mkdir(parents=True, exist_ok=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    figures = CACHE / "results.json"
    report.save(found, figures)
    plot = [str(peers.BIN / "python"), str(HERE / "plot.py"), str(figures)]
    subprocess.run([*plot, str(target / "results.svg")], check=True)
    subprocess.run([*plot, str(CACHE / "results.png")], check=True)
    (target / "RESULTS.md").write_text(report.document(found), "utf-8")


def main() -> None:
    with from_command_line() as run, tempfile.TemporaryDirectory() as directory:
        run.say("installing the peers, unless they are there")
        peers.install()
        known = facts()
        homes = Path(directory)
        with bridge.stage() as here:
            bridge.measure(run, here)
            modules.measure(run, here.pve, homes)
            parallel.measure(run, here, homes)
            tasks.measure(run, here.pve, homes)
        agent.measure(run, homes)
        inventory.measure(run, homes)
        keys = [] if run.pick or run.quick else terminal.figures(500, 20)
        known["Duration of all runs"] = f"{run.elapsed / 60:.0f} minutes"
        target = CACHE if run.pick or run.quick else HERE
        write(report.Report(run.rows, run.notes, keys, known, "make bench"), target)
        run.say(f"written: {target / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
