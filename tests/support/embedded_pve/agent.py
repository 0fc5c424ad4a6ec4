# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What PVE makes of calls for a guest agent: not configured, silent, answering what a test set, or a real one.

Sources: PVE::API2::Qemu::Agent, PVE::QemuServer::Agent; 30-lifecycle.json, 75-agent.json, 75-agent-states.json.
"""

from __future__ import annotations

import asyncio
import base64
import re
from typing import Any

from fakepve import agent as guest_agent
from fakepve.lxc import split_props
from fakepve.model import PveError

from .base import EmbeddedBase, is_true
from .guest_agent import LATIN_1_END, AgentError, GuestAgent, NoAnswer

# The workers of a node's pvedaemon: each call for an agent takes one (README of the recordings, "three workers").
WORKERS = 3
MOST_READ = 16 * 1024 * 1024
REAL_COMMANDS = ("exec", "exec-status", "file-read", "file-write", "set-user-password")


def agent_configured(value: Any) -> bool:
    """`agent` is "1", "enabled=1", or "1,fstrim_cloned_disks=1"."""
    first, props = split_props(str(value or "0"))
    return is_true(first if first is not None else props.get("enabled", "0"))


class Agent(EmbeddedBase):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._workers: dict[str, asyncio.Semaphore] = {}
        # By node: how many calls for agents are worked on or wait, and the most of them that ever did.
        self.agent_calls: dict[str, int] = {}
        self.most_agent_calls: dict[str, int] = {}

    async def stop(self) -> None:
        for vm in self.vms:
            process = getattr(vm, "agent_process", None)
            if process is not None:
                await process.end()
        await super().stop()

    def halt_guest(self, vm: Any) -> None:
        process = getattr(vm, "agent_process", None)
        if process is not None:
            process.kill_all()
        super().halt_guest(vm)

    async def _agent_call(self, match: Any, values: dict[str, Any]) -> Any:
        node = values["node"]
        self.agent_calls[node] = self.agent_calls.get(node, 0) + 1
        self.most_agent_calls[node] = max(self.most_agent_calls.get(node, 0), self.agent_calls[node])
        try:
            async with self._workers.setdefault(node, asyncio.Semaphore(WORKERS)):
                return await self._worked_on(match, values)
        finally:
            self.agent_calls[node] -= 1

    async def _worked_on(self, match: Any, values: dict[str, Any]) -> Any:
        vm = self.find_vm(values["node"], values["vmid"])
        command = match.template.rsplit("/", 1)[1]
        if command == "file-write" and is_true(values.get("encode", 1)):
            # encode_base64() comes before the agent is looked for.
            refuse_wide(values["content"], "PVE/API2/Qemu/Agent.pm", 624)
        if not agent_configured(vm.config.get("agent")):
            raise PveError(500, "No QEMU guest agent configured")
        if vm.status != "running":
            raise PveError(500, f"VM {vm.vmid} is not running")
        process: GuestAgent | None = getattr(vm, "agent_process", None)
        is_silent = vm.agent is None or vm.agent_hangs or vm.qmpstatus == "paused"
        if is_silent or (process is not None and process.is_silent):
            await asyncio.sleep(self.knobs.silent_agent_seconds)
            raise PveError(500, "QEMU guest agent is not running")
        await asyncio.sleep(self.knobs.agent_seconds)
        if process is not None and command in REAL_COMMANDS:
            return await self._really(process, vm, command, values)
        guest_agent.record(vm, command, values)
        if process is not None and process.frozen and command.startswith("fs"):
            return refused(command) if command != "fsfreeze-status" else {"result": "frozen"}
        answer = guest_agent.result(vm, command, values)
        if command == "network-get-interfaces" and "interfaces" not in vm.agent:
            _with_own_mac(answer["result"], vm)
        return answer

    async def _really(self, process: GuestAgent, vm: Any, command: str, values: dict[str, Any]) -> Any:
        wide = [text for text in _words(values) if any(ord(character) > LATIN_1_END for character in text)]
        if wide:
            await asyncio.sleep(self.knobs.agent_timeout_seconds)
            vm.agent_hangs = True
            raise _timed_out(vm, "exec" if command == "exec" else "file-open")
        try:
            if command == "exec":
                return {"pid": await process.execute(list(values["command"]), _input(values))}
            if command == "exec-status":
                status = await process.status(int(values["pid"]))
                if status is None:
                    await asyncio.sleep(self.knobs.agent_timeout_seconds)
                    raise _timed_out(vm, "exec-status")
                return status
            if command == "file-write":
                encode, content = is_true(values.get("encode", 1)), values["content"]
                process.write(
                    values["file"], base64.b64encode(content.encode("latin-1")).decode() if encode else content
                )
                return None
            if command == "set-user-password":
                refuse_wide(values["password"], "PVE/API2/Qemu/Agent.pm", 302)
                password = values["password"].encode("latin-1").decode("utf-8", "surrogateescape")
                process.set_password(values["username"], password, is_true(values.get("crypted", 0)))
                return {"result": {}}
            return _read(process, values)
        except AgentError as problem:
            raise PveError(500, f"Agent error: {problem}") from problem
        except NoAnswer as problem:
            await asyncio.sleep(self.knobs.proxy_seconds)
            raise PveError(596, "Broken pipe") from problem


def refused(command: str) -> dict[str, Any]:
    """An error of the agent that PVE does not look for."""
    words = f"Command guest-{command} has been disabled: the agent is in frozen state"
    return {"result": {"error": {"class": "CommandNotFound", "desc": words}}}


def refuse_wide(text: str, file: str, line: int) -> None:
    if any(ord(character) > LATIN_1_END for character in text):
        raise PveError(500, f"Wide character in subroutine entry at /usr/share/perl5/{file} line {line}.")


def _words(values: dict[str, Any]) -> list[str]:
    """What goes to the agent as text."""
    return [*(values.get("command") or ()), str(values.get("file") or "")]


def _input(values: dict[str, Any]) -> bytes | None:
    given = values.get("input-data")
    if given is None:
        return None
    refuse_wide(given, "PVE/QemuServer/Agent.pm", 135)
    return bytes(given.encode("latin-1"))


def _read(process: GuestAgent, values: dict[str, Any]) -> dict[str, Any]:
    count = int(values.get("count") or MOST_READ)
    content, ended = process.read(values["file"], int(values.get("offset") or 0), count)
    decode = is_true(values.get("decode", 1))
    text = content.decode("latin-1") if decode else base64.b64encode(content).decode()
    return {"content": text, "bytes-read": len(content), **({} if ended else {"truncated": 1})}


def _timed_out(vm: Any, command: str) -> PveError:
    return PveError(500, f"VM {vm.vmid} qga command 'guest-{command}' failed - got timeout")


def _with_own_mac(interfaces: list[dict[str, Any]], vm: Any) -> None:
    """The devices inside a guest have the MAC addresses of its configuration (75-agent.json)."""
    found = re.search(r"=((?:[0-9A-F]{2}:){5}[0-9A-F]{2})", str(vm.config.get("net0")), re.IGNORECASE)
    for interface in interfaces:
        if found and interface["name"] != "lo":
            interface["hardware-address"] = found[1].lower()
