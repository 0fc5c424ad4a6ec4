# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What remote-viewer is told (60-consoles.json: "spiceproxy qxl"); nobody listens on the proxy's port 3128."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from pathlib import Path
from typing import Any

from fakepve.model import PveError

from .guests import GuestConsoles, display_of

FIRST_PORT, PORTS = 61000, 1000
# How long spiceterm waits for its client (PVE::API2Tools run_spiceterm).
SPICETERM_SECONDS = 40


def has_spice(config: dict[str, Any]) -> bool:
    return display_of(config).startswith(("qxl", "virtio"))


class SpiceConsoles(GuestConsoles):
    _spice_numbers = itertools.count()

    def _routes_embedded_spice(self) -> list[tuple[str, str, Any]]:
        return [
            ("POST", "/nodes/{node}/qemu/{vmid}/spiceproxy", self._qemu_spiceproxy),
            ("POST", "/nodes/{node}/lxc/{vmid}/spiceproxy", self._lxc_spiceproxy),
            ("POST", "/nodes/{node}/spiceshell", self._node_spiceshell),
        ]

    async def _qemu_spiceproxy(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        vm = self.find_vm(values["node"], values["vmid"])
        if vm.status != "running":
            raise PveError(500, f"VM {vm.vmid} not running")
        if not has_spice(vm.config):
            raise PveError(500, "no spice port")
        return self._viewer(values, str(vm.vmid), f"VM {vm.vmid} - {vm.name}")

    async def _lxc_spiceproxy(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        container = self._find_ct(values["node"], values["vmid"])
        if container.status != "running":
            raise PveError(500, f"CT {container.vmid} not running")
        await self._spiceterm(values["node"], "spiceproxy", container.vmid, user)
        return self._viewer(values, str(container.vmid), f"CT {container.vmid}")

    async def _node_spiceshell(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        self.refuse_token(user)
        await self._spiceterm(values["node"], "spiceshell", "", user)
        return self._viewer(values, "0", f"Shell on '{values['node']}'")

    async def _spiceterm(self, node: str, task_type: str, task_id: Any, user: str) -> None:
        """These two are proxied to the guest's node."""

        async def body() -> None:
            await asyncio.sleep(SPICETERM_SECONDS)

        await self.task(node, task_type, task_id, user, body, lock=False, background=True)

    def _viewer(self, values: dict[str, Any], target: str, title: str) -> dict[str, Any]:
        node, port = values["node"], FIRST_PORT + next(self._spice_numbers) % PORTS
        name = f"{node}.example.test"
        proxy = str(values.get("proxy") or name)
        authority = Path(self.certfile).read_text(encoding="ascii") if self.certfile else ""
        return {
            "type": "spice",
            "title": title,
            "host": f"pvespiceproxy:{int(time.time()):08x}:{target}:{node}:{port}::{secrets.token_hex(20)}",
            "proxy": f"http://{f'[{proxy}]' if ':' in proxy else proxy}:3128",
            "tls-port": port,
            "password": secrets.token_hex(20),
            "ca": authority.replace("\n", "\\n"),
            "host-subject": f"OU=PVE Cluster Node,O=Proxmox Virtual Environment,CN={name}",
            "delete-this-file": 1,
            "secure-attention": "Ctrl+Alt+Ins",
            "toggle-fullscreen": "Shift+F11",
            "release-cursor": "Ctrl+Alt+R",
        }
