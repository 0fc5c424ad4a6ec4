# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CloudStack's part in the demo: it writes payload files, calls the executable, and remembers what it was told."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.cloudstack import WAIT, Extension, payload

from .stage import WIDTH, Run, bold, say

VM = "cloudstack.vm.details"


@dataclass(frozen=True)
class Call:
    """One call: the action, the payload file that it is made from, and what is different in it."""

    action: str
    payload: str
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def call(action: str, payload: str = "", **changes: Mapping[str, Any]) -> Call:
    """A call; its payload is the one of its name when none is named."""
    return Call(action, payload or action, changes)


class ManagementServer:
    """A management server below a directory, with the executable as the role renders it."""

    def __init__(self, root: Path, connection: Mapping[str, str]) -> None:
        self.extension = Extension(root)
        self.host = {
            "url": f"https://{connection['PROXMOX_HOST']}:{connection['PROXMOX_PORT']}",
            "user": connection["PROXMOX_USER"],
            "token": connection["PROXMOX_TOKEN_ID"],
            "secret": connection["PROXMOX_TOKEN_SECRET"],
            "ca_file": connection["PROXMOX_CA_PATH"],
            "verify_tls_certificate": None,
        }
        # What the action prepare gives, CloudStack keeps as details of the instance.
        self.details: dict[str, Any] = {}

    def run(self, wanted: Call) -> Run:
        """Call the executable as CloudStack does, and show the call and all that comes back."""
        data = self._payload(wanted)
        path = self.extension.write(data)
        shown = path.relative_to(self.extension.root)
        say(bold(f"    $ {self.extension.executable.name} {wanted.action} {shown} {WAIT}"))
        say(f"    The payload, {path.stat().st_size} bytes, is {wanted.payload}.json. It says, besides other things:")
        show(json.dumps(excerpt(data)))
        # TMPDIR tells who started it.
        environment = {name: os.environ[name] for name in ("TMPDIR",) if name in os.environ}
        answer = self.extension.call(wanted.action, path, env=environment)
        run = Run(answer.exit_code, answer.output.decode("utf-8", "replace"))
        say(f"    The answer, with exit code {run.returncode}:")
        show(run.output)
        self.details.update(run.answer.get("details") or {})
        return run

    def _payload(self, wanted: Call) -> dict[str, Any]:
        changes = {name: dict(values) for name, values in wanted.changes.items()}
        original = payload(wanted.payload)
        if VM in original:
            changes["details"] = {**self.details, **changes.get("details", {})}
        if "externaldetails" in original:
            changes["host"] = {**self.host, **changes.get("host", {})}
            # The embedded PVE has other storages than the site that the payloads are from.
            changes["virtualmachine"] = {"storage": None, "is_full_clone": None, **changes.get("virtualmachine", {})}
        return payload(wanted.payload, None, **changes)


def excerpt(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the payload is about; the secret and all that comes with every call are left out."""
    vm = data.get(VM, {})
    found = {
        "node": data.get("externaldetails", {}).get("host", {}).get("node"),
        "virtualmachinename": data.get("virtualmachinename"),
        "proxmox_vmid": vm.get("details", {}).get("proxmox_vmid"),
        "action": data.get("action"),
        "parameters": data.get("parameters"),
    }
    if vm.get("nics"):
        found["cpus"], found["maxRam"] = vm["cpus"], vm["maxRam"]
        found["nics"] = [[nic["mac"], nic.get("broadcastUri", "")] for nic in vm["nics"]]
    return {name: value for name, value in found.items() if value}


def show(text: str) -> None:
    for line in textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False):
        say(f"    | {line}")
