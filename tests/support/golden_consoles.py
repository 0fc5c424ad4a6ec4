# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recorded console sessions, replayed: heads of websockets, RFB handshakes, what was typed and what came back."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .api_client import ApiClient
from .console_client import RawWebSocket, cookie, websocket_path
from .embedded_pve import PveHandle
from .rfb_client import Viewer

SESSIONS = Path(__file__).parent / "recordings" / "console-sessions.json"
# How long nothing has to come where nothing came.
SILENCE = 0.05
END_OF_FILE = "<EOF>"
Step = dict[str, Any]
VOLATILE = (
    (re.compile(r"PVEVNC:[0-9A-F]{8}::[A-Za-z0-9+/=]{344}"), "<ticket>"),
    (re.compile(r"^-----BEGIN CERTIFICATE-----.*-----END CERTIFICATE-----(\\n|\n)$", re.DOTALL), "<certificate>"),
    (re.compile(r"^59\d\d$"), "<port>"),
    (re.compile(r"^[0-9a-f]{40}$"), "<40 hex digits>"),
    (re.compile(r"^UPID:([^:]+)(?::[0-9A-F]+){3}:([^:]*:[^:]*):.*"), r"<upid> \1 \2"),
    (re.compile(r"^pvespiceproxy:[0-9a-f]{8}:(\d+):(\w+):61\d\d\d::[0-9a-f]{40}$"), r"<spice> \1 \2"),
    (re.compile(r"CN=[\w.]+$"), "CN=<name>"),
    (re.compile(r"!\w+$"), "!<token>"),
    (re.compile(r"termproxy 59\d\d"), "termproxy <port>"),
    (re.compile(r"connection: 127\.0\.0\.1:\d+"), "connection: 127.0.0.1:<port>"),
)


def stable(text: Any) -> Any:
    """The text without what differs from run to run."""
    if isinstance(text, str):
        for pattern, replacement in VOLATILE:
            text = pattern.sub(replacement, text)
    return text


def console_answer(data: Any) -> Any:
    """What vncproxy, termproxy and spiceproxy answer, in a form that can be compared."""
    if not isinstance(data, Mapping):
        return data
    password = str(data.get("password") or "")
    shown = {key: stable(value) for key, value in data.items()}
    if len(password) == 8:
        shown["password"] = "<password>"
        shown["ticket"] = stable(str(data["ticket"]).removeprefix(password))
        shown["ticket is prefixed"] = str(data["ticket"]).startswith(password + ":")
    if isinstance(data.get("tls-port"), int):
        shown["tls-port"] = "<number>"
    return shown


def recorded_sessions() -> list[Step]:
    steps: list[Step] = json.loads(SESSIONS.read_text(encoding="utf-8"))
    return steps


class SessionReplay:
    """Opens each console as it was opened then, and says what is different."""

    def __init__(self, pve: PveHandle, other_token: str, other_secret: str) -> None:
        self.pve = pve
        self.other = f"{other_token}={other_secret}"
        self.other_token = other_token
        self.before: Step = {}

    def differences(self, step: Step) -> Iterator[str]:
        """ "what: recorded, embedded" for everything that is not as recorded."""
        for what, recorded, embedded in self._compare(step):
            if recorded != embedded:
                yield f"{step['n']} {step['name']}: {what}\n  recorded {recorded!r}\n  embedded {embedded!r}"

    def _headers(self, identity: str) -> dict[str, str]:
        if identity == "cookie":
            return cookie(self.pve)
        token = self.other if identity == self.other_token else f"{self.pve.token_id}={self.pve.token_secret}"
        return {"Authorization": f"PVEAPIToken={token}"}

    def _mint(self, step: Step) -> Step:
        how = step["how"]
        api = ApiClient(self.pve)
        api.session.headers.clear()
        api.session.headers.update(self._headers(how.get("mint_identity", "token")))
        form = {"websocket": 1} if how["mint"] == "vncproxy" else {}
        answer: Step = api.data("POST", f"{how.get('mint_path', step['path'])}/{how['mint']}", **form)
        return answer

    def _compare(self, step: Step) -> Iterator[tuple[str, Any, Any]]:
        how = step["how"]
        answer = self.before if "after" in how else self._mint(step)
        self.before = answer
        if how.get("wait") == "listener gone":
            self.pve.call(self.pve.server.ports.close)
        path = websocket_path(step["path"], answer["port"], how.get("ticket", answer["ticket"]))
        timeout = 10 if step["head"] else SILENCE
        headers = self._headers(how.get("identity", "token"))
        with RawWebSocket(self.pve, path, headers, step["subprotocol"], timeout) as client:
            lines = [line for line in client.head.splitlines() if not line.startswith("Sec-WebSocket-Accept")]
            yield "head", step["head"], lines if client.status == 101 else lines[:1]
            if client.status == 101:
                yield from self._session(step, answer, client)
        if "exit" in step:
            api = ApiClient(self.pve)
            yield "exit", step["exit"], stable(api.finish(answer["upid"]))
            yield "task", step["task"], stable(answer["upid"])
            yield (
                "log",
                step.get("log"),
                [stable(line) for line in api.log_of(answer["upid"])] if "log" in step else None,
            )

    def _session(self, step: Step, answer: Step, client: RawWebSocket) -> Iterator[tuple[str, Any, Any]]:
        if "rfb" in step:
            yield "rfb", step["rfb"], self._handshake(step, answer, client)
        elif "received" in step:
            yield "received", step["received"], client.read_all().decode() or END_OF_FILE
        for number, (sent, received) in enumerate(step.get("transcript", [])):
            yield f"line {number}", received, self._line(step, answer, client, sent, received)
        if "opcodes" in step:
            yield "opcodes", step["opcodes"], sorted(set(client.opcodes))

    def _line(self, step: Step, answer: Step, client: RawWebSocket, sent: str, received: str) -> str:
        if sent == "<credentials>":
            user, ticket = answer["user"], answer["ticket"]
            wrong = step["how"].get("credentials")
            user = user.partition("!")[0] if wrong == "user without token" else user
            client.send(f"{user}:{ticket + 'x' if wrong == 'another ticket' else ticket}\n")
        else:
            # What is typed is what shows the end; after that there may be nobody to send it to.
            with contextlib.suppress(OSError):
                client.send(sent)
        if received == END_OF_FILE:
            return client.read_all().decode() or END_OF_FILE
        return (client.read_until(received) if received else client.read_for(SILENCE)).decode()

    def _handshake(self, step: Step, answer: Step, client: RawWebSocket) -> list[list[Any]]:
        """The handshake as the recorder wrote it down; Viewer has asserted banner and security types."""
        viewer = Viewer(client)
        password = {"wrong": "wrong", "ticket": answer["ticket"]}.get(
            step["how"].get("password", ""), answer["password"]
        )
        result, reason = viewer.log_in(password)
        seen: list[list[Any]] = [["server version", "RFB 003.008\n"], ["sec types", [2]], ["auth result", result]]
        return [*seen, ["reason", reason.decode()]] if result else [*seen, ["init", *viewer.start()]]
