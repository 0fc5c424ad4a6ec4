# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What twenty deploys at a time cost: by the bridge, and by one playbook.

    python -m benchmarks.parallel [--pick TEXT] [--quick]

PVE's tasks take as long as bridge_cases.TASKS says. Memory is that of all processes of the bridge together, and that
of the largest process of ansible-playbook.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.cloudstack import Extension
from tests.support.embedded_pve import PveHandle

from . import bridge, peers
from .bridge_cases import NAME, TASKS, UUID, shortened
from .bridge_cases import QUICK as BRIDGE_CASES
from .module_cases import DEPLOY, OURS, THEIRS
from .modules import Playbooks, with_ca
from .runner import OK, Command, Contestant, Outcome, Session, from_command_line

TOPIC = "parallel"
COUNT = 20
FIRST = 400
CAP_SECONDS = 120.0
CREATE = next(case for case in BRIDGE_CASES if case.name == "create, full clone")


@dataclass(frozen=True)
class Deploy:
    """One of the instances."""

    number: int

    @property
    def vmid(self) -> int:
        return FIRST + self.number

    @property
    def name(self) -> str:
        return NAME.replace("45", str(self.vmid))

    def data(self, pve: PveHandle) -> dict[str, Any]:
        text = json.dumps(CREATE.data(pve, details={"proxmox_vmid": str(self.vmid)}))
        text = text.replace(UUID, f"{UUID[:-4]}{self.number:04x}").replace(NAME, self.name)
        for mac in ("02:01:00:cb:00:05", "1e:00:87:00:00:2c"):
            text = text.replace(mac, f"{mac[:-2]}{self.number + 0x40:02x}")
        return dict(json.loads(text))


DEPLOYS = tuple(map(Deploy, range(COUNT)))


def clear(pve: PveHandle) -> None:
    pve.task_seconds.clear()
    for deploy in DEPLOYS:
        if pve.guest(deploy.vmid) is not None:
            pve.remove_guest(deploy.vmid)
    pve.task_seconds.update(TASKS)


def running(pve: PveHandle) -> int:
    """How many of the guests run with the size that was ordered."""
    there = [item.vmid for item in DEPLOYS if pve.guest(item.vmid) is not None and pve.status(item.vmid) == "running"]
    return sum(int(pve.config(vmid)["cores"]) == 2 and int(pve.config(vmid)["memory"]) == 2048 for vmid in there)


def judged(pve: PveHandle, problems: list[str]) -> str:
    if running(pve) == COUNT and not problems:
        return OK
    return f"{running(pve)} of {COUNT} deployed; {shortened(problems[0]) if problems else 'reported ok'}"


def by_bridge(here: bridge.Stage, who: str) -> Contestant:
    extension: Extension = here.served if who == bridge.SERVED else here.alone
    program = here.peer if who == bridge.PEER else str(extension.executable)

    def prepare() -> list[Command]:
        clear(here.pve)
        paths = [extension.write(deploy.data(here.pve)) for deploy in DEPLOYS]
        return [bridge.command(program, "create", path, path.with_suffix(".out")) for path in paths]

    def judge(outcome: Outcome) -> str:
        texts = [path.read_text("utf-8", "replace") for path in outcome.outputs]
        return judged(here.pve, [text for code, text in zip(outcome.codes, texts, strict=True) if code != 0])

    if who == bridge.SERVED:
        return Contestant(prepare, judge, lambda: bridge.cpu_clock(here.service.pid))
    return Contestant(prepare, judge)


def by_playbook(playbooks: Playbooks, who: str) -> Contestant:
    """The deploy of module_cases for each host of one play, all at a time."""
    pve = playbooks.pve

    def prepare() -> list[Command]:
        clear(pve)
        tasks = DEPLOY.ours if who == OURS else with_ca(DEPLOY.theirs, pve)
        text = json.dumps(tasks).replace('"app1"', '"{{ inventory_hostname }}"')
        number = "{{ inventory_hostname[1:] | int }}"
        tasks = [(module, {**options, **numbered(options, number)}) for module, options in json.loads(text)]
        hosts = [f"g{deploy.vmid}" for deploy in DEPLOYS]
        return [playbooks.command(tasks, "--forks", str(COUNT), hosts=hosts)]

    def judge(_outcome: Outcome) -> str:
        failed = [item for item in playbooks.found() if item["outcome"] == "failed"]
        return judged(pve, [str(item["result"].get("msg", "")) for item in failed])

    return Contestant(prepare, judge)


def numbered(options: dict[str, Any], number: str) -> dict[str, Any]:
    return {key: number for key in ("vmid", "newid") if key in options}


def measure(run: Session, here: bridge.Stage, homes: Path) -> None:
    who: tuple[str, ...] = (bridge.ALONE, bridge.SERVED, bridge.PEER)
    contestants = {name: by_bridge(here, name) for name in who}
    run.measure(TOPIC, f"{COUNT} deploys at a time, bridge", here.pve, contestants, 3, CAP_SECONDS)
    sides = {}
    for name in (OURS, THEIRS):
        home = homes / f"parallel-{name}"
        home.mkdir()
        sides[name] = by_playbook(Playbooks(here.pve, home), name)
    run.measure(TOPIC, f"{COUNT} deploys at a time, one playbook", here.pve, sides, 1, CAP_SECONDS)


def main() -> None:
    with from_command_line() as run, tempfile.TemporaryDirectory() as homes:
        peers.install()
        with bridge.stage() as here:
            measure(run, here, Path(homes))


if __name__ == "__main__":
    main()
