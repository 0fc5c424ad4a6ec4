# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A CloudStack that knows no more than extensions and their custom actions, and takes only signed requests.

It does what ExtensionsManagerImpl.java does to what it stores, and is stricter about parameters: one that the command
does not have is refused instead of ignored.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import re
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

COMMON = {"command", "response", "apikey", "signature", "signatureversion", "expires", "page", "pagesize"}
EXTENSION = {"description", "details", "orchestratorrequirespreparevm", "reservedresourcedetails", "state"}
ACTION = {
    *("description", "resourcetype", "allowedroletypes", "parameters", "successmessage", "errormessage", "timeout"),
    *("enabled", "details"),
}
PARAMETERS = {
    "listApis": {"name"},
    "listExtensions": {"name", "id", "details"},
    "createExtension": {"name", "type", "path", *EXTENSION},
    "updateExtension": {"id", "cleanupdetails", *EXTENSION},
    "listCustomActions": {"id", "name", "extensionid"},
    "addCustomAction": {"extensionid", "name", *ACTION},
    "registerExtension": {"extensionid", "resourceid", "resourcetype", "details"},
    "updateRegisteredExtension": {"extensionid", "resourceid", "resourcetype", "details", "cleanupdetails"},
    "updateCustomAction": {"id", "cleanupparameters", "cleanupdetails", *ACTION},
}


class Refused(Exception):
    def __init__(self, text: str, status: int = 431) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class CloudStackApi:
    """What the server knows, and what it was asked."""

    extensions_root: Path
    key: str = "administrator-key"
    secret: str = "administrator-secret"
    # CVE-2026-25199: the releases before 4.23 cannot reserve details.
    reserves_details: bool = True
    # They cannot change registrations either.
    updates_registrations: bool = True
    clusters: list[str] = field(default_factory=list)
    extensions: list[dict[str, Any]] = field(default_factory=list)
    actions: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/client/api"

    @property
    def changes(self) -> list[str]:
        """The commands that were not mere questions."""
        return [command for command, _parameters in self.calls if not command.startswith("list")]

    def answer(self, raw: Mapping[str, str]) -> dict[str, Any]:
        """Carry out one request; raises Refused."""
        self.check_signature(raw)
        command = raw["command"]
        known = self.known_to(command)
        parameters = unfold({name: value for name, value in raw.items() if name.lower() not in COMMON})
        if not self.reserves_details:
            parameters.pop("reservedresourcedetails", None)
        foreign = set(parameters) - known
        if foreign or not known:
            raise Refused(f"{command} does not know {sorted(foreign)}", 430)
        self.calls.append((command, parameters))
        answer: dict[str, Any] = getattr(self, command)(**parameters)
        return answer

    def check_signature(self, raw: Mapping[str, str]) -> None:
        denied = Refused("unable to verify user credentials and/or request signature", 401)
        if raw.get("apiKey") != self.key or raw.get("signatureVersion") != "3":
            raise denied
        if datetime.strptime(raw["expires"], "%Y-%m-%dT%H:%M:%S%z") < datetime.now(UTC):
            raise denied
        signed = sorted((name.lower(), value) for name, value in raw.items() if name != "signature")
        text = "&".join(f"{name}={quote(value, safe='*')}" for name, value in signed).lower()
        digest = hmac.new(self.secret.encode(), text.encode(), hashlib.sha1).digest()
        if raw.get("signature") != base64.b64encode(digest).decode():
            raise denied

    def known_to(self, command: str) -> set[str]:
        known = command in PARAMETERS and (self.updates_registrations or command != "updateRegisteredExtension")
        return PARAMETERS[command] if known else set()

    def listApis(self, name: str) -> dict[str, Any]:  # noqa: N802
        names = self.known_to(name) - (set() if self.reserves_details else {"reservedresourcedetails"})
        if not names:
            raise Refused(f"The API {name} is not available or the account does not have access to it", 432)
        return {"count": 1, "api": [{"name": name, "params": [{"name": parameter} for parameter in sorted(names)]}]}

    def listExtensions(self, **wanted: str) -> dict[str, Any]:  # noqa: N802
        return listing("extension", self.extensions, wanted)

    def listCustomActions(self, **wanted: str) -> dict[str, Any]:  # noqa: N802
        return listing("extensioncustomaction", self.actions, wanted)

    def createExtension(self, name: str, type: str, path: str, **fields: Any) -> dict[str, Any]:  # noqa: N802
        if any(extension["name"] == name for extension in self.extensions):
            raise Refused("Extension by name already exists")
        if not (self.extensions_root / path).is_file():
            raise Refused(f"Failed to enable extension: {name} as its path is not ready", 530)
        extension = {"id": str(uuid.uuid4()), "name": name, "type": type, "isuserdefined": True, "pathready": True}
        extension["path"] = str(self.extensions_root / path)
        self.extensions.append({**extension, "state": "Enabled", **typed(fields)})
        return {"extension": self.extensions[-1]}

    def updateExtension(self, id: str, **fields: Any) -> dict[str, Any]:  # noqa: N802
        extension = find(self.extensions, id)
        extension.update(typed(fields))
        return {"extension": extension}

    def registerExtension(  # noqa: N802
        self, extensionid: str, resourceid: str, resourcetype: str, details: Any = ()
    ) -> dict[str, Any]:
        extension = find(self.extensions, extensionid)
        if resourcetype != "Cluster" or resourceid not in self.clusters:
            raise Refused("Invalid cluster ID specified")
        if any(item["id"] == resourceid for other in self.extensions for item in other.get("resources", ())):
            raise Refused(f"An extension is already registered with this cluster: {resourceid}")
        resource = {"id": resourceid, "type": resourcetype, "name": "cluster", **typed({"details": details})}
        extension.setdefault("resources", []).append(resource)
        return {"extension": extension}

    def updateRegisteredExtension(  # noqa: N802
        self, extensionid: str, resourceid: str, resourcetype: str, details: Any = ()
    ) -> dict[str, Any]:
        extension = find(self.extensions, extensionid)
        resource = find(extension.get("resources", []), resourceid)
        resource.update(typed({"details": details}))
        return {"extension": extension, "type": resourcetype}

    def addCustomAction(self, extensionid: str, name: str, **fields: Any) -> dict[str, Any]:  # noqa: N802
        find(self.extensions, extensionid)
        if not re.fullmatch(r"[a-zA-Z0-9 _-]+", name):
            raise Refused(f"Invalid action name: {name}")
        if any((action["name"], action["extensionid"]) == (name, extensionid) for action in self.actions):
            raise Refused("Action by name already exists")
        action = {"id": str(uuid.uuid4()), "name": name, "extensionid": extensionid, "timeout": 3, "enabled": False}
        self.actions.append({**action, **as_action(fields)})
        return {"extensioncustomaction": self.actions[-1]}

    def updateCustomAction(self, id: str, **fields: Any) -> dict[str, Any]:  # noqa: N802
        action = find(self.actions, id)
        if fields.pop("cleanupparameters", "") == "true":
            fields["parameters"] = []
        action.update(as_action(fields))
        return {"extensioncustomaction": action}


