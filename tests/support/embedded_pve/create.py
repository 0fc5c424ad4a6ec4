# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making and destroying VMs (PVE::API2::Qemu create_vm and destroy_vm; 20-create, 22-…, 42-destroy-locks)."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from typing import Any

from fakepve.model import FakeVm, PveError, TaskError
from fakepve.qemu import DRIVE_KEY, QEMU_VERSION, boot_order, drives_of, split_drive

from .base import is_true, missing_config, no_quorum_write, parameter_error
from .config import Config
from .options import NOT_OPTIONS_CREATE, check_cpu, in_a_task
from .rights import ROOT
from .values import check_values
from .volumes import UNUSED_KEY


class Create(Config):
    async def _qm_create(self, values: dict[str, Any], user: str) -> str:
        node, vmid = values["node"], int(values["vmid"])
        pool, default = values.get("pool"), values.get("storage")
        self._check_create_privileges(values, user, vmid, pool, default)
        options = {key: value for key, value in values.items() if key not in NOT_OPTIONS_CREATE}
        check_cpu(options)
        check_values(options)
        for key in self.drive_keys(options):
            self.check_drive(user, vmid, key, str(options[key]), default)
        self.need_quorum()
        prefix = f"unable to create VM {vmid} -"
        other = self.guest(vmid)
        if other is not None:
            kind = "VM" if self.vm(vmid) else "CT"
            raise PveError(500, f"{prefix} {kind} {vmid} already exists on node '{other.node}'")
        vm = self.new_guest(vmid, node, str(options.get("name") or f"VM {vmid}"), "create")

        async def body() -> str | None:
            return self._fill(vm, self.normal_options(options), values, prefix, user)

        return await self.task(node, "qmcreate", vmid, user, body, vm=vm)

    def _check_create_privileges(
        self, values: dict[str, Any], user: str, vmid: int, pool: str | None, default: str | None
    ) -> None:
        self._qm_check_pool(pool)
        if default:
            self.require(user, "/storage/" + default, "Datastore.AllocateSpace")
        if is_true(values.get("ha-managed", 0)):
            self.require(user, "/", "Sys.Console")
        if values.get("start"):
            self.check_vm_perm(user, vmid, pool, ("VM.PowerMgmt",))
        if not (
            self.allowed(user, f"/vms/{vmid}", "VM.Allocate")
            or (pool and self.allowed(user, "/pool/" + pool, "VM.Allocate"))
        ):
            # It names neither privilege nor path (10-auth-tokens.json: "no permission: create").
            raise PveError(403, "Permission check failed")
        if values.get("archive"):
            raise PveError(500, f"unable to restore VM {vmid} - restoring an archive is not supported")
        options = {key: values[key] for key in sorted(values) if key not in NOT_OPTIONS_CREATE}
        self.check_settings(user, vmid, pool, options)
        self.check_devices(user, vmid, pool, options, "set")
        if options.get("vmstatestorage"):
            self.require(user, f"/storage/{options['vmstatestorage']}", "Datastore.AllocateSpace")

    def new_guest(self, vmid: int, node: str, name: str, lock: str) -> Any:
        """The half-made guest other clients see while the task runs: nothing but its lock."""
        vm = FakeVm(vmid, name, node=node)
        vm.config.pop("name", None)
        vm.born_at = time.monotonic()
        self.set_lock(vm, lock)
        self.vms.append(vm)
        return vm

    def _fill(self, vm: Any, options: dict[str, Any], values: dict[str, Any], prefix: str, user: str) -> str | None:
        """The work of the create task; the guest is removed when it fails."""
        config = {key: value for key, value in options.items() if not DRIVE_KEY.match(key)}
        made: list[str] = []
        try:
            for key in self.drive_keys(options):
                config[key] = self.realise_drive(vm, key, str(options[key]), values.get("storage"), made)
                vm.config[key] = config[key]
            self.check_new_tags(vm, config, user)
        except (PveError, TaskError) as problem:
            self.discard(vm, made)
            text = in_a_task(problem) if isinstance(problem, PveError) else problem
            raise TaskError(f"{prefix} {text}") from problem
        config["meta"] = f"creation-qemu={QEMU_VERSION},ctime={int(time.time())}"
        config["boot"] = config.get("boot") or boot_order(config) or " "
        config.setdefault("smbios1", f"uuid={uuid.uuid4()}")
        if str(config.get("vmgenid", "1")) == "1":
            config["vmgenid"] = str(uuid.uuid4())
        vm.config = config
        vm.name = config.get("name") or f"VM {vm.vmid}"
        self.set_lock(vm, None)
        if values.get("pool"):
            self._pool_join(values["pool"], vm.vmid)
        if is_true(values.get("ha-managed", 0)):
            vm.ha_state = "started" if values.get("start") else "stopped"
        return self._autostart(vm) if is_true(values.get("start", 0)) else None

    def check_new_tags(self, vm: Any, config: dict[str, Any], user: str) -> None:
        """Only the task looks at the tags, once the disks are made; the guest is not yet in its pool then."""
        if config.get("tags") and user != ROOT:
            self.check_tags(user, vm.vmid, "", str(config["tags"]))

    def _autostart(self, vm: Any) -> str:
        """A create ends OK even when the start fails (20-create.json: create start but start fails)."""
        if self.start_problem(vm) is None:
            self.run_guest(vm)
        return "Execute autostart"

    def start_problem(self, vm: Any) -> str | None:
        """Overridden by the power part."""
        return None

    def discard(self, vm: Any, made: list[str]) -> None:
        for volid in made:
            self.free_volume(volid)
        self.forget_guest(vm)

    # ---- destroy

    async def _qm_destroy(self, values: dict[str, Any], user: str) -> str:
        vm = self.find_vm(values["node"], values["vmid"], missing_config)
        if values.get("skiplock") and user != "root@pam":
            raise parameter_error(skiplock="Only root may use this option.")
        if is_true(vm.config.get("protection", 0)):
            raise PveError(500, f"can't remove VM {vm.vmid} - protection mode enabled")
        if not values.get("purge") and vm.ha_managed:
            text = f"unable to remove VM {vm.vmid} - used in HA resources and purge parameter not set."
            raise PveError(500, text)
        if vm.status == "running":
            raise PveError(500, f"VM {vm.vmid} is running - destroy failed")

        async def body() -> str | None:
            if self.knobs.destroyed_seconds and vm in self.vms and not vm.lock:
                # The disks are gone, and this keeps the number (PVE::API2::Qemu, destroy_vm).
                config, vm.config = vm.config, {}
                self.set_lock(vm, "destroyed")
                await asyncio.sleep(self.knobs.destroyed_seconds)
                self.set_lock(vm, None)
                vm.config = config
            return self._destroy(vm, values)

        return await self.task(vm.node, "qmdestroy", vm.vmid, user, body, vm=vm)

    def _destroy(self, vm: Any, values: dict[str, Any]) -> str | None:
        if not self.quorate:
            raise TaskError(no_quorum_write(vm.vmid, vm.node))
        if vm not in self.vms:
            raise TaskError(missing_config(vm.node, vm.vmid))
        if not values.get("skiplock"):
            self.fail_locked(vm, ("suspended",))
        if vm.status == "running":
            raise TaskError(f"VM {vm.vmid} is running - destroy failed")
        if vm.template:
            for _key, volume, _props in drives_of(vm.config, skip_cdrom=True):
                if self.linked_clones_of(volume):
                    raise TaskError(f"base volume '{volume}' is still in use by linked cloned")
        for volume in self._own_volumes(vm, is_true(values.get("destroy-unreferenced-disks", 0))):
            self.free_volume(volume)
        self.forget_guest(vm)
        self._fw()["guests"].pop(vm.vmid, None)
        if not values.get("purge"):
            return None
        lines = [f"purging VM {vm.vmid} from related configurations.."]
        if vm.ha_managed:
            lines.append(f"NOTE: removed VM {vm.vmid} from HA resource configuration.")
        return "\n".join(lines)

    def _own_volumes(self, vm: Any, unreferenced: bool) -> list[str]:
        """Volumes the destroy takes along: the guest's own, not those of others it mentions."""
        configs = [vm.config, *vm.snapshots.values()]
        found = [volume for config in configs for _key, volume, _props in drives_of(config)]
        found += [split_drive(vm.config[key])[0] for key in vm.config if UNUSED_KEY.fullmatch(key)]
        found += [str(snap["vmstate"]) for snap in vm.snapshots.values() if snap.get("vmstate")]
        own = re.compile(rf"(?:^|[:/])(?:vm|base)-{vm.vmid}-")
        volumes = [volume for volume in found if own.search(volume)]
        if unreferenced:
            for storage, store in self.storages.items():
                for name, volume in store.get("volumes", {}).items():
                    if volume.get("vmid") == vm.vmid and volume.get("content") == "images":
                        volumes.append(f"{storage}:{name}")
        return sorted(set(volumes))
