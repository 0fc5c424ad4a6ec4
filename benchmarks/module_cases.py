# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is measured of the modules, as data, for benchmarks.modules and tests/integration/test_costs.py."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.embedded_pve import PveHandle

from .bridge_cases import QEMU_FAILED, TASKS

OURS, THEIRS = "cloudbridge.proxmox", "community.proxmox"
NEW, STOPPED_VM, RUNNING_VM = 300, 100, 101
OLD = "before-upgrade"
Task = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class ModuleCase:
    """Tasks of both sides that do the same, PVE before them, and what must hold after them."""

    name: str
    ours: tuple[Task, ...]
    theirs: tuple[Task, ...]
    holds: Callable[[PveHandle], bool]
    changed: bool = True
    set_up: Callable[[PveHandle], object] = lambda _pve: None
    fails: str = ""
    """The type of the task that fails, with QEMU_FAILED."""
    check_mode: bool = False
    task_seconds: Mapping[str, float] = field(default_factory=dict)
    runs: int = 3

    def prepare(self, pve: PveHandle) -> None:
        """Bring PVE into the state before the tasks."""
        pve.task_seconds.clear()
        pve.call(pve.server.outcomes.clear)
        for vmid in (NEW, STOPPED_VM, RUNNING_VM):
            if pve.guest(vmid) is not None:
                pve.remove_guest(vmid)
        pve.add_guest(STOPPED_VM, "web")
        pve.add_guest(RUNNING_VM, "db", status="running", config={"agent": "1"}, agent={})
        self.set_up(pve)
        if self.fails:
            pve.next_task_fails(self.fails, QEMU_FAILED)
        pve.task_seconds.update(self.task_seconds)


def add_app(pve: PveHandle) -> None:
    pve.add_guest(NEW, "app1", disk="32G")


def take_old(pve: PveHandle) -> None:
    pve.call(lambda: pve.server._take(pve.guest(STOPPED_VM), OLD, {"vmstate": False}))


def status_is(vmid: int, status: str, pve: PveHandle) -> bool:
    return pve.guest(vmid) is not None and pve.status(vmid) == status


def cores_are(vmid: int, cores: int, pve: PveHandle) -> bool:
    return pve.guest(vmid) is not None and int(pve.config(vmid)["cores"]) == cores


def created(pve: PveHandle) -> bool:
    if pve.guest(NEW) is None:
        return False
    config = pve.config(NEW)
    return (int(config["cores"]), int(config["memory"])) == (2, 2048) and "size=32G" in config["scsi0"]


def is_there(pve: PveHandle) -> bool:
    return pve.guest(NEW) is not None


def is_gone(vmid: int, pve: PveHandle) -> bool:
    return pve.guest(vmid) is None


def last_task_is(task: str, vmid: int, status: str, pve: PveHandle) -> bool:
    return pve.tasks()[-1]["type"] == task and status_is(vmid, status, pve)


def has_old(wanted: bool, pve: PveHandle) -> bool:
    return (OLD in pve.snapshots(STOPPED_VM)) is wanted


def deployed(pve: PveHandle) -> bool:
    return cores_are(NEW, 2, pve) and int(pve.config(NEW)["memory"]) == 2048 and status_is(NEW, "running", pve)


def vm(**options: Any) -> Task:
    return f"{OURS}.pve_vm", options


def power(**options: Any) -> Task:
    return f"{OURS}.pve_vm_power", options


def snapshot(**options: Any) -> Task:
    return f"{OURS}.pve_snapshot", {"vmid": STOPPED_VM, **options}


def kvm(**options: Any) -> Task:
    return f"{THEIRS}.proxmox_kvm", options


def snap(**options: Any) -> Task:
    return f"{THEIRS}.proxmox_snap", {"vmid": STOPPED_VM, **options}


DISK, CARD = "local-lvm:32", "virtio,bridge=vmbr0"
CREATE = (
    vm(
        name="app1", vmid=NEW, node="pve1", cores=2, memory=2048, scsihw="virtio-scsi-single",
        disks=[{"slot": "scsi0", "storage": "local-lvm", "size": "32G"}],
        networks=[{"slot": "net0", "bridge": "vmbr0"}],
    ),
    kvm(
        name="app1", vmid=NEW, node="pve1", cores=2, memory=2048, scsihw="virtio-scsi-single",
        scsi={"scsi0": DISK}, net={"net0": CARD},
    ),
)  # fmt: skip
CLONE = (
    vm(name="app1", vmid=NEW, clone={"source": "debian-template"}),
    kvm(name="app1", newid=NEW, node="pve1", clone="debian-template", full=False, format="unspecified"),
)
SIZE = {"cores": 2, "memory": 2048}
UPDATE = (
    vm(vmid=STOPPED_VM, cores=4),
    kvm(vmid=STOPPED_VM, name="web", node="pve1", cores=4, update=True),
)
SAME = (
    vm(vmid=STOPPED_VM, cores=2),
    kvm(vmid=STOPPED_VM, name="web", node="pve1", cores=2, update=True),
)


