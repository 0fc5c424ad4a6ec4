# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the network devices of all kinds of guests have in common."""

from __future__ import annotations

import re
import typing as t

from ..._pve.errors import InvalidRequest
from ..._pve.numbers import write_number
from ..._pve.vm_config import MAX_NICS, NIC_KEY
from .desired import DesiredDevice, check_range, check_unique, flag, given

MAX_VLAN = 4094
_MAC = re.compile(r"([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")
_BRIDGE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")

NETWORK_SPEC: dict[str, t.Any] = {
    "slot": {"type": "str", "required": True, "aliases": ["interface"]},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "mac": {"type": "str"},
    "bridge": {"type": "str"},
    "vlan": {"type": "int", "aliases": ["tag"]},
    "trunks": {"type": "list", "elements": "str"},
    "rate": {"type": "float"},
    "firewall": {"type": "bool"},
    "mtu": {"type": "int"},
    "link_down": {"type": "bool"},
}

Parts = t.Iterator["tuple[str, str | None]"]
Network = t.TypeVar("Network", bound="DesiredNetwork")


class DesiredNetwork(DesiredDevice):
    """A network device as desired; what it does not say stays as it is, the address above all."""

    @property
    def bridge(self) -> str | None:
        return self.parts.get("bridge")


def desired_networks(
    device: type[Network],
    spec: t.Container[str],
    networks: t.Sequence[t.Mapping[str, t.Any]] | None,
    parts: t.Callable[[str, t.Mapping[str, t.Any]], Parts],
) -> tuple[Network, ...]:
    """Check the network devices of a request; raises InvalidRequest, naming the slot."""
    desired = []
    for entry in networks or ():
        slot, present = entry["slot"], entry["state"] == "present"
        match = NIC_KEY.fullmatch(slot)
        if not match or int(match[1]) >= MAX_NICS:
            raise InvalidRequest(f"networks: {slot!r} is not a slot: the slots are net0 to net{MAX_NICS - 1}")
        options = {name: value for name, value in given(entry, spec).items() if name not in ("slot", "state")}
        if not present and options:
            raise InvalidRequest(f"networks: {slot} is absent, so {', '.join(sorted(options))} cannot be set")
        desired.append(device(slot, present, dict(parts(slot, options))))
    check_unique("networks", (network.slot for network in desired))
    return tuple(desired)


def shared_parts(slot: str, options: t.Mapping[str, t.Any], mac_key: str) -> Parts:
    """The parts of the property string that every kind of guest has."""
    if "mac" in options:
        yield mac_key, _mac(slot, options["mac"])
    if "bridge" in options:
        if not _BRIDGE.fullmatch(options["bridge"]):
            raise InvalidRequest(f"networks: {slot}: bridge {options['bridge']!r} is not the name of a bridge")
        yield "bridge", options["bridge"]
    yield from numeric_part(slot, options, "vlan", "tag", 0, MAX_VLAN)
    if "rate" in options:
        check_range(f"networks: {slot}: rate", options["rate"], 0)
        yield "rate", write_number(options["rate"]) if options["rate"] else None
    if "trunks" in options:
        yield "trunks", ";".join(_trunk(slot, item) for item in options["trunks"]) or None
    for option in ("firewall", "link_down"):
        if option in options:
            yield option, flag(options[option])


def numeric_part(slot: str, options: t.Mapping[str, t.Any], option: str, key: str, lowest: int, highest: int) -> Parts:
    """A number that takes the part away when it is 0."""
    if option in options:
        value = options[option]
        check_range(f"networks: {slot}: {option}", value, lowest if value else 0, highest)
        yield key, str(value) if value else None


def _mac(slot: str, mac: str) -> str:
    # A set lowest bit of the first byte makes a group address (PVE::JSONSchema, mac-addr).
    if not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1:
        raise InvalidRequest(f"networks: {slot}: mac {mac!r} is not a unicast address as in BC:24:11:00:00:01")
    return mac.upper()


def _trunk(slot: str, text: str) -> str:
    numbers = text.split("-")
    if not all(number.isdigit() for number in numbers) or len(numbers) > 2:
        raise InvalidRequest(f"networks: {slot}: trunks {text!r} is neither a VLAN nor a range as in 10-20")
    for number in numbers:
        check_range(f"networks: {slot}: trunks", int(number), 1, MAX_VLAN)
    return text
