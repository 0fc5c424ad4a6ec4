# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the keys of a virtual machine's configuration mean: their formats, their defaults, and when two values are one.

Formats and defaults are those of PVE's API schema (PVE::QemuServer, PVE::QemuServer::Drive, ...::Network).
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from urllib.parse import quote, unquote

from .errors import InvalidRequest
from .numbers import write_number
from .properties import PropertyFormat, number, truth
from .ssh_keys import key_lines

DISK_BUSES = {"ide": 4, "sata": 6, "scsi": 31, "virtio": 16}
DRIVE_KEY = re.compile(r"(ide|sata|scsi|virtio)(\d+)|efidisk0|tpmstate0")
# PVE::JSONSchema, pve-storage-id.
STORAGE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]")
# The keys of any guest that hold volumes; rootfs and mp are those of a container (PVE::LXC::Config).
VOLUME_KEY = re.compile(rf"{DRIVE_KEY.pattern}|rootfs|mp\d+")
NIC_KEY = re.compile(r"net(\d+)")
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
STARTUP = PropertyFormat(default_key="order", names_default_key=True, numbers=frozenset({"order", "up", "down"}))
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


@dataclass(frozen=True)
class ValueType:
    """When two values of a key are one and the same; absent is the text that an unset key stands for."""

    of: t.Callable[[str], t.Hashable]
    absent: str | None = None
    write: PropertyFormat | None = None
    # How PVE takes a value that somebody wrote in words of his own; raises InvalidRequest.
    form: t.Callable[[str], str] = str.strip

    def same(self, current: str | None, wanted: str | None) -> bool:
        """Whether nothing would differ for the guest if current were replaced by wanted."""
        return self._of(current) == self._of(wanted)

    def _of(self, text: str | None) -> t.Hashable:
        text = self.absent if text is None else text
        return None if text is None else self.of(text)


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


class _WeightType(ValueType):
    """PVE stores the highest weight that the kernel knows for a higher one (PVE::CGroup::clamp_cpu_shares)."""

    def same(self, current: str | None, wanted: str | None) -> bool:
        return super().same(current, wanted) or (
            current == _HIGHEST_WEIGHT and wanted is not None and wanted.isdigit() and int(wanted) > int(current)
        )


_HIGHEST_WEIGHT = "10000"


def _unquoted(text: str) -> str:
    """A text as it is read back: without blanks around it, and without quotation marks around the whole.

    The configuration has a line for each key (PVE::QemuServer, parse_vm_config and check_type).
    """
    text = text.strip()
    while len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    return text


def _boolean_form(text: str) -> str:
    word = truth(text)
    if word not in ("0", "1"):
        raise InvalidRequest(f"must be a boolean, not {text!r}")
    return word


def _number_form(text: str) -> str:
    try:
        return write_number(float(text))
    except ValueError:
        raise InvalidRequest(f"must be a number, not {text!r}") from None


def _text(absent: str | None = None) -> ValueType:
    return ValueType(str.strip, absent)


def _boolean(absent: str | None) -> ValueType:
    return ValueType(truth, absent, form=_boolean_form)


def _number(absent: str | None) -> ValueType:
    return ValueType(number, absent, form=_number_form)


def _properties(form: PropertyFormat) -> ValueType:
    return ValueType(form.comparable, "", form)


def _list(separators: str, *, ordered: bool, absent: str | None = "") -> ValueType:
    collect: t.Callable[[t.Iterable[str]], t.Hashable] = tuple if ordered else frozenset
    return ValueType(lambda text: collect(item for item in re.split(f"[{separators}]+", text) if item), absent)


def split_ssh_keys(text: str) -> tuple[str, ...]:
    """Read the public keys of cloud-init, which PVE keeps URL-encoded."""
    return tuple(line for _number, line in key_lines(unquote(text)))


def join_ssh_keys(keys: t.Iterable[str]) -> str:
    """Write public keys as PVE wants them: one a line, URL-encoded (PVE::API2::Qemu, sshkeys)."""
    return quote("\n".join(line for text in keys for _number, line in key_lines(text)), safe="")


