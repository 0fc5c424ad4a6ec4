# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of a virtual machine that have one option and one key each: the table that drives them."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field, replace

from ..._pve.errors import InvalidRequest
from ..._pve.numbers import write_number
from ..._pve.vm_config import CASE_SENSITIVE_TAGS, DRIVE_KEY, NIC_KEY, check_description, value_type_of
from ..guest.desired import DesiredSetting, check_range, flag, given

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
# Other names that PVE has for a key: what they change is not what they are called (PVE::API2::Qemu, PVE::QemuServer).
_OTHER_NAMES = {
    "cdrom": "is PVE's other name of the drive ide2: use disks",
    "smp": "is PVE's old name of sockets: use sockets and cores",
}

# Writes a value, or None when it stands for an unset key.
Write = t.Callable[[t.Any], "str | None"]


def _text(value: t.Any) -> str | None:
    return str(value) or None


@dataclass(frozen=True)
class Setting:
    """One row: the option, its argument spec, its key, its bounds, and how its value is written."""

    option: str
    spec: t.Mapping[str, t.Any]
    key: str = ""
    bounds: tuple[float] | tuple[float, float] | None = None
    write: Write = _text
    # The part of the property string that the option is, when the others shall stay.
    part: str = ""

    def desired(self, value: t.Any) -> DesiredSetting:
        """The key as it is desired, by a value; raises InvalidRequest when it is out of bounds."""
        key = self.key or self.option
        if isinstance(value, t.Mapping) and given(value):
            return DesiredSetting(key, parts=dict(self._parts(given(value))))
        if self.bounds:
            check_range(self.option, value, *self.bounds)
        text = self.write(value)
        return DesiredSetting(key, parts={self.part: text}) if self.part else DesiredSetting(key, text)

    def _parts(self, options: t.Mapping[str, t.Any]) -> t.Iterator[tuple[str, str]]:
        """What is given of an option that has suboptions; the others stay as they are."""
        for name, value in options.items():
            check_range(f"{self.option}.{name}", value, 0)
            yield name, write_number(value)


def _description(text: str) -> str | None:
    check_description(text)
    return text or None


_INTEGER = {"type": "int"}
_TEXT = {"type": "str"}
_BOOLEAN = {"type": "bool"}

SETTINGS: tuple[Setting, ...] = (
    Setting("cores", _INTEGER, bounds=(1,)),
    Setting("sockets", _INTEGER, bounds=(1,)),
    Setting("vcpus", _INTEGER, bounds=(1,)),
    Setting("cpu", _TEXT),
    Setting("memory", _INTEGER, bounds=(16,)),
    Setting("balloon", _INTEGER, bounds=(0,)),
    Setting("numa", {**_BOOLEAN, "aliases": ["numa_enabled"]}, write=flag),
    Setting("machine", _TEXT),
    Setting("bios", {"type": "str", "choices": ["seabios", "ovmf"]}),
    Setting("ostype", {"type": "str", "choices": list(OS_TYPES)}),
    Setting("scsihw", {"type": "str", "choices": list(SCSI_CONTROLLERS)}),
    Setting(
        "boot",
        {"type": "list", "elements": "str"},
        write=lambda devices: "order=" + ";".join(devices) if devices else None,
    ),
    Setting("onboot", _BOOLEAN, write=flag),
    Setting(
        "startup",
        {"type": "dict", "options": {"order": _INTEGER, "up": _INTEGER, "down": _INTEGER}},
        write=lambda _nothing: None,
    ),
    Setting("protection", _BOOLEAN, write=flag),
    Setting("agent", _BOOLEAN, write=flag, part="enabled"),
    Setting("vga", _TEXT),
    Setting("tablet", _BOOLEAN, write=flag),
    Setting("description", _TEXT, write=_description),
    Setting(
        "hotplug",
        {"type": "list", "elements": "str", "choices": list(HOTPLUG)},
        write=lambda features: ",".join(features) or "0",
    ),
)


