# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SDN's vnets among the bridges of the nodes, and MTUs.

Sources: PVE::API2::Network index, PVE::Network::SDN get_local_vnets, PVE::QemuServer print_netdevice_full.
"""

from __future__ import annotations

import re
from typing import Any

from fakepve.lxc import split_props

from .cluster import Cluster
from .knobs import Knobs

DEFAULT_MTU = 1500


class Networks(Cluster):
    def __init__(self, host: str, port: int, knobs: Knobs) -> None:
        super().__init__(host, port, knobs)
        # The zone of each vnet; a vnet is on all nodes.
        self.vnets: dict[str, str] = {}
        # Of interfaces whose configuration says one.
        self.mtus: dict[str, int] = {}

    def bridge_mtu(self, bridge: str) -> int:
        """The kernel gives a bridge the least MTU of its ports; vmbr0 alone has one, eno1."""
        return self.mtus.get(bridge) or (self.mtus.get("eno1") if bridge == "vmbr0" else None) or DEFAULT_MTU

    async def _network_list(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        items = await super()._network_list(values, user)
        for item in items:
            if item["iface"] in self.mtus:
                item["mtu"] = str(self.mtus[item["iface"]])
        if values.get("type") not in ("any_bridge", "include_sdn", "vnet"):
            return items
        for vnet, zone in sorted(self.vnets.items()):
            path = f"/sdn/zones/{zone}/{vnet}"
            if self.allowed(user, path, "SDN.Audit") or self.allowed(user, path, "SDN.Use"):
                items.append({"iface": vnet, "type": "vnet", "active": "1", "ipam": 0, "vlanaware": 0})
        return items

    def _routes_embedded_networks(self) -> list[tuple[str, str, Any]]:
        return [("GET", "/cluster/sdn/vnets", self._vnet_list)]

    async def _vnet_list(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        """Those that the user may see (PVE::API2::Network::SDN::Vnets, index)."""
        seen = (
            (vnet, zone)
            for vnet, zone in sorted(self.vnets.items())
            if any(self.allowed(user, f"/sdn/zones/{zone}/{vnet}", name) for name in ("SDN.Audit", "SDN.Use"))
        )
        return [{"vnet": vnet, "zone": zone, "type": "vnet"} for vnet, zone in seen]

    def missing_bridge(self, node: str, net: str) -> str | None:
        bridge = super().missing_bridge(node, net)
        return None if bridge in self.vnets else bridge

    def start_problem(self, vm: Any) -> str | None:
        problem = super().start_problem(vm)
        return problem or next(filter(None, (self._mtu_problem(vm, key) for key in sorted(vm.config))), None)

    def _mtu_problem(self, vm: Any, key: str) -> str | None:
        card = split_props(str(vm.config[key]))[1] if re.fullmatch(r"net\d+", key) else {}
        mtu, most = int(card.get("mtu") or 0), self.bridge_mtu(str(card.get("bridge")))
        return f"netdev {key}: MTU '{mtu}' is bigger than the bridge MTU '{most}'" if mtu > most else None
