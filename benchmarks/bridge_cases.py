# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is measured of the bridge, as data: `python -m benchmarks.bridge` and tests/integration/test_costs.py run it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.cloudstack import PAYLOADS, payload
from tests.support.embedded_pve import PveHandle

UUID = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
NAME = "i-2-45-VM"
VMID = 105
OLD = "before-upgrade"  # the snapshot that RestoreSnapshot.json and DeleteSnapshot.json name
ISO = "local:iso/debian-13.iso"
QEMU_FAILED = "start failed: QEMU exited with code 1"
# Seconds that PVE's tasks take in the cases that have any.
TASKS = {
    "qmclone": 1.2,
    "qmcreate": 0.5,
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
Document = dict[str, Any]
Check = Callable[[PveHandle, Document], bool]


def always(_pve: PveHandle, _answer: Document) -> bool:
    return True


@dataclass(frozen=True)
class BridgeCase:
    """An action: the guest before it, the payload, and what must hold after it."""

    name: str
    action: str
    holds: Check
    guest: str = "running"
    """running or stopped; empty: there is none."""
    file: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    snapshot: bool = False
    qmpstatus: str = ""
    fails: str = ""
    """The type of the task that fails, with QEMU_FAILED."""
    task_seconds: Mapping[str, float] = field(default_factory=dict)
    peer: bool = True
    """Whether the other extension has the action."""

    def data(self, pve: PveHandle, **changes: Any) -> Document:
        """The payload, which says as little of TLS as both sides understand."""
        file = self.file or self.action
        changes = {"host": {"ca_file": None, "verify_tls_certificate": "false"}, **self.changes, **changes}
        if self.parameters:
            changes["parameters"] = dict(self.parameters)
        known = (PAYLOADS / f"{file}.json").exists()
        data = payload(file if known else "ListSnapshots", pve, **changes)
        return data if known else {**data, "action": self.action}

    def set_up(self, pve: PveHandle) -> None:
        """Bring PVE into the state before the action."""
        pve.task_seconds.clear()
        if pve.guest(VMID) is not None:
            pve.remove_guest(VMID)
        if self.guest:
            options = {"qmpstatus": self.qmpstatus} if self.qmpstatus else {}
            pve.add_guest(VMID, NAME, status=self.guest, agent={}, config=marked(), **options)
        if self.snapshot:
            pve.call(lambda: pve.server._take(pve.guest(VMID), OLD, {"vmstate": False}))
        if self.fails:
            pve.next_task_fails(self.fails, QEMU_FAILED)
        pve.task_seconds.update(self.task_seconds)


def marked() -> Document:
    """The configuration of a guest that belongs to the instance."""
    notes = f"CloudStack instance: {NAME}\nCloudStack UUID: {UUID}\nCloudStack deployment: 0123456789abcdef"
    return {
        "tags": "cloudstack",
        "description": notes,
        "smbios1": f"uuid={UUID}",
        "agent": "1",
        "ide2": "none,media=cdrom",
        "net0": "virtio=02:01:00:CB:00:05,bridge=vmbr0,tag=1577",
    }


def deployed(pve: PveHandle, _answer: Document) -> bool:
    """The guest runs with the offering's size and the instance's network cards."""
    if pve.guest(VMID) is None or pve.status(VMID) != "running":
        return False
    config = pve.config(VMID)
    first = config["net0"].lower()
    cards = "02:01:00:cb:00:05" in first and "tag=1577" in first and "1e:00:87:00:00:2c" in config["net1"].lower()
    return cards and int(config["cores"]) == 2 and int(config["memory"]) == 2048


def is_status(status: str, pve: PveHandle, _answer: Document) -> bool:
    return pve.status(VMID) == status


def ran(task: str, pve: PveHandle, _answer: Document) -> bool:
    """The guest runs, and its last tasks include this one."""
    types = [item["type"] for item in pve.tasks()[-2:]]
    return task in types and pve.status(VMID) == "running"


def gone(pve: PveHandle, _answer: Document) -> bool:
    return pve.guest(VMID) is None


def has_snapshot(wanted: bool, pve: PveHandle, _answer: Document) -> bool:
    return (OLD in pve.snapshots(VMID)) is wanted


def has_console(_pve: PveHandle, answer: Document) -> bool:
    return all(answer["console"].get(key) for key in ("host", "port", "password"))


def lists_snapshot(_pve: PveHandle, answer: Document) -> bool:
    return OLD in [row.get("name") for row in answer["message"]]


RUNS, STOPPED = functools.partial(is_status, "running"), functools.partial(is_status, "stopped")
FULL_CLONE = {"virtualmachine": {"storage": "local-lvm", "is_full_clone": "true"}}
INSTALL = {"virtualmachine": {"iso_path": ISO}, "details": {"proxmox_vmid": str(VMID)}}

QUICK = (
    BridgeCase("prepare", "prepare", lambda _pve, answer: bool(answer["details"]["proxmox_vmid"]), guest=""),
    BridgeCase("create, full clone", "create", deployed, guest="", file="create_template", changes=FULL_CLONE),
    BridgeCase("create, linked clone (default)", "create", deployed, guest="", file="create_template"),
    BridgeCase("create, from an ISO image", "create", deployed, guest="", file="create_iso", changes=INSTALL),
    BridgeCase("start", "start", RUNS, guest="stopped"),
    BridgeCase("stop", "stop", STOPPED),
    BridgeCase("reboot", "reboot", functools.partial(ran, "qmreboot")),
    BridgeCase("delete", "delete", gone, guest="stopped"),
    BridgeCase("status", "status", lambda _pve, answer: bool(answer["power_state"] == "poweron")),
    BridgeCase("statuses", "statuses", lambda _pve, answer: bool(answer["power_state"][NAME] == "poweron")),
    BridgeCase("getconsole", "getconsole", has_console),
    BridgeCase("ListSnapshots", "ListSnapshots", lists_snapshot, snapshot=True),
    BridgeCase("CreateSnapshot", "CreateSnapshot", functools.partial(has_snapshot, True)),
    BridgeCase("RestoreSnapshot", "RestoreSnapshot", functools.partial(ran, "qmrollback"), snapshot=True),
    BridgeCase("DeleteSnapshot", "DeleteSnapshot", functools.partial(has_snapshot, False), snapshot=True),
    BridgeCase("a start that fails", "start", STOPPED, guest="stopped", fails="qmstart"),
    BridgeCase(
        "a create whose start fails", "create", gone, guest="", file="create_template", changes=FULL_CLONE,
        fails="qmstart",
    ),
)  # fmt: skip

# What ours has besides; the other extension has no such actions.
OURS_ALONE = tuple(
    replace(case, peer=False)
    for case in (
        BridgeCase("Shutdown", "Shutdown", STOPPED),
        BridgeCase("Suspend", "Suspend", lambda pve, _answer: bool(pve.guest(VMID).qmpstatus == "paused")),
        BridgeCase("Resume", "Resume", lambda pve, _answer: bool(pve.guest(VMID).qmpstatus != "paused"),
                   qmpstatus="paused"),
        BridgeCase("Reset", "Reset", RUNS),
        BridgeCase("ResizeDisk", "ResizeDisk", lambda pve, _answer: "size=20G" in pve.config(VMID)["scsi0"],
                   parameters={"disk_size_gb": 20}),
        BridgeCase("AttachISO", "AttachISO", lambda pve, _answer: ISO in pve.config(VMID)["ide2"],
                   parameters={"iso_path": ISO}),
        BridgeCase("DetachISO", "DetachISO", lambda pve, _answer: ISO not in pve.config(VMID)["ide2"]),
        BridgeCase("Backup", "Backup", always, parameters={"storage": "local"}),
        BridgeCase("SyncNetworks", "SyncNetworks", RUNS, file="start"),
        BridgeCase("GuestInfo", "GuestInfo", RUNS),
        BridgeCase("doctor", "doctor", always, file="statuses"),
    )
)  # fmt: skip

WITH_TASKS = (
    *("create, full clone", "start", "stop", "reboot", "delete"),
    *("CreateSnapshot", "RestoreSnapshot", "DeleteSnapshot"),
)
SLOW = tuple(
    replace(case, name=f"{case.name}, tasks take time", task_seconds=TASKS) for case in QUICK if case.name in WITH_TASKS
)


def verdict(case: BridgeCase, pve: PveHandle, code: int, answer: Document | None, text: str) -> str:
    """What came out, in the words of the report: ok, or what is wrong."""
    said_ok = code == 0 and answer is not None and answer.get("status", "success") == "success"
    if answer is None:
        return f"failed: no JSON: {shortened(text)}"
    if case.fails:
        if said_ok:
            return "reported success, though the task failed"
        if QEMU_FAILED not in str(answer.get("error", text)):
            return f"failed without PVE's reason: {shortened(str(answer.get('error', text)))}"
        return "ok" if case.holds(pve, answer) else "failed as it should, but left something behind"
    if not said_ok:
        return f"failed: {shortened(str(answer.get('error') or answer.get('message') or text))}"
    return "ok" if case.holds(pve, answer) else "reported ok, but it is not so"


def shortened(text: str, most: int = 140) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 3] + "..."