def desired_settings(parameters: t.Mapping[str, t.Any]) -> list[DesiredSetting]:
    """All settings that are given; raises InvalidRequest."""
    desired = [row.desired(parameters[row.option]) for row in SETTINGS if parameters.get(row.option) is not None]
    desired.extend(_serial_settings(parameters.get("serial_ports") or {}))
    desired.extend(_raw_settings(parameters.get("config") or {}, {setting.key for setting in desired}))
    return desired


def _serial_settings(ports: t.Mapping[str, t.Any]) -> t.Iterator[DesiredSetting]:
    for port, value in ports.items():
        if not SERIAL_KEY.fullmatch(port):
            raise InvalidRequest(f"serial_ports: {port!r} is no serial port: they are serial0 to serial3")
        if value != "socket" and not str(value).startswith("/dev/"):
            raise InvalidRequest(f"serial_ports: {port} must be socket or a device of the node, not {value!r}")
        yield DesiredSetting(port, str(value))


def _raw_settings(config: t.Mapping[str, t.Any], taken: set[str]) -> t.Iterator[DesiredSetting]:
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
        if value is None or value == "":
            raise InvalidRequest(f"config: {key} has no value: name it in remove to unset it")
        yield DesiredSetting(key, _raw_text(key, value))


def _raw_text(key: str, value: t.Any) -> str | None:
    """The value of a key in the form that PVE takes and stores; raises InvalidRequest."""
    if isinstance(value, bool):
        text = flag(value)
    elif isinstance(value, (int, float)):
        text = write_number(value)
    elif isinstance(value, str):
        text = value
    else:
        raise InvalidRequest(f"config: {key} must be a text, a number or a boolean, in PVE's words")
    try:
        text = value_type_of(key).form(text)
    except InvalidRequest as error:
        raise InvalidRequest(f"config: {key} {error}") from error
    if key == "description":
        return _description(text)
    if re.search(r"[\r\n]", text):
        raise InvalidRequest(f"config: {key} has several lines, and PVE stores one")
    return text


def check_config_key(option: str, key: str) -> None:
    """Raise InvalidRequest when it cannot be a setting of a virtual machine."""
    if key in _OTHER_NAMES:
        raise InvalidRequest(f"{option}: {key} {_OTHER_NAMES[key]}")
    if not _CONFIG_KEY.fullmatch(key) or key in _RESERVED_KEYS:
        raise InvalidRequest(f"{option}: {key!r} is no setting of a virtual machine")


@dataclass(frozen=True)
class DesiredTags:
    """The tags that a guest shall have, alone or among others."""

    tags: tuple[str, ...] = ()
    only: bool = True
    # Whether the datacenter's tag-style tells upper from lower case.
    case_sensitive: bool = False
    key: str = field(default="tags", init=False)

    def setting(self, current: str | None) -> DesiredSetting:
        """The setting of the tags, given those that are there."""
        there = [] if self.only else [tag for tag in re.split(r"[;,\s]+", current or "") if tag]
        fold: t.Callable[[str], str] = str if self.case_sensitive else str.lower
        known = {fold(tag) for tag in there}
        missing = [tag for tag in self.tags if fold(tag) not in known]
        value_type = CASE_SENSITIVE_TAGS if self.case_sensitive else None
        return DesiredSetting("tags", ";".join(sorted({*there, *missing})) or None, value_type=value_type)

    def differs_by_case_alone(self, current: str | None) -> bool:
        """Whether the datacenter's tag-style decides if there is anything to change."""
        loose, strict = replace(self, case_sensitive=False), replace(self, case_sensitive=True)
        return loose.setting(current).is_met_by(current) and not strict.setting(current).is_met_by(current)


def desired_tags(tags: t.Sequence[str] | None, mode: str) -> DesiredTags | None:
    """Check the tags of a request; None when it says nothing of them."""
    if tags is None:
        return None
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise InvalidRequest(f"tags: {tag!r} is no tag: letters, digits, and _ . + - after the first character")
    return DesiredTags(tuple(tags), mode == "set")
