# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a write of the configuration makes pending, and what of that comes true when the guest stops or starts.

Each method follows a part of PVE: update_vm_api (PVE::API2::Qemu), vmconfig_apply_pending (PVE::QemuServer),
cleanup_pending (PVE::AbstractConfig). Recorded in 94-pending-hotplug, 94a-hotplug-refused and
94b-cloudinit-digest-memory.

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
    CLOUDINIT_KEYS,
    SPLIT,
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

    def _hotplug(self, vm: Any, touched: set[str], problems: dict[str, str]) -> None:
        """Overridden by the part for guests that run."""

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
