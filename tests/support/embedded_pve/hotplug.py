# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a running guest takes of the changes that are written for it, and what it refuses.

vmconfig_hotplug_pending, vmconfig_update_net and vmconfig_update_disk (PVE::QemuServer), recorded in
94a-hotplug-refused and 94b-cloudinit-digest-memory. `vm.refuses_unplug` is True where the guest's system keeps its
disks, or names keys.
"""

from __future__ import annotations

import re
from typing import Any

from fakepve.model import PveError
from fakepve.qemu import DRIVE_KEY, is_cdrom, split_drive

from .options import (
    AT_ONCE,
    DEFAULT_HOTPLUG,
    FIXED_WHILE_RUNNING,
    HOTPLUG_BRIDGE,
    NO_HOTPLUG_DRIVE,
    split_names,
)
from .pending import NET_KEY, Pending, boot_devices
from .volumes import is_cloudinit

WINDOWS_WITH_USB = re.compile(r"win\d+")
SMALLEST_MEMORY = 1024


class NotLive(Exception):
    """The change waits for the next start."""


class Hotplug(Pending):
    def _hotplug(self, vm: Any, touched: set[str], problems: dict[str, str]) -> None:
        for key in [key for key, value in vm.pending.items() if value is not None and AT_ONCE.fullmatch(key)]:
            self._set_live(vm, key)
        for step, keys in (
            (self._delete_live, [key for key, value in vm.pending.items() if value is None]),
            (self._plug_live, [key for key, value in vm.pending.items() if value is not None]),
        ):
            for key in sorted(key for key in keys if key in touched):
                try:
                    step(vm, key)
                except NotLive:
                    pass
                except PveError as problem:
                    problems[key] = f"hotplug problem - {problem.message}\n"
        self._drop_used(vm)
        self._rename(vm)
        if "cloudinit" in features(vm):
            self.regenerate_cloudinit(vm)

    def _set_live(self, vm: Any, key: str) -> None:
        value = vm.pending.pop(key)
        self._record_cloudinit(vm, key, vm.config.get(key), value)
        vm.config[key] = value

    def _delete_live(self, vm: Any, key: str) -> None:
        if key == "hotplug":
            live = not features(vm) & {"cpu", "memory"}
        elif key == "tablet":
            live = "usb" in features(vm)
        elif key.startswith("usb"):
            live = takes_usb(vm)
        elif key == "vcpus":
            live = "cpu" in features(vm)
        elif key == "balloon":
            live = str(vm.config.get(key)) != "0"
        elif NET_KEY.fullmatch(key):
            live = "network" in features(vm)
        elif DRIVE_KEY.match(key):
            live = "disk" in features(vm) and not NO_HOTPLUG_DRIVE.fullmatch(key)
        else:
            live = bool(AT_ONCE.fullmatch(key))
        if not live:
            raise NotLive
        if NET_KEY.fullmatch(key) or DRIVE_KEY.match(key):
            self._unplug(vm, key)
        old = vm.config.get(key)
        self._take_out(vm, key)
        self._record_cloudinit(vm, key, old, None)

    @staticmethod
    def _unplug(vm: Any, key: str) -> None:
        if key in boot_devices(vm.config.get("boot")) and DRIVE_KEY.match(key):
            raise PveError(500, f"can't unplug bootdisk '{key}'")
        if refuses_unplug(vm, key):
            device = f"virtio{key}" if DRIVE_KEY.match(key) else key
            raise PveError(500, f"error on hot-unplugging device '{device}' - still busy in guest?")

    def _plug_live(self, vm: Any, key: str) -> None:
        value = str(vm.pending[key])
        if key == "hotplug":
            live = not (features(vm) | set(split_names(value))) & {"cpu", "memory"}
        elif key == "tablet":
            live = "usb" in features(vm)
        elif key.startswith("usb"):
            live = takes_usb(vm)
        elif key == "vcpus":
            live = "cpu" in features(vm)
        elif key == "balloon":
            live = (value != "0") == (str(vm.config.get("balloon", 1)) != "0")
        elif key == "memory":
            live = self._resize_memory(vm, value)
        elif key == "agent":
            live = only_trim_differs(str(vm.config.get("agent", "")), value)
        elif NET_KEY.fullmatch(key):
            live = self._change_net(vm, key, value)
        elif DRIVE_KEY.match(key):
            live = self._change_disk(vm, key, value)
        else:
            live = key in ("cpuunits", "cpulimit")
        if not live:
            raise NotLive
        self._set_live(vm, key)

    @staticmethod
    def _resize_memory(vm: Any, value: str) -> bool:
        if "memory" not in features(vm):
            return False
        current, wanted = int(str(vm.config.get("memory", 512))), int(value)
        if wanted < SMALLEST_MEMORY:
            place = "/usr/share/perl5/PVE/QemuServer/Memory.pm line 219."
            raise PveError(500, f"memory can't be lower than {SMALLEST_MEMORY} MB at {place}")
        if wanted < current and refuses_unplug(vm, "memory"):
            raise PveError(500, "400 Parameter verification failed.\ndimm0: error unplug memory module")
        return True

    def _change_net(self, vm: Any, key: str, value: str) -> bool:
        old, new = options_of(str(vm.config.get(key, ""))), options_of(value)
        missing = self.missing_bridge(vm.node, value)
        if key in vm.config and all(old.get(name) == new.get(name) for name in ("model", "queues", "mtu")):
            if missing:
                raise PveError(500, f"interface {missing} does not exist")
            return True
        if "network" not in features(vm):
            return False
        if key in vm.config:
            self._unplug(vm, key)
        if missing:
            raise PveError(500, f"VM {vm.vmid} qmp command 'netdev_add' failed - {HOTPLUG_BRIDGE}")
        return True

    def _change_disk(self, vm: Any, key: str, value: str) -> bool:
        if key in ("efidisk0", "tpmstate0"):
            return False
        volume, props = split_drive(value)
        if key in vm.config:
            old_volume, old = split_drive(vm.config[key])
            if is_cdrom(volume, props) != is_cdrom(old_volume, old):
                raise PveError(500, "unable to change media type")
            if is_cdrom(old_volume, old):
                if volume == "none" and is_cloudinit(old_volume):
                    self.keep_unused(vm, vm.config[key])
                return True
            if volume == old_volume:
                return all(old.get(name) == props.get(name) for name in FIXED_WHILE_RUNNING)
            if "disk" not in features(vm):
                return False
            self._unplug(vm, key)
            self.keep_unused(vm, vm.config[key])
        return "disk" in features(vm) and not NO_HOTPLUG_DRIVE.fullmatch(key)


def refuses_unplug(vm: Any, key: str) -> bool:
    """Whether the guest's system keeps this device: `vm.refuses_unplug` is True for its disks, or names keys."""
    refused = getattr(vm, "refuses_unplug", ())
    return bool(DRIVE_KEY.match(key)) if refused is True else key in (refused or ())


def features(vm: Any) -> set[str]:
    text = str(vm.config.get("hotplug", DEFAULT_HOTPLUG))
    return set(split_names({"0": "", "1": DEFAULT_HOTPLUG}.get(text, text)))


def takes_usb(vm: Any) -> bool:
    system = str(vm.config.get("ostype", ""))
    return "usb" in features(vm) and (system == "l26" or bool(WINDOWS_WITH_USB.fullmatch(system)))


def options_of(net: str) -> dict[str, str]:
    """A NIC's options; its model and address are one, since a change of either replaces the device."""
    first, *rest = net.split(",")
    return {"model": first, **dict(part.partition("=")[::2] for part in rest)}


def only_trim_differs(old: str, new: str) -> bool:
    def kept(text: str) -> set[str]:
        return {part for part in text.split(",") if part and not part.startswith("fstrim_cloned_disks=")}

    return bool(old) and kept(old) == kept(new)
