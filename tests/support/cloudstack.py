# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The extension as CloudStack calls it: a process, three arguments, both streams in one pipe, stdin never written."""

from __future__ import annotations

import atexit
import copy
import functools
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from . import canaries
from .api_client import HasApi
from .collection_tree import REPOSITORY, link_collection

TEMPLATES = REPOSITORY / "roles" / "cloudstack_extension" / "templates"
PAYLOADS = Path(__file__).parent / "payloads"
WAIT = 60
# CloudStack's own patience is the wait; ours is for a process that outlives it.
GRACE_SECONDS = 20


@dataclass(frozen=True)
class Answer:
    """What one call gave: the exit code, all that was written, and how long it took."""

    exit_code: int
    output: bytes
    seconds: float

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document; raises when there is not exactly one."""
        parsed = json.loads(self.output)
        assert isinstance(parsed, dict), parsed
        return parsed

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and self.document["status"] == "success"

    @property
    def error(self) -> str:
        return str(self.document["error"])

    def __getitem__(self, name: str) -> Any:
        return self.document[name]


def payload(action: str, pve: HasApi | None = None, **changes: Any) -> dict[str, Any]:
    """A payload as CloudStack writes it, for this PVE.

    Changes by section: host, extension, resourcemap, virtualmachine, vm (cloudstack.vm.details), details (those of
    the VM), parameters; None takes a value away. nics replaces the list.
    """
    data: dict[str, Any] = copy.deepcopy(json.loads((PAYLOADS / f"{action}.json").read_text("utf-8")))
    details = data.setdefault("externaldetails", {})
    if pve is not None:
        user, _mark, token = pve.token_id.partition("!")
        login = {"url": pve.url, "user": user, "token": token, "secret": pve.token_secret, "node": "pve1"}
        details.setdefault("host", {}).update(login, verify_tls_certificate=None, ca_file=pve.cafile)
        for name in ("storage", "is_full_clone"):
            details.get("virtualmachine", {}).pop(name, None)
    vm = data.get("cloudstack.vm.details", {})
    places = {"vm": vm, "details": vm.get("details", {}), "parameters": data.setdefault("parameters", {})}
    if "nics" in changes:
        vm["nics"] = changes.pop("nics")
    for section, values in changes.items():
        place = places.get(section)
        (details.setdefault(section, {}) if place is None else place).update(values)
    return pruned(data)


def pruned(value: Any) -> Any:
    """Without the values that are None, which CloudStack leaves out."""
    if isinstance(value, dict):
        return {key: pruned(item) for key, item in value.items() if item is not None}
    return [pruned(item) for item in value] if isinstance(value, list) else value


def wanted_in(action: str) -> list[str]:
    """The kinds of secrets that CloudStack wants in the answer."""
    return [canaries.CONSOLE] if action.lower() == "getconsole" else []


class Extension:
    """The executable, rendered into a directory of its own."""

    def __init__(self, root: Path, policy: Mapping[str, Any] | None = None, relay: bool = False) -> None:
        """relay says that the role installs a service that has one."""
        self.root = root
        self.relay = relay
        self.directory = root / "extensions" / "CloudbridgeProxmox"
        self.payloads = root / "payloads"
        self.policy_file = root / "policy.json"
        self.log_file = root / "bridge.log"
        self.executable = self.directory / "cloudbridge-proxmox.py"
        for directory in (self.directory, self.payloads):
            directory.mkdir(parents=True, exist_ok=True)
        # Where a service may listen; nobody does unless a test starts one.
        self.socket = root / "service.sock"
        self.code_path = str(link_collection())
        self.render("extension.py.j2", self.executable)
        if policy is not None:
            self.set_policy(policy)

    def render(self, template: str, path: Path) -> None:
        """Write one of the role's programs."""
        text = jinja2.Environment(autoescape=False, keep_trailing_newline=True)
        text.filters["to_json"] = json.dumps
        text.filters["bool"] = bool
        rendered = text.from_string((TEMPLATES / template).read_text("utf-8")).render(
            cloudstack_extension_name="CloudbridgeProxmox",
            cloudstack_extension_python=sys.executable,
            cloudstack_extension_code_path=self.code_path,
            cloudstack_extension_policy_file=str(self.policy_file),
            cloudstack_extension_log_file=str(self.log_file),
            cloudstack_extension_socket=str(self.socket),
            cloudstack_extension_relay=self.relay,
        )
        path.write_text(rendered, "utf-8")
        path.chmod(0o755)

    def set_policy(self, policy: Mapping[str, Any]) -> None:
        self.policy_file.write_text(json.dumps(policy), "utf-8")

    def write(self, data: Any) -> Path:
        """The payload file, under a name as CloudStack gives it; bytes and text are written as they are."""
        path = self.payloads / f"{uuid.uuid4()}.json"
        if isinstance(data, bytes):
            path.write_bytes(data)
        else:
            path.write_text(data if isinstance(data, str) else json.dumps(data, separators=(",", ":")), "utf-8")
        return path

    def start(
        self,
        action: str,
        data: Any = None,
        wait: Any = WAIT,
        env: Mapping[str, str] | None = None,
        flags: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a call; the payload is a path, or what is to be in the file."""
        path = data if isinstance(data, Path) else self.write({} if data is None else data)
        arguments = [str(self.executable), *flags, action, str(path), *([] if wait is None else [str(wait)])]
        return subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": "/usr/bin:/bin", **(env or {})},
            cwd=self.root,
        )

    def call(
        self,
        action: str,
        data: Any = None,
        wait: Any = WAIT,
        env: Mapping[str, str] | None = None,
        flags: Sequence[str] = (),
    ) -> Answer:
        """Call an action and wait for its end, then read, as CloudStack does."""
        began = time.monotonic()
        process = self.start(action, data, wait, env, flags)
        try:
            process.wait(GRACE_SECONDS + (wait if isinstance(wait, int) and 0 < wait < WAIT else WAIT))
            seconds = time.monotonic() - began
            assert process.stdout is not None
            output = process.stdout.read()
            canaries.see(f"answer to {action}", output, wanted_in(action))
            return Answer(process.returncode, output, seconds)
        finally:
            process.kill()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
            process.wait()

    def files(self) -> list[str]:
        """What is below the extension's directory."""
        return sorted(str(path.relative_to(self.directory)) for path in self.directory.rglob("*"))

    def log(self) -> str:
        return self.log_file.read_text("utf-8") if self.log_file.exists() else ""


_DRIVER = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack import entry
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.registry import ACTIONS
for action in ACTIONS:
    action.load()
for line in sys.stdin:
    arguments, output = json.loads(line)
    pid = os.fork()
    if pid == 0:
        stream = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        os._exit(entry.main(*arguments))
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@functools.cache
def _driver() -> subprocess.Popen[str]:
    arguments = [sys.executable, "-IBc", _DRIVER, str(link_collection())]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.kill)
    return process


class ManyCalls:
    """Calls in quick succession: a process that has everything imported forks for each."""

    def __init__(self, extension: Extension) -> None:
        self.extension = extension

    def __call__(self, action: str, data: Any, wait: Any = WAIT, flags: Sequence[str] = ()) -> Answer:
        extension, process = self.extension, _driver()
        path = data if isinstance(data, Path) else extension.write(data)
        output = extension.payloads / "answer"
        arguments = ["extension", *flags, action, str(path), str(wait)]
        assert process.stdin is not None
        assert process.stdout is not None
        began = time.monotonic()
        order = [[arguments, str(extension.policy_file), str(extension.log_file)], str(output)]
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        exit_code = int(process.stdout.readline())
        seconds = time.monotonic() - began
        answer = output.read_bytes()
        canaries.see(f"answer to {action}", answer, wanted_in(action))
        return Answer(exit_code, answer, seconds)
