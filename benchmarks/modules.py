# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a playbook with the modules costs, beside the same with community.proxmox.

    python -m benchmarks.modules [--pick TEXT] [--quick]

Both sides run with the same ansible-core, Python, proxmoxer and environment. The figures are those of the whole
ansible-playbook, most of which is Ansible itself: the case of ansible.builtin.ping shows how much.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.embedded_pve import PveHandle, running_embedded_pve, standard_guests
from tests.support.playbooks import CALLBACKS

from . import peers
from .module_cases import CASES, OURS, SLOW_CASES, THEIRS, ModuleCase, Task, verdict
from .runner import OK, Command, Contestant, Outcome, Session, from_command_line

TOPIC = "modules"
FLOOR = "ansible.builtin.ping (what Ansible itself takes)"


class Playbooks:
    """Playbooks of one side, in a home of their own."""

    def __init__(self, pve: PveHandle, home: Path, tools: Path = peers.BIN) -> None:
        self.pve = pve
        self.home = home
        self.tools = tools
        self.results = home / "results.jsonl"

    def command(
        self,
        tasks: Sequence[Task],
        *words: str,
        hosts: Sequence[str] = ("localhost",),
        keywords: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Command:
        """Write a playbook of these tasks, each with these keywords, and return what runs it."""
        self.results.unlink(missing_ok=True)
        path = self.home / "playbook.json"
        play = {
            "hosts": "all",
            "connection": "local",
            "gather_facts": False,
            "tasks": [{**as_yaml(*item), **(keywords or {})} for item in tasks],
        }
        path.write_text(json.dumps([play]), "utf-8")
        interpreter = f"ansible_python_interpreter={self.tools / 'python'}"
        program = [str(self.tools / "python"), str(self.tools / "ansible-playbook")]
        return Command(
            [*program, str(path), "-i", ",".join([*hosts, ""]), "-e", interpreter, *words],
            peers.ansible_environment(
                self.home, environment or self.pve.environment, self.settings(), tools=self.tools
            ),
            str(self.home),
            str(self.home / "output"),
        )

    def settings(self) -> dict[str, str]:
        return {
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
            "ANSIBLE_CALLBACKS_ENABLED": "json_lines",
            "CLOUDBRIDGE_TEST_RESULTS": str(self.results),
        }

    def found(self) -> list[Mapping[str, Any]]:
        """The results of the tasks."""
        if not self.results.exists():
            return []
        return [json.loads(line) for line in self.results.read_text("utf-8").splitlines()]


def as_yaml(module: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": module, module: options}


def with_ca(tasks: Sequence[Task], pve: PveHandle) -> list[Task]:
    """The peer reads all of the connection but the CA from the environment."""
    return [(module, {**options, "ca_path": pve.cafile}) for module, options in tasks]


def contestant(case: ModuleCase, playbooks: Playbooks, who: str) -> Contestant:
    pve = playbooks.pve

    def prepare() -> list[Command]:
        case.prepare(pve)
        tasks = case.ours if who == OURS else with_ca(case.theirs, pve)
        return [playbooks.command(tasks, *(["--check"] if case.check_mode else []))]

    def judge(_outcome: Outcome) -> str:
        return verdict(case, pve, playbooks.found())

    return Contestant(prepare, judge)


def measure(run: Session, pve: PveHandle, homes: Path, with_peer: bool = True, tools: Path = peers.BIN) -> None:
    sides = {who: Playbooks(pve, homes / who, tools) for who in (OURS, THEIRS)}
    for playbooks in sides.values():
        playbooks.home.mkdir()
    ours = sides[OURS]
    ping = Contestant(
        lambda: [ours.command([("ansible.builtin.ping", {})])],
        lambda outcome: OK if outcome.codes == [0] else "failed",
    )
    run.measure(TOPIC, FLOOR, pve, {"ansible-core": ping}, 3)
    for case in (*CASES, *SLOW_CASES):
        names = (OURS, THEIRS) if with_peer else (OURS,)
        run.measure(TOPIC, case.name, pve, {who: contestant(case, sides[who], who) for who in names}, case.runs)


def main() -> None:
    with from_command_line() as run, tempfile.TemporaryDirectory() as homes:
        peers.install()
        with running_embedded_pve(guests=standard_guests) as pve:
            measure(run, pve, Path(homes))


if __name__ == "__main__":
    main()
