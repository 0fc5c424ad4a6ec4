# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What CloudStack asks for: the payload and the site policy, and what follows from both."""

from __future__ import annotations

import typing as t

from .._pve.connection import ConnectionOptions, connection_options
from .._pve.errors import InvalidRequest
from .details import Details, resolve_details
from .payload import Instance, Payload, read_payload
from .policy import read_policy

# Shorter words occur in many messages by accident.
SHORTEST_SECRET = 6


class CallRequest:
    """One call of CloudStack as data. It knows nothing of PVE's answers."""

    def __init__(self, action: str, policy_file: str) -> None:
        self.action = action
        self.policy_file = policy_file
        self.policy: dict[str, t.Any] = {}
        self.payload = Payload()
        # They appear in no answer and in no log.
        self.secrets: set[str] = set()
        self._details: Details | None = None
        self._instance: Instance | None = None
        self._connection: ConnectionOptions | None = None

    def read(self, payload_file: str, stream: int | None = None) -> None:
        """Read the payload and the site policy; raises InvalidRequest. stream is the payload, if it is open already."""
        self.payload = read_payload(payload_file, stream)
        self.policy = read_policy(self.policy_file)
        for section in (*self.payload.sections.values(), self.policy):
            self._keep_secret(section.get("secret"))

    @property
    def details(self) -> Details:
        """The details in force; raises InvalidRequest when one is invalid."""
        if self._details is None:
            self._details = resolve_details(self.payload, self.policy)
        return self._details

    @property
    def instance(self) -> Instance:
        """The VM of the call; raises InvalidRequest when the payload describes none."""
        if self._instance is None:
            self._instance = self.payload.instance()
        return self._instance

    @property
    def vmid(self) -> int:
        """The number of the VM in PVE; raises InvalidRequest when CloudStack does not know it."""
        vmid = self.instance.vmid
        if vmid is None:
            raise InvalidRequest(f"{self.instance.name} has no proxmox_vmid: it was never prepared for PVE")
        return vmid

    @property
    def node(self) -> str:
        """The node of CloudStack's host; raises InvalidRequest, which names all missing details."""
        self.connection()
        return self.details.required("node")

    def connection(self) -> ConnectionOptions:
        """How to connect to PVE; raises InvalidRequest when the details do not say."""
        if self._connection is None:
            self._connection = self._read_connection()
        return self._connection

    def _read_connection(self) -> ConnectionOptions:
        details = self.details
        missing = [name for name in ("url", "user", "token", "node") if not details.text(name)]
        secret = details.text("secret")
        secret_file = details.text("secret_file")
        if secret_file and not secret:
            secret = _read_secret(secret_file)
            self._keep_secret(secret)
        if not secret:
            missing.insert(min(3, len(missing)), "secret")
        if missing:
            raise InvalidRequest(f"missing required details: {', '.join(missing)} (set them on the host or extension)")
        return connection_options(
            {
                "api_host": details.text("url"),
                "api_user": details.text("user"),
                "api_token_id": details.text("token"),
                "api_token_secret": secret,
                "validate_certs": details.flag("verify_tls_certificate"),
                "ca_path": details.text("ca_file"),
                "api_fingerprint": details.text("fingerprint"),
                "api_timeout": details.number("api_timeout"),
            }
        )

    def _keep_secret(self, secret: t.Any) -> None:
        if isinstance(secret, str) and len(secret) >= SHORTEST_SECRET:
            self.secrets.add(secret)


def _read_secret(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - pathlib costs 10 ms
            return file.read(4096).strip()
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"secret_file {path!r} cannot be read: {getattr(error, 'strerror', error)}") from error
