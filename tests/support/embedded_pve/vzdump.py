# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups of guests (PVE::API2::VZDump, PVE::VZDump; 71-backup-restore.json, 74-backups*.json, 95*.json)."""

from __future__ import annotations

import copy
import re
import time
from typing import Any

from fakepve.lxc import FakeCt
from fakepve.model import PveError, TaskError
from fakepve.qemu import drives_of
from fakepve.routing import die, split_list

from .base import is_true, parameter_error
from .pruning import keep_all, parse_keep, prune_marks
from .tasks import Tasks

SUFFIXES = {"0": "", "gzip": ".gz", "1": ".lzo", "lzo": ".lzo", "zstd": ".zst"}
ARCHIVE_SIZE = 36653
NO_SPACE = "vma_queue_write: write error - Broken pipe"
KINDS = {"qemu": ("VM", "vma"), "lxc": ("CT", "tar")}
VARIABLES = ("cluster", "guestname", "node", "vmid")


def stamp(form: str = "%Y-%m-%d %H:%M:%S") -> str:
    return time.strftime(form)


def failure(vmid: int, why: str) -> list[str]:
    """How the log goes on when one guest's backup fails; the task then only says 'job errors'."""
    return [
        f"ERROR: Backup of VM {vmid} failed - {why}",
        f"INFO: Failed at {stamp()}",
        "INFO: Backup job finished with errors",
    ]


def kind_of(guest: Any) -> str:
    """What archives call the kind of a guest."""
    return "lxc" if isinstance(guest, FakeCt) else "qemu"


def name_of(guest: Any) -> str:
    return str(guest.config.get("hostname") if kind_of(guest) == "lxc" else guest.name)


