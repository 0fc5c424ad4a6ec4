# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of a virtual machine that have one option and one key each: the table that drives them."""

from __future__ import annotations

import re
import typing as t

from ..._pve.errors import InvalidRequest
from ..guest.desired import DesiredSetting, flag
from ..guest.settings import SHARED_SETTINGS, Setting

OS_TYPES = ("other", "wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8", "win10", "win11", "l24", "l26", "solaris")
SCSI_CONTROLLERS = ("lsi", "lsi53c810", "virtio-scsi-pci", "virtio-scsi-single", "megasas", "pvscsi")
HOTPLUG = ("network", "disk", "usb", "memory", "cpu", "cloudinit")
SERIAL_KEY = re.compile(r"serial[0-3]")

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
    *SHARED_SETTINGS,
    Setting("agent", _BOOLEAN, write=flag, part="enabled"),
    Setting("vga", _TEXT),
    Setting("tablet", _BOOLEAN, write=flag),
    Setting(
        "hotplug",
        {"type": "list", "elements": "str", "choices": list(HOTPLUG)},
        write=lambda features: ",".join(features) or "0",
    ),
)


def serial_settings(ports: t.Mapping[str, t.Any]) -> t.Iterator[DesiredSetting]:
    """The serial ports that are given; raises InvalidRequest."""
    for port, value in ports.items():
        if not SERIAL_KEY.fullmatch(port):
            raise InvalidRequest(f"serial_ports: {port!r} is no serial port: they are serial0 to serial3")
        if value != "socket" and not str(value).startswith("/dev/"):
            raise InvalidRequest(f"serial_ports: {port} must be socket or a device of the node, not {value!r}")
        yield DesiredSetting(port, str(value))
