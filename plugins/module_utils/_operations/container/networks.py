# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Network devices of a container, with the addresses that PVE configures in it."""

from __future__ import annotations

import re
import typing as t
from dataclasses import replace

from ..._pve.client import PveClient
from ..._pve.errors import InvalidRequest, NotFound
from ..guest import networks
from ..guest.desired import DesiredSetting, flag
from ..guest.ip_addresses import IPV4, IPV6, IpFamily, check_address, check_interface
from ..guest.networks import DesiredNetwork, Parts, numeric_part, shared_parts

NETWORK_SPEC: dict[str, t.Any] = {
    **networks.NETWORK_SPEC,
    "name": {"type": "str"},
    **{option: {"type": "str"} for option in ("ip", "gateway", "ip6", "gateway6")},
    "host_managed": {"type": "bool"},
}
_NAME = re.compile(r"[-_.\w]+")
_FAMILIES = (replace(IPV4, words=("dhcp", "manual")), replace(IPV6, words=("auto", "dhcp", "manual")))


class DesiredContainerNetwork(DesiredNetwork):
    """A network device of a container as desired."""

    def setting(self, current: str | None) -> DesiredSetting:
        """The setting of the device, given the one that is there; a new one has a name and no address yet."""
        parts = dict(self.parts)
        if current is None:
            if self.present and self.bridge is None:
                # PVE writes the device, and calls each write of the configuration an error from then on.
                raise InvalidRequest(f"networks: {self.slot} is not there yet: give its bridge")
            parts.setdefault("name", f"eth{self.slot.removeprefix('net')}")
        return DesiredSetting(self.slot, parts=parts)


def desired_networks(entries: t.Sequence[t.Mapping[str, t.Any]] | None) -> tuple[DesiredContainerNetwork, ...]:
    """Check the network devices of a request; raises InvalidRequest, naming the slot."""
    desired = networks.desired_networks(DesiredContainerNetwork, NETWORK_SPEC, entries, _parts)
    names: dict[str, str] = {}
    for network in desired:
        name = network.parts.get("name")
        if name in names:
            raise InvalidRequest(f"networks: {names[name]} and {network.slot} are both called {name} in the container")
        if name is not None:
            names[name] = network.slot
    return desired


def check_bridges(
    client: PveClient, node: str, desired: t.Iterable[DesiredNetwork], values: t.Mapping[str, str]
) -> None:
    """Raise NotFound for a bridge that a device of an existing container is to get, and that its node does not have.

    PVE writes the device before it looks for the bridge (PVE::LXC, update_lxc_config), and a container that runs loses
    its device when that gets another address at the same time (update_net).
    """
    wanted = {
        network.slot: network.bridge
        for network in desired
        if network.bridge and f"bridge={network.bridge}" not in values.get(network.slot, "").split(",")
    }
    if not wanted:
        return
    there = {entry["iface"] for entry in client.read("nodes", node, "network", type="any_bridge")}
    for slot, bridge in wanted.items():
        if bridge not in there:
            raise NotFound(
                f"networks: {slot}: node {node} has no bridge {bridge}, or it is hidden from {client.identity}, who "
                "needs SDN.Use on it"
            )


def _parts(slot: str, options: t.Mapping[str, t.Any]) -> Parts:
    if "name" in options:
        if not _NAME.fullmatch(options["name"]):
            raise InvalidRequest(f"networks: {slot}: name {options['name']!r} is not the name of an interface")
        yield "name", options["name"]
    ranges = [item for item in options.get("trunks") or () if "-" in item]
    if ranges:
        raise InvalidRequest(f"networks: {slot}: trunks {ranges[0]!r} is a range, and a container takes single VLANs")
    yield from shared_parts(slot, options, "hwaddr")
    yield from numeric_part(slot, options, "mtu", "mtu", 64, 65535)
    if "host_managed" in options:
        yield "host-managed", flag(options["host_managed"])
    for family in _FAMILIES:
        yield from _address(f"networks: {slot}", options, family)


def _address(place: str, options: t.Mapping[str, t.Any], family: IpFamily) -> Parts:
    """Address and gateway of one version of IP; an empty text unsets either, and a word the gateway along with it."""
    value, gateway = options.get(family.option), options.get(family.gateway)
    if value:
        if value not in family.words:
            check_interface(f"{place}: {family.option}", value, family)
        yield family.option, value
    elif value is not None:
        yield family.option, None
    has_no_gateway = value == "" or value in family.words
    if gateway and has_no_gateway:
        raise InvalidRequest(f"{place}: {family.gateway} needs an address in {family.option}")
    if gateway:
        check_address(f"{place}: {family.gateway}", gateway, family.version)
        yield family.key, gateway
    elif gateway is not None or has_no_gateway:
        yield family.key, None
