# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo's PVE, in a process of its own.

    python -m tests.demo.pve

Each line on the standard input is a command, each line on the standard output its answer, as JSON. It ends with its
standard input, so it cannot outlive the demo.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from tests.support.embedded_pve import EmbeddedPve, PveHandle, running_embedded_pve, seed

TASK_SECONDS = {"qmclone": 0.8, "qmstart": 0.4, "qmreboot": 0.4}
OTHER_TASKS_SECONDS = 0.3
BOOT_SECONDS = 0.7
NO_SPACE = (
    "lvcreate snapshot 'pve/snap_vm-100-disk-0_{}' error:   Cannot create new thin volume, free space in pool is 0"
)

INSTANCE, FOREIGN, FOREIGN_VMID = "i-2-45-VM", "mail", 300


def guests(server: EmbeddedPve) -> None:
    seed.add_template(server, 9000, "debian-template", config={"vga": "qxl"})


def boot(pve: PveHandle) -> None:
    """Every virtual machine's agent answers a moment after a start."""

    def start_agents() -> None:
        for vm in pve.server.vms:
            vm.agent = {}

    timer = threading.Timer(BOOT_SECONDS, start_agents)
    timer.daemon = True
    timer.start()


def look(pve: PveHandle) -> dict[str, Any]:
    """Everything there is, and what was asked since the last look."""
    found = {
        vm.name: {
            "vmid": vm.vmid,
            "status": vm.status,
            "config": vm.config,
            "pending": vm.pending,
            "snapshots": sorted(vm.snapshots),
        }
        for vm in pve.call(lambda: list(pve.server.vms))
    }
    requests = [[exchange.method, exchange.path] for exchange in pve.exchanges]
    world = {"guests": found, "requests": requests, "connections": pve.connection_count}
    pve.reset_record()
    return world


def mishap(pve: PveHandle) -> None:
    """Somebody takes memory from CloudStack's instance."""

    def shrink() -> None:
        for vm in pve.server.vms:
            if vm.name == INSTANCE:
                vm.config["memory"] = "512"

    pve.call(shrink)


def answer(pve: PveHandle, command: str) -> dict[str, Any]:
    if command == "connection":
        return pve.environment
    if command == "no-space":
        pve.next_task_fails("qmsnapshot", NO_SPACE.format("too-much"), ["snapshotting 'drive-scsi0'", "no space left"])
    if command == "foreign":
        pve.add_guest(FOREIGN_VMID, FOREIGN, status="running")
    if command == "mishap":
        mishap(pve)
    return look(pve)


def main() -> None:
    with running_embedded_pve(guests, default_task_seconds=OTHER_TASKS_SECONDS, task_seconds=TASK_SECONDS) as pve:
        pve.before("POST", "/status/(start|reboot)$", lambda: boot(pve), times=None)
        for line in sys.stdin:
            print(json.dumps(answer(pve, line.strip()), default=str), flush=True)


if __name__ == "__main__":
    main()