def unfold(raw: Mapping[str, str]) -> dict[str, Any]:
    """Turn parameters[0].name=a into {"parameters": [{"name": "a"}]}."""
    parameters: dict[str, Any] = {}
    for name, value in raw.items():
        indexed = re.fullmatch(r"(\w+)\[(\d+)\]\.(.+)", name)
        if indexed:
            items = parameters.setdefault(indexed[1], {})
            items.setdefault(int(indexed[2]), {})[indexed[3]] = value
        else:
            parameters[name] = value
    return {
        name: [value[index] for index in sorted(value)] if isinstance(value, dict) else value
        for name, value in parameters.items()
    }


def typed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Store the fields of an extension as CloudStack lists them."""
    stored = dict(fields)
    if "details" in stored:
        stored["details"] = {name: value for item in stored["details"] for name, value in item.items()}
    if "orchestratorrequirespreparevm" in stored:
        stored["orchestratorrequirespreparevm"] = stored["orchestratorrequirespreparevm"] == "true"
    if stored.get("state", "Enabled") not in ("Enabled", "Disabled"):
        raise Refused("Invalid state specified")
    return stored


def as_action(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Store the fields of a custom action as CloudStack lists them."""
    stored = dict(fields)
    if "timeout" in stored:
        stored["timeout"] = int(stored["timeout"])
    if "enabled" in stored:
        stored["enabled"] = stored["enabled"] == "true"
    if "allowedroletypes" in stored:
        roles = {*stored["allowedroletypes"].split(","), "Admin"}
        if roles - {"Admin", "ResourceAdmin", "DomainAdmin", "User"}:
            raise Refused(f"Invalid role specified - {roles}")
        stored["allowedroletypes"] = sorted(roles, reverse=True)
    if "parameters" in stored:
        stored["parameters"] = [as_parameter(parameter) for parameter in stored["parameters"]]
    return stored


def as_parameter(given: Mapping[str, str]) -> dict[str, Any]:
    if given.get("type", "STRING") not in ("STRING", "NUMBER", "BOOLEAN", "DATE"):
        raise Refused(f"Invalid parameter type specified: {given['type']}")
    return {
        "name": given["name"],
        "type": given.get("type", "STRING"),
        "required": given.get("required") == "true",
        "validationformat": given.get("validationformat", "NONE"),
    }


def listing(kind: str, items: list[dict[str, Any]], wanted: Mapping[str, str]) -> dict[str, Any]:
    found = [item for item in items if all(item.get(name) == value for name, value in wanted.items())]
    return {"count": len(found), kind: found} if found else {}


def find(items: list[dict[str, Any]], wanted: str) -> dict[str, Any]:
    for item in items:
        if item["id"] == wanted:
            return item
    raise Refused(f"Unable to find {wanted}")


@contextlib.contextmanager
def running_cloudstack_api(extensions_root: Path) -> Iterator[CloudStackApi]:
    """Serve the API on 127.0.0.1 for as long as the context lasts."""
    api = CloudStackApi(extensions_root)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            self.reply(dict(parse_qsl(body, keep_blank_values=True)))

        def do_GET(self) -> None:
            self.reply(dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True)))

        def reply(self, raw: dict[str, str]) -> None:
            try:
                status, answer = 200, api.answer(raw)
            except Refused as refused:
                status = refused.status
                answer = {"uuidList": [], "errorcode": status, "errortext": str(refused)}
            content = json.dumps({f"{raw.get('command', 'error').lower()}response": answer}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json;charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Keep the output of the tests clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
