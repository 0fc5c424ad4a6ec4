# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups of VMs (PVE::API2::VZDump, PVE::VZDump, PVE::VZDump::QemuServer; 71-backup-restore.json)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from fakepve.model import PveError, TaskError
from fakepve.qemu import drives_of
from fakepve.routing import split_list

from .base import parameter_error
from .tasks import Tasks

SUFFIXES = {"0": "", "gzip": ".gz", "1": ".lzo", "lzo": ".lzo", "zstd": ".zst"}
ARCHIVE_SIZE = 36653
NO_SPACE = "vma_queue_write: write error - Broken pipe"


def stamp(form: str = "%Y-%m-%d %H:%M:%S") -> str:
    return time.strftime(form)


def failure(vmid: int, why: str) -> list[str]:
    """How the log goes on when one guest's backup fails; the task then only says 'job errors'."""
    return [
        f"ERROR: Backup of VM {vmid} failed - {why}",
        f"INFO: Failed at {stamp()}",
        "INFO: Backup job finished with errors",
    ]


class Vzdump(Tasks):
    def _routes_embedded_vzdump(self) -> list[tuple[str, str, Any]]:
        return [("POST", "/nodes/{node}/vzdump", self._vzdump)]

    async def _vzdump(self, values: dict[str, Any], user: str) -> str:
        node, storage = values["node"], values.get("storage")
        if not values.get("vmid"):
            raise parameter_error(vmid="property is missing")
        vmid = int(values["vmid"])
        vm = self.vm(vmid)
        if vm is not None and vm.node != node:
            # No task at all: 'silent exit if specified VMs run on other nodes'.
            return "OK"
        if storage:
            self.require(user, f"/storage/{storage}", "Datastore.AllocateSpace")
        log: list[str] = []

        async def body() -> None:
            self._back_up(vmid, values, user, log)

        log += self._beginning(vmid, values, self._storage_problem(storage, node))
        return await self.task(node, "vzdump", vmid, user, body, vm=vm, lock=False, log=log)

    def _storage_problem(self, storage: Any, node: str) -> str | None:
        why = None
        try:
            store = self._active_store(storage, node)
            if "backup" not in split_list(store.get("content")):
                why = f"can't use storage '{storage}' for backups - wrong content type"
        except PveError as problem:
            why = problem.message
        return why and f"could not get storage information for '{storage}': {why}"

    def _beginning(self, vmid: int, values: dict[str, Any], problem: str | None) -> list[str]:
        if problem:
            return []
        options = "".join(f" --{key} {value}" for key, value in values.items() if key != "vmid")
        lines = [f"INFO: starting new backup job: vzdump {vmid}{options}"]
        vm = self.vm(vmid)
        if vm is None:
            return lines
        lines += [f"INFO: Starting Backup of VM {vmid} (qemu)", f"INFO: Backup started at {stamp()}"]
        lines.append(f"INFO: status = {vm.status}")
        if vm.lock:
            return lines
        drives = [
            f"INFO: include disk '{key}' '{volume}' {props.get('size', '0')}"
            for key, volume, props in drives_of(vm.config, skip_cdrom=True)
        ]
        mode = str(values.get("mode", "snapshot")) if vm.status == "running" else "stop"
        words = [f"INFO: backup mode: {mode}", "INFO: ionice priority: 7"]
        what = [f"INFO: VM Name: {vm.name}", *drives]
        lines += [*words, *what] if mode == "stop" else [*what, *words]
        archive = self._archive(vmid, values)
        return [*lines, f"INFO: creating vzdump archive '{self._base_path(values['storage'])}/dump/{archive}'"]

    def _archive(self, vmid: int, values: dict[str, Any]) -> str:
        return f"vzdump-qemu-{vmid}-{stamp('%Y_%m_%d-%H_%M_%S')}.vma{SUFFIXES[str(values.get('compress', '0'))]}"

    async def _take_time(self, record: dict[str, Any], guest: Any, seconds: float) -> None:
        """PVE runs the QEMU of a stopped guest, its processors at a halt, to read its disks."""
        asleep = record["type"] == "vzdump" and guest is not None and guest.status == "stopped" and seconds > 0
        if asleep:
            guest.status, guest.qmpstatus = "running", "prelaunch"
        try:
            await super()._take_time(record, guest, seconds)
        finally:
            if asleep:
                guest.status = guest.qmpstatus = "stopped"

    def _back_up(self, vmid: int, values: dict[str, Any], user: str, log: list[str]) -> None:
        storage = values.get("storage")
        problem = self._storage_problem(storage, values["node"])
        if problem:
            raise TaskError(problem)
        vm = self.vm(vmid)
        if vm is None:
            self._fail(vmid, f"unable to find VM '{vmid}'", log)
        if not self.allowed(user, f"/vms/{vmid}", "VM.Backup"):
            raise TaskError(f"Permission check failed (/vms/{vmid}, VM.Backup)")
        if vm.lock:
            self._fail(vmid, f"VM is locked ({vm.lock})", log)
        store = self.storages[str(storage)]
        self._prune(store, vmid, values, log)
        if store.get("avail", ARCHIVE_SIZE) < ARCHIVE_SIZE:
            log += ["zstd: error 70 : Write error : cannot write block : No space left on device", f"ERROR: {NO_SPACE}"]
            self._fail(vmid, NO_SPACE, log)
        self._store_archive(store, vmid, values, log)
        log += [
            "INFO: archive file size: 35KB",
            f"INFO: Finished Backup of VM {vmid} (00:00:03)",
            f"INFO: Backup finished at {stamp()}",
            "INFO: Backup job finished successfully",
        ]

    @staticmethod
    def _fail(vmid: int, why: str, log: list[str]) -> None:
        log += failure(vmid, why)
        raise TaskError("job errors")

    def _store_archive(self, store: dict[str, Any], vmid: int, values: dict[str, Any], log: list[str]) -> None:
        named = (re.search(r"creating vzdump archive '.*/dump/([^']+)'", line) for line in log)
        name = next((found[1] for found in named if found), self._archive(vmid, values))
        made = {
            "content": "backup",
            "format": name.split(".", 1)[1],
            "size": ARCHIVE_SIZE,
            "vmid": vmid,
            "subtype": "qemu",
            "ctime": int(time.time()),
        }
        notes = str(values.get("notes-template") or "")
        if notes:
            marks = {r"\\": "\\", r"\n": "\n"}
            made["notes"] = re.sub(r"\\\\|\\n", lambda found: marks[found[0]], notes)
        if values.get("protected"):
            made["protected"] = 1
        store.setdefault("volumes", {})[f"backup/{name}"] = made
        if "avail" in store:
            store["avail"] -= ARCHIVE_SIZE

    def _item(self, name: str, volname: str, vol: dict[str, Any]) -> dict[str, Any]:
        item: dict[str, Any] = super()._item(name, volname, vol)
        return {**item, **({"subtype": vol["subtype"]} if "subtype" in vol else {})}

    def _prune(self, store: dict[str, Any], vmid: int, values: dict[str, Any], log: list[str]) -> None:
        """The storage's own limit: older archives go, unless the caller forbids it, and then there is no new one."""
        found = re.search(r"keep-last=(\d+)", str(store.get("prune-backups", "")))
        volumes = store.setdefault("volumes", {})
        key: Callable[[str], Any] = lambda name: (volumes[name]["ctime"], name)  # noqa: E731
        held = sorted((name for name, item in volumes.items() if _is_archive_of(item, vmid)), key=key)
        if not found or len(held) < int(found[1]):
            return
        if not int(values.get("remove", 1)):
            limit = f"There is a max backup limit of ({found[1]}) enforced by the target storage"
            way_out = "Either increase the limit or delete old backup(s)."
            self._fail(vmid, f"{limit} or the vzdump parameters. {way_out}", log)
        for name in held[: len(held) - int(found[1]) + 1]:
            del volumes[name]


def _is_archive_of(volume: dict[str, Any], vmid: int) -> bool:
    return volume.get("content") == "backup" and volume.get("vmid") == vmid and not volume.get("protected")
