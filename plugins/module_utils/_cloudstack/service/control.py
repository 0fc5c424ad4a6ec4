# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""cloudbridge-proxmoxctl: shows the state of the resident service."""

from __future__ import annotations

import argparse
import json
import socket
import sys
import typing as t

from . import messages

SECONDS = 3.0
MAX_BYTES = 1024 * 1024


def ask_status(path: str, seconds: float = SECONDS) -> dict[str, t.Any]:
    """The state of the service that listens there; raises OSError when none answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        channel.settimeout(seconds)
        channel.connect(path)
        channel.send(b"\0".join([messages.GREETING, messages.STATUS]))
        answer = channel.recv(MAX_BYTES)
    if not answer:
        raise ConnectionRefusedError("it serves CloudStack's account and root alone")
    state: dict[str, t.Any] = json.loads(answer)
    return state


def main(argv: t.Sequence[str], path: str, release: str) -> int:
    """Print the state; returns 0 when the service answers and is of the release that is installed."""
    parser = argparse.ArgumentParser(prog="cloudbridge-proxmoxctl", description="Shows the state of the service.")
    commands = parser.add_subparsers(dest="command", required=True)
    status = commands.add_parser("status", help="what the service does, and has done")
    status.add_argument("--json", action="store_true", help="as JSON")
    arguments = parser.parse_args(list(argv[1:]))
    try:
        state = ask_status(path) if path else {}
    except OSError as error:
        state = {"error": f"no service answers at {path}: {error.strerror or error}"}
    if not path:
        state = {"error": "the service is turned off (cloudstack_extension_service)"}
    elif "error" not in state and state["release"] != release:
        state["error"] = f"the service runs the release {state['release']}, but {release} is installed: reload it"
    text = json.dumps(state) if arguments.json else describe(state)
    sys.stdout.write(text + "\n")
    return 1 if "error" in state else 0


def describe(state: t.Mapping[str, t.Any]) -> str:
    """The state as text."""
    lines = [f"{state['error']}\n"] if "error" in state else []
    if "now" not in state:
        return "".join(lines).rstrip()
    lines.append(f"{state['extension']}, process {state['pid']}, for {state['uptime_seconds']:.0f} s\n")
    lines.append(f"release {state['release']}{' (ending)' if state['stopping'] else ''}\n\n")
    for name, value in state["now"].items():
        values = value if isinstance(value, dict) else {"": value}
        lines += [f"{f'{name} {label}'.strip():<32}{number:>10}\n" for label, number in values.items()]
    for guest in state["half_made"]:
        lines.append(f"half made: guest {guest['vmid']} on node {guest['node']} ({guest['name']})\n")
    counters = dict(state["counters"])
    actions = counters.pop("actions", {})
    if actions:
        lines.append(f"\n{'action':<32}{'count':>10}{'mean s':>10}\n")
        lines += [
            f"{name:<32}{count:>10}{state['seconds'].get(name, 0) / count:>10.3f}\n" for name, count in actions.items()
        ]
    lines.append("\n")
    for name, value in counters.items():
        values = value if isinstance(value, dict) else {"": value}
        lines += [f"{f'{name} {label}'.strip():<32}{number:>10}\n" for label, number in values.items()]
    return "".join(lines).rstrip()
