# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clones and templates (PVE::API2::Qemu clone_vm and template; 40-clone-template.json, 80-cluster.json)."""

from __future__ import annotations

import re
import uuid
from typing import Any

from fakepve.lxc import format_size, split_props
from fakepve.model import PveError, TaskError
from fakepve.qemu import CLONE_SKIP, DRIVE_KEY, drives_of, is_cdrom, join_drive, split_drive, volume_ref, with_mac
from fakepve.routing import die, split_list
from fakepve.storage import _is_file

from .base import missing_config, parameter_error, unfindable
from .config import Config
from .create import Create
from .volumes import CLOUDINIT_SIZE, UNUSED_KEY, is_cloudinit

TEMPORARY = " qmclone temporary file"


class Clone(Create, Config):
    async def _qm_clone(self, values: dict[str, Any], user: str) -> str:
        node, newid, target = values["node"], int(values["newid"]), values.get("target")
        self._qm_check_pool(values.get("pool"))
        target = None if target in (node, "localhost") else target
        if target and target not in self.nodes:
            raise die(f"no such cluster node '{target}'")
        self._check_clone_storage(values.get("storage"), target)
        self.need_quorum()
        source = self.find_vm(node, values["vmid"], unfindable)
        self.refuse_lock_timeout(source.vmid)
        self.refuse_locked(source)
        full = self._is_full(values, source)
        snapname = values.get("snapname")
        if snapname and snapname not in source.snapshots:
            raise die(f"snapshot '{snapname}' does not exist")
        old = dict(source.snapshots[snapname] if snapname else source.config)
        if target:
            self._refuse_local_volumes(old, target)
        taken = self.guest(newid)
        if taken is not None and taken.node == node:
            raise die(f"unable to create VM {newid}: config file already exists")
        self._check_drives(old, full, snapname, values.get("storage"), user)
        new = None if taken else self.new_guest(newid, node, self._clone_name(values, source), "clone")
        if new is not None:
            # '# qmclone temporary file' is all that there is of it until the end (PVE::API2::Qemu, clone_vm).
            new.config["description"] = TEMPORARY
            new.being_copied = self._first_copy(old, values, full)

        async def body() -> None:
            if new is None:
                # clone_vm looks at its own node only; the cluster's file system then refuses to write the file.
                path = f"/etc/pve/nodes/{node}/qemu-server/{newid}.conf"
                raise TaskError(f"close (rename) atomic file '{path}' failed: File exists")
            self._copy(new, old, values, full, target)

        log = [f"creating a clone of VM {source.vmid} with ID {newid}"]
        # A source that runs is locked for one clone alone, and waited for a second (PVE::API2::Qemu, clone_vm).
        alone = source if source.status == "running" else None
        return await self.task(node, "qmclone", source.vmid, user, body, vm=new, lock=False, log=log, alone=alone)

    def _first_copy(
        self, old: dict[str, Any], values: dict[str, Any], full: bool
    ) -> tuple[str, int, str | None] | None:
        """The storage, size and format of the first volume that a full clone makes."""
        if not full:
            return None
        for _key, volume, props in drives_of(old, skip_cdrom=True):
            storage = volume_ref(volume)[0]
            if storage is not None:
                return str(values.get("storage") or storage), self.volume_size(volume, props), values.get("format")
        return None

    def _check_clone_storage(self, storage: str | None, target: str | None) -> None:
        if not storage:
            return
        store = self._store(storage)
        if "images" not in split_list(store.get("content")):
            raise parameter_error(storage=f"storage '{storage}' does not support vm images")
        if target and not store.get("shared"):
            raise die(f"can't clone to non-shared storage '{storage}'")

    @staticmethod
    def _is_full(values: dict[str, Any], source: Any) -> bool:
        full = bool(values["full"]) if values.get("full") is not None else not source.template
        for name in ("storage", "format"):
            if values.get(name) and not full:
                raise die(f"parameter '{name}' not allowed for linked clones")
        return full

    def _refuse_local_volumes(self, config: dict[str, Any], target: str) -> None:
        for _key, volume, _props in drives_of(config):
            storage = volume_ref(volume)[0]
            if storage is not None and not self.storages.get(storage, {}).get("shared"):
                raise die(f"can't clone VM to node '{target}' (VM uses local storage)")

    def _check_drives(
        self, old: dict[str, Any], full: bool, snapname: str | None, storage: str | None, user: str
    ) -> None:
        for key, volume, _props in drives_of(old, skip_cdrom=True):
            sid = volume_ref(volume)[0]
            if sid is None:
                continue
            if sid not in self.storages:
                raise die(f"storage '{sid}' does not exist")
            if not full and "base-" not in volume:
                of = "a snapshot of " if snapname else ""
                raise die(f"Linked clone feature is not supported for {of}'{volume}' ({key})")
            self.require(user, "/storage/" + (storage or sid), "Datastore.AllocateSpace")
        self.check_mappings(user, old)
        self.check_bridges(user, old)

    @staticmethod
    def _clone_name(values: dict[str, Any], source: Any) -> str:
        return str(values.get("name") or f"Copy-of-VM-{source.config.get('name') or source.vmid}")

    def _copy(self, new: Any, old: dict[str, Any], values: dict[str, Any], full: bool, target: str | None) -> None:
        made: list[str] = []
        config: dict[str, Any] = {}
        try:
            for key, value in old.items():
                if key in CLONE_SKIP or UNUSED_KEY.fullmatch(key):
                    continue
                if re.fullmatch(r"net\d+", key):
                    config[key] = with_mac(value, fresh=True)
                elif DRIVE_KEY.match(key):
                    config[key] = self._copy_drive(new, key, value, values, full, made)
                else:
                    config[key] = value
        except (PveError, TaskError) as problem:
            self.discard(new, made)
            raise TaskError(f"clone failed: {getattr(problem, 'message', None) or problem}") from problem
        self._new_identity(config)
        config["name"] = new.name
        config.pop("parent", None)
        if values.get("description"):
            config["description"] = values["description"]
        new.config = config
        self.set_lock(new, None)
        if values.get("pool"):
            self._pool_join(values["pool"], new.vmid)
        if target:
            new.node = target

    def _copy_drive(self, new: Any, key: str, value: str, values: dict[str, Any], full: bool, made: list[str]) -> str:
        volume, props = split_drive(value)
        if is_cloudinit(volume):
            storage = str(values.get("storage") or volume_ref(volume)[0])
            drive_format = "qcow2" if _is_file(self.storages[storage]) else "raw"
            volid = self.allocate(storage, new.vmid, CLOUDINIT_SIZE, new.node, drive_format, "cloudinit")
            made.append(volid)
            return str(join_drive(volid, dict(props, size="4M")))
        storage, name = volume_ref(volume)
        if is_cdrom(volume, props) or storage is None:
            return value
        size = self.volume_size(volume, props)
        known = self._volumes(storage).get(name) or {}
        destination = str(values.get("storage") or storage)
        fmt: str | None
        if full:
            fmt = values.get("format") or (known.get("format") if _is_file(self.storages[destination]) else None)
            volid = self.allocate(destination, new.vmid, size, new.node, fmt)
        else:
            fmt = "qcow2" if _is_file(self.storages[storage]) else None
            base = self.base_in_name(storage, name)
            volid = self.allocate(storage, new.vmid, size, new.node, fmt, base=base)
        made.append(volid)
        return str(join_drive(volid, dict(props, **({"size": format_size(size)} if size else {}))))

    @staticmethod
    def _new_identity(config: dict[str, Any]) -> None:
        smbios = split_props("x," + str(config.get("smbios1", "")))[1]
        smbios["uuid"] = str(uuid.uuid4())
        config["smbios1"] = ",".join(f"{key}={smbios[key]}" for key in sorted(smbios))
        if config.get("vmgenid"):
            config["vmgenid"] = str(uuid.uuid4())

    async def _qm_template(self, values: dict[str, Any], user: str) -> str:
        vm = self.find_vm(values["node"], values["vmid"], missing_config)
        disk = values.get("disk")
        self.refuse_lock_timeout(vm.vmid)
        self.refuse_locked(vm)
        if vm.snapshots:
            raise die("unable to create template, because VM contains snapshots")
        if vm.template and not disk:
            raise die("you can't convert a template to a template")
        if vm.status == "running":
            raise die("you can't convert a VM to template if VM is running")

        async def body() -> None:
            vm.template = True
            vm.config["template"] = 1
            for key, volume, props in drives_of(vm.config, skip_cdrom=True):
                if not disk or key == disk:
                    vm.config[key] = join_drive(self._qm_rename_volume(volume), props)

        return await self.task(vm.node, "qmtemplate", vm.vmid, user, body, vm=vm, lock=False)
