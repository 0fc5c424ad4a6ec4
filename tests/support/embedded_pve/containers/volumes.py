# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Volumes of containers after creation: growing and moving (PVE::API2::LXC resize_vm, move_volume; 95a, 95b)."""

from __future__ import annotations

import re
from typing import Any

from fakepve.lxc import SIZE_UNITS, format_size
from fakepve.model import PveError, TaskError
from fakepve.qemu import volume_ref
from fakepve.routing import check_digest
from fakepve.storage import _is_file

from ..base import parameter_error
from ..disks import no_room_to_grow
from .create import ContainerCreate, mount_of
from .values import UNUSED_KEY, mount_type, owner_of_volume, print_mount, to_base, volumes_in

# Storage types whose volumes of containers can be snapshotted, and be cloned without a copy.
WITH_SNAPSHOTS = ("lvmthin", "rbd", "zfspool", "btrfs")
NO_TARGET = "both 'storage' and 'target-vmid' missing, either needs to be set"
BOTH_TARGETS = "either set storage or target-vmid, but not both"


class ContainerVolumes(ContainerCreate):
    def _routes_embedded_container_volumes(self) -> list[tuple[str, str, Any]]:
        one = "/nodes/{node}/lxc/{vmid}"
        return [
            ("PUT", one + "/resize", self._ct_resize),
            ("POST", one + "/move_volume", self._ct_move_volume),
            ("GET", one + "/feature", self._ct_feature),
        ]

    # ---- growing

    async def _ct_resize(self, values: dict[str, Any], user: str) -> str:
        self._planned_size(values, user)

        async def body() -> None:
            ct, mount, size = self._planned_size(values, user)
            self._grow_volume(ct, mount["volume"], size)
            ct.config[values["disk"]] = print_mount({**mount, "size": format_size(size)}, values["disk"])

        return await self.task(values["node"], "resize", values["vmid"], user, body, vm=self.ct(int(values["vmid"])))

    def _planned_size(self, values: dict[str, Any], user: str) -> tuple[Any, dict[str, str], int]:
        """Checked before the task, and in it again; the name of the volume counts as an option (VM.Config.Options)."""
        ct = self.find_container(values)
        self.refuse_locked_container(ct)
        unprivileged = ct.config.get("unprivileged")
        self.check_container_change(user, ct.vmid, None, ct.config, {"disk": values["disk"]}, [], unprivileged)
        check_digest(self.digest_of(ct), values.get("digest"))
        mount = mount_of(ct.config, values["disk"])
        volume = mount["volume"]
        storage = volume_ref(volume)[0]
        if storage is None or mount_type(volume) != "volume":
            raise PveError(500, f"unable to parse volume ID '{volume}'")
        owner = owner_of_volume(volume)
        if owner != ct.vmid:
            raise PveError(500, f"can't resize mount point owned by another container ({owner})")
        self.require(user, f"/storage/{storage}", "Datastore.AllocateSpace")
        size = self.volume_size(volume, mount)
        found = re.fullmatch(r"(\+)?(\d+(?:\.\d+)?)([KMGT])?", str(values["size"]))
        assert found is not None
        wanted = int(float(found.group(2)) * SIZE_UNITS.get(found.group(3) or "", 1))
        wanted += size if found.group(1) else 0
        if wanted < size:
            raise PveError(500, "unable to shrink disk size")
        if wanted == size:
            raise PveError(500, "disk is already at specified size")
        return ct, mount, wanted

    def _grow_volume(self, ct: Any, volume: str, size: int) -> None:
        storage, name = volume_ref(volume)
        store = self.storages[str(storage)]
        if _is_file(store) and "base-" in volume:
            path = self._volume_path(storage, name, "images")
            command = f"/usr/bin/qemu-img resize '--preallocation=off' -f raw {path} {size}"
            raise TaskError(f"command '{command}' failed: exit code 1")
        more = size - self.volume_size(volume)
        if "avail" in store:
            if more > store["avail"]:
                raise TaskError(no_room_to_grow(store))
            store["avail"] -= more
        self.set_volume_size(volume, size)

    # ---- moving

    async def _ct_move_volume(self, values: dict[str, Any], user: str) -> str:
        storage, target = values.get("storage"), values.get("target-vmid")
        if storage and target:
            raise PveError(500, BOTH_TARGETS)
        if target:
            return await self._move_to_container(values, user)
        if not storage:
            raise parameter_error(**{"storage": NO_TARGET, "target-vmid": NO_TARGET})
        self.require(user, f"/storage/{storage}", "Datastore.AllocateSpace")
        ct, key = self.find_container(values), values["volume"]
        self.refuse_lock_timeout(ct.vmid)
        self.refuse_locked_container(ct)
        if ct.status == "running":
            raise PveError(500, "cannot move volumes of a running container")
        if UNUSED_KEY.fullmatch(key):
            text = f"cannot move volume '{key}', only configured volumes can be moved to another storage"
            raise PveError(500, text)
        mount = mount_of(ct.config, key)
        if values.get("delete") and self.in_snapshots(ct, mount["volume"]):
            raise PveError(500, "you can't move a volume with snapshots and delete the source")
        check_digest(self.digest_of(ct), values.get("digest"))
        self.set_lock(ct, "disk")

        async def body() -> None:
            self._move_to_storage(ct, key, mount, str(storage), bool(values.get("delete")))

        return await self.task(ct.node, "move_volume", ct.vmid, user, body, vm=ct, lock=False)

    def _move_to_storage(self, ct: Any, key: str, mount: dict[str, str], storage: str, delete: bool) -> None:
        if mount_type(mount["volume"]) != "volume":
            raise TaskError(f"cannot copy volumes of type {mount_type(mount['volume'])}")
        old = mount["volume"]
        new = self.copy_volume(ct, old, storage, mount)
        if ct.template:
            new = self.rename_to_base(new)
        ct.config[key] = print_mount({**mount, "volume": new, "size": self.size_text(new)}, key)
        if delete:
            self.free_volume(old)
        else:
            self.add_unused_volume(ct.config, old)

    def copy_volume(self, ct: Any, volume: str, storage: str, mount: dict[str, str]) -> str:
        """A new volume with the same content."""
        new = self.allocate_root(storage, ct.vmid, self.volume_size(volume, mount), ct.node)
        self.copy_mark(volume, new)
        return new

    def rename_to_base(self, volume: str) -> str:
        storage, name = volume_ref(volume)
        volumes = self.storages[str(storage)].setdefault("volumes", {})
        base = to_base(name)
        if name in volumes:
            volumes[base] = volumes.pop(name)
        return f"{storage}:{base}"

    async def _move_to_container(self, values: dict[str, Any], user: str) -> str:
        """move_volume with target-vmid: the volume gets another owner."""
        vmid, other, key = int(values["vmid"]), int(values["target-vmid"]), values["volume"]
        target_key = values.get("target-volume") or key
        self.check_vm_perm(user, other, None, ("VM.Config.Disk",))
        self._check_reassignment(values, key, target_key)
        source, target = self.ct(vmid), self.ct(other)
        mount = mount_of(source.config, key)
        self.require(user, f"/storage/{volume_ref(mount['volume'])[0]}", "Datastore.AllocateSpace")

        async def body() -> None:
            self._check_reassignment(values, key, target_key)
            new = self._rename_volume(mount["volume"], other)
            del source.config[key]
            if UNUSED_KEY.fullmatch(target_key):
                target.config[target_key] = new
            else:
                self.update_container(target, {target_key: print_mount({**mount, "volume": new}, target_key)}, [], [])

        tid = f"{vmid}-{key}>{other}-{target_key}"
        return await self.task(values["node"], "move_volume", tid, user, body, vm=source)

    def _check_reassignment(self, values: dict[str, Any], key: str, target_key: str) -> None:
        vmid, other = int(values["vmid"]), int(values["target-vmid"])
        if "rootfs" in (key, target_key):
            raise PveError(500, "Cannot move to/from 'rootfs'")
        if UNUSED_KEY.fullmatch(key) and not UNUSED_KEY.fullmatch(target_key):
            raise PveError(500, "Moving an unused volume to a used one is not possible")
        missing = next((number for number in (vmid, other) if self.guest(number) is None), None)
        if missing is not None:
            raise PveError(500, f"could not find CT {missing}")
        if self.guest(vmid).node != self.guest(other).node:
            nodes = f"{self.guest(vmid).node} != {self.guest(other).node}"
            raise PveError(500, f"Both containers need to be on the same node ({nodes})")
        source, target = self.find_container(values), self.find_container({**values, "vmid": other})
        for ct in (source, target):
            self.refuse_locked_container(ct)
        if source.template or target.template:
            raise PveError(500, "Can't move volumes from or to template CT")
        for ct, digest in ((source, values.get("digest")), (target, values.get("target-digest"))):
            if digest and digest != self.digest_of(ct):
                text = "detected modified configuration - file changed by other user? Try again."
                raise PveError(500, f"Container {ct.vmid}: {text}")
        if key not in source.config:
            raise PveError(500, f"volume '{key}' for container '{vmid}' does not exist")
        if target_key in target.config:
            raise PveError(500, f"Target volume key '{target_key}' is already in use for container '{other}'")
        self._check_reassigned_volume(source, key)

    def _check_reassigned_volume(self, source: Any, key: str) -> None:
        volume = mount_of(source.config, key)["volume"]
        if self.in_snapshots(source, volume):
            raise PveError(500, "Cannot move volume used by a snapshot to another container")
        if mount_type(volume) != "volume":
            raise PveError(500, "Cannot move a bindmount or device mount to another container")
        if source.status == "running" and not UNUSED_KEY.fullmatch(key):
            text = "Cannot move in-use volume while the source CT is running - detach or shutdown first"
            raise PveError(500, text)

    def _rename_volume(self, volume: str, vmid: int) -> str:
        storage, name = volume_ref(volume)
        volumes = self.storages[str(storage)]["volumes"]
        known = volumes[name]
        new = self.allocate_root(str(storage), vmid, int(known["size"]), self.guest(vmid).node)
        del volumes[name]
        volumes[volume_ref(new)[1]].update({key: value for key, value in known.items() if key != "vmid"})
        return new

    @staticmethod
    def in_snapshots(ct: Any, volume: str) -> bool:
        return any(mount["volume"] == volume for snap in ct.snapshots.values() for _key, mount in volumes_in(snap))

    # ---- what the storages can

    async def _ct_feature(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        ct = self.find_container(values)
        config = ct.snapshots[values["snapname"]] if values.get("snapname") else ct.config
        return {"hasFeature": 1 if self.has_feature(values["feature"], config, values.get("snapname")) else 0}

    def has_feature(self, feature: str, config: dict[str, Any], snapshot: str | None = None) -> bool:
        """volume_has_feature of every volume; a bind mount has none."""
        return all(self._volume_has(feature, mount["volume"], snapshot) for _key, mount in volumes_in(config))

    def _volume_has(self, feature: str, volume: str, snapshot: str | None = None) -> bool:
        storage = volume_ref(volume)[0]
        if storage is None or storage not in self.storages or mount_type(volume) != "volume":
            return False
        able = self.storages[storage].get("type") in WITH_SNAPSHOTS
        if feature == "snapshot":
            return able
        if feature == "clone":
            of_any = self.storages[storage].get("type") == "btrfs"
            return able and (of_any or snapshot is not None or "base-" in volume or "basevol-" in volume)
        return True
