# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What many tasks, and tasks for many guests, cost beside the same with community.proxmox.

    python -m benchmarks.tasks [--pick TEXT] [--quick]

Two floors stand beside them: ansible.builtin.debug for what Ansible itself takes, and curl for the same requests.
Where the peer would take too long, it gets a part of the guests, and its figures are multiplied.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.embedded_pve import PveHandle, running_embedded_pve, standard_guests

from . import peers
from .module_cases import OURS, RUNNING_VM, THEIRS, Task, kvm, power, shortened
from .modules import Playbooks, with_ca
from .parallel import COUNT, DEPLOYS, clear, judged
from .report import ratio
from .runner import OK, Command, Contestant, Outcome, Row, Session, from_command_line

TOPIC = "tasks"
AS_MODULES = "cloudbridge.proxmox as modules"
DEBUG, CURL = "debug", "curl"
REPEATS = 40
HOSTS = 200
HOST_FORKS = 20
GUESTS = 1000
PEER_GUESTS = 100
FIRST_GUEST = 2000
CAP_SECONDS = 240.0
PASSWORD = "benchmark-secret"

NOTHING = f"{REPEATS} tasks that change nothing"
BY_PASSWORD = f"{NOTHING}, login by password"
ONE = "one task that changes nothing"
DEPLOY = f"{COUNT} guests: clone, configure, start"
MANY = f"{GUESTS:,} guests looked at and left alone"
ACROSS = f"{HOSTS} hosts, delegated to localhost, {HOST_FORKS} forks"


@dataclass(frozen=True)
class Goal:
    """The most that ours may take of what the peer takes."""

    case: str
    measure: str
    share: float


GOALS = (
    Goal(NOTHING, "wall", 1 / 8),
    Goal(BY_PASSWORD, "wall", 1 / 6),
    Goal(DEPLOY, "wall", 1 / 6),
    Goal(MANY, "wall", 1 / 40),
    Goal(ACROSS, "cpu", 1 / 8),
)
CPU_SECONDS_A_TASK = 0.030
SECONDS_OF_ONE_TASK = 0.3
REQUESTS_A_GUEST = 2


@dataclass(frozen=True)
class Sides:
    """A home for each contestant, which all talk to one PVE."""

    pve: PveHandle
    homes: Path
    tools: Path = peers.BIN

    def playbooks(self, who: str) -> Playbooks:
        home = self.homes / f"tasks-{who.replace(' ', '-')}"
        home.mkdir(exist_ok=True)
        return Playbooks(self.pve, home, self.tools)

    def play(
        self,
        who: str,
        tasks: Sequence[Task],
        *words: str,
        prepare: Callable[[], object] = lambda: None,
        judge: Callable[[list[Mapping[str, Any]]], str],
        hosts: Sequence[str] = ("localhost",),
        keywords: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        scale: int = 1,
    ) -> Contestant:
        playbooks = self.playbooks(who)
        variables = dict(self.pve.environment if environment is None else environment)
        if who == AS_MODULES:
            variables["CLOUDBRIDGE_PROXMOX_RUN_IN_WORKER"] = "false"

        def commands() -> list[Command]:
            prepare()
            given = with_ca(tasks, self.pve) if who == THEIRS else tasks
            return [playbooks.command(given, *words, hosts=hosts, keywords=keywords or {}, environment=variables)]

        return Contestant(commands, lambda _outcome: judge(playbooks.found()), scale=scale)

    def curl(self, paths: Sequence[str]) -> dict[str, Contestant]:
        """The same requests one after the other by curl, over one connection; nobody where there is no curl."""
        program = shutil.which("curl")
        if program is None:
            return {}
        directory = self.homes / "tasks-curl"
        directory.mkdir(exist_ok=True)
        # In a file, since everybody on the machine can read the words of a process.
        lines = [f'header = "Authorization: PVEAPIToken={self.pve.token_id}={self.pve.token_secret}"']
        lines += [f'cacert = "{self.pve.cafile}"', "silent", "fail"]
        for path in paths:
            lines += [f'url = "{self.pve.url}/api2/json{path}"', 'output = "/dev/null"']
        config = directory / f"{len(paths)}.conf"
        config.touch(0o600)
        config.write_text("\n".join(lines), "ascii")
        command = Command([program, "-K", str(config)], {}, str(directory), str(directory / "output"))

        def judge(outcome: Outcome) -> str:
            return OK if outcome.codes == [0] else f"failed: curl ended with {outcome.codes}"

        return {CURL: Contestant(lambda: [command], judge)}


