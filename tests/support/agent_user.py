# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process that uses a guest's agent and may be killed: run SCRIPT, put SOURCE PATH, or fetch PATH TARGET.

It prints what the command put out or why it failed, and its own peak of memory in KiB as the last line.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.calls import AgentCalls
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.posix_shell import PosixShell
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.running import GuestRunner
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.transfers import (
    fetch_file,
    put_file,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.client import PveClient
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.connection import connection_options
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.deadline import Deadline
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import PveError
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import GuestHandle, Selector, get_guest


def carry_out(runner: GuestRunner, action: str, *words: str) -> str:
    if action == "run":
        return runner.run(words[0]).stdout.decode()
    if action == "size":
        return str(len(runner.run(words[0]).stdout))
    if action == "put":
        with Path(words[0]).open("rb") as source:
            put_file(runner, source, words[1])
    else:
        with Path(words[1]).open("wb") as target:
            fetch_file(runner, words[0], target.write)
    return ""


def main(vmid: str, *words: str) -> None:
    names = ("host", "port", "user", "token_id", "token_secret")
    options = {f"api_{name}": os.environ[f"PROXMOX_{name.upper()}"] for name in names}
    ca_path = os.environ["PROXMOX_CA_PATH"]
    client = PveClient(connection_options({**options, "ca_path": ca_path, "api_timeout": 60.0}), Deadline(float("inf")))
    said = ""
    try:
        runner = GuestRunner(AgentCalls(GuestHandle(client, get_guest(client, Selector(int(vmid))))), PosixShell())
        said = carry_out(runner, *words)
        runner.close()
    except PveError as error:
        said = str(error)
    # What getrusage() says is that of the parent, if that was larger.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    sys.stdout.write(f"{said}\n{peak}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
