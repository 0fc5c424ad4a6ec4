# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plainest client: what the tests of the embedded PVE ask it with."""

from __future__ import annotations

import time
import urllib.parse
from typing import Any

import requests

from .embedded_pve import PveHandle


class ApiClient:
    """One keep-alive connection with the handle's token (or another)."""

    def __init__(self, pve: PveHandle, token: str | None = None) -> None:
        self.base = f"{pve.url}/api2/json"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = pve.cafile
        self.session.headers["Authorization"] = f"PVEAPIToken={token or f'{pve.token_id}={pve.token_secret}'}"

    def __call__(self, method: str, path: str, **form: Any) -> requests.Response:
        """DELETE and GET carry their parameters in the query."""
        named = {name.replace("__", "-"): value for name, value in form.items()} or None
        url = self.base + path
        if method in ("GET", "DELETE"):
            return self.session.request(method, url, params=named, timeout=30)
        return self.session.request(method, url, data=named, timeout=30)

    def data(self, method: str, path: str, **form: Any) -> Any:
        answer = self(method, path, **form)
        assert answer.status_code == 200, f"{answer.status_code} {answer.reason}: {answer.text}"
        return answer.json()["data"]

    def status_of(self, upid: str) -> dict[str, Any]:
        node = upid.split(":")[1]
        status: dict[str, Any] = self.data("GET", f"/nodes/{node}/tasks/{urllib.parse.quote(upid, safe='')}/status")
        return status

    def log_of(self, upid: str) -> list[str]:
        node = upid.split(":")[1]
        lines = self.data("GET", f"/nodes/{node}/tasks/{urllib.parse.quote(upid, safe='')}/log", limit=500)
        return [line["t"] for line in lines]

    def finish(self, upid: str) -> str:
        """Wait for the task and return how it ended."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            status = self.status_of(upid)
            if status["status"] == "stopped":
                return str(status["exitstatus"])
            time.sleep(0.01)
        raise AssertionError(f"{upid} still runs")

    def task(self, method: str, path: str, **form: Any) -> str:
        """Start a task, wait for it, and return how it ended."""
        return self.finish(str(self.data(method, path, **form)))
