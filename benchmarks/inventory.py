# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the inventory costs, beside community.proxmox's and a static one of the same hosts.

    python -m benchmarks.inventory [--pick TEXT] [--quick]

The figures are those of the whole ansible-inventory --list. The embedded PVE runs on the same machine, with one core's
worth of Python at the most, so many requests take long for everybody.
"""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

from tests.support.embedded_pve import PveHandle, running_embedded_pve

from . import peers
from .inventory_cases import CASES, NODES, OURS, STATIC, THEIRS, InventoryCase, add_guests, verdict
from .runner import OK, Command, Contestant, Outcome, Session, from_command_line

TOPIC = "inventory"
QUICK_MOST = 100


def command(pve: PveHandle, home: Path, source: Path, tools: Path = peers.BIN) -> Command:
    # The peer's plugin has no option for a CA; requests takes it from there.
    connection = {**pve.environment, "PROXMOX_URL": pve.url, "REQUESTS_CA_BUNDLE": pve.cafile}
    return Command(
        [str(tools / "python"), str(tools / "ansible-inventory"), "-i", str(source), "--list"],
        peers.ansible_environment(home, connection, tools=tools),
        str(home),
        str(home / "output"),
        str(home / "errors"),
    )


def contestant(pve: PveHandle, home: Path, case: InventoryCase, who: str, tools: Path = peers.BIN) -> Contestant:
    """The plugin of one side on a file of its own."""
    source = home / ("test.pve.yml" if who == OURS else "test.proxmox.yml")

    def prepare() -> list[Command]:
        source.write_text(case.kind.ours if who == OURS else case.kind.theirs, "utf-8")
        pve.server.faults.clear()
        if case.latency:
            pve.fault("GET", "", "delay", times=None, seconds=case.latency)
        return [command(pve, home, source, tools)]

    def judge(outcome: Outcome) -> str:
        errors = (home / "errors").read_text("utf-8", "replace")
        return verdict(case, outcome.codes[0], outcome.outputs[0].read_text("utf-8", "replace"), errors)

    return Contestant(prepare, judge)


def static(pve: PveHandle, home: Path, case: InventoryCase) -> Contestant:
    """A file that holds the hosts, groups and variables that ours has found just before."""
    path = home / "static.json"

    def prepare() -> list[Command]:
        if not path.exists():
            write_static(home / "output", path)
        return [command(pve, home, path)]

    def judge(outcome: Outcome) -> str:
        return OK if outcome.codes == [0] else verdict(case, outcome.codes[0], "", "the static file could not be read")

    return Contestant(prepare, judge)


def write_static(listing: Path, path: Path) -> None:
    data = json.loads(listing.read_text("utf-8"))
    children: dict[str, dict[str, dict[str, dict[str, str]]]] = {
        name: {"hosts": {host: {} for host in group["hosts"]}}
        for name, group in data.items()
        if name not in ("_meta", "all") and "hosts" in group
    }
    path.write_text(json.dumps({"all": {"hosts": data["_meta"]["hostvars"], "children": children}}), "utf-8")


def measure(run: Session, homes: Path) -> None:
    with running_embedded_pve(nodes=NODES) as pve:
        for case in CASES:
            if not run.wants(TOPIC, case.name) or (run.quick and case.guests > QUICK_MOST):
                continue
            with tempfile.TemporaryDirectory(dir=homes) as directory:
                home = Path(directory)
                pve.call(functools.partial(add_guests, pve.server, case.guests))
                sides = {who: contestant(pve, home, case, who) for who in (OURS, THEIRS)}
                if case.kind.name == CASES[0].kind.name and not case.latency:
                    # Behind ours, whose output it is made from; in turns that run backwards it is there already.
                    sides = {OURS: sides[OURS], STATIC: static(pve, home, case), THEIRS: sides[THEIRS]}
                run.measure(TOPIC, case.name, pve, sides, case.runs)


def main() -> None:
    with from_command_line() as run, tempfile.TemporaryDirectory() as homes:
        peers.install()
        measure(run, Path(homes))


if __name__ == "__main__":
    main()
