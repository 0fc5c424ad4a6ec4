# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks after creation: resize, move, unlink, and the cloud-init drive (21-config.json)."""

from __future__ import annotations

import re
from typing import Any

from fakepve.lxc import SIZE_UNITS, format_size
from fakepve.model import PveError, TaskError
from fakepve.qemu import is_cdrom, join_drive, split_drive, volume_ref
from fakepve.routing import die
from fakepve.storage import _is_file

from .base import missing_config
from .config import Config
from .options import CLOUDINIT_KEYS, in_a_task
from .pending import cloudinit_old
from .volumes import is_cloudinit

# The list of pending cloud-init values leaves the addresses out (20-create.json: cloudinit pending).
LISTED = re.compile(r"^(?!ipconfig)")


class Disks(Config):
    def _routes_embedded_disks(self) -> list[tuple[str, str, Any]]:
        one = "/nodes/{node}/qemu/{vmid}"
        return [
            ("PUT", one + "/resize", self._resize),
            ("POST", one + "/move_disk", self._move_disk),
            ("PUT", one + "/unlink", self._unlink),
            ("GET", one + "/cloudinit", self._cloudinit_pending),
            ("PUT", one + "/cloudinit", self._cloudinit_regenerate),
            ("GET", one + "/cloudinit/dump", self._cloudinit_dump),
            ("GET", one + "/feature", self._feature),
        ]

    async def _resize(self, values: dict[str, Any], user: str) -> str:
        """Everything but the schema is checked in the task, even whether the guest exists."""
        node, vmid, key = values["node"], int(values["vmid"]), values["disk"]

        async def body() -> str:
            vm = self.vm(vmid)
            if vm is None or vm.node != node:
                raise TaskError(missing_config(node, vmid))
            if values.get("digest") and values["digest"] != self.digest_of(vm):
                raise TaskError("checksum mismatch (file change by other user?)")
            self.fail_locked(vm)
            self._check_grow(vm, key, user)
            return self._grow(vm, key, str(values["size"]))

        return await self.task(node, "resize", vmid, user, body, vm=self.vm(vmid))

    def _check_grow(self, vm: Any, key: str, user: str) -> None:
        """The storage's privilege is looked at in the task."""
        storage = volume_ref(split_drive(vm.config.get(key, ""))[0])[0]
        if storage is not None:
            try:
                self.require(user, f"/storage/{storage}", "Datastore.AllocateSpace")
            except PveError as problem:
                raise TaskError(in_a_task(problem)) from problem

    def _grow(self, vm: Any, key: str, text: str) -> str:
        if key not in vm.config:
            raise TaskError(f"disk '{key}' does not exist")
        volume, props = split_drive(vm.config[key])
        if is_cdrom(volume, props):
            raise TaskError("you can't resize a cdrom")
        old = self.volume_size(volume, props)
        found = re.fullmatch(r"(\+)?(\d+(?:\.\d+)?)([KMGT])?", text)
        assert found is not None
        size = int(float(found.group(2)) * SIZE_UNITS.get(found.group(3) or "", 1))
        size += old if found.group(1) else 0
        if size < old:
            raise TaskError("shrinking disks is not supported")
        if size == old:
            # The configuration may say another size; it is not written (PVE::API2::Qemu resize_vm).
            return ""
        store = self.storages[volume_ref(volume)[0]]
        if "avail" in store:
            if size - old > store["avail"]:
                raise TaskError(no_room_to_grow(store))
            store["avail"] -= size - old
        self.set_volume_size(volume, size)
        vm.config[key] = join_drive(volume, dict(props, size=format_size(size)))
        return "Image resized."

    async def _move_disk(self, values: dict[str, Any], user: str) -> str:
        vm = self.find_vm(values["node"], values["vmid"], missing_config)
        key, storage = values["disk"], values.get("storage")
        if values.get("target-vmid") or not storage:
            raise die("moving a disk to another VM is not modelled")
        self._check_image_store(storage, user)
        self.refuse_locked(vm)
        if values.get("digest") and values["digest"] != self.digest_of(vm):
            raise die("detected modified configuration - file changed by other user? Try again.")
        if key not in vm.config:
            raise die(f"disk '{key}' does not exist")
        volume, props = split_drive(vm.config[key])
        if is_cdrom(volume, props) and not is_cloudinit(volume):
            raise die("you can't move a cdrom")
        old_storage, name = volume_ref(volume)
        old_format = (self._volumes(old_storage).get(name) or {}).get("format", "raw")
        fmt = values.get("format") or (old_format if _is_file(self.storages[storage]) else "raw")
        if storage == old_storage and fmt == old_format:
            raise die("you can't move to the same storage with same format")
        if self.held_by_snapshot(vm, volume) and values.get("delete"):
            raise die("you can't move a disk with snapshots and delete the source")

        async def body() -> None:
            volume, props = split_drive(vm.config[key])
            size = self.volume_size(volume, props)
            kind = "cloudinit" if is_cloudinit(volume) else "disk"
            new = self.allocate(storage, vm.vmid, size, vm.node, fmt, kind)
            self.copy_mark(volume, new)
            vm.config[key] = join_drive(new, props)
            if values.get("delete"):
                self.free_volume(volume)
            else:
                self.keep_unused(vm, volume)
            self._drop_used(vm)

        return await self.task(vm.node, "qmmove", vm.vmid, user, body, vm=vm)

    async def _unlink(self, values: dict[str, Any], user: str) -> None:
        """Nothing but a PUT of the configuration with `delete` (PVE::API2::Qemu unlink)."""
        self.require(user, f"/vms/{values['vmid']}", "VM.Config.Disk")
        rest = {key: value for key, value in values.items() if key != "idlist"}
        await self.put_config({**rest, "delete": values["idlist"]}, user)

    async def _cloudinit_pending(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        """What the drive has, and what it lacks; of a changed address nothing (PVE::API2::Qemu cloudinit_pending)."""
        vm = self.find_vm(values["node"], values["vmid"], missing_config)
        shown, old = self._shown(vm.config), cloudinit_old(vm)
        added = [key for key in sorted(old) if old[key] is None]
        items: list[dict[str, Any]] = [{"key": key, "pending": shown.get(key)} for key in added]
        for key in sorted(shown):
            if not CLOUDINIT_KEYS.match(key) or not LISTED.match(key) or key in added:
                continue
            item = {"key": key, "value": old.get(key, shown[key])}
            if key in old:
                item["pending"] = shown[key]
            items.append(item)
        return items + [{"key": key, "delete": 1} for key in sorted(old) if key not in shown]

    async def _cloudinit_regenerate(self, values: dict[str, Any], user: str) -> None:
        vm = self.find_vm(values["node"], values["vmid"], missing_config)
        self.require(user, f"/vms/{vm.vmid}", "VM.Config.Cloudinit")
        self.refuse_locked(vm)
        self.regenerate_cloudinit(vm)

    async def _cloudinit_dump(self, values: dict[str, Any], user: str) -> str:
        vm = self.find_vm(values["node"], values["vmid"], missing_config)
        if values["type"] != "user":
            return "version: 1\n"
        name = vm.config.get("name", f"VM{vm.vmid}")
        return f"#cloud-config\nhostname: {name}\nmanage_etc_hosts: true\nuser: {vm.config.get('ciuser', '')}\n"

    async def _feature(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        vm = self.vm(int(values["vmid"]))
        if vm is None or vm.node != values["node"]:
            raise PveError(500, f"unable to find configuration file for VM {values['vmid']} on node '{values['node']}'")
        feature = values["feature"]
        has = bool(self._qm_can_snapshot(vm.config)) if feature == "snapshot" else True
        return {"hasFeature": 1 if has else 0, "nodes": sorted(self.nodes)}


def no_room_to_grow(store: dict[str, Any]) -> str:
    if store.get("type") in ("lvmthin", "lvm"):
        return "command '/sbin/lvextend' failed: exit code 5"
    return "command '/usr/bin/qemu-img resize' failed: exit code 1"
