# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replays recorded requests against an embedded PVE and says where its answers differ.

The recordings beside this file are answers of a real PVE 9.2 (pve-manager 9.2.11, qemu-server 9.2.6).
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from .embedded_pve import PveHandle
from .golden_consoles import console_answer

RECORDINGS = Path(__file__).parent / "recordings"
API = "/api2/json"
# What differs from run to run: identifiers, addresses, times, and who recorded it.
VOLATILE = (
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\bBC:24:11(:[0-9A-F]{2}){3}\b", re.IGNORECASE), "<mac>"),
    (re.compile(r"\bfe80::be24:11ff:fe[0-9a-f]{2}:[0-9a-f]{1,4}\b"), "<link-local address>"),
    (re.compile(r"\b[0-9a-f]{40}\b"), "<digest>"),
    (re.compile(r"creation-qemu=[0-9.]+,ctime=\d+"), "creation-qemu=<version>"),
    (re.compile(r"UPID:[^\s\"]+:"), "<upid>"),
    (re.compile(r"\broot@pam!\w+"), "root@pam!<token>"),
    (re.compile(r"\.conf\.tmp\.\d+"), ".conf.tmp.<pid>"),
    (re.compile(r"vzdumptmp\d+"), "vzdumptmp<pid>"),
    (re.compile(r"state-suspend-\d{4}-\d{2}-\d{2}"), "state-suspend-<day>"),
    (re.compile(r"\d{4}[-_]\d{2}[-_]\d{2}[- ]\d{2}[:_]\d{2}[:_]\d{2}"), "<time>"),
    (re.compile(r"\(\d{2}:\d{2}:\d{2}\)"), "(<duration>)"),
    (re.compile(r"archive file size: \d+KB"), "archive file size: <size>"),
)
# The fields of lists and of status/current that a client reads; the rest is load and traffic.
READ_BY_CLIENTS = ("vmid", "name", "status", "qmpstatus", "template", "lock", "tags", "pool", "node", "type", "ha")
# The fields of a snapshot list; `snaptime` is a time.
SNAPSHOT_FIELDS = ("name", "parent", "vmstate", "description", "running")


@dataclass(frozen=True)
class Sequence:
    """Requests recorded one after the other, and what a replay of them needs."""

    name: str
    setup: Callable[[PveHandle], None]
    nodes: tuple[str, ...] = ("pve1",)
    # Done behind the API's back just before the step with this number.
    outside: Mapping[int, Callable[[PveHandle], object]] = field(default_factory=dict)

    def steps(self) -> list[dict[str, Any]]:
        steps: list[dict[str, Any]] = json.loads((RECORDINGS / f"{self.name}.json").read_text(encoding="utf-8"))
        return steps


@dataclass(frozen=True)
class Difference:
    """One field of one answer that is not as recorded."""

    step: int
    name: str
    what: str
    recorded: Any
    embedded: Any


def normal(value: Any) -> Any:
    if isinstance(value, str):
        for pattern, text in VOLATILE:
            value = pattern.sub(text, value)
        return value
    if isinstance(value, Mapping):
        return {key: normal(item) for key, item in value.items() if key not in ("snaptime", "digest")}
    if isinstance(value, list):
        return [normal(item) for item in value]
    return value


def readable(path: str, data: Any) -> Any:
    """The part of an answer that is compared, in an order that does not matter."""
    if path.endswith(("/cluster/resources", "/qemu", "/lxc", "/status/current")):
        items = data if isinstance(data, list) else [data]
        chosen = [{key: item[key] for key in READ_BY_CLIENTS if key in item} for item in items]
        return sorted(chosen, key=lambda item: str(item.get("vmid", "")))
    if path.endswith(("/vncproxy", "/termproxy", "/spiceproxy")):
        return console_answer(data)
    if path.endswith("/snapshot"):
        chosen = [{key: item[key] for key in SNAPSHOT_FIELDS if key in item} for item in data]
        return sorted(chosen, key=lambda item: str(item["name"]))
    if isinstance(data, list) and data and isinstance(data[0], Mapping) and "key" in data[0]:
        return sorted((normal(item) for item in data if item["key"] != "digest"), key=lambda item: str(item["key"]))
    if path.endswith(("/pools", "/pools/lab")):
        pools = data if isinstance(data, list) else [data]
        return [{**pool, "members": readable("/qemu", pool["members"])} for pool in pools]
    if path.endswith("/content"):
        chosen = [{key: item[key] for key in item if key not in ("ctime", "size")} for item in data]
        return sorted((normal(item) for item in chosen), key=lambda item: str(item["volid"]))
    if path.endswith("/network"):
        return sorted((item["iface"], item["type"]) for item in data)
    return normal(data)


