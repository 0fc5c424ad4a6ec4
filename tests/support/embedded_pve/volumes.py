# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Volumes: their names, their sizes, and the drives of a configuration that stand for them.

Names follow PVE::Storage::Plugin, LvmThinPlugin, ZFSPoolPlugin (`base-…/vm-…` for a linked clone) and
PVE::QemuServer::Drive.
"""

from __future__ import annotations

import math
import re
import time
from typing import Any

from fakepve.lxc import SIZE_UNITS, format_size, parse_size
from fakepve.model import PveError, TaskError
from fakepve.qemu import DRIVE_KEY, FIXED_KIB, NEW_DISK, drives_of, is_cdrom, join_drive, split_drive, volume_ref
from fakepve.routing import die, split_list
from fakepve.storage import _is_file, spec_of

from .base import parameter_error
from .knobs import Knobs
from .values import Values, with_certificates

CLOUDINIT_SIZE = 4 * 1024**2
IMPORT_SYNTAX = "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>"
UNUSED_KEY = re.compile(r"unused(\d+)")


def is_cloudinit(volume: str) -> bool:
    return volume.endswith(":cloudinit") or bool(re.search(r"vm-\d+-cloudinit(\.qcow2)?$", volume))


def is_on(volume: dict[str, Any], node: str | None) -> bool:
    """Whether the node has the volume: one that names a node is on that one's disks only."""
    if node is not None and "copies" in volume:
        return node in volume["copies"]
    return node is None or volume.get("node") in (None, node)


def no_space(storage: dict[str, Any], size: int) -> str:
    """What the storage says when a volume does not fit."""
    if storage.get("type") in ("lvmthin", "lvm"):
        return f'lvcreate error: Volume group "{storage.get("vgname", "pve")}" has insufficient free space'
    return f"unable to create image: qemu-img: No space left on device (wanted {size} bytes)"


def too_large(fmt: str, size: int, path: str) -> str | None:
    """qemu-img's refusal of an image beyond what its format (or ext4) takes."""
    limits = {"qcow2": 64 * 1024**4, "raw": 16 * 1024**4}
    if size <= limits.get(fmt, size):
        return None
    advice = " (try using a larger cluster size)" if fmt == "qcow2" else ""
    text = f"qemu-img: {path}: The image size is too large for file format '{fmt}'{advice}"
    return f"unable to create image: {text}"


