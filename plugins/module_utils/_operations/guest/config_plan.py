# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one write of the configuration has to change: everything but the place and the size of disks."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ..._pve.errors import InvalidRequest
from ..._pve.vm_config import DRIVE_KEY, value_type_of
from ..plan import Change
from ..vm.cloud_init import DEFAULT_SLOT, DesiredCloudInit
from ..vm.devices import DesiredDevice
from ..vm.disk_plan import DiskChanges
from ..vm.disks import parse_drive
from ..vm.networks import DesiredNetwork
from ..vm.vm_request import VmRequest
from .desired import DesiredSetting
from .state import GuestState, Origin


@dataclass
class ConfigChanges:
    """One write of the configuration: what to set, what to unset, and which pending changes to take back."""

    state: GuestState
    set: dict[str, str] = field(default_factory=dict)
    unset: list[str] = field(default_factory=list)
    revert: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(sorted({*self.set, *self.unset, *self.revert}))

    def base(self, key: str) -> str | None:
        """What a setting of some parts of a value starts from: a device that goes at the next start is still there."""
        return self.state.values.get(key, self.state.in_effect.get(key))

    def add(self, desired: DesiredSetting) -> None:
        """Take a desired setting in, unless it is met already."""
        state, key = self.state, desired.key
        coming, current = state.values.get(key), state.in_effect.get(key)
        if desired.is_met_by(coming):
            return
        target = desired.target(self.base(key))
        if key in state.waiting and desired.is_met_by(current) and self._keeps_parts(desired, current, target):
            # To write the value that is in effect, or a default, would only make that pending.
            self.revert.append(key)
        elif target is not None:
            self.set[key] = target
        else:
            self.unset.append(key)
        self.changes.append(Change(key, desired.shown(coming), desired.shown(target)))

    @staticmethod
    def _keeps_parts(desired: DesiredSetting, current: str | None, target: str | None) -> bool:
        """Whether nothing else is pending in the same value."""
        return desired.parts is None or value_type_of(desired.key).same(current, target)

    def remove(self, key: str, current: str | None) -> None:
        """Unset a key that is set."""
        if current is not None and key not in self.unset:
            self.unset.append(key)
            self.changes.append(Change(key, current, None))

    def take_back(self, key: str) -> None:
        """Leave a key as it is in effect, without what is pending for it."""
        self.revert.append(key)
        self.changes.append(Change(key, self.state.values.get(key), self.state.in_effect.get(key)))


def config_changes(request: VmRequest, state: GuestState, disks: DiskChanges) -> ConfigChanges:
    """Compare everything that one write of the configuration can change; raises InvalidRequest."""
    values, changes = state.values, ConfigChanges(state)
    for desired in _plain_settings(request, values):
        changes.add(desired)
    devices: tuple[DesiredNetwork | DesiredDevice, ...] = (*request.networks, *request.devices)
    for device in devices:
        if device.present:
            changes.add(device.setting(changes.base(device.slot)))
        else:
            changes.remove(device.slot, values.get(device.slot))
    if request.cloud_init is not None:
        _cloud_init(changes, request.cloud_init)
    for key, text in disks.set.items():
        changes.set[key] = text
        changes.changes.append(Change(key, values.get(key), text))
    for key in disks.revert:
        changes.take_back(key)
    for key in disks.detach:
        changes.remove(key, changes.base(key))
    for key in request.remove:
        changes.remove(key, values.get(key))
    _restore_boot_order(changes)
    return changes


def _restore_boot_order(changes: ConfigChanges) -> None:
    """Take back the boot order that lost a drive along with its deletion, when the drive stays after all."""
    state = changes.state
    order, coming = (_boot_devices(values.get("boot")) for values in (state.in_effect, state.values))
    leaving = {key for key in order if key in state.waiting and state.waiting[key].delete}
    staying = leaving & {*changes.set, *changes.revert}
    is_a_consequence = coming == [key for key in order if key not in leaving]
    if staying == leaving != set() and is_a_consequence and "boot" in state.waiting and "boot" not in changes.keys:
        changes.take_back("boot")


def _boot_devices(boot: str | None) -> list[str]:
    return [name for name in re.split(r"[=;,\s]+", boot or "") if name not in ("", "order")]


def _plain_settings(request: VmRequest, values: t.Mapping[str, str]) -> t.Iterator[DesiredSetting]:
    if request.selector.name is not None:
        yield DesiredSetting("name", request.selector.name)
    yield from request.settings
    if request.tags is not None:
        yield request.tags.setting(values.get("tags"))


def _cloud_init(changes: ConfigChanges, desired: DesiredCloudInit) -> None:
    state = changes.state
    values = state.values
    for item in desired.settings:
        changes.add(item)
    if desired.password is not None and _is_password_due(desired, state):
        changes.add(DesiredSetting("cipassword", desired.password, secret=True))
    if desired.storage is None or cloud_init_drives(values):
        return
    leaving = cloud_init_drives(state.in_effect)
    if leaving:
        changes.take_back(leaving[0])
        return
    slot = desired.slot or DEFAULT_SLOT
    if slot in values:
        raise InvalidRequest(
            f"cloud_init: the slot {slot} of {state.guest.label} is taken by {parse_drive(values[slot]).file}: "
            f"give another one in cloud_init.slot"
        )
    changes.add(DesiredSetting(slot, f"{desired.storage}:cloudinit"))


def cloud_init_drives(values: t.Mapping[str, str]) -> list[str]:
    """The keys of the drives that carry cloud-init."""
    return [key for key, text in values.items() if DRIVE_KEY.fullmatch(key) and parse_drive(text).is_cloud_init]


def _is_password_due(desired: DesiredCloudInit, state: GuestState) -> bool:
    if state.origin is Origin.FOUND:
        return desired.always_set_password or "cipassword" not in state.values
    return state.origin is Origin.CLONED
