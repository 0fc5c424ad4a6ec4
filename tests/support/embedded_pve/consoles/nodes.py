# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The consoles of nodes, and what a console tool reads of the cluster (PVE::API2::Nodes, 01-basics.json)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from fakepve import schema as pve_schema
from fakepve.model import PveError
from fakepve.server import USER, ok

from ..base import is_true
from ..knobs import Knobs
from .core import Opening
from .guests import VncForm
from .spice import SpiceConsoles, has_spice


class Consoles(SpiceConsoles):
    def _routes_embedded_node_consoles(self) -> list[tuple[str, str, Any]]:
        return [
            ("POST", "/nodes/{node}/termproxy", self._node_termproxy),
            ("POST", "/nodes/{node}/vncshell", self._node_vncshell),
            ("GET", "/nodes/{node}/apt/versions", self._apt_versions),
            ("GET", "/nodes/{node}/certificates/info", self._certificates),
            ("GET", "/nodes/{node}/version", self._node_version),
        ]

    def node_opening(self, node: str, user: str) -> Opening:
        def state() -> object:
            return all(self.nodes[name].get("online", True) for name in (self.local_node, node))

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

    # ---- versions and certificates

    async def answer(self, request: Any, match: Any, params: Any, user: str, call: Any = None) -> Any:
        """The server that is asked is called localhost as well, and privileges are checked on that path."""
        if match is not None and match.params.get("node") == "localhost" and request.method in match.methods:
            self.check_permissions(user, match.methods[request.method].get("permissions"), match.params)
            match = pve_schema.Match(match.template, {**match.params, "node": self.local_node}, match.methods)
        return await super().answer(request, match, params, user, call)

    def _versions(self) -> dict[str, str]:
        """The release a test asked for, or what the server says it is."""
        own = self.knobs.release == Knobs.release and self.knobs.console_hardening
        version = self.version if own else self.console_release.manager
        return {"version": version, "release": ".".join(version.split(".")[:2]), "repoid": "14a22df35955d97d"}

    async def _version(self, request: Any) -> web.Response:
        return ok(self._versions())

    async def _node_version(self, values: dict[str, Any], user: str) -> dict[str, str]:
        return self._versions()

    async def _apt_versions(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        return [
            {
                "Package": package,
                "Title": package,
                # What an update would bring; a package that is not installed has only this.
                "Version": "99.0.0",
                "OldVersion": version,
                "CurrentState": "Installed",
                "Arch": "amd64",
                "Origin": "Proxmox",
                "Priority": "optional",
                "Section": "admin",
                "Description": package,
            }
            for package, version in self.console_release.packages.items()
        ]

    async def _certificates(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        """The certificate this server shows, as the one of every node."""
        pem = Path(self.certfile).read_bytes()
        found = x509.load_pem_x509_certificate(pem)
        digest = found.fingerprint(hashes.SHA256()).hex(":").upper()
        known = {
            "fingerprint": digest,
            "issuer": found.issuer.rfc4514_string(),
            "subject": found.subject.rfc4514_string(),
            "notbefore": int(found.not_valid_before_utc.timestamp()),
            "notafter": int(found.not_valid_after_utc.timestamp()),
            "pem": pem.decode(),
        }
        return [{"filename": name, **known} for name in ("pve-root-ca.pem", "pve-ssl.pem")]

    def _vm_status(self, vm: Any, listing: bool = False) -> dict[str, Any]:
        """Flags that are only there when they are set (30-lifecycle.json: "status stopped")."""
        status: dict[str, Any] = super()._vm_status(vm, listing)
        if listing:
            return status
        clipboard = re.search(r"(?:^|,)clipboard=([a-z]+)", str(vm.config.get("vga", "")))
        flags = {
            "serial": int(any(re.fullmatch(r"serial[0-3]", key) for key in vm.config)),
            "spice": int(has_spice(vm.config)),
            "agent": status.get("agent"),
            "clipboard": clipboard.group(1) if clipboard else None,
        }
        for name, value in flags.items():
            status.pop(name, None)
            if value:
                status[name] = value
        return status
