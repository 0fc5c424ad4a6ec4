# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What vncproxy answers (PVE::API2::Qemu vncproxy, 60-consoles.json); nobody listens on the port."""

from __future__ import annotations

import base64
import random
import time
from typing import Any

from aiohttp import web
from fakepve.server import USER, ok

from .base import is_true
from .parameters import request_parameters
from .tasks import Tasks

FIRST_PORT, PORTS = 5900, 100


class Consoles(Tasks):
    @property
    def local_node(self) -> str:
        """The node that answers the API."""
        return self.knobs.local_node or sorted(self.nodes)[0]

    def address_of(self, node: str) -> str:
        return f"198.51.100.{11 + sorted(self.nodes).index(node)}"

    async def _vncproxy(self, request: Any) -> web.Response:
        values = self._verify(request, await request_parameters(request))
        vmid, user = int(values["vmid"]), request[USER]
        self.require(user, f"/vms/{vmid}", "VM.Console")
        vm = self.find_vm(values["node"], vmid)

        async def body() -> None:
            return None

        # There is no proxyto: the task and the port are on the node that was asked, wherever the guest is.
        upid = await self.task(self.local_node, "vncproxy", vmid, user, body, lock=False)
        serial = str(vm.config.get("vga", "")).startswith("serial")
        password = self.knobs.console_password or "".join(chr(random.randint(0x21, 0x60)) for _number in range(8))
        # Signed with a key of 2048 bits.
        ticket = f"PVEVNC:{int(time.time()):08X}::{base64.b64encode(random.randbytes(256)).decode()}"
        answer = {"user": user, "upid": upid, "port": self.knobs.console_port, "cert": "-----BEGIN CERTIFICATE-----\n"}
        wanted = is_true(values.get("generate-password", 0)) or (serial and is_true(values.get("websocket", 0)))
        if self.knobs.console_hardening:
            ticket = f"{password}:{ticket}" if not serial or wanted else ticket
            wanted = wanted or not serial
        return ok({**answer, "ticket": ticket, **({"password": password} if wanted else {})})

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
