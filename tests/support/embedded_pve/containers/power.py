# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starting and stopping containers, and what they say of themselves (PVE::API2::LXC::Status; 95-containers.json)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fakepve.model import PveError, TaskError
from fakepve.qemu import volume_ref

from ..base import is_true, parameter_error
from .clone import ContainerClone
from .values import NET_KEY, mount_type, parse_net, volumes_in

DEFAULT_SHUTDOWN_SECONDS = 60
CHECKPOINT = "command 'lxc-checkpoint -n {vmid} {how} -D /var/lib/vz/dump' failed: exit code 1"
LOOPBACK = {
    "name": "lo",
    "hwaddr": "00:00:00:00:00:00",
    "hardware-address": "00:00:00:00:00:00",
    "inet": "127.0.0.1/8",
    "inet6": "::1/128",
    "ip-addresses": [
        {"ip-address-type": "inet", "ip-address": "127.0.0.1", "prefix": "8"},
        {"ip-address-type": "inet6", "ip-address": "::1", "prefix": "128"},
    ],
}


class ContainerPower(ContainerClone):
    def _routes_embedded_container_power(self) -> list[tuple[str, str, Any]]:
        status = "/nodes/{node}/lxc/{vmid}/status/"
        named = ("start", "stop", "shutdown", "reboot", "suspend", "resume")
        actions = [("POST", status + name, getattr(self, f"_ct_{name}")) for name in named]
        return [
            *actions,
            ("GET", status + "current", self._ct_current),
            ("GET", "/nodes/{node}/lxc", self._ct_list),
            ("GET", "/nodes/{node}/lxc/{vmid}/interfaces", self._ct_interfaces),
        ]

    # ---- a container among the guests

    def apply_pending(self, vm: Any, problems: dict[str, str] | None = None) -> None:
        if vm in self.cts:
            self.apply_container(vm)
        else:
            super().apply_pending(vm, problems)

    def regenerate_cloudinit(self, vm: Any) -> None:
        if vm not in self.cts:
            super().regenerate_cloudinit(vm)

    def run_guest(self, vm: Any) -> None:
        super().run_guest(vm)
        if vm in self.cts:
            vm.pid = next(self._ct_pids)

    def halt_guest(self, vm: Any) -> None:
        super().halt_guest(vm)
        if vm in self.cts:
            vm.pid = None

    def start_problem(self, vm: Any) -> str | None:
        if vm not in self.cts:
            return super().start_problem(vm)
        try:
            self.refuse_bad_cards(vm)
        except PveError as problem:
            return str(problem.message)
        for _key, mount in volumes_in(vm.config):
            storage = volume_ref(mount["volume"])[0] if mount_type(mount["volume"]) == "volume" else None
            if storage is not None and not self.volume_exists_here(mount["volume"]):
                return f"volume '{mount['volume']}' does not exist"
        return str(vm.start_error) if vm.start_error else None

    def usage_of(self, vm: Any) -> dict[str, Any]:
        if vm not in self.cts:
            return super().usage_of(vm)
        status = self._status(vm)
        usage = {"maxcpu": self._cpus(vm)}
        counted = ("cpu", "mem", "maxmem", "disk", "maxdisk", "uptime", "netin", "netout", "diskread", "diskwrite")
        return {**usage, **{name: status[name] for name in counted}}

    async def _ct_ha(self, ct: Any, user: str, state: str, timeout: int | None = None) -> str:
        return await self._ha_request(ct, user, state)

    # ---- actions

    @staticmethod
    def _checked_skiplock(values: dict[str, Any], user: str) -> bool:
        if values.get("skiplock") and user != "root@pam":
            raise parameter_error(skiplock="Only root may use this option.")
        return is_true(values.get("skiplock", 0))

    def _here_and_running(self, values: dict[str, Any]) -> Any:
        ct = self.ct(int(values["vmid"]))
        return ct if ct is not None and ct.node == values["node"] and ct.status == "running" else None

    def _need_running_container(self, values: dict[str, Any], kind: str = "CT") -> Any:
        ct = self._here_and_running(values)
        if ct is None:
            raise PveError(500, f"{kind} {values['vmid']} not running")
        return ct

    def _refuse_running(self, values: dict[str, Any]) -> None:
        if self._here_and_running(values) is not None:
            raise PveError(500, f"CT {values['vmid']} already running")

    async def _act(
        self, name: str, values: dict[str, Any], user: str, work: Callable[[Any], Awaitable[str | None]], ct: Any
    ) -> str:
        """A task, which looks for the container itself."""

        async def body() -> str | None:
            return await work(self.find_container(values))

        return await self.task(values["node"], name, values["vmid"], user, body, vm=ct)

    async def _ct_start(self, values: dict[str, Any], user: str) -> str:
        skiplock = self._checked_skiplock(values, user)
        self._refuse_running(values)
        self.need_quorum()
        ct = self.ct(int(values["vmid"]))
        if ct is not None and ct.node == values["node"] and ct.ha_managed:
            return await self._ha_request(ct, user, "started")

        async def work(found: Any) -> None:
            self._start_now(found, skiplock)

        return await self._act("vzstart", values, user, work, ct)

    async def start_container(self, ct: Any, user: str) -> str:
        async def body() -> None:
            self._start_now(ct, False)

        return await self.task(ct.node, "vzstart", ct.vmid, user, body, vm=ct, lock=False)

    def _start_now(self, ct: Any, skiplock: bool) -> None:
        if ct.template:
            raise TaskError("you can't start a CT if it's a template")
        if not skiplock:
            self.refuse_locked_container(ct, "mounted")
        if ct.config.get("unprivileged") and any(mount.get("quota") == "1" for _key, mount in volumes_in(ct.config)):
            raise TaskError("Quotas are not supported by unprivileged containers.")
        self.apply_container(ct)
        problem = self.start_problem(ct)
        if problem:
            raise TaskError(problem)
        self.run_guest(ct)

    async def _ct_stop(self, values: dict[str, Any], user: str) -> str:
        skiplock = self._checked_skiplock(values, user)
        ct = self._need_running_container(values)
        if ct.ha_managed:
            if values.get("overrule-shutdown"):
                raise parameter_error(**{"overrule-shutdown": "Not applicable for HA resources."})
            return await self._ha_request(ct, user, "stopped")
        if is_true(values.get("overrule-shutdown", 0)):
            await self._overrule_shutdown(ct, "vzshutdown")

        async def work(found: Any) -> None:
            if not skiplock:
                self.refuse_locked_container(found, "mounted")
            if found.status == "running":
                self.halt_guest(found)

        return await self._act("vzstop", values, user, work, ct)

    def _end_container(self, ct: Any, seconds: float, kill: bool) -> None:
        """The container ends within the seconds, or is killed where that is asked for."""
        if getattr(ct, "shutdown_secs", 0) > seconds and not kill:
            raise TaskError("container did not stop")
        self.halt_guest(ct)

    async def _ct_powerdown(self, ct: Any, timeout: float, force: bool) -> None:
        """Of a move to another node."""
        self._end_container(ct, timeout, force)

    async def _ct_shutdown(self, values: dict[str, Any], user: str) -> str:
        ct = self._need_running_container(values)
        if ct.ha_managed:
            return await self._ha_request(ct, user, "stopped")
        seconds = values["timeout"] if values.get("timeout") is not None else DEFAULT_SHUTDOWN_SECONDS

        async def work(found: Any) -> None:
            self.refuse_locked_container(found)
            if found.status == "running":
                self._end_container(found, float(seconds), is_true(values.get("forceStop", 0)))

        return await self._act("vzshutdown", values, user, work, ct)

    async def _ct_reboot(self, values: dict[str, Any], user: str) -> str:
        # PVE's own word.
        ct = self._need_running_container(values, "VM")

        async def work(found: Any) -> None:
            if found.status == "running":
                self._end_container(found, 0, kill=True)
                self._start_now(found, skiplock=True)

        return await self._act("vzreboot", values, user, work, ct)

    async def _ct_suspend(self, values: dict[str, Any], user: str) -> str:
        ct = self._need_running_container(values)

        async def work(found: Any) -> None:
            self.refuse_locked_container(found)
            raise TaskError(CHECKPOINT.format(vmid=found.vmid, how="-s"))

        return await self._act("vzsuspend", values, user, work, ct)

    async def _ct_resume(self, values: dict[str, Any], user: str) -> str:
        self._refuse_running(values)

        async def body() -> None:
            raise TaskError(CHECKPOINT.format(vmid=values["vmid"], how="-r --foreground"))

        return await self.task(values["node"], "vzresume", values["vmid"], user, body)

    # ---- what is seen

    def _cpus(self, ct: Any) -> Any:
        return ct.config.get("cores") or ct.config.get("cpulimit") or int(self._facts(ct.node)["maxcpu"])

    async def _ct_list(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        here = [ct for ct in self.cts if ct.node == values["node"]]
        return [self._status(ct) for ct in here if self.allowed(user, f"/vms/{ct.vmid}", "VM.Audit")]

    async def _ct_current(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        ct = self.find_container(values)
        return {**self._status(ct), "ha": {"managed": 1, "state": ct.ha_state} if ct.ha_managed else {"managed": 0}}

    async def _ct_interfaces(self, values: dict[str, Any], user: str) -> list[dict[str, Any]] | None:
        """`ip a` in the container's network; nothing of one that does not run, or is not there."""
        ct = self._here_and_running(values)
        if ct is None:
            return None
        cards = [parse_net(ct.config[key]) for key in sorted(ct.config) if NET_KEY.fullmatch(key)]
        return [LOOPBACK, *(_interface(card) for card in cards)]


def _interface(card: dict[str, str]) -> dict[str, Any]:
    mac = card["hwaddr"].lower()
    item: dict[str, Any] = {"name": card.get("name", "eth0"), "hwaddr": mac, "hardware-address": mac}
    link_local = f"{_link_local(mac)}/64"
    found = [("inet", card.get("ip", "")), ("inet6", card.get("ip6", "")), ("inet6", link_local)]
    addresses = [(family, text) for family, text in found if "/" in text]
    for family, text in addresses:
        # The last one of a family wins, as in PVE::LXC get_interfaces.
        item[family] = text
    item["ip-addresses"] = [
        {"ip-address-type": family, "ip-address": text.partition("/")[0], "prefix": text.partition("/")[2]}
        for family, text in addresses
    ]
    return item


def _link_local(mac: str) -> str:
    octets = [int(part, 16) for part in mac.split(":")]
    octets[0] ^= 2
    words = [octets[0] << 8 | octets[1], octets[2] << 8 | 0xFF, 0xFE00 | octets[3], octets[4] << 8 | octets[5]]
    return "fe80::" + ":".join(f"{word:x}" for word in words)
