# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the inventory costs, beside a static one of the same hosts.

    python -m benchmarks.inventory [runs]

Each figure is the median of some runs (5 if not said), which take turns, of the whole process of ansible-inventory. The
embedded PVE runs on the same machine.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.embedded_pve import EmbeddedPve, PveHandle, running_embedded_pve
from tests.support.inventories import HEAD, environment

NODES = ("pve1", "pve2", "pve3")
PROGRAM = str(Path(sys.executable).parent / "ansible-inventory")
LATENCY_SECONDS = 0.02


@dataclass(frozen=True)
class Figures:
    """Medians of one command, and what it asked."""

    wall: float
    cpu: float
    requests: int
    connections: int


def cluster(count: int) -> Callable[[EmbeddedPve], None]:
    """So many running guests on three nodes, each with two tags and an agent that answers."""

    def add(server: EmbeddedPve) -> None:
        for vmid in range(100, 100 + count):
            name = f"guest-{vmid}"
            config = {"name": name, "cores": 2, "memory": "2048", "tags": f"all;t{vmid % 10}", "agent": "1"}
            node = NODES[vmid % len(NODES)]
            server.add_vm(vmid, name, node=node, status="running", config=config).agent = {}

    return add


def measure(pve: PveHandle, home: Path, commands: Mapping[str, list[str]], runs: int) -> dict[str, Figures]:
    """Run the commands in turns."""
    taken: dict[str, list[Figures]] = {name: [] for name in commands}
    for _run in range(runs):
        for name, words in commands.items():
            pve.reset_record()
            cpu, began = cpu_of_children(), time.monotonic()
            done = subprocess.run(
                [PROGRAM, *words], env=environment(home, pve.environment), cwd=home, capture_output=True, check=False
            )
            wall = time.monotonic() - began
            assert done.returncode == 0, done.stderr.decode()
            figures = Figures(wall, cpu_of_children() - cpu, len(pve.summary()), pve.connection_count)
            taken[name].append(figures)
    return {
        name: Figures(
            statistics.median(item.wall for item in items),
            statistics.median(item.cpu for item in items),
            items[-1].requests,
            items[-1].connections,
        )
        for name, items in taken.items()
    }


def cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def static_of(pve: PveHandle, home: Path, source: Path) -> Path:
    """A static inventory of the same hosts, groups and variables."""
    words = [PROGRAM, "-i", str(source), "--list", "--export"]
    done = subprocess.run(words, env=environment(home, pve.environment), cwd=home, capture_output=True, check=True)
    data = json.loads(done.stdout)
    groups = {name: group for name, group in data.items() if name not in ("_meta", "all")}
    children = {
        name: {"hosts": {host: {} for host in group["hosts"]}} for name, group in groups.items() if "hosts" in group
    }
    path = home / "static.json"
    path.write_text(json.dumps({"all": {"hosts": data["_meta"]["hostvars"], "children": children}}), encoding="utf-8")
    return path


def show(title: str, found: Mapping[str, Figures]) -> None:
    print(f"\n{title}")
    base: Figures | None = None
    for name, item in found.items():
        base = base or item
        print(
            f"  {name:<44} {item.wall:6.2f} s wall  {item.cpu:6.2f} s cpu  {item.requests:6} requests  "
            f"{item.connections:3} connections  {item.wall - base.wall:+6.2f} s"
        )


def compare_with_static(count: int, runs: int, home: Path) -> None:
    source = home / "plain.pve.yml"
    source.write_text(HEAD, encoding="utf-8")
    with running_embedded_pve(cluster(count), NODES) as pve:
        names = home / "names.ini"
        names.write_text("\n".join(f"guest-{vmid}" for vmid in range(100, 100 + count)) + "\n", encoding="utf-8")
        same = static_of(pve, home, source)
        for action in ("--graph", "--list"):
            commands = {
                "static, names alone": ["-i", str(names), action],
                "static, same groups and variables": ["-i", str(same), action],
                "cloudbridge.proxmox.pve": ["-i", str(source), action],
            }
            show(f"{count} guests, {action}", measure(pve, home, commands, runs))


def compare_with_agents(count: int, runs: int, home: Path) -> None:
    plain, agents = home / "plain.pve.yml", home / "agents.pve.yml"
    plain.write_text(HEAD, encoding="utf-8")
    agents.write_text(HEAD + "connect_with: [agent_ipv4]\n", encoding="utf-8")
    with running_embedded_pve(cluster(count), NODES) as pve:
        pve.fault("GET", "", "delay", times=None, seconds=LATENCY_SECONDS)
        commands = {"plain": ["-i", str(plain), "--graph"], "with agents": ["-i", str(agents), "--graph"]}
        found = measure(pve, home, commands, runs)
    show(f"{count} running guests, {LATENCY_SECONDS * 1000:g} ms per response", found)


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        compare_with_static(1_000, runs, home)
        compare_with_agents(100, runs, home)
        compare_with_static(10_000, max(1, runs // 2), home)


if __name__ == "__main__":
    main()
