# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SPICE, whose port nobody serves, and what a server says of its release (PVE::API2::Qemu, ::Nodes, ::APT)."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from pathlib import Path
from typing import Any

from aiohttp import web
from fakepve import schema as pve_schema
from fakepve.model import PveError
from fakepve.server import ok

from .guests import display_of
from .nodes import Consoles as NodeConsoles

FIRST_SPICE_PORT = 61000


class Consoles(NodeConsoles):
    def _routes_embedded_viewers(self) -> list[tuple[str, str, Any]]:
        return [
            ("POST", "/nodes/{node}/qemu/{vmid}/spiceproxy", self._qemu_spiceproxy),
            ("POST", "/nodes/{node}/lxc/{vmid}/spiceproxy", self._lxc_spiceproxy),
            ("POST", "/nodes/{node}/spiceshell", self._spiceshell),
            ("GET", "/nodes/{node}/apt/versions", self._apt_versions),
        ]

    async def answer(self, request: Any, match: Any, params: Any, user: str, call: Any = None) -> Any:
        """The server that is asked knows itself by this name too, and checks privileges on its path."""
        if match is not None and match.params.get("node") == "localhost" and request.method in match.methods:
            self.check_permissions(user, match.methods[request.method].get("permissions"), match.params)
            match = pve_schema.Match(match.template, {**match.params, "node": self.local_node}, match.methods)
        return await super().answer(request, match, params, user, call)

    async def _version(self, request: Any) -> web.Response:
        manager = self.console_release.manager
        return ok({"version": manager, "release": ".".join(manager.split(".")[:2]), "repoid": "d4c4fba8a5a2e2b0"})

    async def _apt_versions(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        installed = [
            {"Package": name, "OldVersion": version, "Version": "99.0.0", "CurrentState": "Installed"}
            for name, version in self.console_release.packages.items()
        ]
        # What is not installed has no OldVersion.
        return [*installed, {"Package": "proxmox-firewall", "Version": "1.2.1", "CurrentState": "NotInstalled"}]

    # ---- SPICE

    async def _qemu_spiceproxy(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        vm = self.find_vm(values["node"], values["vmid"])
        if vm.status != "running":
            raise PveError(500, f"VM {vm.vmid} not running")
        if not re.fullmatch(r"qxl\d?|virtio(-gl)?", display_of(vm.config)):
            raise PveError(500, "no spice port")
        return self._spice(vm.node, str(vm.vmid), f"VM {vm.vmid} - {vm.name}", values)

    async def _lxc_spiceproxy(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        container = self._find_ct(values["node"], values["vmid"])
        if container.status != "running":
            raise PveError(500, f"CT {container.vmid} not running")
        return self._spice(container.node, str(container.vmid), f"CT {container.vmid}", values)

    async def _spiceshell(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        self.refuse_token(user)
        return self._spice(values["node"], "0", f"Shell on '{values['node']}'", values)

    def _spice(self, node: str, vmid: str, title: str, values: dict[str, Any]) -> dict[str, Any]:
        proxy = str(values.get("proxy") or f"{node}.example.com")
        ticket = f"{int(time.time()):08x}:{vmid}:{node}:{FIRST_SPICE_PORT}"
        authority = Path(self.certfile).read_text(encoding="ascii") if self.certfile else ""
        return {
            "type": "spice",
            "title": title,
            "host": f"pvespiceproxy:{ticket}::{hashlib.sha1(ticket.encode()).hexdigest()}",
            "proxy": f"http://{f'[{proxy}]' if ':' in proxy else proxy}:3128",
            "tls-port": FIRST_SPICE_PORT,
            "password": secrets.token_hex(20),
            "host-subject": f"OU=PVE Cluster Node,O=Proxmox Virtual Environment,CN={node}.example.com",
            "ca": authority.replace("\n", "\\n"),
            "delete-this-file": 1,
            "secure-attention": "Ctrl+Alt+Ins",
            "toggle-fullscreen": "Shift+F11",
            "release-cursor": "Ctrl+Alt+R",
        }
