# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the keys of a virtual machine's configuration mean: their formats, their defaults, and when two values are one.

Formats and defaults are those of PVE's API schema (PVE::QemuServer, PVE::QemuServer::Drive, ...::Network).
"""

from __future__ import annotations

import re
import typing as t
from urllib.parse import quote, unquote

from .properties import PropertyFormat
from .ssh_keys import key_lines
from .storage_names import STORAGE_NAME
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

DISK_BUSES = {"ide": 4, "sata": 6, "scsi": 31, "virtio": 16}
DRIVE_KEY = re.compile(r"(ide|sata|scsi|virtio)(\d+)|efidisk0|tpmstate0")
# A volume of a storage as a drive or a mount point names it.
VOLUME_NAME = re.compile(rf"{STORAGE_NAME.pattern}:[^,\r\n\0]*[^,\s\0]")
# The keys of any guest that hold volumes; rootfs and mp are those of a container (PVE::LXC::Config).
VOLUME_KEY = re.compile(rf"{DRIVE_KEY.pattern}|rootfs|mp\d+")
NIC_KEY = re.compile(r"net(\d+)")
# The keys of volumes that were detached, of which any guest may have so many (PVE::AbstractConfig).
UNUSED_KEY = re.compile(r"unused(\d|[1-9]\d{1,2})")
MAX_UNUSED = 256
# What PVE puts on a guest's cloud-init drive, but for its name and its network devices (PVE::QemuServer).
CLOUD_INIT_KEY = re.compile(r"ci(custom|password|type|upgrade|user)|ipconfig\d+|nameserver|searchdomain|sshkeys")
MAX_NICS = 32

_DRIVE_BOOLEANS = ("backup", "detect_zeroes", "iothread", "replicate", "ro", "scsiblock", "shared", "snapshot", "ssd")
_DIRECTIONS = ("", "_rd", "_wr")
LIMITS = tuple(f"{unit}{way}{end}" for unit in ("mbps", "iops") for way in _DIRECTIONS for end in ("", "_max"))
LENGTHS = tuple(f"{unit}{way}_max_length" for unit in ("bps", "iops") for way in _DIRECTIONS)

DRIVE = PropertyFormat(
    default_key="file",
    # The short names are spellings of old releases.
    aliases={
        "volume": "file",
        **{f"{unit}{way}_length": f"{unit}{way}_max_length" for unit in ("bps", "iops") for way in ("_rd", "_wr")},
    },
    defaults={
        "media": "disk",
        "backup": "1",
        "replicate": "1",
        "detect_zeroes": "1",
        "iothread": "0",
        "ssd": "0",
        "ro": "0",
        "scsiblock": "0",
        "shared": "0",
        "snapshot": "0",
        "discard": "ignore",
        "cache": "none",
        "efitype": "2m",
        "pre-enrolled-keys": "0",
        "ms-cert": "2011",
        "version": "v1.2",
        **dict.fromkeys(LIMITS, "0"),
    },
    booleans=frozenset({*_DRIVE_BOOLEANS, "pre-enrolled-keys"}),
    numbers=frozenset({*LIMITS, *LENGTHS, "queues"}),
    sizes=frozenset({"size"}),
    caseless=frozenset({"wwn"}),
    urlencoded=frozenset({"serial", "model"}),
)
NIC = PropertyFormat(
    models=frozenset(
        (
            "e1000 e1000-82540em e1000-82544gc e1000-82545em e1000e i82551 i82557b i82559er ne2k_isa ne2k_pci pcnet "
            "rtl8139 virtio vmxnet3"
        ).split()
    ),
    default_key="model",
    defaults={"firewall": "0", "link_down": "0"},
    booleans=frozenset({"firewall", "link_down"}),
    numbers=frozenset({"rate"}),
    caseless=frozenset({"macaddr"}),
    sets=frozenset({"trunks"}),
)
AGENT = PropertyFormat(
    default_key="enabled",
    defaults={"enabled": "0", "fstrim_cloned_disks": "0", "freeze-fs": "1", "type": "virtio"},
    aliases={"freeze-fs-on-backup": "freeze-fs", "guest-fsfreeze": "freeze-fs"},
    booleans=frozenset({"enabled", "fstrim_cloned_disks", "freeze-fs"}),
)
CPU = PropertyFormat(default_key="cputype", defaults={"cputype": "kvm64", "hidden": "0"}, sets=frozenset({"flags"}))
IPCONFIG = PropertyFormat()
USB = PropertyFormat(default_key="host", defaults={"usb3": "0"}, booleans=frozenset({"usb3"}))
HOSTPCI = PropertyFormat(
    default_key="host",
    defaults={"pcie": "0", "rombar": "1", "x-vga": "0", "legacy-igd": "0"},
    booleans=frozenset({"pcie", "rombar", "x-vga", "legacy-igd"}),
)
CICUSTOM = PropertyFormat()
SMBIOS = PropertyFormat()
_MACHINE = PropertyFormat(default_key="type")
_VERSIONED_MACHINE = re.compile(r"(pc-i440fx|pc-q35)-\d")
_UNVERSIONED_MACHINES = {"pc-i440fx": "pc", "pc-q35": "q35"}


class _MachineType(ValueType):
    """PVE pins the version of a Windows guest's machine; asking for q35 is then met by any q35."""

    def same(self, current: str | None, wanted: str | None) -> bool:
        if current and wanted and not _VERSIONED_MACHINE.match(wanted):
            match = _VERSIONED_MACHINE.match(current)
            if match:
                rest = current.partition(",")[1:]
                current = _UNVERSIONED_MACHINES[match[1]] + "".join(rest)
        return super().same(current, wanted)


