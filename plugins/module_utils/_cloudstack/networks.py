# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CloudStack's network cards as PVE's: each in the slot of its deviceId, on the bridge and VLAN of its network.

PVE itself notices a missing bridge, or an MTU that is too large for it, only when the guest starts. So both are
checked before a guest is created.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from .._pve.errors import InvalidRequest, NotFound
from .._pve.vm_config import MAX_NICS, NIC, NIC_KEY
from .details import Details
from .payload import Nic

if t.TYPE_CHECKING:
    from .run import Run

MEGABITS_PER_MEGABYTE = 8
# The value that means the bridge's own MTU (PVE::QemuServer::Network).
MTU_OF_THE_BRIDGE = 1
_URI = re.compile(r"(?P<scheme>[a-z]+)://(?P<id>[A-Za-z0-9._-]+)", re.IGNORECASE)
_UNTAGGED = frozenset({"untagged", "native"})
# Kinds of network without a number.
_FLAT = frozenset({"", "native", "undecided"})
# The MTU of an interface whose configuration has none.
USUAL_MTU = 1500
Entry = t.Mapping[str, t.Any]


def network_options(nics: t.Sequence[Nic], details: Details) -> list[dict[str, t.Any]]:
    """The network devices as vm_request takes them; all other slots are absent.

    Raises InvalidRequest, naming the card, when one cannot be set exactly as CloudStack says.
    """
    options: dict[int, dict[str, t.Any]] = {}
    for nic in nics:
        if not 0 <= nic.device_id < MAX_NICS:
            raise InvalidRequest(
                f"the NIC with deviceId {nic.device_id} has no place: PVE has net0 to net{MAX_NICS - 1}"
            )
        if nic.device_id in options:
            raise InvalidRequest(f"two NICs have the deviceId {nic.device_id}")
        options[nic.device_id] = _options(nic, details)
    surplus = ({"slot": f"net{number}", "state": "absent"} for number in range(MAX_NICS) if number not in options)
    return [*(options[number] for number in sorted(options)), *surplus]


def _options(nic: Nic, details: Details) -> dict[str, t.Any]:
    bridge, vlan = _place(nic, details)
    model = details.required("nic_model")
    return {
        "slot": f"net{nic.device_id}",
        "state": "present",
        "model": model,
        "mac": nic.mac,
        "bridge": bridge,
        "vlan": vlan,
        "trunks": [],
        "rate": max(0, nic.rate) / MEGABITS_PER_MEGABYTE,
        "mtu": _mtu(nic, details) if model == "virtio" else 0,
        "firewall": bool(details.flag("nic_firewall")),
        "link_down": not nic.enabled,
    }


def _mtu(nic: Nic, details: Details) -> int:
    wanted = details.text("nic_mtu")
    if wanted == "bridge":
        return MTU_OF_THE_BRIDGE
    return max(0, nic.mtu) if wanted == "network" else 0


def _place(nic: Nic, details: Details) -> tuple[str, int]:
    """The bridge and the VLAN of a card; 0 is no VLAN."""
    uri = nic.broadcast_uri or nic.isolation_uri
    label = f"the NIC with deviceId {nic.device_id}"
    if not uri:
        if nic.broadcast_type.lower() not in _FLAT:
            # Untagged, its traffic would mix with that of another network.
            raise InvalidRequest(f"{label} has no broadcastUri although its network is a {nic.broadcast_type}")
        return _bridge(nic, details), 0
    match = _URI.fullmatch(uri)
    if not match:
        raise InvalidRequest(f"{label} has the broadcastUri {uri[:100]!r}, which is not supported")
    scheme, number = match["scheme"].lower(), match["id"].lower()
    vnet = _vnet(scheme, number, details)
    if vnet is not None:
        return vnet, 0
    if scheme == "vlan" and number in _UNTAGGED:
        return _bridge(nic, details), 0
    if scheme == "vlan" and re.fullmatch(r"\d{1,4}", number) and 1 <= int(number) <= 4094:
        return _bridge(nic, details), int(number)
    hint = f"set vnet_map, as in {number}=myvnet, to the SDN vnet that carries it" if scheme != "vlan" else "1 to 4094"
    raise InvalidRequest(f"{label} is in the network {uri}, which has no bridge here: {hint}")


def _vnet(scheme: str, number: str, details: Details) -> str | None:
    """The SDN vnet that the operator gave to a network, by its URI, by its number, or by a pattern for its scheme."""
    vnets = details.mapping("vnet_map")
    found = vnets.get(f"{scheme}://{number}") or (vnets.get(number) if scheme != "vlan" else None)
    found = found or vnets.get(f"{scheme}://*") or (vnets.get("*") if scheme != "vlan" else None)
    return None if found is None else _checked(found.replace("{id}", number), "vnet_map")