def _tags(text: str) -> frozenset[str]:
    return frozenset(tag for tag in re.split(r"[;,\s]+", text) if tag)


# Of a datacenter whose tag-style tells upper from lower case; elsewhere PVE stores tags in lower case.
CASE_SENSITIVE_TAGS = ValueType(_tags, "")
TAGS = ValueType(lambda text: _tags(text.lower()), "")


def check_description(text: str) -> None:
    """Raise InvalidRequest for the text that PVE loses: Perl takes 0 for none (PVE::QemuServer, write_vm_config)."""
    if text.rstrip() == "0":
        raise InvalidRequest("description: PVE does not store the text '0': give another one, or '' for none")


_DEFAULT_HOTPLUG = "network,disk,usb"


def _hotplug(text: str) -> t.Hashable:
    return frozenset({"0": "", "1": _DEFAULT_HOTPLUG}.get(text, text).split(",")) - {""}


_VALUE_TYPES: dict[str, ValueType] = {
    **{key: _boolean("1") for key in ("acpi", "allow-ksm", "ciupgrade", "kvm", "reboot", "tablet")},
    **{
        key: _boolean("0")
        for key in ("autostart", "freeze", "keephugepages", "numa", "onboot", "protection", "tdf", "template")
    },
    "agent": _properties(AGENT),
    "balloon": _number(None),
    "bios": _text("seabios"),
    # A blank is what PVE leaves of an order whose devices are gone; unset, PVE chooses the devices itself.
    "boot": _list(r"=;,\s", ordered=True, absent=None),
    "cicustom": _properties(CICUSTOM),
    "cores": _number("1"),
    "cpu": _properties(CPU),
    "cpulimit": _number("0"),
    "cpuunits": _WeightType(number, form=_number_form),
    "description": ValueType(str.rstrip, "", form=str.rstrip),
    "hotplug": ValueType(_hotplug, _DEFAULT_HOTPLUG),
    "localtime": _boolean(None),
    "machine": _MachineType(_MACHINE.comparable, "pc", _MACHINE),
    "memory": _properties(
        PropertyFormat(default_key="current", defaults={"current": "512"}, numbers=frozenset({"current"}))
    ),
    "migrate_downtime": _number("0.1"),
    "migrate_speed": _number("0"),
    "nameserver": _list(r"\s,;", ordered=True),
    "ostype": _text("other"),
    "scsihw": _text("lsi"),
    "shares": _number("1000"),
    "smbios1": _properties(SMBIOS),
    "sockets": _number("1"),
    "sshkeys": ValueType(lambda text: frozenset(split_ssh_keys(text)), ""),
    "startup": _properties(STARTUP),
    "tags": TAGS,
    "vcpus": _number("0"),
    "vmgenid": _GenerationType(str.lower),
    "vga": _properties(PropertyFormat(default_key="type", defaults={"type": "std"})),
    "watchdog": _properties(PropertyFormat(default_key="model")),
    "rng0": _properties(PropertyFormat(default_key="source")),
    "audio0": _properties(PropertyFormat(defaults={"driver": "spice"})),
    "spice_enhancements": _properties(PropertyFormat()),
}
_FAMILIES: tuple[tuple[t.Pattern[str], ValueType], ...] = (
    (DRIVE_KEY, _properties(DRIVE)),
    (NIC_KEY, _properties(NIC)),
    (re.compile(r"ipconfig\d+"), _properties(IPCONFIG)),
    (re.compile(r"usb\d+"), _properties(USB)),
    (re.compile(r"hostpci\d+"), _properties(HOSTPCI)),
    (re.compile(r"numa\d+"), _properties(PropertyFormat())),
    (re.compile(r"virtiofs\d+"), _properties(PropertyFormat(default_key="dirid"))),
)
_PLAIN = ValueType(_unquoted)


def value_type_of(key: str) -> ValueType:
    """Return how values of a key of the configuration are compared."""
    if key in _VALUE_TYPES:
        return _VALUE_TYPES[key]
    return next((value_type for pattern, value_type in _FAMILIES if pattern.fullmatch(key)), _PLAIN)