def pair(name: str, tasks: tuple[Task, Task], holds: Callable[[PveHandle], bool], **options: Any) -> ModuleCase:
    return ModuleCase(name, (tasks[0],), (tasks[1],), holds, **options)


def powered(name: str, vmid: int, state: str, holds: Callable[[PveHandle], bool], **options: Any) -> ModuleCase:
    return pair(name, (power(vmid=vmid, state=state), kvm(vmid=vmid, state=state)), holds, **options)


def snapped(name: str, holds: Callable[[PveHandle], bool], states: tuple[str, str], **options: Any) -> ModuleCase:
    ours, theirs = states
    return pair(name, (snapshot(snapshot=OLD, state=ours), snap(snapname=OLD, state=theirs)), holds, **options)


DEPLOY = ModuleCase(
    "deploy: clone, configure, start",
    (vm(name="app1", vmid=NEW, clone={"source": "debian-template"}, **SIZE), power(vmid=NEW, state="started")),
    (CLONE[1], kvm(vmid=NEW, name="app1", node="pve1", update=True, **SIZE), kvm(vmid=NEW, state="started")),
    deployed,
)
CASES = (
    pair("create", CREATE, created),
    pair("create, it is there", CREATE, is_there, changed=False, set_up=add_app),
    pair("clone", CLONE, is_there),
    pair("clone, it is there", CLONE, is_there, changed=False, set_up=add_app),
    pair("update the cores", UPDATE, functools.partial(cores_are, STOPPED_VM, 4)),
    pair("update the cores, nothing differs", SAME, functools.partial(cores_are, STOPPED_VM, 2), changed=False),
    pair("update the cores, check mode", UPDATE, functools.partial(cores_are, STOPPED_VM, 2), check_mode=True),
    powered("start", STOPPED_VM, "started", functools.partial(status_is, STOPPED_VM, "running")),
    powered("start, it runs", RUNNING_VM, "started", functools.partial(status_is, RUNNING_VM, "running"),
            changed=False),
    powered("shut down", RUNNING_VM, "stopped", functools.partial(status_is, RUNNING_VM, "stopped")),
    powered("restart", RUNNING_VM, "restarted", functools.partial(last_task_is, "qmreboot", RUNNING_VM, "running")),
    snapped("take a snapshot", functools.partial(has_old, True), ("present", "present")),
    snapped("take a snapshot, it is there", functools.partial(has_old, True), ("present", "present"),
            changed=False, set_up=take_old),
    snapped("roll back", functools.partial(last_task_is, "qmrollback", STOPPED_VM, "stopped"),
            ("rolled_back", "rollback"), set_up=take_old),
    snapped("delete a snapshot", functools.partial(has_old, False), ("absent", "absent"), set_up=take_old),
    pair("read one guest",
         ((f"{OURS}.pve_vm_info", {"vmid": RUNNING_VM}), (f"{THEIRS}.proxmox_vm_info", {"vmid": RUNNING_VM})),
         functools.partial(status_is, RUNNING_VM, "running"), changed=False),
    pair("delete", (vm(vmid=STOPPED_VM, state="absent"), kvm(vmid=STOPPED_VM, state="absent")),
         functools.partial(is_gone, STOPPED_VM)),
    pair("delete, it is gone", (vm(vmid=NEW, state="absent"), kvm(vmid=NEW, state="absent")),
         functools.partial(is_gone, NEW), changed=False),
    DEPLOY,
)  # fmt: skip
# The peer waits for its timeout of 30 seconds.
FAILING = powered(
    "a start that fails",
    STOPPED_VM,
    "started",
    functools.partial(status_is, STOPPED_VM, "stopped"),
    fails="qmstart",
    changed=False,
    runs=1,
)
SLOW_CASES = (replace(DEPLOY, name=f"{DEPLOY.name}, tasks take time", task_seconds=TASKS), FAILING)


def verdict(case: ModuleCase, pve: PveHandle, results: list[Mapping[str, Any]]) -> str:
    """What came out of the tasks' results, in the words of the report: ok, or what is wrong."""
    failed = next((item for item in results if item["outcome"] == "failed"), None)
    if case.fails:
        if failed is None:
            return "reported success, though the task failed"
        said = str(failed["result"].get("msg", ""))
        return "ok" if QEMU_FAILED in said else f"failed without PVE's reason: {shortened(said)}"
    if failed is not None:
        return f"failed: {shortened(str(failed['result'].get('msg', '')))}"
    if not results:
        return "failed: no result"
    if any(item["outcome"] == "skipped" for item in results):
        return "skipped"
    changed = any(item["result"].get("changed") for item in results)
    if not case.holds(pve):
        return "reported changed, but it is not so" if changed else "reported ok, did nothing"
    if changed and not case.changed:
        return "reported changed, though nothing differed"
    if case.changed and not changed:
        return "reported ok, though it changes" if case.check_mode else "reported ok, though it changed"
    return "ok"


def shortened(text: str, most: int = 140) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 3] + "..."
