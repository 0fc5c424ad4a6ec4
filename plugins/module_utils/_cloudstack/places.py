# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether PVE has a place for an instance, found out before anything is made.

PVE itself finds a missing bridge, and an MTU that is too large for it, only when the guest starts.
"""

from __future__ import annotations

import typing as t

from .._pve.errors import InvalidRequest, NotFound
from .._pve.vm_config import NIC, NIC_KEY
from .networks import network_options

if t.TYPE_CHECKING:
    from .run import Run

# What an interface has whose configuration says none.
USUAL_MTU = 1500

Entry = t.Mapping[str, t.Any]


def bridges_of(config: t.Mapping[str, str]) -> set[str]:
    """The bridges that the cards of a guest are on."""
    cards = (NIC.parse(config[key]) for key in config if NIC_KEY.fullmatch(key))
    return {card["bridge"] for card in cards if card.get("bridge")}


def check_networks(run: Run, assumed: t.Container[str]) -> None:
    """Raise a PveError when the node lacks what a card of the instance needs.

    One request, unless all cards are on bridges that are assumed to be there. A dry run assumes nothing.
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
        most = _mtu(run, there[name]) if card["mtu"] > USUAL_MTU or there[name].get("mtu") else None
        if most is not None and card["mtu"] > most:
            raise InvalidRequest(
                f"{slot} has no place on node {run.node}: its network has the MTU {card['mtu']}, and bridge {name} has "
                f"{most}: give the bridge a larger one, or set nic_mtu to bridge"
            )


def bridges_on(run: Run) -> dict[str, Entry]:
    """The bridges and vnets of the node that the token may use; one request."""
    entries: list[Entry] = run.client.read("nodes", run.node, "network", type="any_bridge")
    return {str(entry["iface"]): entry for entry in entries}


def _mtu(run: Run, bridge: Entry) -> int | None:
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
