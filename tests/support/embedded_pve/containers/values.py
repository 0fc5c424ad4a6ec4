# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values of a container's configuration, as PVE::LXC::Config parses, prints and stores them."""

from __future__ import annotations

import ipaddress
import re
import zoneinfo
from collections.abc import Mapping
from typing import Any

from fakepve import schema as pve_schema
from fakepve.lxc import SIZE_UNITS, format_size, parse_size, random_mac
from fakepve.model import PveError
from fakepve.routing import split_list

from ..base import parameter_error

CONFIG = "/nodes/{node}/lxc/{vmid}/config"
NEW_VOLUME = re.compile(r"([^:\s]+):(\d+(?:\.\d+)?)")
MOUNT_KEY = re.compile(r"rootfs|mp\d+")
MOUNT_POINT = re.compile(r"mp\d+")
UNUSED_KEY = re.compile(r"unused\d+")
NET_KEY = re.compile(r"net\d+")
DEVICE_KEY = re.compile(r"dev\d+")
FLAGS = frozenset(
    ("acl", "ro", "quota", "replicate", "shared", "backup", "keepattrs", "firewall", "link_down", "host-managed")
)
# A property that is not optional comes first (PVE::JSONSchema print_property_string).
REQUIRED = ("mp", "name")
OWN_VOLUME = re.compile(r"(?:vm|base|subvol|basevol)-(\d+)-")


def parse_properties(text: Any, default: str = "") -> dict[str, str]:
    """Flags are normalised when the string is read."""
    found: dict[str, str] = {}
    for part in str(text).split(","):
        key, equals, value = part.partition("=")
        if equals:
            found[key] = str(pve_schema.parse_boolean(value) or value) if key in FLAGS else value
        elif part.strip():
            found[default] = part
    return found


def print_properties(found: Mapping[str, str], default: str = "") -> str:
    order = sorted(found, key=lambda key: (key != default, key not in REQUIRED, key))
    return ",".join(str(found[key]) if key == default else f"{key}={found[key]}" for key in order)


def parse_mount(value: Any) -> dict[str, str]:
    return parse_properties(value, "volume")


def print_mount(mount: Mapping[str, str], key: str) -> str:
    shown = {name: text for name, text in mount.items() if not (key == "rootfs" and name == "mp")}
    if "size" in shown:
        shown["size"] = format_size(parse_size(shown["size"]) or 0)
    return print_properties(shown, "volume")


def parse_net(value: Any) -> dict[str, str]:
    """parse_lxc_network: who names no MAC address gets a new one each time."""
    net = parse_properties(value)
    net["type"] = "veth"
    if not net.get("hwaddr"):
        net["hwaddr"] = random_mac()
    return net


def with_new_mac(value: Any) -> str:
    return print_properties(parse_net(print_properties({**parse_net(value), "hwaddr": ""})))


def mount_type(volume: str) -> str:
    """classify_mountpoint."""
    if volume.startswith("/dev/"):
        return "device"
    return "bind" if volume.startswith("/") else "volume"


def volumes_in(config: Mapping[str, Any], unused: bool = False) -> list[tuple[str, dict[str, str]]]:
    """foreach_volume: the root first, then the mount points by number."""
    keys = [key for key in config if MOUNT_KEY.fullmatch(key) or (unused and UNUSED_KEY.fullmatch(key))]
    ordered = sorted(keys, key=lambda key: (key != "rootfs", key.startswith("unused"), len(key), key))
    return [(key, parse_mount(config[key])) for key in ordered]


def names_of(config: Mapping[str, Any]) -> set[str]:
    return {mount["volume"] for _key, mount in volumes_in(config) if mount_type(mount["volume"]) == "volume"}


def owner_of_volume(volume: str) -> int | None:
    found = OWN_VOLUME.search(volume.rpartition("/")[2])
    return int(found.group(1)) if found else None


def asked_bytes(gib: str) -> int:
    """create_disks takes whole MiB."""
    return int(float(gib) * 1024) * SIZE_UNITS["M"]


def properties() -> dict[str, Any]:
    found: dict[str, Any] = pve_schema.load().paths[CONFIG]["PUT"]["parameters"]["properties"]
    return found


def option_exists(name: str) -> bool:
    return name not in ("node", "vmid", "delete", "revert", "digest") and bool(pve_schema._prop(properties(), name))


def stored(key: str, value: Any) -> Any:
    """The value as it is read back from the line of the file; None where there is no line of it.

    Read on a real PVE 9.2: a description ends with a newline, an emptied option is a single blank, cpulimit is a text.
    """
    if key == "description":
        lines = str(value).split("\n")
        while lines and not lines[-1]:
            lines.pop()
        return "".join(f"{line}\n" for line in lines) or None
    kind = (pve_schema._prop(properties(), key) or {}).get("type")
    if kind == "boolean":
        return int(pve_schema.parse_boolean(str(value)) or 0)
    if kind == "integer":
        return int(value)
    text = str(value)
    if key != "env" and re.search(r"\n", text.strip()):
        raise PveError(500, f"detected invalid newline inside property '{key}'")
    return text.strip() or " "


# Perl's own expressions, which the published schema has in a form that fakepve does not read.
PATTERNS = {
    "entrypoint": r"[^\x00-\x08\x0a-\x1F\x7F]+",
    "env": r"\w+=[^\x00-\x08\x0a-\x1F\x7F]*(\0\w+=[^\x00-\x08\x0a-\x1F\x7F]*)*",
}


def check_formats(values: Mapping[str, Any]) -> None:
    """What fakepve's schema does not check: expressions, and verify_ip_with_ll_iface."""
    wrong = [key for key, pattern in PATTERNS.items() if key in values and not re.fullmatch(pattern, str(values[key]))]
    if wrong:
        raise parameter_error(**dict.fromkeys(wrong, "value does not match the regex pattern"))
    for server in split_list(values.get("nameserver")):
        address, _percent, interface = server.partition("%")
        try:
            ipaddress.ip_address(address)
            fits = not interface or address.lower().startswith("fe80:")
        except ValueError:
            fits = False
        if not fits:
            raise parameter_error(nameserver="invalid format - value does not look like a valid IP address\n")
    zone, zones = values.get("timezone", "host"), zoneinfo.available_timezones()
    if zone != "host" and zones and zone not in zones:
        raise parameter_error(timezone=f"invalid format - invalid time zone '{zone}'\n")


def given(key: str, value: Any) -> Any:
    """What update_pct_config makes of lists."""
    return " ".join(split_list(value)) if key in ("nameserver", "searchdomain") else value


def to_base(name: str) -> str:
    """The volume of a template: vm-100-disk-0 becomes base-100-disk-0."""
    return re.sub(r"\bvm-(\d+)-disk", r"base-\1-disk", name).replace("subvol-", "basevol-")
