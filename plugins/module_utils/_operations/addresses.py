# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interfaces inside a guest as its agent, or the node of a container, tells them, and the addresses on them.

What an agent tells is up to whoever owns the guest: nothing of it is relied on.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass

from .._pve.container_config import CONTAINER_NIC
from .._pve.errors import Cause, InvalidRequest, Refused, brief
from .._pve.guests import LXC
from .._pve.vm_config import NIC, NIC_KEY

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

_MAC = re.compile(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}")


@dataclass(frozen=True)
class Addresses:
    """The addresses by which a guest can be reached from outside."""

    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ipv4 or self.ipv6)

    def as_result(self) -> dict[str, list[str]]:
        return {"ipv4": list(self.ipv4), "ipv6": list(self.ipv6)}


@dataclass(frozen=True)
class Interface:
    """One interface inside a guest; mac is empty when nobody tells it, and addresses have their prefixes."""

    name: str
    mac: str = ""
    addresses: tuple[str, ...] = ()

    def as_result(self) -> dict[str, t.Any]:
        """The interface as results and variables have it."""
        return {"name": self.name, "mac": self.mac or None, "addresses": list(self.addresses)}


def interfaces_path(kind: str) -> tuple[str, ...]:
    """Where below a guest's path its interfaces are listed."""
    return ("interfaces",) if kind == LXC else ("agent", "network-get-interfaces")


def interfaces_in(answer: t.Any) -> tuple[Interface, ...]:
    """Read the answer; an agent's has an envelope, a stopped container's is null.

    Raises Refused, with the agent's words, when it is an error (75-agent: 200 with data.result.error) or nonsense.
    """
    listed = answer.get("result") if isinstance(answer, dict) else answer
    if isinstance(listed, dict):
        error = listed.get("error")
        words = error.get("desc") if isinstance(error, dict) else None
        raise _no_interfaces(f"the agent answers {brief(words or listed)}")
    if listed is not None and not isinstance(listed, list):
        raise _no_interfaces(f"its answer makes no sense: {brief(listed)}")
    found = tuple(_interface(entry) for entry in listed or () if isinstance(entry, dict))
    if listed and not found:
        raise _no_interfaces(f"its answer makes no sense: {brief(listed[0])}")
    return found


def _no_interfaces(why: str) -> Refused:
    return Refused(why, Cause(pve_message=why))


def _interface(entry: t.Mapping[str, t.Any]) -> Interface:
    mac = str(entry.get("hardware-address") or entry.get("hwaddr") or "")
    return Interface(
        name=brief(entry.get("name") or ""),
        mac=mac.replace("-", ":").upper() if _MAC.fullmatch(mac) else "",
        addresses=tuple(_addresses(entry)),
    )


def _addresses(entry: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    listed = entry.get("ip-addresses")
    listed = listed if isinstance(listed, list) else []
    # Containers before PVE 8.4 have only these two (PVE::LXC::get_interfaces).
    texts = (
        [_with_prefix(item) for item in listed if isinstance(item, dict)]
        if listed
        else [str(entry.get(key) or "") for key in ("inet", "inet6")]
    )
    return (text for text in texts if read_address(text) is not None)


def _with_prefix(item: t.Mapping[str, t.Any]) -> str:
    prefix = str(item.get("prefix") or "")
    return str(item.get("ip-address") or "") + (f"/{prefix}" if prefix.isdigit() else "")


def read_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address, without its prefix or zone; None when it is none."""
    try:
        return ipaddress.ip_address(text.partition("/")[0].partition("%")[0])
    except ValueError:
        return None


def usable_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address by which a guest can be reached; None when it is loopback, link-local, or no address."""
    address = read_address(text)
    if address is None:
        return None
    useless = address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast
    return None if useless else address


def addresses_of(interfaces: t.Iterable[Interface]) -> Addresses:
    """Pick the usable addresses of interfaces."""
    return sorted_addresses(text for interface in interfaces for text in interface.addresses)


def sorted_addresses(
    texts: t.Iterable[str], prefer: t.Sequence[Network] = (), exclude: t.Sequence[Network] = ()
) -> Addresses:
    """Pick the usable addresses that are not excluded, those in the networks that are preferred first."""
    found = [
        address
        for address in map(usable_address, texts)
        if address is not None and not any(address in network for network in exclude)
    ]

    def rank(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
        return next((number for number, network in enumerate(prefer) if address in network), len(prefer))

    found.sort(key=rank)
    return Addresses(
        ipv4=tuple(str(address) for address in found if address.version == 4),
        ipv6=tuple(str(address) for address in found if address.version == 6),
    )


def macs_of(kind: str, config: t.Mapping[str, t.Any]) -> frozenset[str]:
    """The MAC addresses of a guest's own network devices, by its configuration."""
    form, part = (CONTAINER_NIC, "hwaddr") if kind == LXC else (NIC, "macaddr")
    parsed = (form.parse(str(value)) for key, value in config.items() if NIC_KEY.fullmatch(key))
    return frozenset(values[part].upper() for values in parsed if values.get(part))


def own_interfaces(interfaces: t.Iterable[Interface], macs: t.Collection[str]) -> tuple[Interface, ...]:
    """Leave out what only the guest knows, as a bridge of containers inside it.

    They are all taken when the guest has no network device but those that it was passed, or when no MAC is known.
    """
    given = tuple(interfaces)
    if not macs or not any(interface.mac for interface in given):
        return given
    return tuple(interface for interface in given if interface.mac in macs)


def read_networks(option: str, given: t.Any) -> tuple[Network, ...]:
    """Check networks as options name them; raises InvalidRequest."""
    networks = []
    for text in given or ():
        try:
            networks.append(ipaddress.ip_network(str(text)))
        except ValueError as error:
            raise InvalidRequest(f"{option}: {error}: write a network as in 192.0.2.0/24 or 2001:db8::/32") from error
    return tuple(networks)