class Volumes(Values):
    def __init__(self, host: str, port: int, knobs: Knobs) -> None:
        super().__init__(host, port, knobs)
        # Files of the nodes outside of all storages, and the sizes of the images in them.
        self.host_files: dict[str, int] = {}
        # Volumes whose file is gone although a configuration names them.
        self.lost_volumes: set[str] = set()

    def allocate(
        self, storage: str, vmid: int, size: int, node: str, fmt: str | None = None, kind: str = "disk", base: str = ""
    ) -> str:
        """A new volume's id (PVE::Storage::vdisk_alloc); a TaskError when there is no room."""
        store = self._usable_store(storage, node)
        fmt = fmt or store.get("format") or (spec_of(store) or {}).get("format", "raw")
        if not _is_file(store):
            fmt = "raw"
        name = self._free_name(storage, vmid, kind)
        volume = f"{vmid}/{name}.{fmt}" if _is_file(store) else name
        problem = too_large(fmt, size, self._volume_path(storage, volume, "images")) if _is_file(store) else None
        if problem:
            raise TaskError(problem)
        if "avail" in store:
            if size > store["avail"]:
                raise TaskError(no_space(store, size))
            store["avail"] -= size
        if base:
            volume = f"{base}/{volume}"
        store.setdefault("volumes", {})[volume] = {
            "content": "images",
            "format": fmt,
            "size": size,
            "vmid": vmid,
            "ctime": int(time.time()),
        }
        return f"{storage}:{volume}"

    def base_in_name(self, storage: str, base: str) -> str:
        """What the name of a linked clone has of its base; LVM and btrfs name the clone alone, and hold no base."""
        store = self.storages[storage]
        if _is_file(store) and store.get("type") != "btrfs":
            return base
        return base.rpartition("/")[2] if store.get("type") in ("zfspool", "rbd") else ""

    def _usable_store(self, storage: str, node: str) -> dict[str, Any]:
        try:
            store: dict[str, Any] = self._active_store(storage, node)
        except PveError as problem:
            raise TaskError(problem.message) from problem
        return store

    def _free_name(self, storage: str, vmid: int, kind: str) -> str:
        if kind == "cloudinit":
            return f"vm-{vmid}-cloudinit"
        if kind != "disk":
            return f"vm-{vmid}-{kind}"
        taken = set()
        for name in self.storages[storage].get("volumes", {}):
            found = re.search(rf"(?:^|/)(?:vm|base)-{vmid}-disk-(\d+)", name)
            if found:
                taken.add(int(found.group(1)))
        number = 0
        while number in taken:
            number += 1
        return f"vm-{vmid}-disk-{number}"

    def free_volume(self, volid: str) -> None:
        """Forget a volume and give its space back."""
        self._qm_free(volid)

    def volume_exists_here(self, volid: str, node: str | None = None) -> bool:
        storage, name = volume_ref(volid)
        made = self.storages.get(storage, {}).get("volumes", {}).get(name)
        return made is not None and is_on(made, node) and volid not in self.lost_volumes

    def _volumes_on(self, storage: str, node: str) -> dict[str, Any]:
        """What a node finds on the storage."""
        return {name: volume for name, volume in self._volumes(storage).items() if is_on(volume, node)}

    async def _content_list(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = await super()._content_list(values, user)
        here = self._volumes_on(values["storage"], values["node"])
        return [item for item in items if volume_ref(item["volid"])[1] in here]

    async def _content_info(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        """A node does not find what only another one has (70-storage.json: "volume attributes missing")."""
        data: dict[str, Any] = await super()._content_info(values, user)
        volid = self._volume_target(values)[2]
        if not self.volume_exists_here(volid, values["node"]):
            raise PveError(500, f"volume_size_info on '{volid}' failed - no format")
        return data

    def volume_size(self, volid: str, props: dict[str, str] | None = None) -> int:
        storage, name = volume_ref(volid)
        found = self.storages.get(storage, {}).get("volumes", {}).get(name)
        size = int((found or {}).get("size") or 0)
        return size or int(parse_size((props or {}).get("size", "0")) or 0)

    def set_volume_size(self, volid: str, size: int) -> None:
        storage, name = volume_ref(volid)
        volume = self.storages.get(storage, {}).get("volumes", {}).get(name)
        if volume is not None:
            volume["size"] = size

    def copy_mark(self, source: str, target: str) -> None:
        """Let a copy say whose data it holds, when a test has marked the source."""
        (storage, name), (to_storage, to_name) = volume_ref(source), volume_ref(target)
        found = self.storages.get(storage, {}).get("volumes", {}).get(name, {})
        if "content_of" in found:
            self.storages[to_storage]["volumes"][to_name]["content_of"] = found["content_of"]

    def linked_clones_of(self, volid: str) -> list[int]:
        """Guests whose disks are linked clones of this base volume."""
        storage, name = volume_ref(volid)
        base = name + "/"
        drives = [(vm.vmid, volume) for vm in self.vms for _key, volume, _props in drives_of(vm.config)]
        mounts = [(ct.vmid, mount["volume"]) for ct in self.cts for _key, mount in ct.volumes()]
        return [
            vmid
            for vmid, volume in [*drives, *mounts]
            if volume_ref(volume)[0] == storage and str(volume_ref(volume)[1]).startswith(base)
        ]

    def check_drive(self, user: str, vmid: int, key: str, value: str, default: str | None) -> None:
        """What is refused at once, before any task (check_storage_access, 20-create.json)."""
        volume, props = split_drive(value)
        if not volume or volume in ("none", "cdrom"):
            return
        if "import-from" in props and not re.fullmatch(r"[^:]+:0", volume):
            raise parameter_error(**{key: IMPORT_SYNTAX})
        found = NEW_DISK.match(volume)
        if volume.endswith(":cloudinit") or (found and not is_cdrom(volume, props)):
            storage = volume_ref(volume)[0] or default
            if not storage:
                raise die("no storage ID specified (and no default storage)")
            # To make a cloud-init drive takes no privilege on its storage (check_storage_access: "nothing to check").
            self._check_image_store(storage, "root@pam" if volume.endswith(":cloudinit") else user)
            if props.get("import-from"):
                self._check_import(user, vmid, props["import-from"])
            return
        storage, name = volume_ref(volume)
        if storage is None:
            if owner_is_not_root(user):
                raise PveError(500, f"Only root can pass arbitrary filesystem paths. - {volume}")
            return
        kind, owner, _fmt = self._parse_volname(self._store(storage), name)
        if owner != vmid or kind != "images":
            # What is the guest's own, it may name (check_volume_access).
            self._check_access(user, storage, kind, owner, volume)
        if kind not in ("images", "iso"):
            raise parameter_error(**{key: "content type needs to be 'images' or 'iso'"})
        if kind == "iso" and not is_cdrom(volume, props):
            raise parameter_error(**{key: "explicit 'media=cdrom' is required for iso images"})

    def _check_import(self, user: str, vmid: int, source: str) -> None:
        storage, name = volume_ref(source)
        if storage is None:
            if owner_is_not_root(user):
                raise PveError(500, f"Only root can pass arbitrary filesystem paths. - {source}")
            return
        kind, owner, _fmt = self._parse_volname(self._store(storage), name)
        if owner:
            self.require(user, f"/vms/{owner}", "VM.Clone")
        else:
            self._check_access(user, storage, kind, vmid, source)

    def _check_image_store(self, storage: str, user: str) -> None:
        store = self._store(storage)
        self.require(user, "/storage/" + storage, "Datastore.AllocateSpace")
        if "images" not in split_list(store.get("content")):
            raise parameter_error(storage=f"storage '{storage}' does not support vm images")

    def realise_drive(self, vm: Any, key: str, value: str, default: str | None, made: list[str]) -> str:
        """The value as stored, once its volume is allocated, imported or found."""
        volume, given = split_drive(value)
        props = dict(given)
        if not volume or volume in ("none", "cdrom"):
            props.pop("size", None)
            # PVE::QemuServer::Drive parse_drive: what holds no volume is a CD-ROM drive.
            props["media"] = "cdrom"
            return str(join_drive(volume, props))
        storage = volume_ref(volume)[0] or default
        if volume.endswith(":cloudinit"):
            return self._realise_cloudinit(vm, str(storage), props, made)
        source = props.pop("import-from", None)
        if source or (NEW_DISK.match(volume) and not is_cdrom(volume, props)):
            size = self._imported_size(source, vm.node) if source else self._asked_size(key, volume)
            fmt = props.pop("format", None) or (self._format_of(source) if source else None)
            volid = self.allocate(str(storage), vm.vmid, size, vm.node, fmt)
            made.append(volid)
            props["size"] = format_size(size)
            if key == "efidisk0":
                props = with_certificates(None, volid, props)
            return str(join_drive(volid, props))
        if volume_ref(volume)[0] is not None:
            if not self.volume_exists_here(volume, vm.node):
                raise TaskError(f"volume '{volume}' does not exist")
            props.pop("format", None)
            size = self.volume_size(volume)
            if size:
                props["size"] = format_size(size)
            if key == "efidisk0":
                props = with_certificates(vm.config.get(key), volume, props)
        return str(join_drive(volume, props))

    def _realise_cloudinit(self, vm: Any, storage: str, props: dict[str, str], made: list[str]) -> str:
        store = self._usable_store(storage, vm.node)
        fmt = props.pop("format", None) or ("qcow2" if _is_file(store) else "raw")
        if any(is_cloudinit(volume) for _key, volume, _props in drives_of(vm.config)):
            raise TaskError("multiple cloud-init drives are not allowed")
        volid = self.allocate(storage, vm.vmid, CLOUDINIT_SIZE, vm.node, fmt, "cloudinit")
        made.append(volid)
        props["media"] = "cdrom"
        return str(join_drive(volid, props))

    @staticmethod
    def _asked_size(key: str, volume: str) -> int:
        if key in FIXED_KIB:
            return int(FIXED_KIB[key]) * 1024
        found = NEW_DISK.match(volume)
        assert found is not None
        # PVE::Tools::convert_size rounds up to whole KiB.
        return math.ceil(float(found.group(2)) * SIZE_UNITS["M"]) * SIZE_UNITS["K"]

    def _format_of(self, source: str) -> str | None:
        return "qcow2" if source.endswith(".qcow2") else None

    def _imported_size(self, source: str, node: str) -> int:
        storage, name = volume_ref(source)
        if source in self.host_files:
            return self.host_files[source]
        if storage is None or storage not in self.storages or name not in self._volumes_on(storage, node):
            path = self._volume_path(storage, name, "import") if storage in self.storages else source
            raise TaskError(f"failed to stat '{path}'")
        return int(self._volumes(storage)[name].get("size") or 0)

    @staticmethod
    def drive_keys(config: dict[str, Any]) -> list[str]:
        return sorted(key for key in config if DRIVE_KEY.match(key))

    @staticmethod
    def next_unused(config: dict[str, Any]) -> str:
        number = 0
        while f"unused{number}" in config:
            number += 1
        return f"unused{number}"


def owner_is_not_root(user: str) -> bool:
    """A token of root@pam is not root@pam (README: Tokens)."""
    return user != "root@pam"
