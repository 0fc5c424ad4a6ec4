# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of a VM: reading it, changing it, and what waits for the next start.

Sources: PVE::API2::Qemu::update_vm_api, PVE::QemuServer::vmconfig_hotplug_pending, 21-config.json.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from fakepve import schema as pve_schema
from fakepve.model import PveError, TaskError
from fakepve.qemu import DRIVE_KEY
from fakepve.server import USER, ok

from .base import is_true, no_quorum_write, parameter_error
from .hotplug import Hotplug
from .options import NOT_OPTIONS, PATH, check_cpu, in_a_task, split_names
from .parameters import request_parameters
from .pending import ConfigChange
from .rights import ROOT, Rights
from .values import check_values
from .volumes import UNUSED_KEY


class Config(Hotplug, Rights):
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
        if shown.get("description") == "":
            # The configuration has no line for an empty text.
            del shown["description"]
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
                item["delete"] = self.delete_mark(vm, key)
            elif key in pending:
                item["pending"] = pending[key]
            items.append(item)
        return ok(items)

    # ---- changing

    async def _config_put(self, request: Any) -> web.Response:
        await self.put_config(self._verify(request, await request_parameters(request)), request[USER])
        return ok()

    async def put_config(self, values: dict[str, Any], user: str) -> None:
        """pveproxy gives up after 30 s, and the change goes on."""
        work = self.in_background(self._under_lock(*self._checked(values, user)))
        try:
            await asyncio.wait_for(asyncio.shield(work), self.knobs.proxy_seconds)
        except TaskError as problem:
            raise PveError(500, str(problem)) from problem
        except TimeoutError as problem:
            raise PveError(596, "Connection timed out") from problem

    async def _config_post(self, request: Any) -> web.Response:
        values = self._verify(request, await request_parameters(request))
        vm, change = self._checked(values, request[USER])

        async def body() -> None:
            try:
                await self._under_lock(vm, change)
            except PveError as problem:
                raise TaskError(in_a_task(problem)) from problem

        shown = [f"-{key} {value}" for key, value in change.values.items()]
        shown += [f"-delete {','.join(change.deletes)}"] * bool(change.deletes) + ["-force 1"] * change.force
        log = [f"update VM {vm.vmid}: {' '.join(shown)}"]
        return ok(await self.task(vm.node, "qmconfig", vm.vmid, request[USER], body, log=log))

    def _checked(self, values: dict[str, Any], user: str) -> tuple[Any, ConfigChange]:
        """Every refusal that comes before the change itself, for PUT and POST alike."""
        changes = {key: value for key, value in values.items() if key not in NOT_OPTIONS}
        deletes, reverts = split_names(values.get("delete")), split_names(values.get("revert"))
        if values.get("skiplock") and user != "root@pam":
            raise parameter_error(skiplock="Only root may use this option.")
        if not changes and not deletes and not reverts:
            raise PveError(500, "no options specified")
        check_cpu(changes)
        check_values(changes)
        self._check_names(changes, deletes, reverts)
        for key in sorted(changes):
            if DRIVE_KEY.match(key):
                self.check_drive(user, int(values["vmid"]), key, str(changes[key]), None)
        vm = self.find(values["node"], int(values["vmid"]))
        self.check_settings(user, vm.vmid, None, [*deletes, *changes])
        self.check_bridges(user, changes)
        if changes.get("vmstatestorage"):
            self.require(user, f"/storage/{changes['vmstatestorage']}", "Datastore.AllocateSpace")
        force, digest = is_true(values.get("force", 0)), str(values.get("digest") or "")
        change = ConfigChange(self.normal_options(changes), deletes, reverts, force, digest, user)
        self._check_digest(vm, change)
        self.refuse_lock_timeout(vm.vmid)
        if not values.get("skiplock"):
            self.refuse_locked(vm)
        if not self.quorate:
            raise PveError(500, no_quorum_write(vm.vmid, vm.node))
        self._check_protection(vm, deletes)
        return vm, change

    def _check_digest(self, vm: Any, change: ConfigChange) -> None:
        if change.digest and change.digest != self.digest_of(vm):
            raise PveError(500, "checksum mismatch (file change by other user?)")

    @staticmethod
    def _check_names(changes: dict[str, Any], deletes: list[str], reverts: list[str]) -> None:
        properties = pve_schema.load().paths[PATH]["PUT"]["parameters"]["properties"]
        for kind, names in (("delete", deletes), ("revert", reverts)):
            for name in names:
                if name in changes:
                    raise parameter_error(delete=f"you can't use '-{name}' and -{kind} {name}' at the same time")
                if pve_schema._prop(properties, name) is None:
                    raise parameter_error(**{kind: f"unknown option '{name}'"})

    def _check_values(self, vm: Any, change: ConfigChange) -> None:
        """The rights that depend on what is there and what is asked for (updatefn): of a POST, the task fails."""
        user, values, deletes = change.user, change.values, change.deletes
        if user == ROOT:
            return
        there = {**vm.config, **{key: value for key, value in vm.pending.items() if value is not None}}
        old = {key: there[key] for key in [*values, *deletes] if key in there}
        for options in (old, values):
            for key in self.drive_keys(options):
                self.check_drive_change(user, vm.vmid, str(options[key]))
        self.check_devices(user, vm.vmid, None, {key: value for key, value in old.items() if key in deletes}, "delete")
        self.check_devices(user, vm.vmid, None, {k: v for k, v in old.items() if k not in deletes}, "modify")
        self.check_devices(user, vm.vmid, None, values, "modify")
        if any(UNUSED_KEY.fullmatch(key) for key in deletes):
            self.check_vm_perm(user, vm.vmid, None, ("VM.Config.Disk",))
        if "tags" in values or "tags" in deletes:
            self.check_tags(user, vm.vmid, str(old.get("tags") or ""), str(values.get("tags") or ""))

    @staticmethod
    def _check_protection(vm: Any, deletes: list[str]) -> None:
        for key in deletes:
            if (DRIVE_KEY.match(key) or UNUSED_KEY.fullmatch(key)) and is_true(vm.config.get("protection", 0)):
                raise PveError(500, f"can't remove drive '{key}' - protection mode enabled")

    async def _under_lock(self, vm: Any, change: ConfigChange) -> None:
        await self.acquire(vm, "config")
        try:
            self._check_digest(vm, change)
            self._check_values(vm, change)
            if vm.status == "running" and self.knobs.hotplug_seconds:
                await asyncio.sleep(self.knobs.hotplug_seconds)
            self.change_config(vm, change)
        finally:
            self.release(vm, "config")
