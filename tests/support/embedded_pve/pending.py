# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a write of the configuration makes pending, and what of that a guest takes at once or when it stops or starts.

Each method follows a part of PVE: update_vm_api (PVE::API2::Qemu), vmconfig_hotplug_pending, vmconfig_apply_pending,
vmconfig_update_net and vmconfig_update_disk (PVE::QemuServer), cleanup_pending (PVE::AbstractConfig). Recorded in
94-pending-hotplug, 94a-hotplug-refused and 94b-cloudinit-digest-memory.

`vm.pending` has the new value of a key, or None for a deletion; `vm.forced` the deletions that take the volume along.
`vm.cloudinit_old` is what the cloud-init drive still has of the keys that were changed, None for those it lacks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from fakepve.model import PveError
from fakepve.qemu import DRIVE_KEY, drives_of, is_cdrom, split_drive

from .base import EmbeddedBase, parameter_error
from .options import (
    AT_ONCE,
    CLOUDINIT_KEYS,
    DEFAULT_HOTPLUG,
    FIXED_WHILE_RUNNING,
    HOTPLUG_BRIDGE,
    NO_HOTPLUG_DRIVE,
    SPLIT,
    split_names,
)
from .volumes import UNUSED_KEY, Volumes, is_cloudinit

NET_KEY = re.compile(r"net\d+")
WINDOWS_WITH_USB = re.compile(r"win\d+")
SMALLEST_MEMORY = 1024


@dataclass(frozen=True)
class ConfigChange:
    """What one call of PUT or POST config asks for."""

    values: dict[str, Any]
    deletes: list[str]
    reverts: list[str]
    force: bool = False
    digest: str = ""
    user: str = "root@pam"


class NotLive(Exception):
    """The change waits for the next start."""


