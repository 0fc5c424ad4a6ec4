# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests as hosts: their names, variables, groups and addresses. Nothing here asks anybody."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ..._pve.guests import LXC, Guest
from ..._pve.properties import PropertyFormat
from ..._pve.vm_config import IPCONFIG
from ..facts import listed_result, split_tags
from ..waiting import Addresses, usable_address
from .request import UNKNOWN, InventoryRequest, Network, status_of

# What the list says of a guest besides, in PVE's words: cpu is used of maxcpu, and mem and disk are bytes.
USAGE = ("cpu", "maxcpu", "mem", "maxmem", "disk", "maxdisk")
# How PVE calls a guest without a name (PVE::QemuServer::vmstatus, PVE::LXC::vmstatus).
_NAMELESS = re.compile(r"(VM |CT)\d+")
# A guest must not become what a play means by these.
RESERVED_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "all", "ungrouped"})
_LXC_NETWORK = PropertyFormat()
# Which of the things read of a guest tells an address, None is the list of guests.
NEEDS: dict[str, str | None] = {
    "agent_ipv4": "agent",
    "agent_ipv6": "agent",
    "cloud_init_ipv4": "config",
    "cloud_init_ipv6": "config",
    "name": None,
    "fqdn": "config",
    "proxmox": None,
}

Facts = dict[str, t.Any]
Config = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Known:
    """What was read of a guest besides the list; settled names what need not, or cannot, be asked any more."""

    config: Config | None = None
    addresses: Addresses | None = None
    settled: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Route:
    """How to connect: the host, or what must be read before that can be said, or neither."""

    host: str | None = None
    needs: str | None = None


def named(guest: Guest, config: Config | None) -> str | None:
    """Return the guest's own name, of the configuration if it was read; None when it has none."""
    name = guest.name
    if config is not None:
        name = str(config.get("hostname" if guest.kind == LXC else "name") or "")
    return name if name and not _NAMELESS.fullmatch(name) else None


def is_template(guest: Guest, config: Config | None) -> bool:
    """Whether the guest is a template; one that neither the list nor a configuration tells of is none."""
    if guest.template is None and config is not None:
        return bool(int(config.get("template") or 0))
    return bool(guest.template)


def may_tell_addresses(guest: Guest, config: Config | None) -> bool:
    """Whether it is worth asking: the guest runs, or nobody knows; templates never do."""
    return status_of(guest) in ("running", UNKNOWN) and not is_template(guest, config)


def guest_facts(guest: Guest, entry: t.Mapping[str, t.Any], known: Known, request: InventoryRequest) -> Facts:
    """Return what is known of a guest, by the names of the variables without their prefix."""
    facts = listed_result(guest)
    facts.update(
        name=named(guest, known.config),
        status=status_of(guest),
        template=is_template(guest, known.config),
        **{key: entry.get(key) for key in USAGE},
    )
    if "config" in request.gather:
        facts["config"] = dict(known.config) if known.config is not None else None
    if request.asks_addresses:
        facts["addresses"] = known.addresses.as_result() if known.addresses is not None else None
    return facts


def default_name(guest: Guest, name: str | None) -> str:
    """Return the host's name unless a template makes it; a nameless guest is called as in qemu-100."""
    return name or f"{guest.kind}-{guest.vmid}"


def unique_names(wanted: t.Iterable[tuple[int, str]]) -> dict[int, str]:
    """Give each guest a name of its own: the first keeps it, a later one becomes name-vmid."""
    taken = set(RESERVED_NAMES)
    names = {}
    for vmid, name in sorted(wanted):
        own = name
        while own in taken:
            own = f"{own}-{vmid}"
        taken.add(own)
        names[vmid] = own
    return names


def groups_of(facts: Facts, kinds: t.Iterable[str], prefix: str) -> list[str]:
    """Return the names of the groups that the guest is in, not yet made safe."""
    values = {
        "status": [facts["status"]],
        "type": [facts["type"]],
        "node": [facts["node"]],
        "pool": [facts["pool"]] if facts["pool"] else [],
        "tag": facts["tags"],
    }
    return [f"{prefix}{kind}_{value}" for kind in kinds for value in values[kind]]


def route_to(guest: Guest, known: Known, request: InventoryRequest) -> Route:
    """Take the first way to connect that the guest has; a later one is not looked at, nor asked for."""
    for source in request.connect_with:
        need = NEEDS[source]
        if need == "agent" and not may_tell_addresses(guest, known.config):
            continue
        if need is not None and need not in known.settled:
            return Route(needs=need)
        host = _host(source, guest, known, request)
        if host:
            return Route(host=host)
    return Route()


def _host(source: str, guest: Guest, known: Known, request: InventoryRequest) -> str | None:
    if source == "name":
        return named(guest, known.config)
    if source == "proxmox":
        return guest.node
    if source == "fqdn":
        return _fqdn(named(guest, known.config), known.config or {})
    agent = source.startswith("agent_")
    addresses = known.addresses if agent else configured_addresses(guest.kind, known.config or {})
    if addresses is None:
        return None
    candidates = addresses.ipv6 if source.endswith("ipv6") else addresses.ipv4
    return choose_address(candidates, request.prefer_networks, request.exclude_networks)


def _fqdn(name: str | None, config: Config) -> str | None:
    if name is None or "." in name:
        return name
    domains = split_tags(config.get("searchdomain"))
    return f"{name}.{domains[0]}" if domains else None


def configured_addresses(kind: str, config: Config) -> Addresses:
    """Return the fixed addresses of cloud-init's network configuration, or of a container's network devices."""
    family, form = ("net", _LXC_NETWORK) if kind == LXC else ("ipconfig", IPCONFIG)
    keys = sorted(
        (key for key in config if re.fullmatch(family + r"\d+", key)), key=lambda key: int(key[len(family) :])
    )
    found: dict[str, list[str]] = {"ip": [], "ip6": []}
    for key in keys:
        values = form.parse(str(config[key]))
        for name, addresses in found.items():
            address = usable_address(values.get(name, "").partition("/")[0])
            if address is not None:
                addresses.append(str(address))
    return Addresses(ipv4=tuple(found["ip"]), ipv6=tuple(found["ip6"]))


def choose_address(
    candidates: t.Iterable[str], prefer: t.Sequence[Network], exclude: t.Sequence[Network]
) -> str | None:
    """Take the first address in the first preferred network that has one, else the first that is not excluded."""
    left = [
        address
        for address in map(usable_address, candidates)
        if address is not None and not any(address in network for network in exclude)
    ]
    for network in prefer:
        for address in left:
            if address in network:
                return str(address)
    return str(left[0]) if left else None
