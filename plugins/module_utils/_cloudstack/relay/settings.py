# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the operator sets for the relay: where it listens, for whom, how long, how much."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass

from ..._pve.errors import InvalidRequest

if t.TYPE_CHECKING:
    import argparse

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

BIND = r"[A-Za-z0-9:][A-Za-z0-9.:_-]*"
DEFAULT_PORTS = "15900-16099"
_MAX_PORT = 65535


@dataclass(frozen=True)
class RelaySettings:
    """Times are in seconds; idle_seconds and total_seconds may be 0, which is no limit.

    address is what answers name: empty for the address of this server that PVE sees. bind is where the relay listens:
    empty for that address. No sources are all addresses. A viewer that has left may come back for reconnect_seconds; 0
    is never.
    """

    address: str = ""
    bind: str = ""
    ports: tuple[int, int] = (15900, 16099)
    sources: tuple[Network, ...] = ()
    # As long as CloudStack's URL of the console is valid.
    offer_seconds: float = 120.0
    # The console proxy answers when the browser behind it has answered.
    login_seconds: float = 30.0
    # After 300 s the console proxy has closed the websocket of an idle browser (Jetty).
    idle_seconds: float = 330.0
    # The console proxy does not close its connection when the browser leaves, but then asks for no picture any more.
    unasked_seconds: float = 60.0
    total_seconds: float = 43200.0
    reconnect_seconds: float = 0.0
    # How long a viewer shows why there is no console.
    told_seconds: float = 60.0
    most: int = 500
    most_per_endpoint: int = 250
    most_per_guest: int = 5

    @property
    def port_count(self) -> int:
        return self.ports[1] - self.ports[0] + 1

    def admits(self, address: str) -> bool:
        """Whether a client with this address may connect."""
        if not self.sources:
            return True
        # Without the scope of a link-local address, and as IPv4 if it is a mapped one.
        found = ipaddress.ip_address(address.partition("%")[0])
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self.sources)


def check_address(address: str) -> str:
    """Return what the console proxy connects to if it is an IPv4 address; raises InvalidRequest."""
    try:
        return str(ipaddress.IPv4Address(address))
    except ValueError as error:
        raise InvalidRequest(
            f"{address[:100]!r} is no IPv4 address, and CloudStack's console proxy supports no other "
            f"(ensureRoute): neither a name nor an IPv6 address"
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


_USUAL = RelaySettings()


def add_relay_words(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("console relay")
    add = group.add_argument
    add("--console-ports", default="", metavar="FIRST-LAST", help="the ports of consoles; none: no relay")
    add("--console-address", default="", help="this server's IPv4 address for viewers, unless PVE sees it")
    add("--console-bind", default="", help="where to listen, if that is another address")
    add("--console-sources", default="", metavar="NETWORKS", help="who may connect, with commas; none: everybody")
    add("--console-seconds", type=float, default=_USUAL.offer_seconds, help="how long a console is offered")
    add("--console-idle-seconds", type=float, default=_USUAL.idle_seconds, help="until an idle one ends; 0: no limit")
    add("--console-total-seconds", type=float, default=_USUAL.total_seconds, help="until any one ends; 0: no limit")
    add("--console-reconnect-seconds", type=float, default=_USUAL.reconnect_seconds, help="for viewers to come back")
    add("--most-consoles", type=int, default=_USUAL.most, help="consoles at once")
    add("--most-consoles-per-pve", type=int, default=_USUAL.most_per_endpoint, help="consoles of one PVE at once")
    add("--most-consoles-per-guest", type=int, default=_USUAL.most_per_guest, help="open consoles of one guest at once")


def read_relay_words(found: argparse.Namespace) -> RelaySettings | None:
    """Check the options; None is no relay. Raises InvalidRequest."""
    if not found.console_ports:
        return None
    others = (found.console_idle_seconds, found.console_total_seconds, found.console_reconnect_seconds)
    if found.console_seconds <= 0 or min(others) < 0:
        raise InvalidRequest("--console-seconds must be more than 0, and the other seconds of consoles not less than 0")
    if min(found.most_consoles, found.most_consoles_per_pve, found.most_consoles_per_guest) < 1:
        raise InvalidRequest("--most-consoles, --most-consoles-per-pve and --most-consoles-per-guest are at least 1")
    if found.console_address:
        try:
            check_address(found.console_address)
        except InvalidRequest as error:
            raise InvalidRequest(f"--console-address: {error}") from error
    if not re.fullmatch(BIND, found.console_bind or "none"):
        raise InvalidRequest(f"--console-bind is an address or a name, not {found.console_bind[:100]!r}")
    return RelaySettings(
        address=found.console_address,
        bind=found.console_bind,
        ports=parse_ports(found.console_ports),
        sources=parse_sources(found.console_sources),
        offer_seconds=found.console_seconds,
        idle_seconds=found.console_idle_seconds,
        total_seconds=found.console_total_seconds,
        reconnect_seconds=found.console_reconnect_seconds,
        most=found.most_consoles,
        most_per_endpoint=found.most_consoles_per_pve,
        most_per_guest=found.most_consoles_per_guest,
    )
