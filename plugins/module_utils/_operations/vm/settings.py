# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of a virtual machine that have one option and one key each: the table that drives them."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ..._pve.errors import InvalidRequest
from ..._pve.vm_config import DRIVE_KEY, NIC_KEY
from .wishes import Wish, check_range, flag, given

MIB_MAX = 4_178_944  # PVE's own bound on memory, in MiB (PVE::QemuServer::Memory)
OS_TYPES = ("other", "wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8", "win10", "win11", "l24", "l26", "solaris")
SCSI_CONTROLLERS = ("lsi", "lsi53c810", "virtio-scsi-pci", "virtio-scsi-single", "megasas", "pvscsi")
HOTPLUG = ("network", "disk", "usb", "memory", "cpu", "cloudinit")
SERIAL_KEY = re.compile(r"serial[0-3]")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_CONFIG_KEY = re.compile(r"[a-z][a-z0-9_-]*")
# Not settings, but orders to the API call itself or to its bookkeeping.
_RESERVED_KEYS = frozenset(
    "archive background_delay delete digest force import-working-storage live-restore lock node pool revert skiplock "
    "start storage template unique vmid".split()
)

Write = t.Callable[[t.Any], str]


@dataclass(frozen=True)
class Setting:
    """One row: the option, its argument spec, its key, its bounds, and how its value is written."""

    option: str
    spec: t.Mapping[str, t.Any]
    key: str = ""
    bounds: tuple[float, float] | None = None
    write: Write = str
    # The part of the property string that the option is, when the others shall stay.
    part: str = ""

    def wish(self, value: t.Any) -> Wish:
        """The wish for a value; raises InvalidRequest when it is out of bounds."""
        if self.bounds:
            check_range(self.option, value, *self.bounds)
        key, text = self.key or self.option, self.write(value)
        return Wish(key, parts={self.part: text}) if self.part else Wish(key, text)


def _startup(value: t.Mapping[str, t.Any]) -> str:
    return ",".join(f"{name}={number}" for name, number in given(value).items())


_INTEGER = {"type": "int"}
_TEXT = {"type": "str"}
_BOOLEAN = {"type": "bool"}

SETTINGS: tuple[Setting, ...] = (
    Setting("cores", _INTEGER, bounds=(1, 512)),
    Setting("sockets", _INTEGER, bounds=(1, 16)),
    Setting("vcpus", _INTEGER, bounds=(1, 8192)),
    Setting("cpu", _TEXT),
    Setting("memory", _INTEGER, bounds=(16, MIB_MAX)),
    Setting("balloon", _INTEGER, bounds=(0, MIB_MAX)),
    Setting("numa", _BOOLEAN, write=flag),
    Setting("machine", _TEXT),
    Setting("bios", {"type": "str", "choices": ["seabios", "ovmf"]}),
    Setting("ostype", {"type": "str", "choices": list(OS_TYPES)}),
    Setting("scsihw", {"type": "str", "choices": list(SCSI_CONTROLLERS)}),
    Setting(
        "boot",
        {"type": "list", "elements": "str"},
        write=lambda devices: "order=" + ";".join(devices),
    ),
    Setting("onboot", _BOOLEAN, write=flag),
    Setting(
        "startup",
        {"type": "dict", "options": {"order": _INTEGER, "up": _INTEGER, "down": _INTEGER}},
        write=_startup,
    ),
    Setting("protection", _BOOLEAN, write=flag),
    Setting("agent", _BOOLEAN, write=flag, part="enabled"),
    Setting("vga", _TEXT),
    Setting("tablet", _BOOLEAN, write=flag),
    Setting("description", _TEXT),
    Setting(
        "hotplug",
        {"type": "list", "elements": "str", "choices": list(HOTPLUG)},
        write=lambda features: ",".join(features) or "0",
    ),
)


def setting_wishes(parameters: t.Mapping[str, t.Any]) -> list[Wish]:
    """The wishes of all settings that are given; raises InvalidRequest."""
    wishes = [row.wish(parameters[row.option]) for row in SETTINGS if parameters.get(row.option) is not None]
    wishes.extend(_serial_wishes(parameters.get("serial_ports") or {}))
    wishes.extend(_raw_wishes(parameters.get("config") or {}, {wish.key for wish in wishes}))
    return wishes


def _serial_wishes(ports: t.Mapping[str, t.Any]) -> t.Iterator[Wish]:
    for port, value in ports.items():
        if not SERIAL_KEY.fullmatch(port):
            raise InvalidRequest(f"serial_ports: {port!r} is no serial port: they are serial0 to serial3")
        if value != "socket" and not str(value).startswith("/dev/"):
            raise InvalidRequest(f"serial_ports: {port} must be socket or a device of the node, not {value!r}")
        yield Wish(port, str(value))


def _raw_wishes(config: t.Mapping[str, t.Any], taken: set[str]) -> t.Iterator[Wish]:
    for key, value in config.items():
        check_config_key("config", key)
        if DRIVE_KEY.fullmatch(key) or re.fullmatch(r"unused\d+", key):
            raise InvalidRequest(f"config: {key} is a disk: use disks, efi_disk or tpm, which never lose one")
        if NIC_KEY.fullmatch(key):
            raise InvalidRequest(f"config: {key} is a network device: use networks, which keeps its address")
        if key in ("name", "tags", "cipassword", "sshkeys"):
            raise InvalidRequest(f"config: {key} has an option of its own")
        if key in taken:
            raise InvalidRequest(f"config: {key} is given by an option of its own, too: give it once")
        if value is None:
            raise InvalidRequest(f"config: {key} has no value: name it in remove to unset it")
        yield Wish(key, flag(value) if isinstance(value, bool) else str(value))


def check_config_key(option: str, key: str) -> None:
    """Raise InvalidRequest when it cannot be a setting of a virtual machine."""
    if not _CONFIG_KEY.fullmatch(key) or key in _RESERVED_KEYS:
        raise InvalidRequest(f"{option}: {key!r} is no setting of a virtual machine")


@dataclass(frozen=True)
class TagsWish:
    """The tags that a guest shall have, alone or among others."""

    tags: tuple[str, ...] = ()
    only: bool = True
    key: str = field(default="tags", init=False)

    def wish(self, current: str | None) -> Wish:
        """The wish, given the tags that are there."""
        there = [] if self.only else [tag for tag in re.split(r"[;,\s]+", current or "") if tag]
        missing = [tag for tag in self.tags if tag.lower() not in {item.lower() for item in there}]
        return Wish("tags", ";".join(sorted({*there, *missing})))


def tags_wish(tags: t.Sequence[str] | None, mode: str) -> TagsWish | None:
    """Check the tags of a request; None when it says nothing of them."""
    if tags is None:
        return None
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise InvalidRequest(f"tags: {tag!r} is no tag: letters, digits, and _ . + - after the first character")
    return TagsWish(tuple(tags), mode == "set")
