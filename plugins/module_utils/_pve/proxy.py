# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTTP proxy between here and PVE, by the variables of the environment that curl and requests read."""

from __future__ import annotations

import typing as t
from urllib.parse import unquote, urlsplit

from .connection import Endpoint, host_and_port
from .errors import InvalidRequest

PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_DEFAULT_PORT = 80


class Proxy(t.NamedTuple):
    """Where the proxy is, and the headers that it wants to see; these are secret."""

    host: str
    port: int
    headers: dict[str, str]

    @property
    def address(self) -> str:
        return host_and_port(self.host, self.port)


def proxy_for(endpoint: Endpoint, environment: t.Mapping[str, str]) -> Proxy | None:
    """The proxy on the way to this endpoint; raises InvalidRequest when it is of a kind that cannot be used."""
    text = _variable(environment, "https_proxy") or _variable(environment, "all_proxy")
    if not text or _goes_past(endpoint, _variable(environment, "no_proxy")):
        return None
    parts = urlsplit(text if "://" in text else f"http://{text}")
    try:
        port = parts.port or _DEFAULT_PORT
    except ValueError:
        port = 0
    if parts.scheme != "http" or not parts.hostname or not port:
        place = text.rpartition("@")[2] if "@" in text else text
        raise InvalidRequest(
            f"the proxy {place!r} that the environment names for {endpoint.url} cannot be used: "
            f"write it as http://host:port"
        )
    headers = {}
    if parts.username is not None:
        import base64

        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode('ascii')}"
    return Proxy(parts.hostname, port, headers)


def _variable(environment: t.Mapping[str, str], name: str) -> str:
    """The variable in lower case, even an empty one, comes before that in upper case."""
    return environment.get(name, environment.get(name.upper(), ""))


def _goes_past(endpoint: Endpoint, exceptions: str) -> bool:
    if not exceptions:
        return False
    import ipaddress
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed has it for macOS only

    # With the port, names are compared with and without it.
    if proxy_bypass_environment(f"{endpoint.host}:{endpoint.port}", {"no": exceptions}):
        return True
    try:
        address = ipaddress.ip_address(endpoint.host)
    except ValueError:
        return False
    return any(address in network for network in _networks(exceptions))


def _networks(exceptions: str) -> t.Iterator[t.Any]:
    """The addresses and networks among the exceptions."""
    import ipaddress

    for item in exceptions.replace(" ", "").split(","):
        try:
            yield ipaddress.ip_network(item, strict=False)
        except ValueError:
            continue
