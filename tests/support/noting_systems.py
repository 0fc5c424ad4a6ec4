# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests in which a real shell runs, whose commands only note that they were called: for what changes a system."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from .embedded_pve import PveHandle
from .real_shell import RealShell

# Everything that the steps call is one of these; the shell finds nothing else.
NOTED = "apt-get apk dnf rc-update cloud-init rm truncate find passwd sync".split()


class OneTimeLogin(dict[str, str]):
    """Root's password is the one that the configuration has at that moment."""

    def __init__(self, pve: PveHandle, vmid: int) -> None:
        super().__init__()
        self._pve, self._vmid = pve, vmid

    def get(self, user: str, default: Any = None) -> Any:
        return self._pve.server.guest(self._vmid).config.get("cipassword") if user == "root" else default


class Systems:
    """What runs in the guests: a shell each, in which every command only notes that it was called."""

    def __init__(self, pve: PveHandle, stack: ExitStack, *, login: bool = True) -> None:
        self.pve = pve
        self.login = login
        self.shells: dict[int, RealShell] = {}
        self.fails: set[str] = set()
        self._stack = stack

    def boot(self) -> None:
        """Before each start: give the guests without a system one."""
        for guest in self.pve.server.vms:
            if guest.vmid in self.shells or "serial0" not in guest.config:
                continue
            guest.agent = {}
            users = OneTimeLogin(self.pve, guest.vmid) if self.login else None
            shell = self._stack.enter_context(RealShell(users, "dash", "-i"))
            for tool in NOTED:
                program = shell.root / "tools" / tool
                answer = "exit 100" if tool in self.fails else "exit 0"
                program.write_text(f'#!/bin/sh\necho "{tool}${{*:+ $*}}" >> "$ROOT/calls"\n{answer}\n', "ascii")
                program.chmod(0o755)
            self.shells[guest.vmid] = shell
            self.pve.server.programs["vm", guest.vmid, "serial0"] = shell

    def calls(self, vmid: int) -> list[str]:
        return (self.shells[vmid].root / "calls").read_text("utf-8").splitlines()