class Pending(Volumes, EmbeddedBase):
    # ---- writing

    def change_config(self, vm: Any, change: ConfigChange) -> None:
        """Write what is asked for into the pending section, then have the guest take what it can."""
        changes, deletes = dict(change.values), list(change.deletes)
        for key in change.reverts:
            if key in vm.config:
                changes[key] = vm.config[key]
            elif vm.pending.get(key) is not None:
                deletes.append(key)
        order = boot_devices(vm.config.get("boot"))
        touched = {key for key in deletes if self._write_deletion(vm, key, order, change.force)}
        for key in sorted(changes):
            touched.add(key)
            self._write_value(vm, key, changes, deletes, order)
        if "boot" not in changes and order != boot_devices(vm.config.get("boot")):
            vm.pending["boot"] = boot_order(order)
            touched.add("boot")
        self._clean_pending(vm)
        if not vm.pending:
            return
        problems: dict[str, str] = {}
        if vm.status == "running":
            self._hotplug(vm, touched, problems)
        else:
            self.apply_pending(vm, problems)
        if problems:
            raise parameter_error(**problems)

    def _write_deletion(self, vm: Any, key: str, order: list[str], force: bool) -> bool:
        value = vm.config.get(key, vm.pending.get(key))
        if value is None:
            return False
        if UNUSED_KEY.fullmatch(key):
            self._free_unless_held(vm, key, split_drive(value)[0])
            vm.config.pop(key, None)
            return True
        waiting = vm.pending.pop(key, None)
        if key in order:
            order.remove(key)
        if DRIVE_KEY.match(key) and waiting is not None:
            self.keep_unused(vm, waiting)
        if key == "tags":
            vm.config.pop(key, None)
            return True
        vm.pending[key] = None
        self._forced(vm).discard(key)
        if force:
            self._forced(vm).add(key)
        return True

    def _write_value(self, vm: Any, key: str, changes: dict[str, Any], deletes: list[str], order: list[str]) -> None:
        value, waiting = changes[key], vm.pending.get(key)
        if waiting is not None and str(waiting) == str(value):
            return
        if key == "cipassword":
            vm.config[key] = value
            vm.pending.pop(key, None)
            return
        if key == "boot":
            self._check_boot_order(vm, changes, deletes)
        if DRIVE_KEY.match(key):
            if waiting is not None:
                self.keep_unused(vm, waiting)
            value = self.realise_drive(vm, key, str(value), None, [])
            volume, props = split_drive(value)
            if order and is_cdrom(volume, props) and not is_cloudinit(volume) and key not in order:
                order.append(key)
        vm.pending[key] = value
        self._forced(vm).discard(key)
        self._drop_used(vm)

    @staticmethod
    def _check_boot_order(vm: Any, changes: dict[str, Any], deletes: list[str]) -> None:
        known = {**vm.config, **{key: value for key, value in vm.pending.items() if value}, **changes}
        for device in boot_devices(changes["boot"]):
            if device not in known or device in deletes:
                raise parameter_error(boot=f"invalid bootorder: device '{device}' does not exist'")

    def _clean_pending(self, vm: Any) -> None:
        for key, value in list(vm.pending.items()):
            if (value is None and key not in vm.config) or (
                value is not None and str(vm.config.get(key)) == str(value)
            ):
                del vm.pending[key]
        self._drop_used(vm)

    @staticmethod
    def _forced(vm: Any) -> set[str]:
        if not hasattr(vm, "forced"):
            vm.forced = set()
        forced: set[str] = vm.forced
        return forced

    def delete_mark(self, vm: Any, key: str) -> int:
        """What /pending says of a deletion: 2 takes the volume along."""
        return 2 if key in self._forced(vm) else 1

    # ---- volumes that nobody uses any more

    def keep_unused(self, vm: Any, value: Any) -> None:
        """The volume of a drive that goes becomes the next unusedN; a cloud-init drive is freed."""
        volume, props = split_drive(str(value))
        if is_cloudinit(volume):
            self.free_volume(volume)
            vm.cloudinit_old = {}
        elif ":" in volume and not is_cdrom(volume, props):
            self._add_unused(vm, volume)

    def _add_unused(self, vm: Any, volume: str) -> None:
        if volume not in [str(value) for key, value in vm.config.items() if UNUSED_KEY.fullmatch(key)]:
            vm.config[self.next_unused(vm.config)] = volume

    @staticmethod
    def _drop_used(vm: Any) -> None:
        """A volume that a drive has, or will have, is not unused (write_vm_config)."""
        drives = [*vm.config.items(), *((key, value) for key, value in vm.pending.items() if value is not None)]
        used = {split_drive(str(value))[0] for key, value in drives if DRIVE_KEY.match(key)}
        for key in [key for key in vm.config if UNUSED_KEY.fullmatch(key)]:
            if split_drive(vm.config[key])[0] in used:
                del vm.config[key]

    def _free_unless_held(self, vm: Any, key: str, volume: str) -> None:
        others = {name: value for name, value in vm.config.items() if name != key}
        for config in (others, *vm.snapshots.values()):
            if any(other == volume for _name, other, _props in drives_of(config, skip_cdrom=True)):
                raise PveError(500, f"unable to delete '{volume}' - volume is still in use (snapshot?)")
        self.free_volume(volume)

    def held_by_snapshot(self, vm: Any, volume: str) -> bool:
        return any(volume == other for snap in vm.snapshots.values() for _key, other, _props in drives_of(snap))

    def _take_out(self, vm: Any, key: str) -> None:
        """Remove a key that is in effect; what a deletion with force cannot free raises, and stays."""
        if DRIVE_KEY.match(key) and key in vm.config:
            volume, props = split_drive(vm.config[key])
            if key in self._forced(vm) and not is_cdrom(volume, props):
                self._free_unless_held(vm, key, volume)
            else:
                self.keep_unused(vm, vm.config[key])
        vm.config.pop(key, None)
        vm.pending.pop(key, None)
        self._forced(vm).discard(key)
        self._drop_used(vm)

    # ---- a guest that is stopped, stops or starts

    def apply_pending(self, vm: Any, problems: dict[str, str] | None = None) -> None:
        for key in sorted(key for key, value in vm.pending.items() if value is None):
            try:
                self._take_out(vm, key)
            except PveError as problem:
                if problems is not None:
                    problems[key] = f"unable to apply pending change {key} : {problem.message}\n"
        self._clean_pending(vm)
        for key in [key for key, value in vm.pending.items() if value is not None]:
            value, old = vm.pending.pop(key), vm.config.get(key)
            vm.config[key] = value
            if old is not None and DRIVE_KEY.match(key) and split_drive(str(old))[0] != split_drive(str(value))[0]:
                self.keep_unused(vm, old)
        self._drop_used(vm)
        if hasattr(vm, "vmid"):
            self._rename(vm)

    def _rename(self, vm: Any) -> None:
        self.note_rename(vm, str(vm.config.get("name") or f"VM {vm.vmid}"))

    def note_rename(self, vm: Any, name: str) -> None:
        """Overridden by the cluster part, which shows the old name for a while."""
        vm.name = name

    # ---- a guest that runs

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

    def missing_bridge(self, node: str, net: str) -> str | None:
        """Overridden by the cluster part, which knows each node's bridges."""
        return None

    # ---- what the cloud-init drive lacks

    @staticmethod
    def _record_cloudinit(vm: Any, key: str, old: Any, new: Any) -> None:
        if not (CLOUDINIT_KEYS.match(key) or key == "name" or NET_KEY.fullmatch(key)) or old == new:
            return
        recorded = cloudinit_old(vm)
        if key not in recorded:
            recorded[key] = old
        elif recorded[key] == new:
            del recorded[key]

    def regenerate_cloudinit(self, vm: Any) -> None:
        """Write the drive anew, if there is one; at each start anyway (vm_start_nolock)."""
        if any(is_cloudinit(volume) for _key, volume, _props in drives_of(vm.config)):
            vm.cloudinit_generation = getattr(vm, "cloudinit_generation", 0) + 1
            vm.cloudinit_old = {}


def refuses_unplug(vm: Any, key: str) -> bool:
    """Whether the guest's system keeps this device: `vm.refuses_unplug` is True for its disks, or names keys."""
    refused = getattr(vm, "refuses_unplug", ())
    return bool(DRIVE_KEY.match(key)) if refused is True else key in (refused or ())


def cloudinit_old(vm: Any) -> dict[str, Any]:
    if not hasattr(vm, "cloudinit_old"):
        vm.cloudinit_old = {}
    recorded: dict[str, Any] = vm.cloudinit_old
    return recorded


def boot_devices(boot: Any) -> list[str]:
    text = str(boot or "")
    return [name for name in SPLIT.split(text.removeprefix("order=")) if name] if text.startswith("order=") else []


def boot_order(devices: list[str]) -> str:
    """An emptied order is a blank (94a-hotplug-refused)."""
    return "order=" + ";".join(devices) if devices else " "


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
