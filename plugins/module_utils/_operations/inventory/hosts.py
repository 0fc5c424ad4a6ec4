# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests as hosts: their names, variables, groups and addresses, without any request."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ..._pve.container_config import CONTAINER_NIC
from ..._pve.guests import LXC, QEMU, Guest
from ..._pve.vm_config import IPCONFIG
from ..addresses import Addresses, Interface, addresses_of, macs_of, own_interfaces, sorted_addresses, usable_address
from ..facts import listed_result, split_tags
from .inventory_request import UNKNOWN, InventoryRequest, status_of
from .networks import network_devices, slots

# What the list says of a guest besides, in PVE's words: cpu is used of maxcpu, and mem and disk are bytes.
USAGE = ("cpu", "maxcpu", "mem", "maxmem", "disk", "maxdisk")
# How PVE calls a guest without a name (PVE::QemuServer::vmstatus, PVE::LXC::vmstatus).
_NAMELESS = re.compile(r"(VM |CT)\d+")
# A guest must not become what a play means by these.
RESERVED_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "all", "ungrouped"})
# By these names a machine means itself (hosts(5), RFC 6761), whatever guest has them.
_OWN_NAMES = re.compile(r"(.*\.)?localhost|localhost[46]?(\.localdomain[46]?)?|ip6-(localhost|loopback)", re.IGNORECASE)
NODE = "node"
# What to read of a guest for an address; None is the list of guests.
NEEDS: dict[str, str | None] = {
    "agent_ipv4": "agent",
    "agent_ipv6": "agent",
    "cloud_init_ipv4": "config",
    "cloud_init_ipv6": "config",
    "name": None,
    "fqdn": "config",
    "proxmox": None,
    "agent": None,
}

Facts = dict[str, t.Any]
Config = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Known:
    """What was read of a guest besides the list; settled names what need not, or cannot, be asked any more."""

    config: Config | None = None
    status: t.Mapping[str, str] | None = None
    snapshots: list[Facts] | None = None
    interfaces: tuple[Interface, ...] | None = None
    settled: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Route:
    """How to connect: the host, or what must be read before that can be said, or neither."""

    host: str | None = None
    needs: str | None = None
    # Over the guest's agent, without an address.
    by_agent: bool = False


def named(guest: Guest, config: Config | None) -> str | None:
    """Return the guest's own name, of the configuration if it was read; None when it has none."""
    name = guest.name
    if config is not None:
        name = str(config.get("hostname" if guest.kind == LXC else "name") or "")
    return name if name and not _NAMELESS.fullmatch(name) else None


def is_template(guest: Guest, config: Config | None) -> bool:
    """Whether the guest is a template; False when neither the list nor a configuration says so."""
    if guest.template is None and config is not None:
        return bool(int(config.get("template") or 0))
    return bool(guest.template)


def exact_status(guest: Guest, known: Known) -> str:
    """Return the status that was read of the guest, or the one in the list, which calls a paused guest running."""
    return known.status["status"] if known.status is not None else status_of(guest)


def may_have_addresses(guest: Guest, known: Known) -> bool:
    """Whether to ask for addresses: the guest runs, or that is unknown, and it is no template."""
    return exact_status(guest, known) in ("running", UNKNOWN) and not is_template(guest, known.config)


def guest_facts(guest: Guest, entry: t.Mapping[str, t.Any], known: Known, request: InventoryRequest) -> Facts:
    """Return what is known of a guest, by the names of the variables without their prefix."""
    facts = listed_result(guest)
    facts.update(
        name=named(guest, known.config),
        status=exact_status(guest, known),
        template=is_template(guest, known.config),
        **{key: entry.get(key) for key in USAGE},
    )
    if request.cluster:
        facts["cluster"] = request.cluster
    if request.asks_status:
        facts["qmpstatus"] = known.status["qmpstatus"] or None if known.status is not None else None
    if "config" in request.gather:
        config = known.config
        facts["config"] = dict(config) if config is not None else None
        facts["networks"] = network_devices(guest.kind, config) if config is not None else None
    if "snapshots" in request.gather:
        facts["snapshots"] = known.snapshots
    if request.asks_addresses:
        interfaces = known.interfaces
        facts["interfaces"] = [interface.as_result() for interface in interfaces] if interfaces is not None else None
        facts["addresses"] = addresses_of(own(guest, known)).as_result() if interfaces is not None else None
    return facts


