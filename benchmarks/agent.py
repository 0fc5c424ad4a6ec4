# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Ansible's tasks cost over the guest agent, beside the connection plugin of community.proxmox.

    python -m benchmarks.agent [--pick TEXT] [--quick]

The guest's programs run on this machine, and its agent answers at once: what is measured is the connection.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.embedded_pve import PveHandle, running_embedded_pve, standard_guests

from . import peers
from .module_cases import OURS, RUNNING_VM, THEIRS, Task, shortened
from .modules import Playbooks
from .runner import OK, Contestant, Session, from_command_line

TOPIC = "agent"
CAP_SECONDS = 240.0
REPEATS = 20

PING = "ping"
DISCOVERED = "ping, and which Python there is"
MANY = f"{REPEATS} tasks"

CONNECTIONS = {OURS: "cloudbridge.proxmox.pve_agent", THEIRS: "community.proxmox.proxmox_qemu_api"}


@dataclass(frozen=True)
class Guest:
    """The guest, and the homes of those who run tasks in it."""

    pve: PveHandle
    homes: Path
    tools: Path = peers.BIN

    @property
    def root(self) -> Path:
        return self.homes / "guest"

    def start(self) -> None:
        """Give the guest an agent that runs programs."""
        self.root.mkdir()
        self.pve.run_agent(RUNNING_VM, self.root).path = "/usr/bin:/bin"

    def play(self, who: str, tasks: Sequence[Task], *words: str) -> Contestant:
        """Tasks in the guest by the connection of one side."""
        home = self.homes / f"agent-{who}"
        home.mkdir(exist_ok=True)
        playbooks = Playbooks(self.pve, home, self.tools)
        variables = {**self.pve.environment, **(peers_variables(self.pve) if who == THEIRS else {})}

        def prepare() -> list[Any]:
            return [
                playbooks.command(
                    tasks,
                    "-e",
                    f"ansible_connection={CONNECTIONS[who]} pve_vmid={RUNNING_VM} pve_node=pve1",
                    *words,
                    hosts=("db",),
                    environment=variables,
                )
            ]

        def judge(_outcome: Any) -> str:
            return judged(len(tasks), playbooks.found())

        return Contestant(prepare, judge)


def peers_variables(pve: PveHandle) -> dict[str, str]:
    """Where the peer reads its options, and requests the certificate authority."""
    return {
        "PROXMOX_TOKEN_ID": pve.token_id,
        "PROXMOX_NODE": "pve1",
        "PROXMOX_VMID": str(RUNNING_VM),
        "REQUESTS_CA_BUNDLE": pve.cafile,
    }


def judged(count: int, found: Sequence[Mapping[str, Any]]) -> str:
    failed = [line for line in found if line["outcome"] != "ok"]
    if failed:
        return f"failed: {shortened(str(failed[0]['result'].get('msg', '')))}"
    return OK if len(found) == count else f"{len(found)} results, and not {count}"


def several(directory: Path) -> list[Task]:
    """What plays are made of."""
    path = str(directory / "file")
    tasks: list[Task] = [
        ("ansible.builtin.ping", {}),
        ("ansible.builtin.command", {"cmd": "uname -r"}),
        ("ansible.builtin.copy", {"content": "a line\n" * 100, "dest": path, "mode": "0600"}),
        ("ansible.builtin.stat", {"path": path}),
        ("ansible.builtin.file", {"path": path, "state": "absent"}),
    ]
    return tasks * (REPEATS // len(tasks))


def measure(run: Session, homes: Path) -> None:
    with running_embedded_pve(guests=standard_guests) as pve:
        guest = Guest(pve, homes)
        guest.start()
        measure_tasks(run, guest)


def measure_tasks(run: Session, guest: Guest) -> None:
    # The one of the machine's system, as a guest has it, and not the one of the peers' environment.
    python = ("-e", "ansible_python_interpreter=/usr/bin/python3")
    discover = ("-e", "ansible_python_interpreter=auto_silent")
    cases: tuple[tuple[str, Sequence[Task], Sequence[str], int], ...] = (
        (PING, [("ansible.builtin.ping", {})], python, 7),
        (DISCOVERED, [("ansible.builtin.ping", {})], discover, 7),
        (MANY, several(guest.root), python, 3),
    )
    for name, tasks, words, runs in cases:
        contestants = {who: guest.play(who, tasks, *words) for who in (OURS, THEIRS)}
        run.measure(TOPIC, name, guest.pve, contestants, runs, CAP_SECONDS)


def main() -> None:
    with from_command_line() as run, tempfile.TemporaryDirectory() as homes:
        peers.install()
        measure(run, Path(homes))


if __name__ == "__main__":
    main()
