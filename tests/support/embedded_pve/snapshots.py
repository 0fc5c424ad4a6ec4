# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of VMs (PVE::AbstractConfig, 41-snapshots.json)."""

from __future__ import annotations

import time
import uuid
from typing import Any

from fakepve.model import PveError, TaskError
from fakepve.qemu import SNAPSHOT_SKIP, drives_of, volume_ref

from .base import missing_config, no_quorum_write
from .power import RUNNING_STATE, Power, running_state

NOT_RESTORED = ("snapstate", "snaptime", "description", "vmstate", *RUNNING_STATE)


class Snapshots(Power):
    async def _qm_snapshot_list(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        vm = self.find_vm(values["node"], values["vmid"])
        items = []
        for name, snap in vm.snapshots.items():
            item = {
                "name": name,
                "snaptime": snap.get("snaptime") or 0,
                "vmstate": 1 if snap.get("vmstate") else 0,
                "description": snap.get("description") or "",
            }
            item.update({key: snap[key] for key in ("parent", "snapstate") if snap.get(key)})
            items.append(item)
        current = {
            "name": "current",
            "digest": self.digest_of(vm),
            "running": 1 if vm.status == "running" else 0,
            "description": "You are here!",
        }
        if vm.config.get("parent"):
            current["parent"] = vm.config["parent"]
        return [*items, current]

    async def _qm_snapshot(self, values: dict[str, Any], user: str) -> str:
        vm, name = self.find_vm(values["node"], values["vmid"]), values["snapname"]
        if name.lower() in ("current", "pending"):
            raise PveError(500, f"unable to use snapshot name '{name}' (reserved name)")

        async def body() -> str:
            return self._take(vm, name, values)

        return await self.task(vm.node, "qmsnapshot", vm.vmid, user, body, vm=vm)

    def _take(self, vm: Any, name: str, values: dict[str, Any]) -> str:
        if not self.quorate:
            raise TaskError(no_quorum_write(vm.vmid, vm.node))
        if vm.template:
            raise TaskError("you can't take a snapshot if it's a template")
        self.fail_locked(vm)
        if name in vm.snapshots:
            raise TaskError(f"snapshot name '{name}' already used")
        if not self._qm_can_snapshot(vm.config):
            raise TaskError("snapshot feature is not available")
        snap = {k: v for k, v in vm.config.items() if k not in SNAPSHOT_SKIP and not k.startswith("unused")}
        snap["snaptime"] = int(time.time())
        if values.get("description"):
            snap["description"] = values["description"]
        if values.get("vmstate") and vm.status == "running":
            snap["vmstate"] = self._state_volume(vm, name)
            snap.update(running_state(vm))
        vm.snapshots[name] = snap
        vm.config["parent"] = name
        drives = drives_of(vm.config, skip_cdrom=True)
        return "\n".join(f"snapshotting 'drive-{key}' ({volume})" for key, volume, _props in drives)

    def _state_volume(self, vm: Any, name: str) -> str:
        storages = [volume_ref(volume)[0] for _key, volume, _props in drives_of(vm.config, skip_cdrom=True)]
        storage = next((s for s in storages if s), "local-lvm")
        memory = int(str(vm.config.get("memory", 512)).rpartition("=")[2]) * 1024**2
        return self.allocate(storage, vm.vmid, memory * 2, vm.node, "raw", f"state-{name}")

    async def _qm_snapshot_delete(self, values: dict[str, Any], user: str) -> str:
        node, vmid, name = values["node"], int(values["vmid"]), values["snapname"]

        async def body() -> None:
            vm = self.vm(vmid)
            if vm is None or vm.node != node:
                raise TaskError(missing_config(node, vmid))
            if not self.quorate:
                raise TaskError(no_quorum_write(vmid, node))
            if name not in vm.snapshots:
                raise TaskError(f"snapshot '{name}' does not exist")
            self.fail_locked(vm)
            self._remove(vm, name)

        return await self.task(node, "qmdelsnapshot", vmid, user, body, vm=self.vm(vmid))

    def _remove(self, vm: Any, name: str) -> None:
        snap = vm.snapshots.pop(name)
        if snap.get("vmstate"):
            self.free_volume(snap["vmstate"])
        for other in [*vm.snapshots.values(), vm.config]:
            if other.get("parent") != name:
                continue
            if snap.get("parent"):
                other["parent"] = snap["parent"]
            else:
                other.pop("parent")

    async def _qm_rollback(self, values: dict[str, Any], user: str) -> str:
        node, vmid, name = values["node"], int(values["vmid"]), values["snapname"]
        if values.get("start"):
            self.require(user, f"/vms/{vmid}", "VM.PowerMgmt")

        async def body() -> None:
            vm = self.vm(vmid)
            if vm is None or vm.node != node:
                raise TaskError(missing_config(node, vmid))
            self._roll_back(vm, name, bool(values.get("start")))

        return await self.task(node, "qmrollback", vmid, user, body, vm=self.vm(vmid))

    def _roll_back(self, vm: Any, name: str, start: bool) -> None:
        """A guest rolled back to a snapshot with RAM runs; to one without it is stopped."""
        if vm.template:
            raise TaskError("you can't rollback if vm is a template")
        if not self.quorate:
            raise TaskError(no_quorum_write(vm.vmid, vm.node))
        snap = vm.snapshots.get(name)
        if snap is None:
            raise TaskError(f"snapshot '{name}' does not exist")
        if snap.get("snapstate"):
            raise TaskError(f"unable to rollback to incomplete snapshot (snapstate = {snap['snapstate']})")
        self.fail_locked(vm)
        config = {key: value for key, value in snap.items() if key not in NOT_RESTORED}
        for key, value in vm.config.items():
            if key == "description" or key.startswith("unused"):
                config[key] = value
        config["parent"] = name
        if config.get("vmgenid"):
            config["vmgenid"] = str(uuid.uuid4())
        vm.config, vm.pending = config, {}
        self.halt_guest(vm)
        self.note_rename(vm, str(config.get("name") or f"VM {vm.vmid}"))
        if snap.get("vmstate") or start:
            self.run_guest(vm)

    async def _qm_snapshot_config_get(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        return self._shown(self._snapshot(values))

    async def _qm_snapshot_config_put(self, values: dict[str, Any], user: str) -> None:
        snap = self._snapshot(values)
        if values.get("description") is not None:
            snap["description"] = values["description"]

    def _snapshot(self, values: dict[str, Any]) -> dict[str, Any]:
        vm = self.find_vm(values["node"], values["vmid"])
        if values["snapname"] not in vm.snapshots:
            raise PveError(500, f"snapshot '{values['snapname']}' does not exist")
        snapshot: dict[str, Any] = vm.snapshots[values["snapname"]]
        return snapshot