class _GenerationType(ValueType):
    """PVE makes a UUID of 1, so that any UUID is what was asked for (PVE::API2::Qemu, vmgenid)."""

    def same(self, current: str | None, wanted: str | None) -> bool:
        if wanted == "1":
            return current not in (None, "0")
        return super().same(current, wanted)


def split_ssh_keys(text: str) -> tuple[str, ...]:
    """Read the public keys of cloud-init, which PVE keeps URL-encoded."""
    return tuple(line for _number, line in key_lines(unquote(text)))


def join_ssh_keys(keys: t.Iterable[str]) -> str:
    """Write public keys as PVE wants them: one a line, URL-encoded (PVE::API2::Qemu, sshkeys)."""
    return quote("\n".join(line for text in keys for _number, line in key_lines(text)), safe="")


_DEFAULT_HOTPLUG = "network,disk,usb"


def _hotplug(text: str) -> t.Hashable:
    return frozenset({"0": "", "1": _DEFAULT_HOTPLUG}.get(text, text).split(",")) - {""}


_VALUE_TYPES: dict[str, ValueType] = {
    **{key: boolean_type("1") for key in ("acpi", "allow-ksm", "ciupgrade", "kvm", "reboot", "tablet")},
    **{
        key: boolean_type("0")
        for key in ("autostart", "freeze", "keephugepages", "numa", "onboot", "protection", "tdf", "template")
    },
    "agent": properties_type(AGENT),
    "balloon": number_type(None),
    "bios": text_type("seabios"),
    # A blank is what PVE leaves of an order whose devices are gone; unset, PVE chooses the devices itself.
    "boot": list_type(r"=;,\s", ordered=True, absent=None),
    "cicustom": properties_type(CICUSTOM),
    "cores": number_type("1"),
    "cpu": properties_type(CPU),
    "cpulimit": number_type("0"),
    "cpuunits": WEIGHT,
    "description": DESCRIPTION,
    "hotplug": ValueType(_hotplug, _DEFAULT_HOTPLUG),
    "localtime": boolean_type(None),
    "machine": _MachineType(_MACHINE.comparable, "pc", _MACHINE),
    "memory": properties_type(
        PropertyFormat(default_key="current", defaults={"current": "512"}, numbers=frozenset({"current"}))
    ),
    "migrate_downtime": number_type("0.1"),
    "migrate_speed": number_type("0"),
    "nameserver": list_type(r"\s,;", ordered=True),
    "ostype": text_type("other"),
    "scsihw": text_type("lsi"),
    "shares": number_type("1000"),
    "smbios1": properties_type(SMBIOS),
    "sockets": number_type("1"),
    "sshkeys": ValueType(lambda text: frozenset(split_ssh_keys(text)), ""),
    "startup": STARTUP,
    "tags": TAGS,
    "vcpus": number_type("0"),
    "vmgenid": _GenerationType(str.lower),
    "vga": properties_type(PropertyFormat(default_key="type", defaults={"type": "std"})),
    "watchdog": properties_type(PropertyFormat(default_key="model")),
    "rng0": properties_type(PropertyFormat(default_key="source")),
    "audio0": properties_type(PropertyFormat(defaults={"driver": "spice"})),
    "spice_enhancements": properties_type(PropertyFormat()),
}
_FAMILIES: tuple[tuple[t.Pattern[str], ValueType], ...] = (
    (DRIVE_KEY, properties_type(DRIVE)),
    (NIC_KEY, properties_type(NIC)),
    (re.compile(r"ipconfig\d+"), properties_type(IPCONFIG)),
    (re.compile(r"usb\d+"), properties_type(USB)),
    (re.compile(r"hostpci\d+"), properties_type(HOSTPCI)),
    (re.compile(r"numa\d+"), properties_type(PropertyFormat())),
    (re.compile(r"virtiofs\d+"), properties_type(PropertyFormat(default_key="dirid"))),
)


def value_type_of(key: str) -> ValueType:
    """Return how values of a key of the configuration are compared."""
    if key in _VALUE_TYPES:
        return _VALUE_TYPES[key]
    return next((value_type for pattern, value_type in _FAMILIES if pattern.fullmatch(key)), PLAIN)
