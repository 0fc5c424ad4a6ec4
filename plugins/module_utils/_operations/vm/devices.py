# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""EFI disk, TPM, USB and PCI devices of a virtual machine."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ..._pve.errors import InvalidRequest
from ..guest.desired import DesiredDevice, DesiredSetting, check_unique, flag, given

EFI_DISK_SPEC: dict[str, t.Any] = {
    "storage": {"type": "str"},
    "type": {"type": "str", "choices": ["2m", "4m"], "aliases": ["efitype"]},
    "pre_enrolled_keys": {"type": "bool"},
    "ms_cert": {"type": "str", "choices": ["2011", "2023k"]},
    "format": {"type": "str", "choices": ["raw", "qcow2", "vmdk"]},
}
TPM_SPEC: dict[str, t.Any] = {
    "storage": {"type": "str"},
    "version": {"type": "str", "choices": ["v1.2", "v2.0"]},
}
_STATE: dict[str, t.Any] = {"type": "str", "choices": ["present", "absent"], "default": "present"}
USB_SPEC: dict[str, t.Any] = {
    "slot": {"type": "str", "required": True},
    "state": _STATE,
    "host": {"type": "str"},
    "mapping": {"type": "str"},
    "usb3": {"type": "bool"},
}
PCI_SPEC: dict[str, t.Any] = {
    "slot": {"type": "str", "required": True},
    "state": _STATE,
    "host": {"type": "str"},
    "mapping": {"type": "str"},
    "mdev": {"type": "str"},
    "pcie": {"type": "bool"},
    "rombar": {"type": "bool"},
    "romfile": {"type": "str"},
    "primary_gpu": {"type": "bool"},
}
_USB_SLOT = re.compile(r"usb(\d|1[0-3])")
_PCI_SLOT = re.compile(r"hostpci(\d|1[0-5])")
_PCI_KEYS = {"primary_gpu": "x-vga"}


# What a new disk has where the request says nothing of it.
_NEW_EFI_DISK = {"efitype": "4m", "pre-enrolled-keys": "0"}
_NEW_TPM = {"version": "v2.0"}


@dataclass(frozen=True)
class DesiredStateDisk:
    """The small disk that keeps the state of a firmware: made once; what the request does not name stays."""

    key: str
    option: str
    storage: str | None = None
    # What cannot be changed once the disk is made.
    properties: t.Mapping[str, str] = field(default_factory=dict)
    # The newest certificates that PVE has enrolled, which it does when this marker changes.
    certificates: str | None = None
    format: str | None = None

    def allocation(self, label: str) -> str:
        """The value that makes the disk; PVE chooses the size itself. Raises InvalidRequest without a storage."""
        if self.storage is None:
            raise InvalidRequest(f"{self.option} of {label} is not there yet: give its storage to make it")
        defaults = _NEW_EFI_DISK if self.key == "efidisk0" else _NEW_TPM
        values = {**defaults, **self.properties, **({"format": self.format} if self.format else {})}
        return ",".join([f"{self.storage}:1", *(f"{name}={value}" for name, value in values.items())])


class DesiredHostDevice(DesiredDevice):
    """A device of the node that is passed through, as desired."""

    def setting(self, current: str | None) -> DesiredSetting:
        """The setting of the device, given the one that is there; raises InvalidRequest."""
        if current is None and not {"host", "mapping"} & set(self.parts):
            raise InvalidRequest(f"{self.slot} is not there yet: say which device by host or mapping")
        return super().setting(current)


def desired_state_disks(parameters: t.Mapping[str, t.Any]) -> tuple[DesiredStateDisk, ...]:
    """The EFI disk and the TPM of a request."""
    desired = []
    efi, tpm = parameters.get("efi_disk"), parameters.get("tpm")
    if efi is not None:
        options = given(efi)
        properties = {"efitype": options["type"]} if "type" in options else {}
        if "pre_enrolled_keys" in options:
            properties["pre-enrolled-keys"] = flag(options["pre_enrolled_keys"])
        desired.append(
            DesiredStateDisk(
                "efidisk0",
                "efi_disk",
                options.get("storage"),
                properties,
                options.get("ms_cert"),
                options.get("format"),
            )
        )
    if tpm is not None:
        options = given(tpm)
        properties = {"version": options["version"]} if "version" in options else {}
        desired.append(DesiredStateDisk("tpmstate0", "tpm", options.get("storage"), properties))
    return tuple(desired)


def desired_devices(parameters: t.Mapping[str, t.Any]) -> tuple[DesiredHostDevice, ...]:
    """The USB and PCI devices of a request; raises InvalidRequest, naming the slot."""
    usb = [_device(entry, "usb", _USB_SLOT, "usb0 to usb13") for entry in parameters.get("usb") or ()]
    pci = [_device(entry, "hostpci", _PCI_SLOT, "hostpci0 to hostpci15") for entry in parameters.get("hostpci") or ()]
    desired = (*usb, *pci)
    check_unique("usb and hostpci", (device.slot for device in desired))
    return desired


def _device(entry: t.Mapping[str, t.Any], option: str, slots: t.Pattern[str], names: str) -> DesiredHostDevice:
    slot = entry["slot"]
    if not slots.fullmatch(slot):
        raise InvalidRequest(f"{option}: {slot!r} is not a slot: the slots are {names}")
    options = {name: value for name, value in given(entry).items() if name not in ("slot", "state")}
    present = entry["state"] == "present"
    if not present and options:
        raise InvalidRequest(f"{option}: {slot} is absent, so {', '.join(sorted(options))} cannot be set")
    if "host" in options and "mapping" in options:
        raise InvalidRequest(f"{option}: {slot}: host and mapping exclude each other")
    parts: dict[str, str | None] = {
        _PCI_KEYS.get(name, name): flag(value) if isinstance(value, bool) else value for name, value in options.items()
    }
    # The one replaces the other.
    if "host" in parts:
        parts["mapping"] = None
    elif "mapping" in parts:
        parts["host"] = None
    return DesiredHostDevice(slot, present, parts)
