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

from .properties import PropertyFormat, number, truth

DISK_BUSES = {"ide": 4, "sata": 6, "scsi": 31, "virtio": 16}
DRIVE_KEY = re.compile(r"(ide|sata|scsi|virtio)(\d+)|efidisk0|tpmstate0")
NIC_KEY = re.compile(r"net(\d+)")
MAX_NICS = 32

_DRIVE_BOOLEANS = ("backup", "detect_zeroes", "iothread", "replicate", "ro", "scsiblock", "shared", "snapshot", "ssd")
_LIMITS = ("mbps", "mbps_rd", "mbps_wr", "mbps_max", "mbps_rd_max", "mbps_wr_max")
_IOPS = ("iops", "iops_rd", "iops_wr", "iops_max", "iops_rd_max", "iops_wr_max")

DRIVE = PropertyFormat(
    default_key="file",
    aliases={"volume": "file"},
    defaults={
        "media": "disk",
        "backup": "1",
        "replicate": "1",
        "iothread": "0",
        "ssd": "0",
        "ro": "0",
        "shared": "0",
        "discard": "ignore",
        "cache": "none",
        "pre-enrolled-keys": "0",
        **dict.fromkeys((*_LIMITS, *_IOPS), "0"),
    },
    booleans=frozenset({*_DRIVE_BOOLEANS, "pre-enrolled-keys"}),
    numbers=frozenset({*_LIMITS, *_IOPS}),
    sizes=frozenset({"size"}),
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
STARTUP = PropertyFormat(default_key="order", numbers=frozenset({"order", "up", "down"}))
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
class Meaning:
    """When two values of a key are one and the same; absent is the text that an unset key stands for."""

    of: t.Callable[[str], t.Hashable]
    absent: str | None = None
    write: PropertyFormat | None = None

    def same(self, current: str | None, wanted: str | None) -> bool:
        """Whether nothing would differ for the guest if current were replaced by wanted."""
        return self._of(current) == self._of(wanted)

    def _of(self, text: str | None) -> t.Hashable:
        text = self.absent if text is None else text
        return None if text is None else self.of(text)


class _MachineMeaning(Meaning):
    """PVE pins the version of a Windows guest's machine; asking for q35 is then met by any q35."""

    def same(self, current: str | None, wanted: str | None) -> bool:
        if current and wanted and not _VERSIONED_MACHINE.match(wanted):
            match = _VERSIONED_MACHINE.match(current)
            if match:
                rest = current.partition(",")[1:]
                current = _UNVERSIONED_MACHINES[match[1]] + "".join(rest)
        return super().same(current, wanted)


def _text(absent: str | None = None) -> Meaning:
    return Meaning(str.rstrip, absent)


def _boolean(absent: str) -> Meaning:
    return Meaning(truth, absent)


def _number(absent: str | None) -> Meaning:
    return Meaning(number, absent)


def _properties(form: PropertyFormat) -> Meaning:
    return Meaning(form.meaning, "", form)


def _list(separators: str, *, ordered: bool, absent: str = "") -> Meaning:
    collect: t.Callable[[t.Iterable[str]], t.Hashable] = tuple if ordered else frozenset
    return Meaning(lambda text: collect(item for item in re.split(f"[{separators}]+", text) if item), absent)


def split_ssh_keys(text: str) -> tuple[str, ...]:
    """Read the public keys of cloud-init, which PVE keeps URL-encoded."""
    lines = (" ".join(line.split()) for line in unquote(text).splitlines())
    return tuple(line for line in lines if line)


def join_ssh_keys(keys: t.Iterable[str]) -> str:
    """Write public keys as PVE wants them: one a line, URL-encoded (PVE::API2::Qemu, sshkeys)."""
    return quote("\n".join(key for text in keys for key in split_ssh_keys(quote(text))), safe="")


_DEFAULT_HOTPLUG = "network,disk,usb"


def _hotplug(text: str) -> t.Hashable:
    return frozenset({"0": "", "1": _DEFAULT_HOTPLUG}.get(text, text).split(",")) - {""}


_MEANINGS: dict[str, Meaning] = {
    **{key: _boolean("1") for key in ("acpi", "allow-ksm", "ciupgrade", "kvm", "reboot", "tablet")},
    **{
        key: _boolean("0")
        for key in ("autostart", "freeze", "keephugepages", "numa", "onboot", "protection", "tdf", "template")
    },
    "agent": _properties(AGENT),
    "balloon": _number(None),
    "bios": _text("seabios"),
    "boot": _list(r"=;,\s", ordered=True),
    "cicustom": _properties(CICUSTOM),
    "cores": _number("1"),
    "cpu": _properties(CPU),
    "cpulimit": _number("0"),
    "cpuunits": _number(None),
    "description": _text(""),
    "hotplug": Meaning(_hotplug, _DEFAULT_HOTPLUG),
    "localtime": Meaning(truth),
    "machine": _MachineMeaning(_MACHINE.meaning, "pc", _MACHINE),
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
    "sshkeys": Meaning(lambda text: frozenset(split_ssh_keys(text)), ""),
    "startup": _properties(STARTUP),
    "tags": Meaning(lambda text: frozenset(tag.lower() for tag in re.split(r"[;,\s]+", text) if tag), ""),
    "vcpus": _number("0"),
    "vga": _properties(PropertyFormat(default_key="type", defaults={"type": "std"})),
    "watchdog": _properties(PropertyFormat(default_key="model")),
    "rng0": _properties(PropertyFormat(default_key="source")),
    "audio0": _properties(PropertyFormat(defaults={"driver": "spice"})),
    "spice_enhancements": _properties(PropertyFormat()),
}
_FAMILIES: tuple[tuple[t.Pattern[str], Meaning], ...] = (
    (DRIVE_KEY, _properties(DRIVE)),
    (NIC_KEY, _properties(NIC)),
    (re.compile(r"ipconfig\d+"), _properties(IPCONFIG)),
    (re.compile(r"usb\d+"), _properties(USB)),
    (re.compile(r"hostpci\d+"), _properties(HOSTPCI)),
    (re.compile(r"numa\d+"), _properties(PropertyFormat())),
    (re.compile(r"virtiofs\d+"), _properties(PropertyFormat(default_key="dirid"))),
)
_PLAIN = _text()


def meaning_of(key: str) -> Meaning:
    """Return how values of a key of the configuration are compared."""
    if key in _MEANINGS:
        return _MEANINGS[key]
    return next((meaning for pattern, meaning in _FAMILIES if pattern.fullmatch(key)), _PLAIN)