def readable_log(lines: list[str]) -> list[str]:
    """A task's log; PVE writes the options of a job in no order."""
    return [" ".join(sorted(normal(line).split())) if "new backup job" in line else normal(line) for line in lines]


def task_type(upid: Any) -> str | None:
    parts = upid.split(":") if isinstance(upid, str) and upid.startswith("UPID:") else []
    return parts[5] if len(parts) > 5 else None


class Replay:
    """One embedded PVE being asked what the real one was asked."""

    def __init__(self, pve: PveHandle, sequence: Sequence) -> None:
        self.pve = pve
        self.sequence = sequence
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = pve.cafile
        self.session.headers["Authorization"] = f"PVEAPIToken={pve.token_id}={pve.token_secret}"
        self.upids: dict[str, str] = {}
        self.digests: dict[str, str] = {}

    def differences(self) -> Iterator[Difference]:
        self.sequence.setup(self.pve)
        for step in self.sequence.steps():
            action = self.sequence.outside.get(step["n"])
            if action is not None:
                action(self.pve)
            for what, recorded, embedded in self._compare(step):
                yield Difference(step["n"], step["name"], what, recorded, embedded)

    def _compare(self, step: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
        answer = self._ask(step)
        body = self._body(answer)
        pairs = [
            ("status", step["status"], answer.status_code),
            ("reason", normal(step["reason"]), normal(answer.reason)),
            ("errors", step.get("errors"), body.get("errors")),
            ("task type", task_type(step.get("upid")), task_type(body.get("data"))),
        ]
        if "data" in step and answer.status_code == 200:
            pairs.append(("data", readable(step["path"], step["data"]), readable(step["path"], body.get("data"))))
        if "exit" in step:
            pairs.append(("exit", normal(step["exit"]), normal(self._task(body).get("exitstatus"))))
        if "log" in step:
            pairs.append(("log", readable_log(step["log"]), readable_log(self._task(body)["log"])))
        self._learn(step, body)
        yield from ((what, recorded, embedded) for what, recorded, embedded in pairs if recorded != embedded)

    def _ask(self, step: dict[str, Any]) -> requests.Response:
        path = urllib.parse.unquote(step["path"])
        for recorded, own in self.upids.items():
            path = path.replace(recorded, own)
        path = self._running_upid(path)
        url = self.pve.url + API + urllib.parse.quote(path, safe="/")
        form = dict(step.get("form") or {})
        if re.fullmatch(r"(?!0{40})[0-9a-f]{40}", str(form.get("digest", ""))):
            form["digest"] = self.digests.get(form["digest"]) or self._current_digest(step)
        query = step.get("query", "")
        headers = self._ticket() if step.get("ticket") else {}
        if step.get("user"):
            headers = {"Authorization": f"PVEAPIToken={step['user']}={self.pve.token_secret}"}
        return self.session.request(step["method"], f"{url}?{query}", data=form or None, headers=headers, timeout=30)

    def _running_upid(self, path: str) -> str:
        """The UPID of a task that was running when it was recorded: ours of that type and guest."""
        found = re.search(r"UPID:[^/]+", path)
        for task in self.pve.tasks() if found else []:
            same = f":{task['type']}:{task['id']}:" in path
            if found and same and task["status"] == "running" and path not in self.upids.values():
                self.upids[found.group(0)] = task["upid"]
                return path.replace(found.group(0), task["upid"])
        return path

    def _current_digest(self, step: dict[str, Any]) -> str:
        """A digest whose GET was not recorded: of the configuration as it is."""
        vmid = int(step["path"].split("/")[4])
        return self.pve.call(lambda: self.pve.server.digest_of(self.pve.server.guest(vmid)))

    def _ticket(self) -> dict[str, str]:
        ticket, csrf = self.pve.call(lambda: self.pve.server.issue_ticket("root@pam"))
        return {"Authorization": "", "Cookie": f"PVEAuthCookie={ticket}", "CSRFPreventionToken": csrf}

    @staticmethod
    def _body(answer: requests.Response) -> dict[str, Any]:
        try:
            body = answer.json()
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}

    def _learn(self, step: dict[str, Any], body: dict[str, Any]) -> None:
        """Which of our UPIDs and digests stands for a recorded one."""
        if step.get("upid") and body.get("data"):
            self.upids[step["upid"]] = str(body["data"])
        recorded, own = step.get("data"), body.get("data")
        if step["path"].endswith("/pending") and isinstance(own, list):
            recorded, own = ({item["key"]: item.get("value") for item in items} for items in (recorded, own))
        if isinstance(recorded, Mapping) and isinstance(own, Mapping) and "digest" in recorded:
            self.digests[str(recorded["digest"])] = str(own["digest"])

    def _task(self, body: dict[str, Any]) -> dict[str, Any]:
        """The task that an answer names."""
        return next((task for task in self.pve.tasks() if task["upid"] == body.get("data")), {})
