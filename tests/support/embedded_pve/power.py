# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starting and stopping VMs (PVE::API2::Qemu vm_start … vm_resume; 30-lifecycle.json)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web
from fakepve import schema as pve_schema
from fakepve.model import PveError, TaskError
from fakepve.qemu import drives_of, volume_ref
from fakepve.server import API, USER, ok

from .base import is_true, missing_config, parameter_error, unfindable
from .create import Create
from .parameters import request_parameters
from .tasks import Tasks

GOT_TIMEOUT = "VM quit/powerdown failed - got timeout"
# What a missing guest is called inside the task; the other actions refuse at once.
MISSING_IN_TASK = {"start": missing_config, "stop": unfindable, "shutdown": unfindable}

# What a saved state of the guest's RAM needs to be loaded again.
RUNNING_STATE = {"runningcpu": "qemu64", "runningmachine": "pc-i440fx-10.2+pve0", "running-nets-host-mtu": ""}


def running_state(vm: Any) -> dict[str, str]:
    nets = [key for key in sorted(vm.config) if re.fullmatch(r"net\d+", key)]
    state = {**RUNNING_STATE, "running-nets-host-mtu": ",".join(f"{key}=1500" for key in nets)}
    return {key: value for key, value in state.items() if value}


class Power(Create, Tasks):
    async def _qemu_list(self, request: Any) -> web.Response:
        """The full list asks QEMU as well (PVE::QemuServer::vmstatus)."""
        if request.query.get("full") != "1":
            plain: web.Response = await super()._qemu_list(request)
            return plain
        node, user = request.match_info["node"], request[USER]
        seen = [vm for vm in self.vms if vm.node == node and self.allowed(user, f"/vms/{vm.vmid}", "VM.Audit")]
        data = [{**self._vm_status(vm, listing=True), "qmpstatus": vm.qmpstatus} for vm in seen]
        return ok(self._complete("/nodes/{node}/qemu", data, node=node))

    async def _status_action(self, request: Any) -> web.Response:
        action, user = request.match_info["action"], request[USER]
        node = request.match_info["node"]
        values = self._verify_action(request, await request_parameters(request))
        vmid = int(values["vmid"])
        self.require(user, f"/vms/{vmid}", "VM.PowerMgmt")
        if values.get("skiplock") and user != "root@pam":
            raise parameter_error(skiplock="Only root may use this option.")
        if action == "start":
            self.need_quorum()
        vm = self.vm(vmid)
        if vm is None or vm.node != node:
            return ok(await self._action_on_nothing(action, node, vmid, user))
        return ok(await getattr(self, "_do_" + action)(vm, user, values))

    def _verify_action(self, request: Any, given: dict[str, Any]) -> dict[str, Any]:
        """The schema names each action; the route's own `action` is no parameter of it."""
        match = self.resolve(request, API)
        values, errors = pve_schema.validate(match.methods["POST"]["parameters"], {**given, **match.params})
        if errors:
            raise parameter_error(**errors)
        return dict(values)

    async def _action_on_nothing(self, action: str, node: str, vmid: int, user: str) -> str:
        text = MISSING_IN_TASK.get(action)
        if text is None:
            raise PveError(500, unfindable(node, vmid))

        async def body() -> None:
            raise TaskError(text(node, vmid))

        return await self.task(node, "qm" + action, vmid, user, body)

    async def _ha_request(self, vm: Any, user: str, state: str) -> str:
        """hastart and hastop only ask; the HA manager acts later."""

        def act() -> None:
            if state != "started":
                self.halt_guest(vm)
            elif self.start_problem(vm) is None:
                self.run_guest(vm)

        return await self._ask_ha(vm, user, state, act)

    async def _ask_ha(self, guest: Any, user: str, state: str, act: Callable[[], None]) -> str:
        async def body() -> None:
            self.tell_ha(guest, state, act)

        verb = "start" if state == "started" else "stop"
        kind = "VM" if self.vm(guest.vmid) else "CT"
        log = [f"Requesting HA {verb} for {kind} {guest.vmid}"]
        return await self.task(guest.node, "ha" + verb, guest.vmid, user, body, lock=False, log=log)

    def tell_ha(self, guest: Any, state: str, act: Callable[[], None]) -> None:
        """Overridden by the HA part."""

    def start_problem(self, vm: Any) -> str | None:
        """Why QEMU would not start: a missing bridge or volume shows only now."""
        for key in sorted(vm.config):
            if re.fullmatch(r"net\d+", key):
                bridge = self.missing_bridge(vm.node, str(vm.config[key]))
                if bridge:
                    return f"bridge '{bridge}' does not exist"
        for _key, volume, _props in drives_of(vm.config):
            storage, _name = volume_ref(volume)
            if storage is not None and not self.volume_exists_here(volume):
                return f"volume '{volume}' does not exist"
        return str(vm.start_error) if vm.start_error else None

    async def _do_start(self, vm: Any, user: str, values: dict[str, Any]) -> str:
        if vm.ha_managed and not vm.template:
            return await self._ha_request(vm, user, "started")

        async def body() -> None:
            if vm.template:
                raise TaskError("you can't start a vm if it's a template")
            self.fail_locked(vm, ("suspended",))
            if vm.status == "running":
                raise TaskError(f"VM {vm.vmid} already running")
            if vm.lock != "suspended":
                # What is pending comes true even when the start fails (94-pending-hotplug: start again).
                self.apply_pending(vm)
            problem = self.start_problem(vm)
            if problem:
                raise TaskError(problem)
            self._wake(vm)

        return await self.task(vm.node, "qmstart", vm.vmid, user, body, vm=vm)

    def _wake(self, vm: Any) -> None:
        if vm.lock == "suspended":
            self.set_lock(vm, None)
            state = vm.config.pop("vmstate", None)
            if state:
                self.free_volume(state)
            for key in RUNNING_STATE:
                vm.config.pop(key, None)
        self.run_guest(vm)

    async def _do_stop(self, vm: Any, user: str, values: dict[str, Any]) -> str:
        if vm.ha_managed:
            return await self._ha_request(vm, user, "stopped")
        if is_true(values.get("overrule-shutdown", 0)):
            await self._overrule_shutdown(vm)

        async def body() -> None:
            if vm.status != "running":
                return
            if not values.get("skiplock"):
                self.fail_locked(vm)
            self.halt_guest(vm)

        return await self.task(vm.node, "qmstop", vm.vmid, user, body, vm=vm)

    async def _overrule_shutdown(self, vm: Any, task_type: str = "qmshutdown") -> None:
        for upid in list(self.running_tasks):
            if f":{task_type}:{vm.vmid}:" in upid:
                self.cancel_task(upid)
        await asyncio.sleep(0)

    def _power_down(self, vm: Any, values: dict[str, Any]) -> str | None:
        """The guest is asked by ACPI; a deaf one is killed only with forceStop."""
        if vm.acpi:
            self.halt_guest(vm)
            return None
        if is_true(values.get("forceStop", 0)):
            self.halt_guest(vm)
            return "VM still running - terminating now with SIGTERM"
        raise TaskError(GOT_TIMEOUT)

    async def _do_shutdown(self, vm: Any, user: str, values: dict[str, Any]) -> str:
        if vm.qmpstatus == "paused":
            if not is_true(values.get("forceStop", 0)):
                raise PveError(500, "VM is paused - cannot shutdown")
            return await self._do_stop(vm, user, {})
        if vm.ha_managed:
            return await self._ha_request(vm, user, "stopped")

        async def body() -> str | None:
            if vm.status != "running":
                return None
            self.fail_locked(vm)
            return self._power_down(vm, values)

        return await self.task(vm.node, "qmshutdown", vm.vmid, user, body, vm=vm)

    async def _do_reboot(self, vm: Any, user: str, values: dict[str, Any]) -> str:
        self._need_running(vm)
        if vm.qmpstatus == "paused":
            raise PveError(500, "VM is paused - cannot shutdown")

        async def body() -> None:
            self.fail_locked(vm)
            if not vm.acpi:
                raise TaskError(GOT_TIMEOUT)
            self.halt_guest(vm)
            if self.start_problem(vm) is None:
                self.run_guest(vm)

        return await self.task(vm.node, "qmreboot", vm.vmid, user, body, vm=vm)

    async def _do_reset(self, vm: Any, user: str, values: dict[str, Any]) -> str:
        self._need_running(vm)

        async def body() -> None:
            self.fail_locked(vm)
            vm.started_at = time.time()

        return await self.task(vm.node, "qmreset", vm.vmid, user, body, vm=vm)

    async def _do_suspend(self, vm: Any, user: str, values: dict[str, Any]) -> str:
        self._need_running(vm)
        to_disk = is_true(values.get("todisk", 0))
        storage = next((volume_ref(v)[0] for _k, v, _p in drives_of(vm.config, skip_cdrom=True)), "local-lvm")
        if to_disk:
            self.require(user, f"/vms/{vm.vmid}", "VM.Config.Disk")
            self.require(user, f"/storage/{storage}", "Datastore.AllocateSpace")

        async def body() -> None:
            self.fail_locked(vm)
            if not to_disk:
                vm.qmpstatus = "paused"
                return
            name = f"state-suspend-{time.strftime('%Y-%m-%d')}"
            vm.config["vmstate"] = self.allocate(str(storage), vm.vmid, 1024**3, vm.node, "raw", name)
            vm.config.update(running_state(vm))
            vm.status = vm.qmpstatus = "stopped"
            self.set_lock(vm, "suspended")

        return await self.task(vm.node, "qmsuspend" if to_disk else "qmpause", vm.vmid, user, body, vm=vm)

    async def _do_resume(self, vm: Any, user: str, values: dict[str, Any]) -> str:
        if vm.lock != "suspended":
            self._need_running(vm)

        async def body() -> None:
            if vm.lock == "suspended":
                self._wake(vm)
            vm.qmpstatus = "running"

        return await self.task(vm.node, "qmresume", vm.vmid, user, body, vm=vm)
