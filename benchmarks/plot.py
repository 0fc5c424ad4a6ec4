# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plot of the results: ours divided by the peer, for each case, on a logarithmic axis.

    .cache/peers/bin/python benchmarks/plot.py results.json results.svg

It runs in the environment of the peers, which has matplotlib, and imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

MEASURES = {"wall": "wall time", "cpu": "CPU time", "requests": "requests"}
STYLES = {
    "cloudbridge": ("o", "#1f6fb4", "bridge, without its service"),
    "cloudbridge with service": ("D", "#0a9e73", "bridge, with its service"),
    "cloudbridge.proxmox": ("o", "#6a4c93", "modules and inventory"),
    "cloudbridge.proxmox as modules": ("s", "#b08bd0", "modules as processes"),
}
PEERS = {"ngine": "ngine", "community.proxmox": "community.proxmox"}
TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
OK = "ok"


def comparisons(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each case that has a peer: its name, the ratios of each of ours, and what was wrong with whom."""
    cases: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        cases.setdefault((row["topic"], row["case"]), {})[row["who"]] = row["figures"]
    found = []
    for (topic, name), figures in cases.items():
        peer = next((who for who in PEERS if who in figures), None)
        ours = {who: item for who, item in figures.items() if who in STYLES}
        if peer is not None and ours:
            found.append({"topic": topic, "name": name, "peer": figures[peer], "ours": ours})
    return found


def draw(axes: Axes, cases: list[dict[str, Any]], measure: str) -> None:
    axes.axvline(1, color="#444444", linewidth=1)
    for place, case in enumerate(cases):
        if case["peer"]["result"] != OK:
            axes.text(
                1.08, place, f"peer: {verdict(case['peer']['result'])}", va="center", fontsize=6.5, color="#b03030"
            )
            continue
        for who, figures in case["ours"].items():
            marker, color, _label = STYLES[who]
            if figures["result"] == OK and figures[measure] and case["peer"][measure]:
                value = figures[measure] / case["peer"][measure]
                axes.plot([1, value], [place, place], color=color, linewidth=0.8, alpha=0.45)
                axes.plot([value], [place], marker, color=color, markersize=5)
            elif figures["result"] != OK:
                axes.text(0.92, place, f"ours: {verdict(figures['result'])}", va="center", ha="right", fontsize=6.5)
    axes.set_xscale("log")
    axes.set_xlim(0.015, 6)
    axes.set_xticks(TICKS)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=7, length=2)
    for place in range(0, len(cases), 2):
        axes.axhspan(place - 0.5, place + 0.5, color="#f5f5f5", zorder=0)
    axes.set_ylim(len(cases) - 0.5, -0.5)


def verdict(result: str) -> str:
    """In two words; the report has them all."""
    known = ("not finished", "skipped", "failed")
    return next((text for text in known if result.startswith(text)), "wrong result")


def main(source: str, target: str) -> None:
    # The same figures make the same file.
    mpl.rcParams["svg.hashsalt"] = "cloudbridge.proxmox"
    cases = comparisons(json.loads(Path(source).read_text("utf-8"))["rows"])
    topics = list(dict.fromkeys(case["topic"] for case in cases))
    groups = [[case for case in cases if case["topic"] == topic] for topic in topics]
    heights = [len(group) for group in groups]
    figure, grid = plt.subplots(
        len(groups),
        len(MEASURES),
        figsize=(13, 2.2 + 0.235 * sum(heights)),
        squeeze=False,
        sharex=True,
        gridspec_kw={"height_ratios": heights, "hspace": 0.09, "wspace": 0.05},
        layout="constrained",
    )
    for topic, group, line in zip(topics, groups, grid, strict=True):
        for axes, measure in zip(line, MEASURES, strict=True):
            draw(axes, group, measure)
            axes.set_yticks(range(len(group)), [case["name"] for case in group] if axes is line[0] else [])
        line[2].yaxis.set_label_position("right")
        line[2].set_ylabel(topic, fontsize=9, fontweight="bold", rotation=270, labelpad=12)
    for axes, title in zip(grid[0], MEASURES.values(), strict=True):
        axes.set_title(title, fontsize=10, fontweight="bold")
    for axes in grid[-1]:
        axes.set_xlabel("ours / peer   (left of 1: ours takes less)", fontsize=8)
    handles = [
        plt.Line2D([], [], marker=marker, color=color, linestyle="", label=label)
        for marker, color, label in STYLES.values()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=8, frameon=False)
    figure.savefig(target, metadata={"Date": None} if target.endswith(".svg") else None, dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
