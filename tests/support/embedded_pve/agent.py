# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest agent: not configured, silent, or answering what a test set (30-lifecycle.json)."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from fakepve import agent as guest_agent
from fakepve.lxc import split_props
from fakepve.model import PveError

from .base import EmbeddedBase, is_true


def agent_configured(value: Any) -> bool:
    """`agent` is "1", "enabled=1", or "1,fstrim_cloned_disks=1"."""
    first, props = split_props(str(value or "0"))
    return is_true(first if first is not None else props.get("enabled", "0"))


class Agent(EmbeddedBase):
    async def _agent_call(self, match: Any, values: dict[str, Any]) -> Any:
        vm = self.find_vm(values["node"], values["vmid"])
        command = match.template.rsplit("/", 1)[1]
        if not agent_configured(vm.config.get("agent")):
            raise PveError(500, "No QEMU guest agent configured")
        if vm.status != "running":
            raise PveError(500, f"VM {vm.vmid} is not running")
        if vm.agent is None or vm.agent_hangs:
            await asyncio.sleep(self.knobs.silent_agent_seconds)
            raise PveError(500, "QEMU guest agent is not running")
        guest_agent.record(vm, command, values)
        answer = guest_agent.result(vm, command, values)
        if command == "network-get-interfaces" and "interfaces" not in vm.agent:
            _with_own_mac(answer["result"], vm)
        return answer


def _with_own_mac(interfaces: list[dict[str, Any]], vm: Any) -> None:
    """The devices inside a guest have the MAC addresses of its configuration (75-agent.json)."""
    found = re.search(r"=((?:[0-9A-F]{2}:){5}[0-9A-F]{2})", str(vm.config.get("net0")), re.IGNORECASE)
    for interface in interfaces:
        if found and interface["name"] != "lo":
            interface["hardware-address"] = found[1].lower()
