# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is measured of the inventory, as data: `python -m benchmarks.inventory` and tests/integration/test_costs.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.embedded_pve import EmbeddedPve

OURS, THEIRS, STATIC = "cloudbridge.proxmox", "community.proxmox", "static file"
NODES = ("pve1", "pve2", "pve3")
FIRST = 100
LATENCY_SECONDS = 0.02
OUR_PLUGIN = "plugin: cloudbridge.proxmox.pve\n"
THEIR_PLUGIN = "plugin: community.proxmox.proxmox\nexclude_nodes: true\n"


@dataclass(frozen=True)
class Kind:
    """What both plugins are to read, each in its own words."""

    name: str
    ours: str
    theirs: str
    addresses: bool = False
    """Whether each host has to have ansible_host, from its agent."""


PLAIN = Kind("names and groups", OUR_PLUGIN, THEIR_PLUGIN)
ADDRESSES = Kind(
    "addresses of the agents",
    OUR_PLUGIN + "connect_with: [agent_ipv4]\n",
    # The way that the plugin has; it reads each guest's status, configuration and snapshots, too.
    THEIR_PLUGIN + "want_facts: true\n"
    "compose:\n"
    "  ansible_host: >-\n"
    "    proxmox_agent_interfaces | map(attribute='ip-addresses') | flatten | map('split', '/') | map('first')\n"
    "    | select('match', '[0-9.]+$') | reject('match', '127[.]') | first\n",
    addresses=True,
)
FACTS = Kind(
    "addresses and configurations",
    OUR_PLUGIN + "gather: [agent, config]\nconnect_with: [agent_ipv4]\n",
    ADDRESSES.theirs,
    addresses=True,
)


@dataclass(frozen=True)
class InventoryCase:
    """How many guests, what is read of them, how long each answer of PVE takes, and how many runs."""

    guests: int
    kind: Kind
    latency: float = 0.0
    runs: int = 3

    @property
    def name(self) -> str:
        late = f", {self.latency * 1000:g} ms per response" if self.latency else ""
        return f"{self.guests:,} guests, {self.kind.name}{late}"


CASES = (
    *(InventoryCase(count, kind) for count in (10, 100) for kind in (PLAIN, ADDRESSES)),
    InventoryCase(100, FACTS),
    InventoryCase(100, PLAIN, LATENCY_SECONDS),
    InventoryCase(100, ADDRESSES, LATENCY_SECONDS, runs=2),
    InventoryCase(1_000, PLAIN),
    InventoryCase(1_000, ADDRESSES, runs=2),
    InventoryCase(1_000, ADDRESSES, LATENCY_SECONDS, runs=1),
    InventoryCase(10_000, PLAIN, runs=1),
    InventoryCase(10_000, ADDRESSES, runs=1),
)
# With the latency, each of the plugin's workers gets its turn, so that the connections are always as many.
GATED = (InventoryCase(30, PLAIN), InventoryCase(30, ADDRESSES, LATENCY_SECONDS))


def address(vmid: int) -> str:
    return f"10.{vmid >> 16}.{vmid >> 8 & 255}.{vmid & 255}"


def add_guests(server: EmbeddedPve, count: int) -> None:
    """So many running guests on three nodes in all, each with two tags, a card and an agent that answers."""
    for vmid in range(FIRST + len(server.vms), FIRST + count):
        name = f"guest-{vmid}"
        config = {"name": name, "cores": 2, "memory": "2048", "tags": f"all;t{vmid % 10}", "agent": "1"}
        config["net0"] = f"virtio={mac(vmid)},bridge=vmbr0"
        vm = server.add_vm(vmid, name, node=NODES[vmid % len(NODES)], status="running", config=config)
        vm.agent = {"interfaces": [interface("lo", "127.0.0.1", 0), interface("eth0", address(vmid), vmid)]}


def mac(vmid: int) -> str:
    return f"BC:24:11:00:{vmid >> 8 & 255:02X}:{vmid & 255:02X}"


def interface(name: str, ip: str, vmid: int) -> dict[str, Any]:
    return {
        "name": name,
        "hardware-address": mac(vmid).lower(),
        "ip-addresses": [{"ip-address": ip, "ip-address-type": "ipv4", "prefix": 24}],
    }


def guests(count: int) -> Callable[[EmbeddedPve], None]:
    return lambda server: add_guests(server, count)


def verdict(case: InventoryCase, code: int, text: str, errors: str) -> str:
    """What came out of ansible-inventory --list, in the words of the report: ok, or what is wrong."""
    if code != 0:
        return f"failed: {' '.join(errors.split())[:140]}"
    hosts: Mapping[str, Mapping[str, Any]] = json.loads(text)["_meta"]["hostvars"]
    wanted = {f"guest-{vmid}": address(vmid) for vmid in range(FIRST, FIRST + case.guests)}
    if len(wanted.keys() & hosts.keys()) != case.guests:
        return f"reported ok with {len(wanted.keys() & hosts.keys())} of {case.guests} guests"
    if case.kind.addresses:
        found = sum(text_of(hosts[name].get("ansible_host")) == ip for name, ip in wanted.items())
        if found != case.guests:
            return f"reported ok with the addresses of {found} of {case.guests} guests"
    return "ok"


def text_of(value: Any) -> Any:
    """A value as it is, or the one that Ansible has marked as not to be templated."""
    return value["__ansible_unsafe"] if isinstance(value, dict) and "__ansible_unsafe" in value else value