def _bridge(nic: Nic, details: Details) -> str:
    """The bridge of a card's network, or of its kind of traffic, or of all."""
    bridges = details.mapping("bridge_map")
    for key in (nic.network_uuid, *nic.network_names, nic.network_id, nic.traffic_type):
        if key and key in bridges:
            return _checked(bridges[key], "bridge_map")
    return details.required("network_bridge")


def _checked(bridge: str, detail: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", bridge):
        raise InvalidRequest(f"{detail}: {bridge[:100]!r} is not the name of a bridge or vnet")
    return bridge


def address_options(nics: t.Sequence[Nic], details: Details) -> dict[str, t.Any]:
    """cloud-init's networks as vm_request takes them; empty if they are not configured."""
    wanted = details.text("ci_network")
    if wanted == "dhcp":
        return {"ipconfig": [{"slot": f"net{nic.device_id}", "ip": "dhcp"} for nic in nics]}
    if wanted != "static":
        return {}
    servers = [server for nic in nics if nic.default for server in nic.nameservers]
    return {"ipconfig": [_addresses(nic) for nic in nics], **({"nameservers": servers} if servers else {})}


def _addresses(nic: Nic) -> dict[str, t.Any]:
    options: dict[str, t.Any] = {"slot": f"net{nic.device_id}"}
    try:
        if nic.ip:
            options["ip"] = f"{nic.ip}/{ipaddress.ip_network(f'0.0.0.0/{nic.netmask}').prefixlen}"
            # A guest can have one default route.
            options["gateway"] = nic.gateway if nic.gateway and nic.default else None
        if nic.ip6:
            prefix = nic.ip6_cidr.partition("/")[2] or "64"
            options["ip6"] = f"{nic.ip6}/{prefix}"
            options["gateway6"] = nic.ip6_gateway if nic.ip6_gateway and nic.default else None
    except ValueError as error:
        raise InvalidRequest(f"the NIC with deviceId {nic.device_id} has no usable address: {error}") from error
    return options


def bridges_of(config: t.Mapping[str, str]) -> set[str]:
    """The bridges that the cards of a guest are on."""
    cards = (NIC.parse(config[key]) for key in config if NIC_KEY.fullmatch(key))
    return {card["bridge"] for card in cards if card.get("bridge")}


def check_networks(run: Run, assumed: t.Container[str]) -> None:
    """Raise a PveError if the node lacks what a card of the instance needs.

    One request, and none if all cards are on bridges that are assumed to exist. A dry run assumes nothing.
    """
    cards = [card for card in network_options(run.instance.nics, run.details) if card["state"] == "present"]
    if not run.dry_run:
        cards = [card for card in cards if card["bridge"] not in assumed or card["mtu"] > USUAL_MTU]
    if not cards:
        return
    there = bridges_on(run)
    for card in cards:
        name, slot = card["bridge"], card["slot"]
        if name not in there:
            listed = ", ".join(sorted(there)) or "none"
            raise NotFound(
                f"{slot} has no place on node {run.node}: there is no bridge {name}, or the token lacks SDN.Use on it; "
                f"it has {listed}"
            )
        most = _bridge_mtu(run, there[name]) if card["mtu"] > USUAL_MTU or there[name].get("mtu") else None
        if most is not None and card["mtu"] > most:
            raise InvalidRequest(
                f"{slot} has no place on node {run.node}: its network has the MTU {card['mtu']}, and bridge {name} has "
                f"{most}: give the bridge a larger one, or set nic_mtu to bridge"
            )


def bridges_on(run: Run) -> dict[str, Entry]:
    """The bridges and vnets of the node that the token may use; one request."""
    entries: list[Entry] = run.client.read("nodes", run.node, "network", type="any_bridge")
    return {str(entry["iface"]): entry for entry in entries}


def _bridge_mtu(run: Run, bridge: Entry) -> int | None:
    """The MTU of a bridge; None for a vnet, whose zone's is not in the list."""
    if bridge.get("mtu"):
        return int(bridge["mtu"])
    if bridge.get("type") == "vnet":
        return None
    entries: list[Entry] = run.client.read("nodes", run.node, "network")
    ports = str(bridge.get("bridge_ports") or bridge.get("ovs_ports") or "").split()
    found = [int(entry.get("mtu") or USUAL_MTU) for entry in entries if entry["iface"] in ports]
    # The kernel gives a bridge the least MTU of its ports.
    return min(found, default=USUAL_MTU)
