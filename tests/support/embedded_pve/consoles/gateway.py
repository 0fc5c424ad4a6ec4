# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""vncwebsocket: the way from the API's port to a console's (PVE::APIServer::AnyEvent, 60-consoles.json)."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from fakepve import schema as pve_schema
from fakepve.model import PveError
from fakepve.server import USER, ok

from ..base import UPGRADED
from ..parameters import request_parameters
from .core import ConsoleCore
from .lines import Record
from .websocket import Taken, WebSocket

INVALID_TICKET = "permission denied - invalid PVEVNC ticket"


class Gateway(ConsoleCore):
    def _register_stateful(self, router: Any, prefixes: Any) -> None:
        for prefix in prefixes:
            for place in ("/nodes/{node}", "/nodes/{node}/lxc/{vmid}"):
                router.add_get(f"{prefix}{place}/vncwebsocket", self._vncwebsocket)
        super()._register_stateful(router, prefixes)

    async def _vncwebsocket(self, request: Any) -> web.Response:
        match = self.resolve(request, "/api2/json")
        params, user = await request_parameters(request), request[USER]

        async def values_of(_match: pve_schema.Match, values: dict[str, Any]) -> dict[str, Any]:
            return values

        values = await self.answer(request, match, params, user, values_of)
        path = f"/vms/{values['vmid']}" if "vmid" in values else f"/nodes/{values['node']}"
        if "vmid" not in values and not self.console_release.node_tokens:
            self.refuse_token(user)
        port = int(values["port"])
        if not self.ticket_is_valid(values["vncticket"], user, path, port):
            raise PveError(401, INVALID_TICKET)
        upgrade = request.headers.get("Upgrade", "").lower()
        if not upgrade:
            return ok({"port": str(port)})
        self._check_upgrade(request, upgrade)
        return await self._to_port(request, port)

    @staticmethod
    def _check_upgrade(request: Any, upgrade: str) -> None:
        """PVE::APIServer::AnyEvent handle_api2_request."""
        version = request.headers.get("Sec-WebSocket-Version", "")
        if upgrade != "websocket":
            raise PveError(501, f"unable to upgrade to protocol '{upgrade}'")
        if version != "13":
            raise PveError(501, f"unsupported websocket-version '{version}'")
        if not request.headers.get("Sec-WebSocket-Key"):
            raise PveError(501, "missing websocket-key")

    async def _to_port(self, request: Any, port: int) -> Taken:
        listener = self.ports.find(self.local_node, port)
        record = self.openings[self.local_node, port].record if listener is not None else Record()
        socket = WebSocket(request, self.knobs.console_frame_bytes, lambda text: self.violated(record, text))
        if listener is None:
            # The callback of tcp_connect dies, and nobody answers the client.
            if self.knobs.console_dead_port == "drop":
                socket.close()
        else:
            socket.accept()
            request[UPGRADED]()
            listener.offer(socket)
        await socket.closed.wait()
        return Taken()
