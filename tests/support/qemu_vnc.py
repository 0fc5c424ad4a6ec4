# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real QEMU without a guest, whose VNC server can be the display of a VM in the embedded PVE.

with running_qemu() as qemu:
    pve.display(100).use(qemu)
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = "qemu-system-x86_64"
START_SECONDS = 20


class QemuVnc:
    """What `qm vncproxy` finds: QMP and VNC on unix sockets in this directory."""

    def __init__(self, directory: Path) -> None:
        self.qmp = directory / "qmp"
        self.vnc = directory / "vnc"

    @property
    def command(self) -> list[str]:
        # -S: the machine never runs, and the display says so.
        machine = ["-nodefaults", "-no-user-config", "-S", "-accel", "tcg", "-m", "32", "-vga", "std"]
        sockets = ["-vnc", f"unix:{self.vnc},password=on", "-qmp", f"unix:{self.qmp},server=on,wait=off"]
        return [PROGRAM, *machine, "-display", "none", *sockets]

    async def connect(self, password: str, seconds: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """As PVE::CLI::qm vncproxy does at each connection."""
        reader, writer = await asyncio.open_unix_connection(str(self.qmp))
        try:
            await reader.readline()
            await self._execute(reader, writer, "qmp_capabilities")
            await self._execute(reader, writer, "set_password", protocol="vnc", password=password)
            await self._execute(reader, writer, "expire_password", protocol="vnc", time=f"+{max(1, int(seconds))}")
        finally:
            writer.close()
        return await asyncio.open_unix_connection(str(self.vnc))

    @staticmethod
    async def _execute(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: str, **arguments: str
    ) -> None:
        request: dict[str, Any] = {"execute": command, **({"arguments": arguments} if arguments else {})}
        writer.write(json.dumps(request).encode() + b"\n")
        while True:
            line = await reader.readline()
            answer = json.loads(line) if line else {"error": {"desc": "QEMU is gone"}}
            if "event" in answer:
                continue
            if "error" in answer:
                raise ConnectionError(f"{command}: {answer['error']['desc']}")
            return


def is_installed() -> bool:
    return shutil.which(PROGRAM) is not None


@contextmanager
def running_qemu() -> Iterator[QemuVnc]:
    with tempfile.TemporaryDirectory(prefix="qemu-vnc-") as directory:
        qemu = QemuVnc(Path(directory))
        process = subprocess.Popen(qemu.command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not (qemu.qmp.exists() and qemu.vnc.exists()):
                if process.poll() is not None or time.monotonic() > deadline:
                    process.kill()
                    raise AssertionError(f"QEMU did not start: {process.communicate()[1]}")
                time.sleep(0.01)
            yield qemu
        finally:
            process.terminate()
            process.wait(START_SECONDS)
            if process.stderr is not None:
                process.stderr.close()