def flat(found: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The result of each guest: of each task, of each turn of a loop, and of each guest of a task for many."""
    results: list[Mapping[str, Any]] = []
    for line in found:
        result = line["result"]
        several = result.get("results")
        results += several if isinstance(several, list) else [result]
    return results


def unchanged(count: int, found: Sequence[Mapping[str, Any]]) -> str:
    failed = [line for line in found if line["outcome"] not in ("ok", "ignored")]
    if failed:
        return f"failed: {shortened(str(failed[0]['result'].get('msg', '')))}"
    results = flat(found)
    if len(results) != count:
        return f"{len(results)} results, and not {count}"
    return "reported changed, though nothing differed" if any(item.get("changed") for item in results) else OK


def repeated(
    sides: Sides, environment: Mapping[str, str] | None = None, repeats: int = REPEATS
) -> dict[str, Contestant]:
    """So many tasks that start a guest which runs."""
    options = {"vmid": RUNNING_VM, "state": "started"}
    tasks = {OURS: power(**options), AS_MODULES: power(**options), THEIRS: kvm(**options)}

    def judge(found: list[Mapping[str, Any]]) -> str:
        return unchanged(repeats, found)

    return {who: sides.play(who, [task] * repeats, judge=judge, environment=environment) for who, task in tasks.items()}


def floors(sides: Sides, repeats: int = REPEATS) -> dict[str, Contestant]:
    """What Ansible takes for so many tasks that do nothing, and curl for the requests of ours."""
    debug = ("ansible.builtin.debug", {"msg": "nothing"})
    return {
        DEBUG: sides.play(DEBUG, [debug] * repeats, judge=lambda found: unchanged(repeats, found)),
        **sides.curl(["/cluster/resources?type=vm", f"/nodes/pve1/qemu/{RUNNING_VM}/status/current"] * repeats),
    }


def deploys(sides: Sides) -> dict[str, Contestant]:
    """Guests that are made and started: two tasks for many of ours, three loops of the peer."""
    pve = sides.pve
    guests = [{"vmid": item.vmid, "name": f"g{item.vmid}"} for item in DEPLOYS]
    size = {"cores": 2, "memory": 2048}
    ours = [
        (f"{OURS}.pve_vms", {"guests": guests, "defaults": {"clone": {"source": "debian-template"}, **size}}),
        (f"{OURS}.pve_vms_power", {"guests": [{"vmid": guest["vmid"]} for guest in guests]}),
    ]
    name, vmid = "g{{ item }}", "{{ item }}"
    theirs = [
        kvm(name=name, newid=vmid, node="pve1", clone="debian-template", full=False, format="unspecified"),
        kvm(vmid=vmid, name=name, node="pve1", update=True, **size),
        kvm(vmid=vmid, state="started"),
    ]

    def judge(found: list[Mapping[str, Any]]) -> str:
        return judged(pve, [str(item["result"].get("msg", "")) for item in found if item["outcome"] == "failed"])

    loop = {"loop": [item.vmid for item in DEPLOYS]}
    return {
        OURS: sides.play(OURS, ours, prepare=lambda: clear(pve), judge=judge),
        THEIRS: sides.play(THEIRS, theirs, prepare=lambda: clear(pve), judge=judge, keywords=loop),
    }


def left_alone(sides: Sides, count: int = GUESTS, peer_count: int = PEER_GUESTS) -> dict[str, Contestant]:
    """Guests that all run already."""
    vmids = range(FIRST_GUEST, FIRST_GUEST + count)
    ours = [(f"{OURS}.pve_vms_power", {"guests": [{"vmid": vmid} for vmid in vmids]})]
    theirs = [kvm(vmid="{{ item }}", state="started")]
    loop = {"loop": list(vmids)[:peer_count]}
    node = sides.pve.guest(FIRST_GUEST).node
    paths = [f"/nodes/{node}/qemu/{vmid}/status/current" for vmid in vmids]
    return {
        OURS: sides.play(OURS, ours, judge=lambda found: unchanged(count, found)),
        THEIRS: sides.play(
            THEIRS,
            theirs,
            judge=lambda found: unchanged(peer_count, found),
            keywords=loop,
            scale=count // peer_count,
        ),
        **sides.curl(["/cluster/resources?type=vm", *paths]),
    }


def across_hosts(sides: Sides, count: int = HOSTS) -> dict[str, Contestant]:
    """One task for each host of an inventory."""
    options = {"vmid": RUNNING_VM, "state": "started"}
    tasks = {OURS: power(**options), THEIRS: kvm(**options)}
    hosts = [f"web{number}" for number in range(count)]

    def contestant(who: str, task: Task) -> Contestant:
        return sides.play(
            who,
            [task],
            "--forks",
            str(HOST_FORKS),
            judge=lambda found: unchanged(count, found),
            hosts=hosts,
            keywords={"delegate_to": "localhost"},
        )

    debug = ("ansible.builtin.debug", {"msg": "nothing"})
    return {**{who: contestant(who, task) for who, task in tasks.items()}, DEBUG: contestant(DEBUG, debug)}


def add_many(pve: PveHandle, count: int = GUESTS) -> None:
    for vmid in range(FIRST_GUEST, FIRST_GUEST + count):
        pve.add_guest(vmid, f"many{vmid}", status="running", disk="1G")


def by_password(pve: PveHandle) -> dict[str, str]:
    """The environment of a login by user and password."""
    pve.call(lambda: setattr(pve.server, "password", PASSWORD))
    kept = {name: value for name, value in pve.environment.items() if "TOKEN" not in name}
    return {**kept, "PROXMOX_USER": "root@pam", "PROXMOX_PASSWORD": PASSWORD}


def measure(run: Session, pve: PveHandle, homes: Path) -> None:
    sides = Sides(pve, homes)
    first = len(run.rows)
    cases: tuple[tuple[str, Callable[[], dict[str, Contestant]], int], ...] = (
        (NOTHING, lambda: {**repeated(sides), **floors(sides)}, 1),
        (BY_PASSWORD, lambda: repeated(sides, by_password(pve)), 1),
        (ONE, lambda: {**repeated(sides, repeats=1), **floors(sides, 1)}, 5),
        (DEPLOY, lambda: deploys(sides), 1),
        (MANY, lambda: left_alone(sides), 1),
        (ACROSS, lambda: across_hosts(sides), 1),
    )
    for name, contestants, runs in cases:
        if run.wants(TOPIC, name):
            if name == MANY:
                add_many(pve)
            run.measure(TOPIC, name, pve, contestants(), runs, CAP_SECONDS)
    for text in verdicts(run.rows[first:]):
        run.note(text)


def verdicts(rows: Sequence[Row]) -> list[str]:
    """What was reached of the goals, in a sentence each."""
    by_name = {(row.case, row.who): row.figures for row in rows}
    found = []
    for goal in GOALS:
        ours, theirs = by_name.get((goal.case, OURS)), by_name.get((goal.case, THEIRS))
        share = ratio(ours, theirs, goal.measure) if ours and theirs else None
        if share is not None:
            what = "CPU" if goal.measure == "cpu" else "wall"
            found.append(
                f"{goal.case}: 1/{1 / share:.0f} of the peer's {what} time; the goal is 1/{1 / goal.share:.0f}."
            )
    ours, debug = by_name.get((NOTHING, OURS)), by_name.get((NOTHING, DEBUG))
    if ours and debug:
        above = (ours.cpu - debug.cpu) / REPEATS * 1000
        goal_ms = CPU_SECONDS_A_TASK * 1000
        found.append(f"{NOTHING}: {above:.0f} ms of CPU for each task above debug; the goal is {goal_ms:g} ms.")
    ours, theirs = by_name.get((ONE, OURS)), by_name.get((ONE, THEIRS))
    if ours and theirs:
        found.append(
            f"{ONE}: {theirs.wall - ours.wall:.2f} s less than the peer; the goal is {SECONDS_OF_ONE_TASK:g} s."
        )
    ours = by_name.get((MANY, OURS))
    if ours:
        found.append(f"{MANY}: {ours.requests / GUESTS:.2f} requests for each; the goal is {REQUESTS_A_GUEST}.")
    return found


def main() -> None:
    with from_command_line() as run, tempfile.TemporaryDirectory() as homes:
        peers.install()
        with running_embedded_pve(guests=standard_guests) as pve:
            measure(run, pve, Path(homes))


if __name__ == "__main__":
    main()
