# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plainest client: what the tests of the embedded PVE ask it with."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import requests
from requests.adapters import HTTPAdapter


class HasApi(Protocol):
    """Where a PVE is, and with which token one gets in; the embedded PVE's handle is one."""

    @property
    def url(self) -> str: ...

    @property
    def cafile(self) -> str | None: ...

    @property
    def token_id(self) -> str: ...

    @property
    def token_secret(self) -> str: ...


@dataclass(frozen=True)
class Target:
    """A PVE that the environment names."""

    url: str
    token_id: str
    token_secret: str
    cafile: str | None = None
    fingerprint: str | None = None
    verify: bool = True

    @classmethod
    def of_environment(cls, names: Mapping[str, str]) -> Target:
        """Read PROXMOX_* as the modules do."""
        token = names["PROXMOX_TOKEN_ID"]
        return cls(
            url=f"https://{names['PROXMOX_HOST']}:{names.get('PROXMOX_PORT', '8006')}",
            token_id=token if "!" in token else f"{names['PROXMOX_USER']}!{token}",
            token_secret=names["PROXMOX_TOKEN_SECRET"],
            cafile=names.get("PROXMOX_CA_PATH"),
            fingerprint=names.get("PROXMOX_FINGERPRINT"),
            verify=names.get("PROXMOX_VALIDATE_CERTS", "true").lower() not in ("0", "false", "no", "off"),
        )


class _Pinned(HTTPAdapter):
    """Takes the certificate with this fingerprint and no other."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options, assert_fingerprint=self.fingerprint)


class ApiClient:
    """One keep-alive connection with the token of a PVE (or another)."""

    def __init__(self, pve: HasApi, token: str | None = None, patience: float = 20) -> None:
        self.patience = patience
        self.base = f"{pve.url}/api2/json"
        self.session = requests.Session()
        self.session.trust_env = False
        fingerprint = pve.fingerprint if isinstance(pve, Target) else None
        if fingerprint:
            self.session.mount("https://", _Pinned(fingerprint))
        checked = not (isinstance(pve, Target) and (fingerprint or not pve.verify))
        self.session.verify = (pve.cafile or True) if checked else False
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
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            status = self.status_of(upid)
            if status["status"] == "stopped":
                return str(status["exitstatus"])
            time.sleep(0.01)
        raise AssertionError(f"{upid} still runs")

    def task(self, method: str, path: str, **form: Any) -> str:
        """Start a task, wait for it, and return how it ended."""
        return self.finish(str(self.data(method, path, **form)))
