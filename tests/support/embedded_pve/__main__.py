# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An embedded PVE in its own process.

python -m tests.support.embedded_pve --state-file FILE [--host 127.0.0.1] [--port 0] [--guests FILE.json]
    [--nodes pve1,pve2] [--task-seconds qmclone=2]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from pathlib import Path

from .handle import PveHandle
from .runner import HOST, running_embedded_pve
from .seed import standard_guests


def task_seconds(text: str) -> tuple[str, float]:
    name, _equals, seconds = text.partition("=")
    return name, float(seconds)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.support.embedded_pve", description="An embedded PVE.")
    parser.add_argument("--host", default=HOST)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--guests", type=Path, help="JSON list of guests; without it the standard ones")
    parser.add_argument("--nodes", default="pve1", help="node names, separated by commas")
    parser.add_argument("--task-seconds", type=task_seconds, action="append", default=[], metavar="TYPE=SECONDS")
    parser.add_argument("--state-file", type=Path, required=True, help="written once it listens")
    return parser.parse_args()


def write_state(path: Path, pve: PveHandle) -> None:
    """Whole or not at all, and readable by the owner only: it holds the token's secret."""
    state = {
        "url": pve.url,
        "host": pve.host,
        "port": pve.port,
        "cafile": pve.cafile,
        "fingerprint": pve.fingerprint,
        "token_id": pve.token_id,
        "token_secret": pve.token_secret,
        "environment": pve.environment,
    }
    partial = path.with_name(path.name + ".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        json.dump(state, out, indent=2)
    partial.replace(path)


def main() -> None:
    options = arguments()
    finished = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: finished.set())
    guests = json.loads(options.guests.read_text(encoding="utf-8")) if options.guests else standard_guests
    nodes = options.nodes.split(",")
    seconds = dict(options.task_seconds)
    with running_embedded_pve(guests, nodes, options.host, options.port, task_seconds=seconds) as pve:
        write_state(options.state_file, pve)
        finished.wait()
    options.state_file.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
