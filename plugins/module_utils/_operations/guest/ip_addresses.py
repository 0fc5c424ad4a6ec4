# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses and gateways of a guest's network devices, as property strings have them."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass

from ..._pve.errors import InvalidRequest


@dataclass(frozen=True)
class IpFamily:
    """The addresses of one version of IP, as PVE takes them (PVE::JSONSchema, pve_verify_cidrv4 and cidrv6)."""

    version: int
    option: str
    words: tuple[str, ...]
    gateway: str
    key: str
    longest_prefix: int
    example: str


_SHORTEST_PREFIX = 8
IPV4 = IpFamily(4, "ip", ("dhcp",), "gateway", "gw", 32, "192.0.2.10/24")
IPV6 = IpFamily(6, "ip6", ("dhcp", "auto"), "gateway6", "gw6", 128, "2001:db8::10/64")


def check_interface(option: str, value: str, family: IpFamily) -> None:
    address, slash, prefix = value.partition("/")
    if not slash or not _is_address(address, family.version):
        raise InvalidRequest(
            f"{option} {value!r} is neither {' nor '.join(family.words)} nor an address as in {family.example}"
        )
    if not re.fullmatch("[0-9]+", prefix) or not _SHORTEST_PREFIX <= int(prefix) <= family.longest_prefix:
        raise InvalidRequest(
            f"{option} {value!r} needs the length of its prefix, a number from {_SHORTEST_PREFIX} to "
            f"{family.longest_prefix}, as in {family.example}"
        )


def check_address(option: str, value: str, version: int | None = None) -> None:
    """Raise InvalidRequest, naming the option, unless it is an address of that version, or of either."""
    if not _is_address(value, version):
        kind = "an address" if version is None else f"an IPv{version} address"
        raise InvalidRequest(f"{option}: {value!r} is not {kind}")


def _is_address(text: str, version: int | None) -> bool:
    try:
        # An address with a zone is one for Python, and none for PVE.
        return "%" not in text and ipaddress.ip_address(text).version == (version or ipaddress.ip_address(text).version)
    except ValueError:
        return False


def address_parts(place: str, options: t.Mapping[str, t.Any], families: t.Iterable[IpFamily]) -> dict[str, str]:
    """The parts for the addresses that are given; raises InvalidRequest, naming the option."""
    parts = {}
    for family in families:
        value = options.get(family.option)
        if value is not None:
            if value not in family.words:
                check_interface(f"{place}: {family.option}", value, family)
            parts[family.option] = value
        if family.gateway in options:
            if value is None or value in family.words:
                raise InvalidRequest(f"{place}: {family.gateway} needs an address in {family.option}")
            check_address(f"{place}: {family.gateway}", options[family.gateway], family.version)
            parts[family.key] = options[family.gateway]
    return parts
