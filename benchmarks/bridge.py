# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an action costs, as a whole process: with the service, without it, and beside another extension.

    python -m benchmarks.bridge [runs] [action ...]

The other one is cloudstack-extension-proxmox-ngine of PyPI, in an environment of its own below .cache. Each figure is
the median of some runs (9 if not said), which take turns; wall and CPU time are those of the process that CloudStack
starts. The embedded PVE runs on the same machine, and its tasks take as long as TASKS says.
"""

from __future__ import annotations

import compileall
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.cloudstack import Extension, payload
from tests.support.collection_tree import REPOSITORY
from tests.support.embedded_pve import PveHandle, running_embedded_pve, standard_guests
from tests.support.service import Service, running_service

OTHER = "cloudstack-extension-proxmox-ngine"
ENVIRONMENT = REPOSITORY / ".cache" / OTHER
TASKS = {
    "qmclone": 1.2,
    "qmconfig": 0.1,
    "qmstart": 0.4,
    "qmstop": 0.2,
    "qmshutdown": 0.2,
    "qmreboot": 0.4,
    "qmdestroy": 0.4,
    "qmsnapshot": 0.5,
    "qmrollback": 0.5,
    "qmdelsnapshot": 0.5,
}
ACTIONS = (
    *("prepare", "status", "statuses", "getconsole", "ListSnapshots", "create", "start", "stop", "reboot", "delete"),
    *("CreateSnapshot", "RestoreSnapshot", "DeleteSnapshot"),
)
FILES = {"create": "create_template"}
UUID = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
NOTES = f"CloudStack instance: i-2-45-VM\nCloudStack UUID: {UUID}\nCloudStack deployment: 0123456789abcdef"
MARK = {"tags": "cloudstack", "description": NOTES, "smbios1": f"uuid={UUID}"}
VMID = 105
WAIT = "60"


@dataclass(frozen=True)
class Figures:
    """Seconds of one call, and those of PVE's tasks in it."""

    wall: float
    cpu: float
    tasks: float


def other_program() -> str:
    """The other extension's executable, installed on first use."""
    program = ENVIRONMENT / "bin" / "cloudstack-extension-proxmox"
    if not program.exists():
        # With the interpreter that ours runs on.
        subprocess.run([os.path.realpath(sys.executable), "-m", "venv", str(ENVIRONMENT)], check=True)
        subprocess.run([str(ENVIRONMENT / "bin" / "pip"), "install", "--quiet", f"{OTHER}==0.2.0"], check=True)
        compileall.compile_dir(str(ENVIRONMENT / "lib"), quiet=2)
    return str(program)


def run(program: str, action: str, path: Path, output: Path) -> tuple[float, float]:
    """Call it as CloudStack does; returns wall and CPU seconds."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = [(os.POSIX_SPAWN_OPEN, 1, str(output), flags, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)]
    began = time.monotonic()
    pid = os.posix_spawn(program, [program, action, str(path), WAIT], {"PATH": "/usr/bin:/bin"}, file_actions=files)
    _pid, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - began
    assert os.waitstatus_to_exitcode(status) == 0, f"{program} {action}: {output.read_text()}"
    return wall, usage.ru_utime + usage.ru_stime


def set_up(pve: PveHandle, action: str, extension: Extension) -> Path:
    """Bring PVE into the state that the action is made for; returns the payload."""
    pve.task_seconds.clear()
    if pve.guest(VMID) is not None:
        pve.remove_guest(VMID)
    if action != "create":
        status = "stopped" if action in ("start", "delete") else "running"
        pve.add_guest(VMID, "i-2-45-VM", config=MARK, status=status)
    changes: dict[str, Any] = {"host": {"ca_file": None, "verify_tls_certificate": "false"}}
    if action in ("RestoreSnapshot", "DeleteSnapshot", "ListSnapshots"):
        taken = extension.call("CreateSnapshot", payload("CreateSnapshot", pve, **changes))
        assert taken.ok, taken.output
    if action == "create":
        changes["virtualmachine"] = {"storage": "local-lvm", "is_full_clone": "true"}
    data = payload(FILES.get(action, action), pve, **changes)
    pve.task_seconds.update(TASKS)
    return extension.write(data)


def measure(
    pve: PveHandle, action: str, programs: Mapping[str, str], extension: Extension, runs: int
) -> dict[str, Figures]:
    taken: dict[str, list[Figures]] = {name: [] for name in programs}
    output = extension.root / "output"
    for _run in range(runs):
        for name, program in programs.items():
            path = set_up(pve, action, extension)
            before = len(pve.tasks())
            wall, cpu = run(program, action, path, output)
            tasks = sum(TASKS.get(task["type"], 0.0) for task in pve.tasks()[before:])
            taken[name].append(Figures(wall, cpu, tasks))
    return {name: median(items) for name, items in taken.items()}


def median(items: Sequence[Figures]) -> Figures:
    return Figures(
        statistics.median(item.wall for item in items),
        statistics.median(item.cpu for item in items),
        statistics.median(item.tasks for item in items),
    )


def show(action: str, found: Mapping[str, Figures]) -> None:
    other = found["ngine"]
    for name, item in found.items():
        over = f"{item.wall - item.tasks:+6.3f} s over {item.tasks:.1f} s of tasks" if item.tasks else ""
        print(
            f"{action:<16}{name:<10}{item.wall * 1000:8.1f} ms wall {item.cpu * 1000:8.1f} ms cpu   "
            f"{item.wall / other.wall:5.2f} x wall {item.cpu / other.cpu:5.2f} x cpu   {over}"
        )


def main() -> None:
    words = sys.argv[1:]
    runs = int(words.pop(0)) if words and words[0].isdigit() else 9
    actions = words or ACTIONS
    # As the role installs it: the code is compiled.
    compileall.compile_dir(str(REPOSITORY / "plugins" / "module_utils"), quiet=2)
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        served, alone = Extension(Path(first)), Extension(Path(second))
        programs = {"service": str(served.executable), "alone": str(alone.executable), "ngine": other_program()}
        with running_embedded_pve(guests=standard_guests) as pve, running_service(served) as service:
            for action in actions:
                show(action, measure(pve, action, programs, served, runs))
            describe(service)


def describe(service: Service) -> None:
    """What the service itself costs, which is in none of the figures above."""
    status = service.status()
    actions = sum(status["counters"]["actions"].values())
    ticks = Path(f"/proc/{service.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
    cpu = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    print(
        f"the service: {service.resident_kib() // 1024} MiB, {cpu * 1000 / actions:.1f} ms cpu per action, its start "
        f"included; {json.dumps(status['now'])}"
    )


if __name__ == "__main__":
    main()
