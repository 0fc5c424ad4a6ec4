# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of a VM: reading it, changing it, and what waits for the next start.

Sources: PVE::API2::Qemu::update_vm_api, PVE::QemuServer::vmconfig_hotplug_pending, 21-config.json.
"""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web
from fakepve import schema as pve_schema
from fakepve.model import PveError, TaskError
from fakepve.qemu import DRIVE_KEY, is_cdrom, split_drive
from fakepve.server import USER, ok

from .base import EmbeddedBase, is_true, no_quorum_write, parameter_error
from .options import (
    AT_ONCE,
    DEFAULT_HOTPLUG,
    HOTPLUG_BRIDGE,
    HOTPLUG_FEATURES,
    NOT_OPTIONS,
    PATH,
    ROOT_ONLY,
    SPLIT,
    check_cpu,
    in_a_task,
    normal_options,
    same_volume,
    split_names,
)
from .parameters import request_parameters
from .volumes import UNUSED_KEY, Volumes, is_cloudinit


class Config(Volumes, EmbeddedBase):
    # ---- reading

    async def _config_get(self, request: Any) -> web.Response:
        """Pending values merged in, unless current=1."""
        values = self._verify(request, await request_parameters(request))
        vm = self._vm(request, "VM.Audit")
        if values.get("snapshot"):
            if values["snapshot"] not in vm.snapshots:
                raise PveError(500, f"snapshot '{values['snapshot']}' does not exist")
            config = dict(vm.snapshots[values["snapshot"]])
        else:
            config = dict(vm.config)
            for key, value in {} if values.get("current") else vm.pending.items():
                if value is None:
                    config.pop(key, None)
                else:
                    config[key] = value
        return ok(dict(self._shown(config), digest=self.digest_of(vm)))

    @staticmethod
    def _shown(config: dict[str, Any]) -> dict[str, Any]:
        shown = dict(config)
        if "memory" in shown:
            shown["memory"] = str(shown["memory"])
        if "cipassword" in shown:
            shown["cipassword"] = "*" * 10
        return shown

    async def _pending(self, request: Any) -> web.Response:
        vm = self._vm(request, "VM.Audit")
        config, pending = self._shown(vm.config), self._shown(vm.pending)
        items: list[dict[str, Any]] = [{"key": "digest", "value": self.digest_of(vm)}]
        for key in sorted(set(config) | set(pending)):
            item: dict[str, Any] = {"key": key}
            if key in config:
                item["value"] = config[key]
            if key in pending and pending[key] is None:
                item["delete"] = 1
            elif key in pending:
                item["pending"] = pending[key]
            items.append(item)
        return ok(items)

    # ---- changing

    async def _config_put(self, request: Any) -> web.Response:
        vm, changes, deletes, reverts = await self._checked(request)
        try:
            await self._under_lock(vm, changes, deletes, reverts)
        except TaskError as problem:
            raise PveError(500, str(problem)) from problem
        return ok()

    async def _config_post(self, request: Any) -> web.Response:
        vm, changes, deletes, reverts = await self._checked(request)

        async def body() -> None:
            try:
                await self._under_lock(vm, changes, deletes, reverts)
            except PveError as problem:
                raise TaskError(in_a_task(problem)) from problem

        shown = [f"-{key} {value}" for key, value in changes.items()] + [f"-delete {','.join(deletes)}"] * bool(deletes)
        log = [f"update VM {vm.vmid}: {' '.join(shown)}"]
        return ok(await self.task(vm.node, "qmconfig", vm.vmid, request[USER], body, log=log))

    async def _checked(self, request: Any) -> tuple[Any, dict[str, Any], list[str], list[str]]:
        """Every refusal that comes before the change itself, for PUT and POST alike."""
        user = request[USER]
        values = self._verify(request, await request_parameters(request))
        changes = {key: value for key, value in values.items() if key not in NOT_OPTIONS}
        deletes, reverts = split_names(values.get("delete")), split_names(values.get("revert"))
        if values.get("skiplock") and user != "root@pam":
            raise parameter_error(skiplock="Only root may use this option.")
        if not changes and not deletes and not reverts:
            raise PveError(500, "no options specified")
        check_cpu(changes)
        self._check_names(changes, deletes, reverts)
        for key in sorted(changes):
            if DRIVE_KEY.match(key):
                self.check_drive(user, int(values["vmid"]), key, str(changes[key]), None)
        vm = self._vm(request)
        self._check_privileges(user, vm.vmid, changes, deletes)
        if values.get("digest") and values["digest"] != self.digest_of(vm):
            raise PveError(500, "checksum mismatch (file change by other user?)")
        self.refuse_lock_timeout(vm.vmid)
        if not values.get("skiplock"):
            self.refuse_locked(vm)
        if not self.quorate:
            raise PveError(500, no_quorum_write(vm.vmid, vm.node))
        self._check_protection(vm, deletes)
        return vm, normal_options(changes), deletes, reverts

    @staticmethod
    def _check_names(changes: dict[str, Any], deletes: list[str], reverts: list[str]) -> None:
        properties = pve_schema.load().paths[PATH]["PUT"]["parameters"]["properties"]
        for kind, names in (("delete", deletes), ("revert", reverts)):
            for name in names:
                if name in changes:
                    raise parameter_error(**{kind: f"you can't use '-{name}' and -{kind} {name}' at the same time"})
                if pve_schema._prop(properties, name) is None:
                    raise parameter_error(**{kind: f"unknown option '{name}'"})

    def _check_privileges(self, user: str, vmid: int, changes: dict[str, Any], deletes: list[str]) -> None:
        for key in [*changes, *deletes]:
            if key in ROOT_ONLY:
                if user != "root@pam":
                    raise PveError(500, f"only root can set '{key}' config")
            elif key.startswith("ide") and "media=cdrom" in str(changes.get(key, "")):
                self.require(user, f"/vms/{vmid}", "VM.Config.CDROM")
            else:
                self.require(user, f"/vms/{vmid}", self._config_priv(key))

    @staticmethod
    def _check_protection(vm: Any, deletes: list[str]) -> None:
        for key in deletes:
            if (DRIVE_KEY.match(key) or UNUSED_KEY.fullmatch(key)) and is_true(vm.config.get("protection", 0)):
                raise PveError(500, f"can't remove drive '{key}' - protection mode enabled")

    async def _under_lock(self, vm: Any, changes: dict[str, Any], deletes: list[str], reverts: list[str]) -> None:
        await self.acquire(vm, "config")
        try:
            self._change(vm, changes, deletes, reverts)
        finally:
            self.release(vm, "config")

    def _change(self, vm: Any, changes: dict[str, Any], deletes: list[str], reverts: list[str]) -> None:
        for key in reverts:
            value = vm.pending.pop(key, None)
            if value and DRIVE_KEY.match(key) and str(value) != str(vm.config.get(key)):
                self.free_volume(split_drive(value)[0])
        self._check_boot_order(vm, changes, deletes)
        new = dict(changes)
        made: list[str] = []
        try:
            for key in self.drive_keys(changes):
                new[key] = self.realise_drive(vm, key, str(changes[key]), None, made)
        except TaskError:
            for volid in made:
                self.free_volume(volid)
            raise
        self._extend_boot_order(vm, new, deletes)
        problems: dict[str, str] = {}
        for key in deletes:
            self._delete_option(vm, key, problems)
        for key, value in new.items():
            self._set_option(vm, key, value, problems)
        self._rename(vm)
        if problems:
            raise parameter_error(**problems)

    @staticmethod
    def _check_boot_order(vm: Any, changes: dict[str, Any], deletes: list[str]) -> None:
        order = str(changes.get("boot", ""))
        if not order.startswith("order="):
            return
        known = {**vm.config, **{key: value for key, value in vm.pending.items() if value}, **changes}
        for device in SPLIT.split(order.removeprefix("order=")):
            if device and (device not in known or device in deletes):
                raise parameter_error(boot=f"invalid bootorder: device '{device}' does not exist'")

    @staticmethod
    def _extend_boot_order(vm: Any, new: dict[str, Any], deletes: list[str]) -> None:
        """A deleted device leaves the boot order; a new CD drive joins it (update_vm_api)."""
        boot = str(vm.pending.get("boot") or vm.config.get("boot") or "")
        if "boot" in new or not boot.startswith("order="):
            return
        order = [device for device in boot.removeprefix("order=").split(";") if device]
        kept = [device for device in order if device not in deletes]
        for key in sorted(new):
            volume, props = split_drive(new[key]) if DRIVE_KEY.match(key) else ("", {})
            if is_cdrom(volume, props) and not is_cloudinit(volume) and key not in kept:
                kept.append(key)
        if kept != order:
            new["boot"] = "order=" + ";".join(kept)

    def _delete_option(self, vm: Any, key: str, problems: dict[str, str]) -> None:
        if key not in vm.config and key not in vm.pending:
            return
        if UNUSED_KEY.fullmatch(key):
            self.free_volume(split_drive(vm.config.pop(key))[0])
            return
        if key in vm.pending and key not in vm.config:
            value = vm.pending.pop(key)
            if DRIVE_KEY.match(key):
                self.free_volume(split_drive(value)[0])
            return
        if vm.status == "running" and not self._plugs_at_once(vm, key, None):
            vm.pending[key] = None
            return
        if vm.status == "running" and DRIVE_KEY.match(key) and getattr(vm, "refuses_unplug", False):
            vm.pending[key] = None
            device = "virtio" + key
            problems[key] = f"hotplug problem - error on hot-unplugging device '{device}' - still busy in guest?\n"
            return
        vm.pending.pop(key, None)
        self.take_out(vm, key)

    def take_out(self, vm: Any, key: str) -> None:
        """Remove an option; a disk becomes the next unusedN, a cloud-init drive is freed."""
        value = vm.config.pop(key)
        if not DRIVE_KEY.match(key):
            return
        volume, props = split_drive(value)
        if is_cloudinit(volume):
            self.free_volume(volume)
        elif ":" in volume and not is_cdrom(volume, props):
            self.keep_unused(vm, volume)

    def keep_unused(self, vm: Any, volume: str) -> None:
        taken = [str(value) for key, value in vm.config.items() if UNUSED_KEY.fullmatch(key)]
        still_used = any(split_drive(vm.config[key])[0] == volume for key in self.drive_keys(vm.config))
        if volume not in taken and not still_used:
            vm.config[self.next_unused(vm.config)] = volume

    def _set_option(self, vm: Any, key: str, value: Any, problems: dict[str, str]) -> None:
        if vm.status == "running" and str(vm.config.get(key)) == str(value):
            vm.pending.pop(key, None)
            return
        if vm.status == "running" and re.fullmatch(r"net\d+", key) and self.missing_bridge(vm.node, str(value)):
            vm.pending[key] = value
            text = f"VM {vm.vmid} qmp command 'netdev_add' failed - {HOTPLUG_BRIDGE}"
            problems[key] = f"hotplug problem - {text}\n"
            return
        if vm.status == "running" and not self._plugs_at_once(vm, key, value):
            vm.pending[key] = value
            return
        vm.pending.pop(key, None)
        self.store_option(vm, key, value)

    def store_option(self, vm: Any, key: str, value: Any) -> None:
        old = vm.config.get(key)
        vm.config[key] = value
        if old is not None and DRIVE_KEY.match(key):
            volume, props = split_drive(old)
            if volume != split_drive(value)[0] and ":" in volume and not is_cdrom(volume, props):
                self.keep_unused(vm, volume)
        if DRIVE_KEY.match(key):
            self._no_longer_unused(vm, split_drive(value)[0])

    @staticmethod
    def _no_longer_unused(vm: Any, volume: str) -> None:
        for key in [key for key in vm.config if UNUSED_KEY.fullmatch(key)]:
            if split_drive(vm.config[key])[0] == volume:
                del vm.config[key]

    def apply_pending(self, vm: Any) -> None:
        pending, vm.pending = vm.pending, {}
        for key, value in pending.items():
            if value is not None:
                self.store_option(vm, key, value)
            elif key in vm.config:
                self.take_out(vm, key)

    @staticmethod
    def _plugs_at_once(vm: Any, key: str, value: Any) -> bool:
        """Does a running guest take this change at once (vmconfig_hotplug_pending)?"""
        old = str(vm.config.get(key, ""))
        if AT_ONCE.fullmatch(key) or UNUSED_KEY.fullmatch(key):
            return True
        if key == "balloon":
            return bool(int(str(value or 0))) == bool(int(str(vm.config.get("balloon", 1))))
        if value is not None and "media=cdrom" in old and "media=cdrom" in str(value):
            return True
        feature = next((name for pattern, name in HOTPLUG_FEATURES if re.fullmatch(pattern, key)), None)
        if feature not in split_names(vm.config.get("hotplug", DEFAULT_HOTPLUG)):
            return False
        return feature != "disk" or value is None or not old or same_volume(old, str(value))

    def _rename(self, vm: Any) -> None:
        self.note_rename(vm, str(vm.config.get("name") or f"VM {vm.vmid}"))

    def note_rename(self, vm: Any, name: str) -> None:
        """Overridden by the cluster part, which shows the old name for a while."""
        vm.name = name

    def missing_bridge(self, node: str, net: str) -> str | None:
        """Overridden by the cluster part, which knows each node's bridges."""
        return None
