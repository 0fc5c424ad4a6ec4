# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Ansible's tasks cost over the guest agent, beside the connection plugin of community.proxmox.

    python -m benchmarks.agent [--pick TEXT] [--quick]

The guest's programs run on this machine, and its agent answers at once: what is measured is the connection.
"""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.embedded_pve import PveHandle, running_embedded_pve, standard_guests

from . import peers
from .module_cases import OURS, RUNNING_VM, THEIRS, Task, shortened
from .modules import Playbooks
from .runner import OK, Command, Contestant, Outcome, Session, from_command_line

TOPIC = "agent"
CAP_SECONDS = 240.0
REPEATS = 20

PING = "ping"
DISCOVERED = "ping, and which Python there is"
MANY = f"{REPEATS} tasks"

SILENT_GUESTS = 50
FIRST_SILENT = 3000
SILENT = f"{SILENT_GUESTS} silent agents, {SILENT_GUESTS} forks"
# The one of the machine's system, as a guest has it, and not the one of the peers' environment.
PYTHON = ("-e", "ansible_python_interpreter=/usr/bin/python3")

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

    def play(
        self,
        who: str,
        tasks: Sequence[Task],
        *words: str,
        also: Callable[[], str] = lambda: OK,
        output: int | None = None,
    ) -> Contestant:
        """Tasks in the guest by the connection of one side; the last one has so many bytes of output."""
        home = self.homes / f"agent-{who}"
        home.mkdir(exist_ok=True)
        playbooks = Playbooks(self.pve, home, self.tools)
        variables = {**self.pve.environment, **(peers_variables(self.pve) if who == THEIRS else {})}

        def prepare() -> list[Command]:
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

        def judge(_outcome: Outcome) -> str:
            found = playbooks.found()
            verdict = judged(len(tasks), found)
            if verdict == OK and output is not None and found[-1]["result"]["stdout"] != "x" * output:
                return "the output is another one"
            return verdict if verdict != OK else also()

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
        measure_sizes(run, guest)
    measure_silent(run, homes)


def megabytes(guest: Guest, size: int) -> tuple[list[Task], Callable[[], str]]:
    """A file of so many MB there and back, and what says whether it is the same."""
    source, inside, back = (guest.homes / name for name in ("source", "guest/large", "back"))
    source.write_bytes(random.Random(size).randbytes(size * 1_000_000))
    tasks: list[Task] = [
        ("ansible.builtin.copy", {"src": str(source), "dest": str(inside), "mode": "0600"}),
        ("ansible.builtin.fetch", {"src": str(inside), "dest": str(back), "flat": True}),
    ]

    def differs() -> str:
        found = [path.read_bytes() if path.exists() else b"" for path in (source, inside, back)]
        inside.unlink(missing_ok=True)
        back.unlink(missing_ok=True)
        return OK if found[0] == found[1] == found[2] else "the file is another one"

    return tasks, differs


def measure_sizes(run: Session, guest: Guest) -> None:
    """What is large: the memory that it takes is the point."""
    for size in (5, 50):
        tasks, differs = megabytes(guest, size)
        contestants = {who: guest.play(who, tasks, *PYTHON, also=differs) for who in (OURS, THEIRS)}
        run.measure(TOPIC, f"a file of {size} MB there and back", guest.pve, contestants, 1, CAP_SECONDS)
    for size in (2, 20):
        task = ("ansible.builtin.shell", {"cmd": f"head -c {size}000000 /dev/zero | tr '\\0' x"})
        contestants = {who: guest.play(who, [task], *PYTHON, output=size * 1_000_000) for who in (OURS, THEIRS)}
        run.measure(TOPIC, f"a command with {size} MB of output", guest.pve, contestants, 1, CAP_SECONDS)


def measure_silent(run: Session, homes: Path) -> None:
    """Guests of one node whose agents do not answer, all asked at once."""
    if not run.wants(TOPIC, SILENT):
        return
    with running_embedded_pve(guests=standard_guests) as pve:
        pve.knobs.silent_agent_seconds = 3.0
        hosts = []
        for number in range(SILENT_GUESTS):
            pve.add_guest(FIRST_SILENT + number, f"silent{number}", status="running", config={"agent": "1"})
            hosts.append(f"silent{number}")
        playbooks = Playbooks(pve, homes / "agent-silent")
        playbooks.home.mkdir()
        words = ("-e", f"ansible_connection={CONNECTIONS[OURS]}", "--forks", str(SILENT_GUESTS))

        def prepare() -> list[Command]:
            return [playbooks.command([("ansible.builtin.raw", {"_raw_params": "true"})], *words, hosts=hosts)]

        def judge(_outcome: Outcome) -> str:
            reasons = [str(line["result"].get("msg")) for line in playbooks.found()]
            named = sum(f"(silent{number})" in text for number, text in enumerate(sorted(reasons, key=_number)))
            clear = sum("does not answer" in text for text in reasons)
            return OK if named == clear == SILENT_GUESTS else f"{clear} reasons for {SILENT_GUESTS} hosts"

        run.measure(TOPIC, SILENT, pve, {OURS: Contestant(prepare, judge)}, 1, CAP_SECONDS)
        most = max(pve.server.most_agent_calls.values())
        run.note(f"{SILENT}: at most {most} of the node's three API workers at once, each for PVE's own 3 s.")


def _number(text: str) -> int:
    found = re.search(r"\(silent(\d+)\)", text)
    return int(found[1]) if found else -1


def measure_tasks(run: Session, guest: Guest) -> None:
    discover = ("-e", "ansible_python_interpreter=auto_silent")
    cases: tuple[tuple[str, Sequence[Task], Sequence[str], int], ...] = (
        (PING, [("ansible.builtin.ping", {})], PYTHON, 7),
        (DISCOVERED, [("ansible.builtin.ping", {})], discover, 7),
        (MANY, several(guest.root), PYTHON, 3),
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
