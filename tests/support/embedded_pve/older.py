# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What PVE 8 answers otherwise, as its sources say; none of it was recorded.

Sources: pve-manager 8.0.4 PVE::API2::Pool, qemu-server 8.0.6 PVE::API2::Qemu and PVE::API2::Qemu::Agent, whose
file-read has offset, count and decode since qemu-server 9.1.5.
"""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web
from fakepve.server import error

from .base import EmbeddedBase, parameter_error
from .consoles.releases import RELEASES
from .parameters import request_parameters

UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"
# Of PVE 8, the version of pve-manager that brought the newer words.
NEWER_WORDS = (
    ((8, 3), "checksum mismatch (file change", "checksum missmatch (file change"),
    ((8, 0, 5), " and 'allow-move' is not set", ""),
)
# Since pve-container 6.
CONTAINER_PRECONDITIONS = re.compile(r"/nodes/[^/]+/lxc/\d+/migrate")
AGENT = re.compile(r"VM\.GuestAgent\.\w+(\|VM\.GuestAgent\.\w+)*")


class Older(EmbeddedBase):
    @property
    def manager(self) -> tuple[int, ...]:
        """The version of pve-manager."""
        return tuple(int(part) for part in RELEASES[self.knobs.release].manager.split("."))

    async def _answer(self, request: Any, handler: Any, generic: Any, path_node: str | None) -> web.Response:
        refusal = await self._refusal_of_what_is_newer(request)
        if refusal is not None:
            return refusal
        response: web.Response = await super()._answer(request, handler, generic, path_node)
        return self._in_older_words(response)

    @property
    def qemu_server(self) -> tuple[int, ...]:
        """The version of qemu-server."""
        return tuple(int(part) for part in RELEASES[self.knobs.release].packages["qemu-server"].split("."))

    async def _refusal_of_what_is_newer(self, request: Any) -> web.Response | None:
        path, method = request.path.partition("/json")[2], request.method
        if self.manager < (9,) and method == "GET" and CONTAINER_PRECONDITIONS.fullmatch(path):
            return error(501, f"Method 'GET {path}' not implemented")
        if path.endswith("/agent/file-read") and self.qemu_server < (9, 1, 5):
            newer = {"offset", "count", "decode"} & set(request.query)
            if newer:
                problem = parameter_error(**dict.fromkeys(sorted(newer), UNKNOWN))
                return error(problem.status, problem.message, problem.errors)
        if self.manager >= (8, 1) or not path.startswith("/pools"):
            return None
        given = await request_parameters(request)
        if path == "/pools" and method in ("PUT", "DELETE"):
            return error(501, f"Method '{method} {path}' not implemented")
        unknown = {"poolid", "type"} if path == "/pools" and method == "GET" else set()
        if method == "PUT" and self.manager < (8, 0, 6):
            unknown.add("allow-move")
        if unknown & set(given):
            problem = parameter_error(**dict.fromkeys(sorted(unknown & set(given)), UNKNOWN))
            return error(problem.status, problem.message, problem.errors)
        return None

    def _in_older_words(self, response: web.Response) -> web.Response:
        if self.manager >= (9,):
            return response
        text, reason = response.text or "", response.reason or ""
        for version, newer, older in NEWER_WORDS:
            if self.manager < version:
                text, reason = text.replace(newer, older), reason.replace(newer, older)
        text, reason = AGENT.sub("VM.Monitor", text), AGENT.sub("VM.Monitor", reason)
        if (text, reason) != (response.text or "", response.reason or ""):
            response.text = text
            response.set_status(response.status, reason)
        return response

    def allowed(self, user: str, path: str, priv: str) -> bool:
        """What needs a privilege of the agent's own since PVE 9 took VM.Monitor before."""
        if self.manager < (9,) and priv.startswith("VM.GuestAgent."):
            priv = "VM.Monitor"
        return bool(super().allowed(user, path, priv))
