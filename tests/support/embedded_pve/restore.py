# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restoring VMs (PVE::API2::Qemu create_vm, PVE::QemuServer restore_vma_archive; 74-backups-restore, -damaged)."""

from __future__ import annotations

import copy
import re
import time
import uuid
from typing import Any

from fakepve.lxc import format_size, parse_size
from fakepve.model import FakeVm, PveError, TaskError
from fakepve.qemu import DRIVE_KEY, drives_of, is_cdrom, join_drive, split_drive, volume_ref, with_mac
from fakepve.routing import die, split_list
from fakepve.storage import _is_file

from .backup_jobs import BackupJobs
from .base import is_true, parameter_error
from .options import NOT_OPTIONS_CREATE, check_cpu
from .values import check_values
from .volumes import is_cloudinit

# What PVE writes before it restores anything.
EMPTY = {"memory": "128"}
NOT_CLEANED_UP = (
    "error before or during data restore, some or all disks were not completely restored. "
    "VM {vmid} state is NOT cleaned up."
)
LIVE_RESTORE = "live-restore is only compatible with backup images from a Proxmox Backup Server"


class Restore(BackupJobs):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # What each running restore has to do, by its guest.
        self.restores: dict[int, dict[str, Any]] = {}

    async def _qm_create(self, values: dict[str, Any], user: str) -> str:
        if not values.get("archive"):
            return await super()._qm_create(values, user)
        node, vmid, force = values["node"], int(values["vmid"]), is_true(values.get("force", 0))
        self._check_restore(values, user, vmid, force)
        self.need_quorum()
        guest, prefix = self.guest(vmid), f"unable to restore VM {vmid} -"
        if guest is not None and (not force or guest.node != node or self.vm(vmid) is None):
            kind = "VM" if self.vm(vmid) else "CT"
            raise PveError(500, f"{prefix} {kind} {vmid} already exists on node '{guest.node}'")
        if guest is not None and guest.lock:
            raise PveError(500, f"{prefix} VM is locked ({guest.lock})")
        if guest is None:
            guest = FakeVm(vmid, f"VM {vmid}", node=node)
            guest.config = {}
            guest.born_at = time.monotonic()
            self.vms.append(guest)
        self.restores[vmid] = values
        archive = self._archive_volume(values["archive"], node)

        async def body() -> str:
            if archive.get("damaged"):
                why = "got signal 5" if values["archive"].endswith(".vma") else "exit code 133"
                raise TaskError(self._command(values, why))
            return self._finish_restore(guest, copy.deepcopy(archive["guest"]), values)

        log = [f"restore vma archive: {self._unpacking(values)}"]
        return await self.task(node, "qmrestore", vmid, user, body, vm=guest, log=log)

    def _check_restore(self, values: dict[str, Any], user: str, vmid: int, force: bool) -> None:
        pool, node = values.get("pool"), values["node"]
        self._qm_check_pool(pool)
        if values.get("storage"):
            self.require(user, f"/storage/{values['storage']}", "Datastore.AllocateSpace")
        if values.get("start"):
            self.check_vm_perm(user, vmid, pool, ("VM.PowerMgmt",))
        if not (
            self.allowed(user, f"/vms/{vmid}", "VM.Allocate")
            or (pool and self.allowed(user, f"/pool/{pool}", "VM.Allocate"))
            or (force and self.vm(vmid) is not None and self.allowed(user, f"/vms/{vmid}", "VM.Backup"))
        ):
            raise PveError(403, "Permission check failed")
        for key in sorted(values):
            if DRIVE_KEY.match(key):
                raise parameter_error(**{key: "option conflicts with option 'archive'"})
        self.check_archive_access(user, values["archive"])
        storage = volume_ref(values["archive"])[0]
        self._active_store(storage, node)
        self._archive_volume(values["archive"], node)
        options = {key: values[key] for key in sorted(values) if key not in NOT_OPTIONS_CREATE}
        check_cpu(options)
        check_values(options)
        self.check_settings(user, vmid, pool, options)
        self.check_devices(user, vmid, pool, options, "set")

    def _archive_volume(self, volid: str, node: str) -> dict[str, Any]:
        storage, name = volume_ref(volid)
        volume: dict[str, Any] | None = self._volumes_on(storage, node).get(name)
        if volume is None:
            raise die(f"volume '{volid}' does not exist")
        return volume

    def _path_of(self, volid: str) -> str:
        storage, name = volume_ref(volid)
        return f"{self._base_path(storage)}/dump/{name.rpartition('/')[2]}"

    def _unpacking(self, values: dict[str, Any]) -> str:
        path, temporary = self._path_of(values["archive"]), "/var/tmp/vzdumptmp4711"
        unpack = "" if path.endswith(".vma") else f"zstd -q -d -c {path} | "
        return f"{unpack}vma extract -v -r {temporary}.fifo {'-' if unpack else path} {temporary}"

    def _command(self, values: dict[str, Any], why: str) -> str:
        return f"command 'set -o pipefail && {self._unpacking(values)}' failed: {why}"

    async def _take_time(self, record: dict[str, Any], guest: Any, seconds: float) -> None:
        """What is done before the first byte is restored, and can be seen meanwhile."""
        values = self.restores.pop(int(record["id"]), None) if record["type"] == "qmrestore" else None
        if values is not None:
            try:
                self._begin_restore(guest, values, record["user"])
            except (PveError, TaskError) as problem:
                text = f"403 {problem.message}" if isinstance(problem, PveError) else str(problem)
                record["log"].append(NOT_CLEANED_UP.format(vmid=record["id"]))
                raise TaskError(text) from problem
        await super()._take_time(record, guest, seconds)

    async def _interrupted(self, record: dict[str, Any], guest: Any) -> str:
        status = await super()._interrupted(record, guest)
        return (
            self._command({"archive": "local:backup/a"}, "interrupted by signal")
            if record["type"] == "qmrestore"
            else status
        )

    def _begin_restore(self, guest: Any, values: dict[str, Any], user: str) -> None:
        """Check what PVE checks in the task, and free the disks that will be restored: then the guest is lost."""
        archive = self._archive_volume(values["archive"], guest.node)
        prefix = f"unable to restore VM {guest.vmid} -"
        if is_true(guest.config.get("protection", 0)):
            raise TaskError(f"{prefix} - protection mode enabled")
        if guest.status == "running":
            raise TaskError(f"{prefix} vm is running")
        if is_true(values.get("live-restore", 0)):
            raise TaskError(LIVE_RESTORE)
        if archive.get("damaged") == "head":
            raise TaskError(self._command(values, "got timeout reading VMA header - corrupted?"))
        if archive.get("subtype") == "lxc":
            path = self._path_of(values["archive"])
            raise TaskError(f"ERROR: file '{path}' does not look like a QemuServer vzdump backup")
        merged = {**archive["guest"], **{key: text for key, text in values.items() if key not in NOT_OPTIONS_CREATE}}
        self.check_bridges(user, merged)
        for storage in self._storages_of(archive["guest"], values):
            if storage not in self.storages:
                raise TaskError(self._command(values, f"storage '{storage}' does not exist"))
            if "images" not in split_list(self.storages[storage].get("content")):
                text = f"Content type 'images' is not available on storage '{storage}'"
                raise TaskError(self._command(values, text))
        restored = {key for key, _volume, _props in self._restored_drives(archive["guest"])}
        guest.kept = []
        for key, volume, _props in drives_of(guest.config, skip_cdrom=True):
            if key in restored:
                self.free_volume(volume)
            else:
                guest.kept.append(volume)
        guest.config, guest.pending, guest.snapshots = dict(EMPTY), {}, {}
        guest.name = f"VM {guest.vmid}"

    @staticmethod
    def _restored_drives(config: dict[str, Any]) -> list[tuple[str, str, dict[str, str]]]:
        return [
            (key, volume, props)
            for key, volume, props in drives_of(config)
            if (is_cloudinit(volume) or not is_cdrom(volume, props)) and props.get("backup") != "0"
        ]

    def _storages_of(self, config: dict[str, Any], values: dict[str, Any]) -> list[str]:
        return [
            str(values.get("storage") or volume_ref(volume)[0]) for _key, volume, _p in self._restored_drives(config)
        ]

    def _finish_restore(self, guest: Any, config: dict[str, Any], values: dict[str, Any]) -> str:
        made: list[str] = []
        unique = is_true(values.get("unique", 0))
        try:
            for key, volume, props in self._restored_drives(config):
                config[key] = self._restore_drive(guest, key, volume, props, values, made)
        except (PveError, TaskError) as problem:
            for volid in made:
                self.free_volume(volid)
            why = getattr(problem, "message", None) or str(problem)
            raise TaskError(self._command(values, why)) from problem
        for key, _volume, props in drives_of(dict(config), skip_cdrom=True):
            if props.get("backup") == "0":
                line = f"{key}: {config.pop(key)}"
                config["description"] = "\n".join(filter(None, [str(config.get("description") or ""), line]))
        config.update(self.normal_options({key: text for key, text in values.items() if key not in NOT_OPTIONS_CREATE}))
        for key in [key for key in config if unique and re.fullmatch(r"net\d+", key)]:
            config[key] = with_mac(config[key], fresh=key not in values)
        if unique:
            config["smbios1"] = f"uuid={uuid.uuid4()}"
        config["vmgenid"] = str(uuid.uuid4())
        for number, volume in enumerate(guest.kept):
            config[f"unused{number}"] = volume
        guest.config, guest.name = config, str(config.get("name") or f"VM {guest.vmid}")
        guest.template = is_true(config.get("template", 0))
        if values.get("pool"):
            self._pool_join(values["pool"], guest.vmid)
        lines = ["rescan volumes..."]
        if is_true(values.get("start", 0)):
            lines.append(self._autostart(guest))
        return "\n".join(lines)

    def _restore_drive(
        self, guest: Any, key: str, volume: str, props: dict[str, str], values: dict[str, Any], made: list[str]
    ) -> str:
        storage = str(values.get("storage") or volume_ref(volume)[0])
        size = int(parse_size(props.get("size", "0")) or 0)
        kind = "cloudinit" if is_cloudinit(volume) else "disk"
        fmt = "qcow2" if _is_file(self.storages[storage]) else None
        volid = self.allocate(storage, guest.vmid, size, guest.node, fmt, kind)
        made.append(volid)
        _volume, own = split_drive(f"{volid},{','.join(f'{name}={text}' for name, text in props.items())}")
        return str(join_drive(volid, {**own, **({"size": format_size(size)} if size else {})}))
