# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The consoles of virtual machines and containers (PVE::API2::Qemu, PVE::API2::LXC)."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from fakepve.model import TaskError

from ..base import is_true
from ..knobs import Knobs
from .core import Opening
from .display import Display, pump
from .gateway import Gateway
from .lines import Line
from .ports import Connection
from .rfb import RfbServer
from .shell import Shell
from .termproxy import Unopenable

VNCTERM_SECONDS = 3600
SERIALS = ("serial0", "serial1", "serial2", "serial3")


def display_of(config: dict[str, Any]) -> str:
    """The type in `vga`."""
    found = re.search(r"(?:^|,)(?:type=)?([a-z0-9-]+)(?:,|$)", str(config.get("vga") or "std"))
    return found.group(1) if found else "std"


@dataclass(frozen=True)
class VncForm:
    websocket: bool
    with_password: bool


class GuestConsoles(Gateway):
    def __init__(self, host: str, port: int, knobs: Knobs) -> None:
        super().__init__(host, port, knobs)
        self.displays: dict[tuple[Any, ...], Display] = {}

    def _routes_embedded_guest_consoles(self) -> list[tuple[str, str, Any]]:
        return [
            ("POST", "/nodes/{node}/lxc/{vmid}/termproxy", self._lxc_termproxy),
            ("POST", "/nodes/{node}/lxc/{vmid}/vncproxy", self._lxc_vncproxy),
        ]

    async def _termproxy(self, request: Any) -> web.Response:
        handler = self._stateful_handler("/nodes/{node}/qemu/{vmid}/termproxy", self._qemu_termproxy)
        return await handler(request)  # type: ignore[no-any-return]

    async def _vncproxy(self, request: Any) -> web.Response:
        handler = self._stateful_handler("/nodes/{node}/qemu/{vmid}/vncproxy", self._qemu_vncproxy)
        return await handler(request)  # type: ignore[no-any-return]

    def guest_opening(self, guest: Any, user: str, key: tuple[Any, ...]) -> Opening:
        record = self.record_of(key)
        return Opening(guest.node, f"/vms/{guest.vmid}", "VM.Console", user, record, self._state_of(guest))

    def _state_of(self, guest: Any) -> Callable[[], object]:
        def state() -> object:
            nodes = {self.local_node, guest.node}
            online = all(self.nodes.get(node, {}).get("online", True) for node in nodes)
            known = guest in self.vms or guest in self.cts
            return known, online, guest.node, guest.status, getattr(guest, "started_at", None)

        return state

    def through_ssh(self, node: str, command: str) -> str:
        if node == self.local_node:
            return command
        return f"/usr/bin/ssh -e none -t {self.address_of(node)} -- {command}"

    # ---- virtual machines

    async def _qemu_termproxy(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        vm = self.find_vm(values["node"], values["vmid"])
        display = display_of(vm.config)
        wanted = values.get("serial") or (display if display in SERIALS else None)
        command = f"/usr/sbin/qm terminal {vm.vmid} -escape 0" + (f" -iface {wanted}" if wanted else "")
        key = ("vm", vm.vmid, wanted or self._first_serial(vm) or "serial0")
        opening = self.guest_opening(vm, user, key)
        command = self.through_ssh(vm.node, command)
        return await self.open_terminal(opening, "vncproxy", vm.vmid, command, lambda: self._qm_terminal(vm, wanted))

    @staticmethod
    def _first_serial(vm: Any) -> str | None:
        return next((name for name in SERIALS if str(vm.config.get(name)) == "socket"), None)

    def _qm_terminal(self, vm: Any, wanted: str | None) -> Line:
        """PVE::CLI::qm terminal, in its order."""
        if wanted and not vm.config.get(wanted):
            raise Unopenable(f"serial interface '{wanted}' is not configured")
        if wanted and str(vm.config[wanted]) != "socket":
            raise Unopenable(f"wrong serial type on interface '{wanted}'")
        name = wanted or self._first_serial(vm)
        if not name:
            raise Unopenable("unable to find a serial interface")
        if vm.status != "running":
            raise Unopenable(f"VM {vm.vmid} not running")
        key = ("vm", vm.vmid, name)
        return self.line_of(key, name, False, vm.started_at, Shell(hostname=str(vm.name)))

    async def _qemu_vncproxy(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        vm = self.find_vm(values["node"], values["vmid"])
        websocket, generate = is_true(values.get("websocket", 0)), is_true(values.get("generate-password", 0))
        serial = display_of(vm.config) in SERIALS
        if serial:
            form = VncForm(websocket, websocket or generate)
            key = ("display", vm.vmid)
            return await self.vncterm(self.guest_opening(vm, user, key), "vncproxy", vm.vmid, str(vm.name), form)
        password = self._new_password()
        hardened = self.console_release.hardened
        opening = self.guest_opening(vm, user, ("display", vm.vmid))

        async def serve(connection: Connection) -> None:
            shown = password if hardened or generate else opening.ticket
            await self._qm_vncproxy(vm, opening, connection, shown, raw=not websocket)

        raw = not websocket or not hardened
        upid = await self.open_console(opening, "vncproxy", vm.vmid, serve, lambda: "connection timed out", raw)
        return self._vnc_answer(opening, upid, password if hardened or generate else None)

    def _new_password(self) -> str:
        return self.knobs.console_password or "".join(chr(random.randint(0x21, 0x60)) for _number in range(8))

    def _vnc_answer(self, opening: Opening, upid: str, password: str | None) -> dict[str, Any]:
        ticket = opening.ticket
        if self.console_release.hardened and password is not None:
            ticket = f"{password}:{ticket}"
        answer = {"user": opening.user, "upid": upid, "port": self.shown_port(opening), "ticket": ticket}
        answer["cert"] = Path(self.certfile).read_text(encoding="ascii") if self.certfile else ""
        return {**answer, **({"password": password} if password is not None else {})}

    def display(self, vmid: int) -> Display:
        key = ("display", vmid)
        if key not in self.displays:
            guest = self.guest(vmid)
            self.displays[key] = Display(f"QEMU ({guest.name})" if guest else str(vmid), self.record_of(key))
        return self.displays[key]

    async def _qm_vncproxy(self, vm: Any, opening: Opening, connection: Connection, password: str, raw: bool) -> None:
        """PVE::CLI::qm vncproxy: it sets the password when the client is there, and lets the bytes through."""
        if raw and not self.console_release.raw_vnc:
            opening.log.append("LC_PVE_TICKET not set, VNC proxy without password is forbidden")
            raise TaskError("Failed to run vncproxy.")
        before = opening.state()
        if vm.status != "running" or display_of(vm.config) == "none":
            raise TaskError("Failed to run vncproxy.")
        display, seconds = self.display(vm.vmid), self.knobs.shortened("console_password_seconds")
        display.set_password(password, seconds)
        if display.backend is None:
            session = RfbServer(display, connection).serve()
        else:
            try:
                session = pump(connection, *await display.backend.connect(password, seconds))
            except OSError as problem:
                opening.log.append(str(problem))
                raise TaskError("Failed to run vncproxy.") from None
        await self._while_there(opening, before, session)

    async def _while_there(self, opening: Opening, before: object, session: Coroutine[Any, Any, None]) -> None:
        tasks = [asyncio.ensure_future(session), asyncio.ensure_future(self._watch(opening, before))]
        try:
            done, _pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def vncterm(
        self, opening: Opening, task_type: str, task_id: Any, named: str, form: VncForm
    ) -> dict[str, Any]:
        """A terminal drawn by vncterm; without a websocket it speaks TLS only."""
        password = self._new_password()
        display = Display(named, opening.record)

        async def serve(connection: Connection) -> None:
            display.set_password(password if form.with_password else opening.ticket, VNCTERM_SECONDS)
            session = RfbServer(display, connection, encrypted=not form.websocket).serve()
            await self._while_there(opening, opening.state(), session)

        def unanswered() -> str:
            options = f"-timeout 10 -authpath {opening.path} -perm Sys.Console"
            return f"command '/usr/bin/vncterm -rfbport {opening.port} {options}' failed: exit code 1"

        upid = await self.open_console(opening, task_type, task_id, serve, unanswered, raw=not form.websocket)
        return self._vnc_answer(opening, upid, password if form.with_password else None)

    # ---- containers

    async def _lxc_termproxy(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        container = self._find_ct(values["node"], values["vmid"])
        opening = self.guest_opening(container, user, ("ct", container.vmid))
        mode = str(container.config.get("cmode", "tty"))
        console = {
            "console": f"lxc-console -n {container.vmid} -e -1 -t 0",
            "shell": f"lxc-attach --clear-env -n {container.vmid}",
        }.get(mode, f"lxc-console -n {container.vmid} -e -1")
        dtach = f"dtach -A /var/run/dtach/vzctlconsole{container.vmid} -r winch -z {console}"
        command = self.through_ssh(container.node, dtach)
        return await self.open_terminal(
            opening, "vncproxy", container.vmid, command, lambda: self._dtach(container, mode), detachable=True
        )

    def _dtach(self, container: Any, mode: str) -> Line:
        if container.status != "running":
            raise Unopenable(f"lxc-console: {container.vmid}: Container is not running")
        name = str(container.config.get("hostname") or container.vmid)
        shell = Shell(prompt=f"root@{name}:~# ", hostname=name, cursor_request=False)
        if mode != "shell":
            shell.users = {"root": str(self.password)}
        line = self.line_of(("ct", container.vmid), "tty1", True, container.status, shell)
        line.starts_with_client = mode == "shell"
        return line

    async def _lxc_vncproxy(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        container = self._find_ct(values["node"], values["vmid"])
        websocket = is_true(values.get("websocket", 0))
        opening = self.guest_opening(container, user, ("display", container.vmid))
        form = VncForm(websocket, websocket and self.console_release.hardened)
        return await self.vncterm(opening, "vncproxy", container.vmid, f"CT {container.vmid}", form)
