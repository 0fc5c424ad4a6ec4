# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The network devices of a configuration as data, in the words of the options of pve_vm and pve_container."""

from __future__ import annotations

import re
import typing as t

from ..._pve.container_config import CONTAINER_NIC
from ..._pve.guests import LXC
from ..._pve.properties import truth
from ..._pve.vm_config import IPCONFIG, NIC, NIC_KEY

_NAMES = {
    "macaddr": "mac",
    "hwaddr": "mac",
    "tag": "vlan",
    "gw": "gateway",
    "gw6": "gateway6",
    "host-managed": "host_managed",
}
_NUMBERS = frozenset({"vlan", "mtu", "queues"})
_FLAGS = frozenset({"firewall", "link_down", "host_managed"})

Config = t.Mapping[str, t.Any]


def slots(config: Config, family: str) -> list[str]:
    """The keys of a family that a configuration has, by their numbers."""
    keys = (key for key in config if re.fullmatch(family + r"\d+", key))
    return sorted(keys, key=lambda key: int(key[len(family) :]))


def network_devices(kind: str, config: Config) -> list[dict[str, t.Any]]:
    """Return the network devices; those of a virtual machine have the addresses that cloud-init gives them."""
    found = []
    for slot in slots(config, "net"):
        parts = (CONTAINER_NIC if kind == LXC else NIC).parse(str(config[slot]))
        if kind == LXC:
            # The only type that PVE makes (PVE::LXC::Config, parse_lxc_network).
            parts.pop("type", None)
        else:
            number = NIC_KEY.sub(r"\1", slot)
            parts.update(IPCONFIG.parse(str(config.get(f"ipconfig{number}") or "")))
        named = {_NAMES.get(name, name): value for name, value in parts.items()}
        found.append({"slot": slot, **{name: _value(name, value) for name, value in named.items()}})
    return found


def _value(name: str, text: str) -> t.Any:
    if name in _FLAGS:
        return truth(text) == "1"
    if name == "trunks":
        return [vlan for vlan in text.split(";") if vlan]
    return int(text) if name in _NUMBERS and text.isdigit() else text