class Vzdump(Tasks):
    def _routes_embedded_vzdump(self) -> list[tuple[str, str, Any]]:
        return [("POST", "/nodes/{node}/vzdump", self._vzdump)]

    async def _vzdump(self, values: dict[str, Any], user: str) -> str:
        node, storage = values["node"], values.get("storage")
        self._check_vzdump_options(values, user)
        if values.get("vmid") and is_true(values.get("all", 0)):
            raise parameter_error(all="option conflicts with option 'vmid'")
        if values.get("pool") and values["pool"] not in self.pools:
            raise die(f"pool '{values['pool']}' does not exist")
        if not values.get("vmid"):
            raise parameter_error(vmid="property is missing")
        vmid = int(values["vmid"])
        guest = self.guest(vmid)
        if guest is not None and guest.node != node:
            # No task at all: 'silent exit if specified VMs run on other nodes'.
            return "OK"
        if storage:
            self.require(user, f"/storage/{storage}", "Datastore.AllocateSpace")
        log: list[str] = []

        async def body() -> None:
            self._back_up(vmid, values, user, log)

        log += self._beginning(vmid, values, self._storage_problem(storage, node))
        return await self.task(node, "vzdump", vmid, user, body, vm=guest, lock=False, log=log)

    def _check_vzdump_options(self, values: dict[str, Any], user: str) -> None:
        """What takes more rights, or is refused before there is a task (assert_param_permission_vzdump)."""
        if user != "root@pam":
            for name in ("job-id", "script", "dumpdir", "tmpdir"):
                if name in values:
                    raise parameter_error(**{name: "Only root may set this option."})
            if any(name in values for name in ("bwlimit", "ionice", "performance")):
                self.require(user, "/", "Sys.Modify")
            if "prune-backups" in values and values.get("storage"):
                self.require(user, f"/storage/{values['storage']}", "Datastore.Allocate")
        if "prune-backups" in values:
            parse_keep(str(values["prune-backups"]))
        template = str(values.get("notes-template") or "")
        if "\n" in template:
            raise parameter_error(**{"notes-template": "contains a line feed\n"})
        for found in re.finditer(r"{{([^}]*)}}", template):
            if found[1] not in VARIABLES:
                text = f"found unknown: variable '{found[1]}' at char {found.start() + 4}\n"
                raise parameter_error(**{"notes-template": text})

    def _storage_problem(self, storage: Any, node: str) -> str | None:
        why = None
        try:
            store = self._active_store(storage, node)
            if "backup" not in split_list(store.get("content")):
                why = f"can't use storage '{storage}' for backups - wrong content type"
        except PveError as problem:
            why = problem.message
        text = why and f"could not get storage information for '{storage}': {why}"
        # A name that is none cannot be activated, either, which PVE says first.
        return f"could not activate storage '{storage}': {why} {text}" if storage not in self.storages else text

    def _beginning(self, vmid: int, values: dict[str, Any], problem: str | None) -> list[str]:
        if problem:
            return []
        options = "".join(f" --{key} {value}" for key, value in values.items() if key != "vmid")
        lines = [f"INFO: starting new backup job: vzdump {vmid}{options}"]
        guest = self.guest(vmid)
        if guest is None:
            return lines
        kind = kind_of(guest)
        lines += [f"INFO: Starting Backup of VM {vmid} ({kind})", f"INFO: Backup started at {stamp()}"]
        lines.append(f"INFO: status = {guest.status}")
        if guest.lock or self._limit_problem(guest, values):
            return lines
        mode = str(values.get("mode", "snapshot")) if guest.status == "running" else "stop"
        words = [f"INFO: backup mode: {mode}", "INFO: ionice priority: 7"]
        what = [f"INFO: {KINDS[kind][0]} Name: {name_of(guest)}", *self._volume_lines(guest)]
        lines += [*words, *what] if mode == "stop" else [*what, *words]
        archive = self._archive(guest, values)
        return [*lines, f"INFO: creating vzdump archive '{self._base_path(values['storage'])}/dump/{archive}'"]

    def _volume_lines(self, guest: Any) -> list[str]:
        if kind_of(guest) == "lxc":
            return ["INFO: including mount point rootfs ('/') in backup"]
        return [
            f"INFO: exclude disk '{key}' '{volume}' (backup=no)"
            if props.get("backup") == "0"
            else f"INFO: include disk '{key}' '{volume}' {props.get('size', '0')}"
            for key, volume, props in drives_of(guest.config, skip_cdrom=True)
        ]

    def _archive(self, guest: Any, values: dict[str, Any]) -> str:
        kind, now = kind_of(guest), stamp("%Y_%m_%d-%H_%M_%S")
        return f"vzdump-{kind}-{guest.vmid}-{now}.{KINDS[kind][1]}{SUFFIXES[str(values.get('compress', '0'))]}"

    async def _take_time(self, record: dict[str, Any], guest: Any, seconds: float) -> None:
        """PVE runs the QEMU of a stopped guest, its processors at a halt, to read its disks."""
        asleep = record["type"] == "vzdump" and guest in self.vms and guest.status == "stopped" and seconds > 0
        if asleep:
            guest.status, guest.qmpstatus = "running", "prelaunch"
        try:
            await super()._take_time(record, guest, seconds)
        finally:
            if asleep:
                guest.status = guest.qmpstatus = "stopped"

    async def _interrupted(self, record: dict[str, Any], guest: Any) -> str:
        status = await super()._interrupted(record, guest)
        if record["type"] != "vzdump" or status != "received interrupt":
            return status
        why = "interrupted by signal"
        record["log"] += [f"ERROR: {why}", "INFO: aborting backup job", *failure(int(record["id"]), why)[:2]]
        record["log"].append(f"ERROR: Backup job failed - {why}")
        return why

    def _back_up(self, vmid: int, values: dict[str, Any], user: str, log: list[str]) -> None:
        storage = values.get("storage")
        problem = self._storage_problem(storage, values["node"])
        if problem:
            raise TaskError(problem)
        guest = self.guest(vmid)
        if guest is None:
            self._fail(vmid, f"unable to find VM '{vmid}'", log)
        if not self.allowed(user, f"/vms/{vmid}", "VM.Backup"):
            raise TaskError(f"403 Permission check failed (/vms/{vmid}, VM.Backup)")
        if guest.lock:
            self._fail(vmid, f"{KINDS[kind_of(guest)][0]} is locked ({guest.lock})", log)
        limit = self._limit_problem(guest, values)
        if limit:
            self._fail(vmid, limit, log)
        store = self.storages[str(storage)]
        size = int(store.get("archive_size", ARCHIVE_SIZE))
        if store.get("avail", size) < size:
            log += ["zstd: error 70 : Write error : cannot write block : No space left on device", f"ERROR: {NO_SPACE}"]
            self._fail(vmid, NO_SPACE, log)
        self._store_archive(store, guest, values, log)
        log.append("INFO: archive file size: 35KB")
        self._prune_after(store, guest, values, log)
        log += [
            f"INFO: Finished Backup of VM {vmid} (00:00:03)",
            f"INFO: Backup finished at {stamp()}",
            "INFO: Backup job finished successfully",
        ]

    @staticmethod
    def _fail(vmid: int, why: str, log: list[str]) -> None:
        log += failure(vmid, why)
        raise TaskError("job errors")

    def _keep(self, values: dict[str, Any]) -> dict[str, int]:
        """The retention of a job: its own, or the storage's, or none."""
        stored = self.storages.get(str(values.get("storage")), {}).get("prune-backups")
        return parse_keep(str(values.get("prune-backups") or stored or "keep-all=1"))

    def _limit_problem(self, guest: Any, values: dict[str, Any]) -> str | None:
        """PVE::VZDump, exec_backup_task."""
        keep = self._keep(values)
        limit = 0 if keep_all(keep) else sum(keep.values())
        prunes = is_true(values.get("remove", 1)) and not keep.get("keep-all")
        held = list(self.archives_of(str(values.get("storage")), guest).values())
        protected = sum(bool(volume.get("protected")) for volume in held)
        storage = values.get("storage")
        if is_true(values.get("protected", 0)):
            most = int(self.storages[str(storage)].get("max-protected-backups", -1))
            text = f"The number of protected backups per guest is limited to {most} on storage '{storage}'"
            return text if -1 < most <= protected else None
        if limit and not prunes and len(held) - protected >= limit:
            return (
                f"There is a max backup limit of {limit} enforced by the target storage or the vzdump parameters. "
                f"Either increase the limit or delete old backups."
            )
        return None

    def archives_of(self, storage: str, guest: Any) -> dict[str, dict[str, Any]]:
        """The backups of a guest on a storage, as its node sees it."""
        found = self._volumes_on(storage, guest.node)
        return {name: volume for name, volume in found.items() if is_archive_of(volume, guest.vmid, kind_of(guest))}

    def _store_archive(self, store: dict[str, Any], guest: Any, values: dict[str, Any], log: list[str]) -> None:
        named = (re.search(r"creating vzdump archive '.*/dump/([^']+)'", line) for line in log)
        name = next((found[1] for found in named if found), self._archive(guest, values))
        made = {
            "content": "backup",
            "format": name.split(".", 1)[1],
            "size": store.get("archive_size", ARCHIVE_SIZE),
            "vmid": guest.vmid,
            "subtype": kind_of(guest),
            "ctime": int(time.time()),
            # What a restore brings back.
            "guest": copy.deepcopy({key: value for key, value in guest.config.items() if key != "lock"}),
        }
        if not store.get("shared"):
            made["node"] = guest.node
        notes = self._notes(str(values.get("notes-template") or ""), guest)
        if notes:
            made["notes"] = notes
            log.append("INFO: adding notes to backup")
        if values.get("protected"):
            made["protected"] = 1
            log.append("INFO: marking backup as protected")
        store.setdefault("volumes", {})[f"backup/{name}"] = made
        if "avail" in store:
            store["avail"] -= made["size"]

    @staticmethod
    def _notes(template: str, guest: Any) -> str:
        known = {"cluster": "", "guestname": name_of(guest), "node": guest.node, "vmid": str(guest.vmid)}
        marks = {r"\\": "\\", r"\n": "\n", **{f"{{{{{name}}}}}": text for name, text in known.items()}}
        return re.sub(r"\\\\|\\n|{{\w+}}", lambda found: marks[found[0]], template)

    def _item(self, name: str, volname: str, vol: dict[str, Any]) -> dict[str, Any]:
        item: dict[str, Any] = super()._item(name, volname, vol)
        if item.get("notes"):
            # PVE::Storage::Plugin get_subdir_files reads the first line.
            item["notes"] = item["notes"].split("\n")[0]
        more = ("subtype", "verification", "encrypted")
        return {**item, **{key: vol[key] for key in more if key in vol}}

    def _prune_after(self, store: dict[str, Any], guest: Any, values: dict[str, Any], log: list[str]) -> None:
        keep = self._keep(values)
        if not is_true(values.get("remove", 1)) or keep.get("keep-all"):
            return
        text = ", ".join(f"{name}={count}" for name, count in sorted(keep.items()))
        log.append(f"INFO: prune older backups with retention: {text}")
        gone = self.prune_group(store, self.archives_of(str(values["storage"]), guest), keep)
        log += [f"INFO: removing backup '{values['storage']}:{name}'" for name in gone]
        log.append(f"INFO: pruned {len(gone)} backup(s){' not covered by keep-retention policy' if gone else ''}")

    @staticmethod
    def prune_group(store: dict[str, Any], group: dict[str, dict[str, Any]], keep: dict[str, int]) -> list[str]:
        marks = prune_marks(group, keep)
        gone = [name for name in group if marks[name] == "remove"]
        for name in gone:
            volume = store["volumes"].pop(name)
            if "avail" in store:
                store["avail"] += int(volume.get("size") or 0)
        return gone


def is_archive_of(volume: dict[str, Any], vmid: int, kind: str) -> bool:
    return (
        volume.get("content") == "backup" and volume.get("vmid") == vmid and volume.get("subtype", kind) in (kind, None)
    )
