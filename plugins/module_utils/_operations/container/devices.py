# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Devices of the node that a container may use."""

from __future__ import annotations

import re
import typing as t

from ..._pve.container_config import DEVICE_KEY, MAX_DEVICES
from ..._pve.errors import InvalidRequest
from ..guest.desired import DesiredDevice, DesiredSetting, check_range, check_unique, flag, given

DEVICE_SPEC: dict[str, t.Any] = {
    "slot": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "path": {"type": "path"},
    "mode": {"type": "str"},
    "uid": {"type": "int"},
    "gid": {"type": "int"},
    "deny_write": {"type": "bool"},
}
_PATH = re.compile(r"/dev/[^,\s]+")
_MODE = re.compile("0[0-7]{3}")


class DesiredNodeDevice(DesiredDevice):
    """A device of the node as desired."""

    def setting(self, current: str | None) -> DesiredSetting:
        """The setting of the device, given the one that is there; raises InvalidRequest."""
        if current is None and "path" not in self.parts:
            raise InvalidRequest(f"devices: {self.slot} is not there yet: give its path")
        return super().setting(current)


def desired_devices(entries: t.Sequence[t.Mapping[str, t.Any]] | None) -> tuple[DesiredNodeDevice, ...]:
    """Check the devices of a request; raises InvalidRequest, naming the slot."""
    desired = tuple(_desired_device(entry) for entry in entries or ())
    check_unique("devices", (device.slot for device in desired))
    return desired


def _desired_device(entry: t.Mapping[str, t.Any]) -> DesiredNodeDevice:
    slot, present = entry["slot"], entry["state"] == "present"
    match = DEVICE_KEY.fullmatch(slot)
    if not match or int(match[1]) >= MAX_DEVICES:
        raise InvalidRequest(f"devices: {slot!r} is not a slot: the slots are dev0 to dev{MAX_DEVICES - 1}")
    options = {name: value for name, value in given(entry).items() if name not in ("slot", "state")}
    if not present and options:
        raise InvalidRequest(f"devices: {slot} is absent, so {', '.join(sorted(options))} cannot be set")
    return DesiredNodeDevice(slot, present, dict(_parts(slot, options)))


def _parts(slot: str, options: t.Mapping[str, t.Any]) -> t.Iterator[tuple[str, str | None]]:
    path, mode = options.get("path"), options.get("mode")
    if path is not None:
        if not _PATH.fullmatch(path):
            raise InvalidRequest(f"devices: {slot}: path {path!r} is not a device of the node as in /dev/ttyUSB0")
        yield "path", path
    if mode is not None:
        if not _MODE.fullmatch(mode):
            raise InvalidRequest(f"devices: {slot}: mode {mode!r} is not a mode as in 0660")
        yield "mode", mode
    for name in ("uid", "gid"):
        if name in options:
            check_range(f"devices: {slot}: {name}", options[name], 0)
            yield name, str(options[name])
    if "deny_write" in options:
        yield "deny-write", flag(options["deny_write"])
