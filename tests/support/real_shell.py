# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest of the embedded PVE in which a real shell runs, on a terminal of its own, after a login.

    with RealShell({"root": "secret"}) as guest:
        pve.console(110).run(guest)

What it changes stays in guest.root, a scratch directory, which goes with it; ip, systemctl and the like are scripts
that only note there what they were asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import Self

from .embedded_pve.consoles.lines import Terminal

TOOLS = {
    "install": '[ "$1" = -m ] && cp "$3" "$ROOT/installed-$(basename "$3")"',
    "getent": '[ "$1" = passwd ] && [ -e "$ROOT/user-$2" ]',
    "adduser": """
        eval user=\\${$#}
        stty -echo; printf 'New password: '; read first
        printf '\\nRetype new password: '; read second; stty echo
        [ "$first" = "$second" ] || { printf '\\nSorry, passwords do not match.\\n'; exit 1; }
        echo "$first" > "$ROOT/user-$user"
        printf '\\npasswd: password updated successfully\\n'""",
    "id": '[ "$1" = -un ] && cat "$ROOT/user"',
    "ip": """
        case "$*" in
            "address replace"*) echo "    inet $3 scope global $5" >> "$ROOT/addresses" ;;
            "route replace"*) echo "$*" >> "$ROOT/routes" ;;
            *"address show"*) cat "$ROOT/addresses" 2>/dev/null ;;
            "link set"*) ;;
            *) echo "ip: $* is not known" >&2; exit 2 ;;
        esac""",
    "systemctl": """
        case "$1" in
            enable) shift; for unit; do [ "$unit" = --now ] || touch "$ROOT/unit-$unit"; done ;;
            is-active) shift; [ "$1" = --quiet ] && shift; [ -e "$ROOT/unit-$1" ] || exit 3 ;;
            *) echo "systemctl: $* is not known" >&2; exit 2 ;;
        esac""",
}


class RealShell:
    """A login, and after it the shell in arguments; with users None there is no login. prompt is the shell's."""

    def __init__(self, users: dict[str, str] | None, *arguments: str, prompt: str = "# ", name: str = "guest") -> None:
        self.users = users
        self.name = name
        self._arguments = arguments or ("sh", "-i")
        self._prompt = prompt
        self.root = Path(tempfile.mkdtemp(prefix="guest-"))
        self._forget = weakref.finalize(self, shutil.rmtree, self.root, ignore_errors=True)
        # What was typed at the login's prompts.
        self.logins: list[tuple[str, str]] = []
        self._process: subprocess.Popen[bytes] | None = None
        tools = self.root / "tools"
        tools.mkdir()
        for tool, script in TOOLS.items():
            (tools / tool).write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
            (tools / tool).chmod(0o755)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()
        self._forget()

    async def __call__(self, terminal: Terminal) -> None:
        try:
            while True:
                if self.users is not None:
                    await self._log_in(terminal)
                await self._shell(terminal)
        finally:
            self._end()

    async def _log_in(self, terminal: Terminal) -> None:
        assert self.users is not None
        while True:
            await terminal.write(f"\r\nDebian GNU/Linux 13 {self.name} ttyS0\r\n\r\n")
            user = ""
            while not user:
                await terminal.write(f"{self.name} login: ")
                user = await self._line(terminal, echo=True)
            await terminal.write("Password: ")
            password = await self._line(terminal, echo=False)
            self.logins.append((user, password))
            if self.users.get(user) == password:
                (self.root / "user").write_text(user + "\n", encoding="utf-8")
                await terminal.write("Linux guest 6.12\r\nLast login: Tue Nov 17 09:00:00 UTC 2026 on ttyS0\r\n")
                return
            await terminal.write("\r\nLogin incorrect\r\n")

    _typed = b""

    async def _line(self, terminal: Terminal, echo: bool) -> str:
        line = b""
        while True:
            while self._typed:
                key, self._typed = self._typed[:1], self._typed[1:]
                if key in b"\r\n":
                    await terminal.write("\r\n")
                    return line.decode(errors="replace")
                if key == b"\x03":
                    line = b""
                    continue
                line += key
                await terminal.write(key if echo else b"")
            self._typed = await terminal.read()

    async def _shell(self, terminal: Terminal) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = os.openpty()
        environment = {
            "ROOT": str(self.root),
            "HOME": str(self.root),
            "PS1": self._prompt,
            "TERM": "vt220",
            "LC_ALL": "C.UTF-8",
            "PATH": f"{self.root / 'tools'}:{os.defpath}",
        }
        command = ["setsid", "--ctty", "--wait", *self._arguments]
        self._process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=self.root, start_new_session=True
        )
        os.close(theirs)
        shown: asyncio.Queue[bytes] = asyncio.Queue()

        def read() -> None:
            try:
                data = os.read(ours, 65536)
            except OSError:
                data = b""
            if not data:
                loop.remove_reader(ours)
            shown.put_nowait(data)

        async def type_in() -> None:
            while True:
                data = self._typed or await terminal.read()
                self._typed = b""
                while data:
                    written = await loop.run_in_executor(None, os.write, ours, data)
                    data = data[written:]

        loop.add_reader(ours, read)
        typing = asyncio.ensure_future(type_in())
        try:
            while data := await shown.get():
                await terminal.write(data)
        finally:
            typing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await typing
            loop.remove_reader(ours)
            os.close(ours)
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
