# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the operator says about the relay: where it listens, for whom, how long, how much."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

from ..._pve.errors import InvalidRequest

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

BIND = r"[A-Za-z0-9:][A-Za-z0-9.:_-]*"
DEFAULT_PORTS = "15900-16099"
_MAX_PORT = 65535


@dataclass(frozen=True)
class RelaySettings:
    """Times are in seconds; idle_seconds and total_seconds may be 0, which is for ever.

    address is what answers name: empty for the address of this server that PVE sees. bind is where the relay listens:
    empty for that address. No sources are all addresses. A viewer that has left may come back for reconnect_seconds; 0
    is never.
    """

    address: str = ""
    bind: str = ""
    ports: tuple[int, int] = (15900, 16099)
    sources: tuple[Network, ...] = ()
    # As long as the URL of CloudStack lives that leads to it.
    offer_seconds: float = 120.0
    # The console proxy answers when the browser behind it has answered.
    login_seconds: float = 30.0
    # After 300 s the console proxy has closed the websocket of an idle browser (Jetty).
    idle_seconds: float = 330.0
    # The console proxy does not close its connection when the browser leaves, but then asks for no picture any more.
    unasked_seconds: float = 60.0
    total_seconds: float = 43200.0
    reconnect_seconds: float = 0.0
    # How long somebody is shown why there is no console.
    told_seconds: float = 60.0
    most: int = 500
    most_per_endpoint: int = 250
    most_per_guest: int = 5

    @property
    def port_count(self) -> int:
        return self.ports[1] - self.ports[0] + 1

    def admits(self, address: str) -> bool:
        """Whether somebody with this address may connect."""
        if not self.sources:
            return True
        # Without the scope of an address of the link, and as IPv4 where it is that in disguise.
        found = ipaddress.ip_address(address.partition("%")[0])
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self.sources)


def check_address(address: str) -> str:
    """Return what the console proxy connects to if it is an IPv4 address; raises InvalidRequest."""
    try:
        return str(ipaddress.IPv4Address(address))
    except ValueError as error:
        raise InvalidRequest(
            f"{address[:100]!r} is no IPv4 address, and CloudStack's console proxy finds a way to no other "
            f"(ensureRoute): neither to a name nor to an IPv6 address"
        ) from error


def parse_ports(text: str) -> tuple[int, int]:
    """Read first-last, or one port; raises InvalidRequest."""
    first, dash, last = text.replace(" ", "").partition("-")
    numbers = [first, last if dash else first]
    if not all(number.isascii() and number.isdecimal() and len(number) <= 5 for number in numbers):
        raise InvalidRequest(f"the ports of the relay must be as in {DEFAULT_PORTS}, not {text[:50]!r}")
    low, high = int(numbers[0]), int(numbers[1])
    if not 1024 <= low <= high <= _MAX_PORT:
        raise InvalidRequest(f"the ports of the relay must be from 1024 to {_MAX_PORT}, the lower first, not {text!r}")
    return low, high


def parse_sources(text: str) -> tuple[Network, ...]:
    """Read networks or addresses with commas between them; raises InvalidRequest."""
    return tuple(_network(word.strip()) for word in text.split(",") if word.strip())


def _network(word: str) -> Network:
    try:
        return ipaddress.ip_network(word)
    except ValueError as error:
        raise InvalidRequest(f"the sources of the relay must be networks as in 192.0.2.0/24: {error}") from error
