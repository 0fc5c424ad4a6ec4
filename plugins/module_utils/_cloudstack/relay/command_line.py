# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The relay's part of the command line of cloudbridge-proxmoxd."""

from __future__ import annotations

import argparse
import re

from ..._pve.errors import InvalidRequest
from .settings import ADDRESS, RelaySettings, parse_ports, parse_sources

_USUAL = RelaySettings()


def add_relay_words(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("console relay")
    add = group.add_argument
    add("--console-ports", default="", metavar="FIRST-LAST", help="the ports of consoles; none: no relay")
    add("--console-address", default="", help="this server's address for viewers, unless it is the one that PVE sees")
    add("--console-bind", default="", help="where to listen, if that is another address")
    add("--console-sources", default="", metavar="NETWORKS", help="who may connect, with commas; none: everybody")
    add("--console-seconds", type=float, default=_USUAL.offer_seconds, help="how long a console is offered")
    add("--console-idle-seconds", type=float, default=_USUAL.idle_seconds, help="until an idle one ends; 0: for ever")
    add("--console-total-seconds", type=float, default=_USUAL.total_seconds, help="until any one ends; 0: for ever")
    add("--most-consoles", type=int, default=_USUAL.most, help="consoles at once")
    add("--most-consoles-per-pve", type=int, default=_USUAL.most_per_endpoint, help="consoles of one PVE at once")


def read_relay_words(found: argparse.Namespace) -> RelaySettings | None:
    """Check the options; None is no relay. Raises InvalidRequest."""
    if not found.console_ports:
        return None
    if found.console_seconds <= 0 or min(found.console_idle_seconds, found.console_total_seconds) < 0:
        raise InvalidRequest("--console-seconds must be more than 0, and the other seconds of consoles not less than 0")
    if min(found.most_consoles, found.most_consoles_per_pve) < 1:
        raise InvalidRequest("--most-consoles and --most-consoles-per-pve are at least 1")
    for address in (found.console_address, found.console_bind):
        if not re.fullmatch(ADDRESS, address or "none"):
            raise InvalidRequest(f"--console-address and --console-bind are addresses or names, not {address[:100]!r}")
    return RelaySettings(
        address=found.console_address,
        bind=found.console_bind,
        ports=parse_ports(found.console_ports),
        sources=parse_sources(found.console_sources),
        offer_seconds=found.console_seconds,
        idle_seconds=found.console_idle_seconds,
        total_seconds=found.console_total_seconds,
        most=found.most_consoles,
        most_per_endpoint=found.most_consoles_per_pve,
    )
