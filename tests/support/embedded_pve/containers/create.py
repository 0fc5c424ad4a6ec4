# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making, restoring and destroying containers (PVE::API2::LXC create_vm and destroy_vm; 95*.json)."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from fakepve.lxc import FakeCt, arch_of, format_size, ostype_of, parse_size
from fakepve.model import PveError, TaskError
from fakepve.qemu import volume_ref
from fakepve.routing import split_list

from ..base import is_true, parameter_error
from ..options import in_a_task
from ..rights import ROOT
from ..values import check_ssh_keys
from .config import ContainerConfig
from .pending import Draft, deletes_of
from .values import (
    MOUNT_KEY,
    NET_KEY,
    NEW_VOLUME,
    UNUSED_KEY,
    check_formats,
    mount_type,
    parse_mount,
    print_mount,
    volumes_in,
    with_new_mac,
)

NOT_OPTIONS = frozenset(
    """node vmid ostemplate storage password ssh-public-keys ignore-unpack-errors bwlimit start ha-managed force
    restore unique pool unprivileged""".split()
)
# What a restore does not take from the archive's configuration (sanitize_and_merge_config).
NOT_RESTORED = re.compile(r"digest|rootfs|snapshots|unprivileged|parent|template|lock|mp\d+|unused\d+")
DEFAULT_SIZE = "4"


