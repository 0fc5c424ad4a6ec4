# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an action of the bridge costs, as a whole process: with the service, without it, and beside another extension.

    python -m benchmarks.bridge [--pick TEXT] [--quick]

The other one is cloudstack-extension-proxmox-ngine of PyPI. Wall and CPU time are those of the process that CloudStack
starts; what the service computes meanwhile is added to its CPU time. The embedded PVE runs on the same machine.
"""

from __future__ import annotations

import compileall
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.cloudstack import Extension
from tests.support.collection_tree import REPOSITORY
from tests.support.embedded_pve import PveHandle, running_embedded_pve, standard_guests
from tests.support.service import Service, running_service

from . import peers
from .bridge_cases import OURS_ALONE, QUICK, SLOW, BridgeCase, verdict
from .runner import Command, Contestant, Outcome, Session, from_command_line

TOPIC = "bridge"
ALONE, SERVED, PEER = "cloudbridge", "cloudbridge with service", "ngine"
WAIT = "60"
ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
QUICK_RUNS, OTHER_RUNS = 5, 3


@dataclass(frozen=True)
class Stage:
    """A PVE, ours with and without its service, and the other extension's executable (empty: leave it out)."""

    pve: PveHandle
    alone: Extension
    served: Extension
    service: Service
    peer: str


@contextmanager
def stage(with_peer: bool = True) -> Iterator[Stage]:
    # As the role installs it: the code is compiled.
    compileall.compile_dir(str(REPOSITORY / "plugins" / "module_utils"), quiet=2)
    with ExitStack() as stack:
        alone, served = (Extension(Path(stack.enter_context(tempfile.TemporaryDirectory()))) for _side in range(2))
        pve = stack.enter_context(running_embedded_pve(guests=standard_guests))
        service = stack.enter_context(running_service(served))
        yield Stage(pve, alone, served, service, str(peers.EXTENSION) if with_peer else "")


def cpu_clock(pid: int) -> float:
    """CPU seconds of a process that runs, all its threads together (clock_getcpuclockid of glibc)."""
    return time.clock_gettime((~pid << 3) | 2)


def command(program: str, action: str, path: Path, output: Path) -> Command:
    """A call as CloudStack makes it."""
    return Command([program, action, str(path), WAIT], ENVIRONMENT, "/", str(output))


def contestant(here: Stage, case: BridgeCase, who: str) -> Contestant:
    extension = here.served if who == SERVED else here.alone
    program = here.peer if who == PEER else str(extension.executable)
    output = extension.root / "output"

    def prepare() -> list[Command]:
        case.set_up(here.pve)
        return [command(program, case.action, extension.write(case.data(here.pve)), output)]

    def judge(outcome: Outcome) -> str:
        text = output.read_text("utf-8", "replace")
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if case.fails:
            wait_for(lambda: case.holds(here.pve, {}))
        return verdict(case, here.pve, outcome.codes[0], answer, text)

    if who == SERVED:
        return Contestant(prepare, judge, lambda: cpu_clock(here.service.pid))
    return Contestant(prepare, judge)


def wait_for(condition: Callable[[], bool], seconds: float = 2.0) -> None:
    """What cleans up after a failure may leave its last task to PVE."""
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)


def measure(run: Session, here: Stage) -> None:
    for runs, cases in ((QUICK_RUNS, QUICK), (OTHER_RUNS, SLOW), (OTHER_RUNS, OURS_ALONE)):
        for case in cases:
            names = [ALONE, SERVED, *([PEER] if case.peer and here.peer else [])]
            run.measure(TOPIC, case.name, here.pve, {who: contestant(here, case, who) for who in names}, runs)
    run.note(describe(here.service))


def describe(service: Service) -> str:
    """What the service itself holds, which is in none of the figures."""
    return (
        f"The service of the bridge held {service.resident_kib('VmHWM') / 1024:.0f} MiB at the most. "
        "Its CPU time is in the figures of the executable, its memory is not."
    )


def main() -> None:
    with from_command_line() as run:
        peers.install()
        with stage() as here:
            measure(run, here)


if __name__ == "__main__":
    main()
