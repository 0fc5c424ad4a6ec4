# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the keys of a container's configuration mean: their formats, their defaults, and when two values are one.

Formats and defaults are those of PVE's API schema (PVE::LXC::Config).
"""

from __future__ import annotations

import re
import typing as t

from .properties import PropertyFormat, truth
from .value_types import (
    DESCRIPTION,
    PLAIN,
    STARTUP,
    TAGS,
    WEIGHT,
    ValueType,
    boolean_type,
    list_type,
    number_type,
    properties_type,
    text_type,
)
from .vm_config import NIC_KEY

MOUNT_KEY = re.compile(r"rootfs|mp(\d+)")
DEVICE_KEY = re.compile(r"dev(\d+)")
MAX_MOUNT_POINTS = MAX_DEVICES = 256
ARCHITECTURES = ("amd64", "i386", "arm64", "armhf", "riscv32", "riscv64")
OS_TYPES = tuple("debian devuan ubuntu centos fedora opensuse archlinux alpine gentoo nixos unmanaged".split())

_MOUNT_BOOLEANS = ("acl", "backup", "keepattrs", "quota", "replicate", "ro", "shared")
# The volume is called as that of a drive is, for what is the same for both.
MOUNT_POINT = PropertyFormat(
    default_key="file",
    aliases={"volume": "file"},
    defaults={**dict.fromkeys(("backup", "keepattrs", "quota", "ro", "shared"), "0"), "replicate": "1"},
    booleans=frozenset(_MOUNT_BOOLEANS),
    sizes=frozenset({"size"}),
    sets=frozenset({"mountoptions", "idmap"}),
)
CONTAINER_NIC = PropertyFormat(
    defaults={"type": "veth", **dict.fromkeys(("firewall", "link_down", "host-managed"), "0")},
    booleans=frozenset({"firewall", "link_down", "host-managed"}),
    numbers=frozenset({"rate"}),
    caseless=frozenset({"hwaddr", "ip6", "gw6"}),
    sets=frozenset({"trunks"}),
)
_SWITCHES = ("nesting", "keyctl", "fuse", "mknod", "force_rw_sys")
FEATURES = PropertyFormat(
    defaults=dict.fromkeys(_SWITCHES, "0"), booleans=frozenset(_SWITCHES), sets=frozenset({"mount"})
)
DEVICE = PropertyFormat(
    default_key="path",
    defaults={"deny-write": "0"},
    booleans=frozenset({"deny-write"}),
    numbers=frozenset({"uid", "gid"}),
)
# What divides the variables of a container's environment.
ENV_SEPARATOR = "\0"

_VALUE_TYPES: dict[str, ValueType] = {
    **{key: boolean_type("0") for key in ("debug", "onboot", "protection", "template", "unprivileged")},
    "cmode": text_type("tty"),
    "console": boolean_type("1"),
    "cores": number_type(None),
    "cpulimit": number_type("0"),
    "cpuunits": WEIGHT,
    "description": DESCRIPTION,
    "entrypoint": text_type("/sbin/init"),
    "env": ValueType(lambda text: frozenset(filter(None, text.split(ENV_SEPARATOR))), ""),
    "features": properties_type(FEATURES),
    "memory": number_type("512"),
    "nameserver": list_type(r"\s,;", ordered=True),
    "searchdomain": list_type(r"\s,;", ordered=True),
    "startup": STARTUP,
    "swap": number_type("512"),
    "tags": TAGS,
    "tty": number_type("2"),
}
_FAMILIES: tuple[tuple[t.Pattern[str], ValueType], ...] = (
    (MOUNT_KEY, properties_type(MOUNT_POINT)),
    (NIC_KEY, properties_type(CONTAINER_NIC)),
    (DEVICE_KEY, properties_type(DEVICE)),
)


def value_type_of(key: str) -> ValueType:
    """Return how values of a key of the configuration are compared."""
    if key in _VALUE_TYPES:
        return _VALUE_TYPES[key]
    return next((value_type for pattern, value_type in _FAMILIES if pattern.fullmatch(key)), PLAIN)


def is_privileged(values: t.Mapping[str, str]) -> bool:
    """Whether root in the container is root of the node."""
    return truth(str(values.get("unprivileged", "0"))) != "1"
