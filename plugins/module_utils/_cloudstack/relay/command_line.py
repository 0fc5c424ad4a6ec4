# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The relay's part of the command line of cloudbridge-proxmoxd."""

from __future__ import annotations

import argparse
import re

from ..._pve.errors import InvalidRequest
from .settings import BIND, RelaySettings, check_address, parse_ports, parse_sources

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
    add("--console-idle-seconds", type=float, default=_USUAL.idle_seconds, help="until an idle one ends; 0: for ever")
    add("--console-total-seconds", type=float, default=_USUAL.total_seconds, help="until any one ends; 0: for ever")
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