def node_facts(entry: t.Mapping[str, t.Any], request: InventoryRequest) -> Facts:
    """Return what is known of a node, by the same names; what only guests have is null."""
    node = Guest(0, str(entry["node"]), NODE, str(entry["node"]))
    facts = guest_facts(node, entry, Known(), request)
    facts.update(
        vmid=None,
        status=str(entry.get("status") or UNKNOWN),
        template=False,
        uptime=entry.get("uptime"),
    )
    return facts


def own(guest: Guest, known: Known) -> tuple[Interface, ...]:
    """The interfaces of the guest's own network devices where its configuration was read, and otherwise all."""
    macs = macs_of(guest.kind, known.config) if known.config is not None else frozenset()
    return own_interfaces(known.interfaces or (), macs)


def default_name(guest: Guest, name: str | None) -> str:
    """Return the host's name unless a template makes it; a nameless guest is called as in qemu-100."""
    return name or f"{guest.kind}-{guest.vmid}"


def free_name(name: str, number: str, taken: t.Collection[str]) -> str:
    """Return a free name: name, or name-number when that is taken or not allowed for a host."""
    while name in taken or name in RESERVED_NAMES or _OWN_NAMES.fullmatch(name):
        name = f"{name}-{number}"
    return name


def unique_names(wanted: t.Iterable[tuple[int, str]], taken: t.Iterable[str] = ()) -> dict[int, str]:
    """Give each guest a name of its own: the first keeps it, a later one becomes name-vmid."""
    gone = set(taken)
    names = {}
    for vmid, name in sorted(wanted):
        names[vmid] = free_name(name, str(vmid), gone)
        gone.add(names[vmid])
    return names


def doubtful_names(wanted: t.Iterable[tuple[int, str | None]], taken: t.Iterable[str] = ()) -> frozenset[int]:
    """The guests that are not found by their names, as another has the name, or a machine means itself by it."""
    names = [(vmid, name) for vmid, name in wanted if name]
    unique = unique_names(names, taken)
    return frozenset(vmid for vmid, name in names if unique[vmid] != name)


def groups_of(facts: Facts, kinds: t.Iterable[str], prefix: str) -> list[str]:
    """Return the names of the groups that the guest is in, not yet made safe."""
    values = {
        "status": [facts["status"]],
        "type": [facts["type"]],
        "node": [facts["node"]],
        "node_type": ["{node}_{type}".format(**facts)],
        "pool": [facts["pool"]] if facts["pool"] else [],
        "tag": facts["tags"],
        "cluster": [facts["cluster"]] if facts.get("cluster") else [],
    }
    if facts["type"] == NODE:
        # A group of a node is the guests on it.
        values.update(node=[], node_type=[])
    return [f"{prefix}{kind}_{value}" for kind in kinds for value in values[kind]]


def route_to(guest: Guest, known: Known, request: InventoryRequest, doubtful: bool = False) -> Route:
    """Take the first way to connect that the guest has; a later one is not looked at, nor asked for.

    doubtful says that its name leads to another machine.
    """
    for source in request.connect_with:
        need = NEEDS[source]
        if source == "agent" and guest.kind == QEMU and not is_template(guest, known.config):
            return Route(by_agent=True)
        if need == "agent" and not may_have_addresses(guest, known):
            continue
        if doubtful and source in ("name", "fqdn"):
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
    if source == "agent":
        return None
    if source == "fqdn":
        return _fqdn(named(guest, known.config), known.config or {})
    if source.startswith("agent_"):
        texts = [text for interface in own(guest, known) for text in interface.addresses]
    else:
        fixed = configured_addresses(guest.kind, known.config or {})
        texts = [*fixed.ipv4, *fixed.ipv6]
    found = sorted_addresses(texts, request.prefer_networks, request.exclude_networks)
    return next(iter(found.ipv6 if source.endswith("ipv6") else found.ipv4), None)


def _fqdn(name: str | None, config: Config) -> str | None:
    if name is None or "." in name:
        return name
    domains = split_tags(config.get("searchdomain"))
    return f"{name}.{domains[0]}" if domains else None


def configured_addresses(kind: str, config: Config) -> Addresses:
    """Return the fixed addresses of cloud-init's network configuration, or of a container's network devices."""
    family, form = ("net", CONTAINER_NIC) if kind == LXC else ("ipconfig", IPCONFIG)
    found: dict[str, list[str]] = {"ip": [], "ip6": []}
    for key in slots(config, family):
        values = form.parse(str(config[key]))
        for name, addresses in found.items():
            address = usable_address(values.get(name, ""))
            if address is not None:
                addresses.append(str(address))
    return Addresses(ipv4=tuple(found["ip"]), ipv6=tuple(found["ip6"]))
