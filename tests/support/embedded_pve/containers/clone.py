# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clones and templates of containers (PVE::API2::LXC clone_vm and template; 95b-containers-clone-locks.json)."""

from __future__ import annotations

import time
from typing import Any

from fakepve.lxc import FakeCt
from fakepve.model import PveError, TaskError
from fakepve.qemu import volume_ref
from fakepve.routing import die

from ..options import in_a_task
from .pending import Draft
from .values import MOUNT_KEY, NET_KEY, UNUSED_KEY, mount_type, parse_mount, print_mount, with_new_mac
from .volumes import ContainerVolumes

NOT_CLONED = frozenset(("snapshots", "parent", "snaptime", "snapstate", "pending", "template", "lock", "description"))


class ContainerClone(ContainerVolumes):
    def _routes_embedded_container_clone(self) -> list[tuple[str, str, Any]]:
        one = "/nodes/{node}/lxc/{vmid}"
        return [("POST", one + "/clone", self._ct_clone), ("POST", one + "/template", self._ct_template)]

    async def _ct_clone(self, values: dict[str, Any], user: str) -> str:
        node, newid, target, storage = values["node"], int(values["newid"]), values.get("target"), values.get("storage")
        self._qm_check_pool(values.get("pool"))
        target = None if target in (node, "localhost") else target
        if target and target not in self.nodes:
            raise die(f"no such cluster node '{target}'")
        if storage:
            self._active_store(storage, node)
            if target and not self.storages[storage].get("shared"):
                raise die(f"can't clone to non-shared storage '{storage}'")
        self.need_quorum()
        source = self.find_container(values)
        self.refuse_lock_timeout(source.vmid)
        self.refuse_locked_container(source)
        self._check_vmid_unused(newid)
        config, mounts, full = self._plan_clone(source, values, user, target)
        # The source is locked as well; the new one shows everything but its volumes.
        self.set_lock(source, "disk")
        new = FakeCt(newid, node=node, defaults=False)
        new.born_at = time.monotonic()
        self.cts.append(new)
        self.write_container(new, Draft({**config, "lock": "create"}, {}, set()))
        log = [f"creating a clone of container {source.vmid} with ID {newid}"]

        async def body() -> None:
            try:
                self._copy_volumes(new, mounts, storage, full, log)
                if values.get("pool"):
                    self._pool_join(values["pool"], newid)
            except (PveError, TaskError) as problem:
                self.forget_guest(new)
                text = in_a_task(problem) if isinstance(problem, PveError) else problem
                raise TaskError(f"clone failed: {text}") from problem
            self.set_lock(new, None)
            new.node = target or node

        new.clone_of = source
        return await self.task(node, "vzclone", source.vmid, user, body, vm=new, lock=False, log=log)

    async def _run(self, record: dict[str, Any], body: Any, lock_guest: Any, guest: Any, seconds: float) -> None:
        """However such a task ends, it unlocks the container it reads from; only a KILL leaves the lock."""
        await super()._run(record, body, lock_guest, guest, seconds)
        source = getattr(guest, "clone_of", guest)
        if record["type"] in ("vzclone", "move_volume") and source.lock == "disk" and record["upid"] not in self.killed:
            self.set_lock(source, None)

    def _plan_clone(
        self, source: Any, values: dict[str, Any], user: str, target: str | None
    ) -> tuple[dict[str, Any], dict[str, dict[str, str]], bool]:
        """The clone's configuration without volumes, the source's volumes, and whether they are copied."""
        storage, snapname = values.get("storage"), values.get("snapname")
        full = bool(values["full"]) if values.get("full") is not None else not source.template
        if storage and not full:
            raise die("parameter 'storage' not allowed for linked clones")
        if snapname and snapname not in source.snapshots:
            raise die(f"snapshot '{snapname}' does not exist")
        old = source.snapshots[snapname] if snapname else source.config
        config: dict[str, Any] = {}
        mounts: dict[str, dict[str, str]] = {}
        for key in sorted(old):
            if UNUSED_KEY.fullmatch(key):
                continue
            if MOUNT_KEY.fullmatch(key):
                mounts[key] = self._clonable(source, key, old[key], full, values, user)
            elif NET_KEY.fullmatch(key):
                config[key] = with_new_mac(old[key])
                self.check_bridges(user, {key: config[key]})
            elif key not in NOT_CLONED or (key == "description" and not snapname):
                config[key] = old[key]
        local = [mount for mount in mounts.values() if not self._is_shared(storage or volume_ref(mount["volume"])[0])]
        if target and local:
            raise die(f"can't clone CT to node '{target}' (CT uses local storage)")
        given = {key: values[key] for key in ("hostname", "description") if values.get(key)}
        return {**config, **given}, mounts, full

    def _is_shared(self, storage: str | None) -> bool:
        return bool(self.storages.get(str(storage), {}).get("shared"))

    def _clonable(
        self, source: Any, key: str, value: Any, full: bool, values: dict[str, Any], user: str
    ) -> dict[str, str]:
        mount, snapname = parse_mount(value), values.get("snapname")
        kind = mount_type(mount["volume"])
        if kind != "volume":
            raise die(f"unable to clone mountpoint '{key}' (type {kind})")
        storage = str(values.get("storage") or volume_ref(mount["volume"])[0])
        self._store(storage)
        self.require(user, f"/storage/{storage}", "Datastore.AllocateSpace")
        if full and source.status == "running" and not snapname:
            raise die("Full clone of a running container is only possible from a snapshot")
        if not full and not self._volume_has("clone", mount["volume"], snapname):
            raise die(f"Linked clone feature for '{mount['volume']}' is not available")
        return mount

    def _copy_volumes(
        self, new: Any, mounts: dict[str, dict[str, str]], storage: str | None, full: bool, log: list[str]
    ) -> None:
        """PVE takes them in no order (Perl's hashes)."""
        made: list[str] = []
        try:
            for key, mount in mounts.items():
                volume = mount["volume"]
                log.append(
                    f"create {'full clone of mountpoint' if full else 'linked clone of mount point'} {key} ({volume})"
                )
                if full:
                    copy = self.copy_volume(new, volume, str(storage or volume_ref(volume)[0]), mount)
                else:
                    copy = self._linked(new, volume)
                made.append(copy)
                new.config[key] = print_mount({**mount, "volume": copy, "size": self.size_text(copy)}, key)
        except (PveError, TaskError):
            for volume in made:
                self.free_volume(volume)
            raise

    def _linked(self, new: Any, volume: str) -> str:
        storage, name = volume_ref(volume)
        base = self.base_in_name(str(storage), name)
        return self.allocate_root(str(storage), new.vmid, self.volume_size(volume), new.node, base=base)

    async def _ct_template(self, values: dict[str, Any], user: str) -> None:
        """There is a task, and its UPID is not in the answer (PVE::API2::LXC template returns undef)."""
        ct = self.find_container(values)
        self.refuse_lock_timeout(ct.vmid)
        self.refuse_locked_container(ct)
        if ct.snapshots:
            raise die("unable to create template, because CT contains snapshots")
        if ct.template:
            raise die("you can't convert a template to a template")
        if ct.status == "running":
            raise die("you can't convert a CT to template if the CT is running")

        async def body() -> None:
            self.make_template(ct)

        await self.task(ct.node, "vztemplate", ct.vmid, user, body, vm=ct, lock=False)

    def make_template(self, ct: Any) -> None:
        for key in [key for key in ct.config if MOUNT_KEY.fullmatch(key)]:
            mount = parse_mount(ct.config[key])
            if mount_type(mount["volume"]) != "volume":
                raise TaskError(f"Template feature is not available for '{mount['volume']}'")
            ct.config[key] = print_mount({**mount, "volume": self.rename_to_base(mount["volume"])}, key)
        ct.config["template"] = 1
