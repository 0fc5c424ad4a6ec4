# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The consoles of nodes, and what a console tool reads of the cluster (PVE::API2::Nodes, 01-basics.json)."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from fakepve.model import PveError
from fakepve.server import USER, ok

from ..base import is_true
from .core import Opening
from .guests import GuestConsoles, VncForm


class Consoles(GuestConsoles):
    def _routes_embedded_node_consoles(self) -> list[tuple[str, str, Any]]:
        return [
            ("POST", "/nodes/{node}/termproxy", self._node_termproxy),
            ("POST", "/nodes/{node}/vncshell", self._node_vncshell),
        ]

    @staticmethod
    def refuse_token(user: str) -> None:
        """PVE::AccessControl::verify_username."""
        if "!" in user:
            raise PveError(500, f"value '{user}' does not look like a valid user name")

    def node_opening(self, node: str, user: str) -> Opening:
        def state() -> object:
            return all(self.nodes[name].get("online", True) for name in {self.local_node, node})

        return Opening(node, f"/nodes/{node}", "Sys.Console", user, self.record_of(("node", node)), state)

    async def _node_termproxy(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        node = values["node"]
        if not self.console_release.node_tokens:
            self.refuse_token(user)
        login = "/bin/login -f root" if user == "root@pam" else "/bin/login"
        command = self.through_ssh(node, login)
        opening = self.node_opening(node, user)
        return await self.open_terminal(opening, "vncshell", "", command, lambda: self.node_line(node, user))

    async def _node_vncshell(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        self.refuse_token(user)
        if values.get("cmd", "login") != "login" and user != "root@pam":
            raise PveError(403, "Permission check failed (user != root@pam)")
        websocket = is_true(values.get("websocket", 0))
        form = VncForm(websocket, websocket and self.console_release.hardened)
        opening = self.node_opening(values["node"], user)
        return await self.vncterm(opening, "vncshell", "", values["node"], form)

    async def _cluster_status(self, request: Any) -> web.Response:
        self.require(request[USER], "/", "Sys.Audit")
        nodes = [
            {
                "type": "node",
                "id": f"node/{name}",
                "name": name,
                "nodeid": number if len(self.nodes) > 1 else 0,
                "level": "",
                "ip": self.address_of(name),
                "online": int(bool(state.get("online", True))),
                "local": int(name == self.local_node),
            }
            for number, (name, state) in enumerate(sorted(self.nodes.items()), 1)
        ]
        cluster = {"type": "cluster", "id": "cluster", "name": self.cluster_name, "nodes": len(nodes), "version": 1}
        return ok([*([{**cluster, "quorate": int(self.quorate)}] if len(nodes) > 1 else []), *nodes])