class ContainerCreate(ContainerConfig):
    def _routes_embedded_container_create(self) -> list[tuple[str, str, Any]]:
        return [
            ("POST", "/nodes/{node}/lxc", self._ct_create),
            ("DELETE", "/nodes/{node}/lxc/{vmid}", self._ct_destroy),
        ]

    async def _ct_create(self, values: dict[str, Any], user: str) -> str:
        node, vmid, restore = values["node"], int(values["vmid"]), is_true(values.get("restore", 0))
        check_formats(values)
        self.need_quorum()
        there = self.ct(vmid)
        replaced = there if there is not None and there.node == node and restore and values.get("force") else None
        self._check_creation(values, user, replaced, restore)
        options = {key: value for key, value in values.items() if key not in NOT_OPTIONS}
        storage = str(values.get("storage") or "local")
        mounts = {
            key: f"{storage}:{value}" if re.fullmatch(r"\d+(\.\d+)?", str(value)) else str(value)
            for key, value in options.items()
            if MOUNT_KEY.fullmatch(key)
        }
        self._check_mounts(mounts, storage, user, node)
        config = self._first_config(vmid, node, options)
        unprivileged = values.get("unprivileged", None if restore else 1)
        if unprivileged:
            config["unprivileged"] = 1
        word = "restore" if restore else "create"
        ct = self._lock_new_container(vmid, node, replaced, f"unable to {word} CT {vmid} - ")
        log: list[str] = []

        async def body() -> None:
            try:
                self._fill_container(ct, replaced, config, mounts, {**values, "storage": storage}, user, log)
            except (PveError, TaskError) as problem:
                text = in_a_task(problem) if isinstance(problem, PveError) else problem
                raise TaskError(f"unable to {word} CT {vmid} - {text}") from problem
            await self._after_creation(ct, values, user, log)

        return await self.task(node, "vzrestore" if restore else "vzcreate", vmid, user, body, vm=ct, log=log)

    async def _interrupted(self, record: dict[str, Any], guest: Any) -> str:
        """What was being done when the TERM came is in the words as well, as of a file system that was being made."""
        status = await super()._interrupted(record, guest)
        if status != "received interrupt":
            return status
        words = {
            "vzcreate": f"unable to create CT {record['id']} - ",
            "vzrestore": f"unable to restore CT {record['id']} - ",
        }
        if record["type"] == "vzclone":
            return "clone failed: interrupted by signal"
        return f"{words.get(record['type'], '')}{status}"

    def _abandon(self, record: dict[str, Any], guest: Any) -> None:
        """A restore over a container that is broken off before it began leaves that container."""
        if record["type"] == "vzrestore" and guest is not None and len(guest.config) > 1:
            self.set_lock(guest, None)
        else:
            super()._abandon(record, guest)

    def _check_creation(self, values: dict[str, Any], user: str, replaced: Any, restore: bool) -> None:
        vmid, pool, unprivileged = int(values["vmid"]), values.get("pool"), values.get("unprivileged")
        if not restore and unprivileged is not None and not unprivileged:
            self.require(user, "/", "Sys.Modify")
        if values.get("ha-managed"):
            self.require(user, "/", "Sys.Console")
        if replaced is None:
            self._check_vmid_unused(vmid)
        elif replaced.status == "running":
            raise PveError(500, "can't overwrite running container")
        else:
            self.refuse_protected(replaced, f"unable to restore CT {vmid}")
        if values.get("ssh-public-keys") is not None:
            check_ssh_keys(str(values["ssh-public-keys"]))
        self._qm_check_pool(pool)
        may = [(f"/vms/{vmid}", "VM.Allocate")] + [(f"/pool/{pool}", "VM.Allocate")] * bool(pool)
        may += [(f"/vms/{vmid}", "VM.Backup")] * (replaced is not None)
        if not any(self.allowed(user, path, name) for path, name in may):
            raise PveError(403, "Permission check failed")
        options = {key: values[key] for key in sorted(values) if key not in NOT_OPTIONS}
        self.check_container_change(user, vmid, pool, None, options, [], True if unprivileged is None else unprivileged)
        if str(values["ostemplate"]) == "-":
            raise PveError(500, "pipe requires cli environment")
        self.check_volume_access(user, vmid, str(values["ostemplate"]), "backup" if restore else "vztmpl")

    def _check_mounts(self, mounts: Mapping[str, str], storage: str, user: str, node: str) -> None:
        if mounts and "rootfs" not in mounts:
            raise PveError(500, "mount points configured, but 'rootfs' not set - aborting")
        for _key, mount in volumes_in(mounts):
            if mount_type(mount["volume"]) != "volume":
                if user != ROOT:
                    raise PveError(500, "Only root can pass arbitrary filesystem paths.")
            elif volume_ref(mount["volume"])[0] is None:
                raise PveError(500, f"unable to parse volume ID '{mount['volume']}'")
            else:
                self.check_root_storage(str(volume_ref(mount["volume"])[0]), user, node)
        if not mounts:
            self.check_root_storage(storage, user, node)

    def check_root_storage(self, storage: str, user: str, node: str) -> None:
        store = self._active_store(storage, node)
        if "rootdir" not in split_list(store.get("content")):
            raise parameter_error(storage=f"storage '{storage}' does not support container directories")
        self.require(user, f"/storage/{storage}", "Datastore.AllocateSpace")

    def _first_config(self, vmid: int, node: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """What is not about volumes goes the way of every change."""
        ct = FakeCt(vmid, node=node, defaults=False)
        settings = {
            key: value
            for key, value in options.items()
            if not MOUNT_KEY.fullmatch(key) and not UNUSED_KEY.fullmatch(key)
        }
        self.update_container(ct, settings, [], [])
        return dict(ct.config)

    def _lock_new_container(self, vmid: int, node: str, replaced: Any, prefix: str) -> Any:
        """create_and_lock_config: other clients see nothing but the lock; a replaced container keeps its lines."""
        if replaced is not None:
            if replaced.lock:
                raise PveError(500, f"{prefix}CT is locked ({replaced.lock})")
            self.set_lock(replaced, "create")
            return replaced
        ct = FakeCt(vmid, node=node, defaults=False)
        ct.born_at = time.monotonic()
        self.set_lock(ct, "create")
        self.cts.append(ct)
        return ct

    def _fill_container(
        self,
        ct: Any,
        replaced: Any,
        config: dict[str, Any],
        mounts: dict[str, str],
        values: dict[str, Any],
        user: str,
        log: list[str],
    ) -> None:
        """The work of the task; a container that was made for it is removed when it fails."""
        made: list[str] = []
        touched = replaced is None
        try:
            archived = self._archived(values, config, mounts, user, log)
            wanted = mounts or self._mounts_of(values["storage"], archived)
            touched = True
            for key, mount in volumes_in(wanted):
                found = NEW_VOLUME.fullmatch(mount["volume"])
                there = self.new_mount(ct.vmid, ct.node, mount, found) if found else mount
                made += [there["volume"]] * bool(found)
                config[key] = print_mount(there, key)
            if replaced is not None:
                self._free_all(replaced, replaced.config)
            self._unpack_template(values, config, archived, user)
        except (PveError, TaskError):
            for volume in made:
                self.free_volume(volume)
            if touched:
                self.forget_guest(ct)
            else:
                self.set_lock(ct, None)
            raise
        config["hostname"] = config.get("hostname") or f"CT{ct.vmid}"
        config["memory"] = config.get("memory") or 512
        config.setdefault("swap", 512)
        ct.snapshots = {}
        self.write_container(ct, Draft(config, {}, set()))
        if archived is not None and archived.get("template"):
            self.make_template(ct)

    def _archived(
        self, values: dict[str, Any], config: dict[str, Any], mounts: dict[str, str], user: str, log: list[str]
    ) -> dict[str, Any] | None:
        """The configuration in the archive that is restored (recover_config)."""
        if not is_true(values.get("restore", 0)):
            return None
        log.append(f"recovering backed-up configuration from '{values['ostemplate']}'")
        self._need_file(str(values["ostemplate"]), values["node"])
        storage, name = volume_ref(str(values["ostemplate"]))
        volume = self.storages[str(storage)]["volumes"][name]
        if volume.get("damaged") == "head":
            raise TaskError("command 'tar xpOf -' failed: exit code 2")
        archived = dict(volume.get("guest") or {})
        # Looked for in what is unpacked, not in the old configuration.
        config.update({key: volume[key] for key in ("ostype", "arch") if key in volume})
        if values.get("unprivileged") is None and archived.get("unprivileged") is not None:
            config["unprivileged"] = archived["unprivileged"]
        if not config.get("unprivileged"):
            self.require(user, "/", "Sys.Modify")
        return archived

    @staticmethod
    def _mounts_of(storage: str, archived: dict[str, Any] | None) -> dict[str, str]:
        """Where no volume is asked for: one of 4 GiB, or those of the archive, all on one storage."""
        if archived is None:
            return {"rootfs": f"{storage}:{DEFAULT_SIZE}"}
        found = {}
        for key, mount in volumes_in(archived):
            if mount_type(mount["volume"]) != "volume":
                raise TaskError(f"restoring '{key}' to {mount_type(mount['volume'])} mount is only possible for root")
            size = (parse_size(mount.pop("size", "4G")) or 0) / 1024**3
            found[key] = print_mount({**mount, "volume": f"{storage}:{size}"}, key)
        if "rootfs" not in found:
            raise TaskError("rootfs configuration could not be recovered, please check and specify manually!")
        return found

    def _unpack_template(
        self, values: dict[str, Any], config: dict[str, Any], archived: dict[str, Any] | None, user: str
    ) -> None:
        template = str(values["ostemplate"])
        self._need_file(template, values["node"])
        if archived is None:
            config["ostype"] = config.get("ostype") or ostype_of(re.sub(r"^.*/(rig|tiny)-", "", template))
            config["arch"] = config.get("arch") or arch_of(template)
            return
        storage, name = volume_ref(template)
        if self.storages[str(storage)]["volumes"][name].get("damaged"):
            raise TaskError("command 'lxc-usernsexec -- tar xpf - --zstd' failed: exit code 2")
        for key, value in archived.items():
            if NOT_RESTORED.fullmatch(key) or (key in config and not (NET_KEY.fullmatch(key) and values.get("unique"))):
                continue
            if key == "features" and user != ROOT and not config.get("unprivileged") and archived.get("unprivileged"):
                continue
            config[key] = value
            if NET_KEY.fullmatch(key):
                self.check_bridges(user, {key: value})
                if values.get("unique"):
                    config[key] = with_new_mac(value)

    def _need_file(self, volume: str, node: str) -> None:
        storage, name = volume_ref(volume)
        if storage is not None and name not in self._volumes_on(storage, node):
            raise TaskError(f"volume '{volume}' does not exist")

    async def _after_creation(self, ct: Any, values: dict[str, Any], user: str, log: list[str]) -> None:
        if values.get("pool"):
            self._pool_join(values["pool"], ct.vmid)
        if values.get("start"):
            # A task of its own, which nobody waits for: its failure is not that of the creation.
            await self.start_container(ct, user)
        if values.get("ha-managed"):
            log.append("Add as HA resource")
            ct.ha_state = "started" if values.get("start") else "stopped"

    async def start_container(self, ct: Any, user: str) -> str:
        raise NotImplementedError

    def make_template(self, ct: Any) -> None:
        raise NotImplementedError

    # ---- destroy

    async def _ct_destroy(self, values: dict[str, Any], user: str) -> str:
        ct = self.find_container(values)
        self._check_destroy(ct, values)
        running = f"unable to destroy CT {ct.vmid} - container is running"
        if ct.status == "running" and not values.get("force"):
            raise PveError(500, running)
        log: list[str] = []

        async def body() -> None:
            found = self.find_container(values)
            self._check_destroy(found, values)
            if found.status == "running":
                if not values.get("force"):
                    raise TaskError(running)
                log.append(f"forced to stop CT {found.vmid} before destroying!")
                self.halt_guest(found)
            self._free_all(found, found.config)
            self._free_all(found, found.pending)
            if values.get("destroy-unreferenced-disks"):
                for volume in self._unreferenced(found.vmid):
                    self.free_volume(volume)
            if values.get("purge"):
                log.append(f"purging CT {found.vmid} from related configurations..")
                if found.ha_managed:
                    log.append(f"NOTE: removed CT {found.vmid} from HA resource configuration.")
            self.forget_guest(found)
            self._fw()["guests"].pop(found.vmid, None)

        return await self.task(ct.node, "vzdestroy", ct.vmid, user, body, vm=ct, log=log)

    def _check_destroy(self, ct: Any, values: dict[str, Any]) -> None:
        self.refuse_protected(ct, f"can't remove CT {ct.vmid}")
        self.refuse_locked_container(ct)
        if ct.ha_managed and not values.get("purge"):
            text = f"unable to remove CT {ct.vmid} - used in HA resources and purge parameter not set."
            raise PveError(500, text)

    def _free_all(self, ct: Any, config: Mapping[str, Any]) -> None:
        deletes_of(ct)
        for volume in dict.fromkeys(mount["volume"] for _key, mount in volumes_in(config, unused=True)):
            if not NEW_VOLUME.fullmatch(volume):
                self.free_own_volume(ct.vmid, volume)

    def _unreferenced(self, vmid: int) -> list[str]:
        return [
            f"{storage}:{name}"
            for storage, store in self.storages.items()
            for name, volume in store.get("volumes", {}).items()
            if volume.get("vmid") == vmid and volume.get("content") in ("images", "rootdir")
        ]

    def size_text(self, volume: str) -> str:
        return str(format_size(self.volume_size(volume)))


def mount_of(config: Mapping[str, Any], key: str) -> dict[str, str]:
    """The parsed mount; a key that is not configured is a format error (parse_volume)."""
    if config.get(key) is None:
        missing = "property is missing and it is not optional"
        fields = {"volume": missing, **({"mp": missing} if key.startswith("mp") else {})}
        raise PveError(500, "format error", fields)
    return parse_mount(config[key])
