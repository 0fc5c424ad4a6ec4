# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan that makes a virtual machine what a request wants: a pure function of request and state."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..._pve.commands import Command
from ..._pve.errors import InvalidRequest
from ..._pve.guests import QEMU
from ..._pve.sizes import format_size
from ..._pve.vm_config import DRIVE_KEY, meaning_of
from ..plan import Change, Plan, Step
from .cloud_init import DEFAULT_SLOT, CloudInitWish
from .devices import DeviceWish
from .disk_plan import DiskChanges, disk_changes
from .disks import parse_drive
from .networks import NetworkWish
from .pools import pool_command
from .request import VmRequest
from .state import Origin, VmState
from .wishes import Wish

# Reads the configuration as it is now, to see whether a change whose answer was lost has been made.
ReadConfig = t.Callable[[], t.Mapping[str, t.Any]]


@dataclass
class ConfigChanges:
    """One write of the configuration: what to set and what to unset."""

    set: dict[str, str] = field(default_factory=dict)
    unset: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def wish(self, wish: Wish, current: str | None) -> None:
        """Take a wish in, unless it is met already."""
        target = wish.target(current)
        if wish.is_met_by(current):
            return
        if target is not None:
            self.set[wish.key] = target
        else:
            self.unset.append(wish.key)
        self.changes.append(Change(wish.key, wish.shown(current), wish.shown(target)))

    def remove(self, key: str, current: str | None) -> None:
        """Unset a key that is set."""
        if current is not None and key not in self.unset:
            self.unset.append(key)
            self.changes.append(Change(key, current, None))


def config_changes(request: VmRequest, state: VmState, disks: DiskChanges) -> ConfigChanges:
    """Compare everything that one write of the configuration can change; raises InvalidRequest."""
    values, changes = state.values, ConfigChanges()
    for wish in _plain_wishes(request, values):
        changes.wish(wish, values.get(wish.key))
    devices: tuple[NetworkWish | DeviceWish, ...] = (*request.networks, *request.devices)
    for device in devices:
        current = values.get(device.slot)
        if device.present:
            changes.wish(device.wish(current), current)
        else:
            changes.remove(device.slot, current)
    if request.cloud_init is not None:
        _cloud_init(changes, request.cloud_init, state)
    for key, text in disks.set.items():
        changes.set[key] = text
        changes.changes.append(Change(key, values.get(key), text))
    for key in (*disks.detach, *request.remove):
        changes.remove(key, values.get(key))
    return changes


def _plain_wishes(request: VmRequest, values: t.Mapping[str, str]) -> t.Iterator[Wish]:
    if request.selector.name is not None:
        yield Wish("name", request.selector.name)
    yield from request.settings
    if request.tags is not None:
        yield request.tags.wish(values.get("tags"))


def _cloud_init(changes: ConfigChanges, wish: CloudInitWish, state: VmState) -> None:
    values = state.values
    for item in wish.wishes:
        changes.wish(item, values.get(item.key))
    if wish.password is not None and _is_password_due(wish, state):
        changes.wish(Wish("cipassword", wish.password, secret=True), values.get("cipassword"))
    drives = {key: text for key, text in values.items() if DRIVE_KEY.fullmatch(key) and parse_drive(text).is_cloud_init}
    if drives or wish.storage is None:
        return
    slot = wish.slot or DEFAULT_SLOT
    if slot in values:
        raise InvalidRequest(
            f"cloud_init: the slot {slot} of {state.guest.label} is taken by {parse_drive(values[slot]).file}: "
            f"give another one in cloud_init.slot"
        )
    changes.wish(Wish(slot, f"{wish.storage}:cloudinit"), None)


def _is_password_due(wish: CloudInitWish, state: VmState) -> bool:
    if state.origin is Origin.FOUND:
        return wish.always_set_password or "cipassword" not in state.values
    return state.origin is Origin.CLONED


def plan_changes(request: VmRequest, state: VmState, read_config: ReadConfig | None = None) -> Plan:
    """Say what has to be sent to make the guest what the request wants; raises InvalidRequest, and then nothing is.

    The steps are in the order in which they have to be taken; the digest of the state guards the first one.
    """
    disks = disk_changes(request.disks, request.state_disks, state.values, state.guest.label)
    config = config_changes(request, state, disks)
    builder = _Builder(state, read_config)
    if config.set or config.unset:
        builder.configure(config)
    if disks.destroy:
        builder.unlink(disks.destroy)
    for key, place in disks.move.items():
        builder.move(key, place)
    for key, size in disks.resize.items():
        builder.resize(key, size)
    if request.pool is not None and request.pool != state.guest.pool:
        builder.pool(request.pool)
    if request.state == "template" and not state.template:
        builder.template()
    return builder.plan()


class _Builder:
    """Puts steps together, with the words, the command, and the way to see afterwards whether it has been done."""

    def __init__(self, state: VmState, read_config: ReadConfig | None) -> None:
        self.state = state
        self.read_config = read_config or (dict)
        self.steps: list[Step] = []

    def plan(self) -> Plan:
        return Plan(tuple(self.steps))

    def configure(self, config: ConfigChanges) -> None:
        # PUT answers when it is done, POST makes a task: what takes long, disks, must not run into the 30 s of a PUT.
        slow = any(DRIVE_KEY.fullmatch(key) for key in (*config.set, *config.unset))
        form: dict[str, t.Any] = dict(config.set)
        if config.unset:
            form["delete"] = ",".join(config.unset)
        form["digest"] = self.state.digest or None
        keys = sorted({*config.set, *config.unset})
        command = self._command(
            "POST" if slow else "PUT",
            ("config",),
            form,
            "qmconfig" if slow else "",
            lambda values: _has_come_true(config, self.state.values, values),
        )
        self._add(f"set {', '.join(keys)} of {self.state.guest.label}", command, *config.changes)

    def unlink(self, keys: t.Sequence[str]) -> None:
        command = self._command(
            "PUT",
            ("unlink",),
            {"idlist": ",".join(keys), "force": 1},
            "",
            lambda values: not set(keys) & set(values),
        )
        changes = (Change(key, self.state.values[key], None) for key in keys)
        self._add(f"delete the disks {', '.join(keys)} of {self.state.guest.label}", command, *changes)

    def move(self, key: str, place: t.Mapping[str, str]) -> None:
        storage = place["storage"]
        command = self._command(
            "POST",
            ("move_disk",),
            {"disk": key, "delete": 1, **place, "digest": self._digest},
            "qmmove",
            lambda values: parse_drive(str(values.get(key, ""))).storage == storage,
        )
        before = parse_drive(self.state.values[key])
        changes = [Change(f"{key}.storage", before.storage, storage)] if storage != before.storage else []
        if "format" in place:
            changes.append(Change(f"{key}.format", before.format, place["format"]))
        self._add(f"move {key} of {self.state.guest.label} to {storage}", command, *changes)

    def resize(self, key: str, size: int) -> None:
        text = format_size(size)
        command = self._command(
            "PUT",
            ("resize",),
            {"disk": key, "size": text, "digest": self._digest},
            "resize",
            lambda values: parse_drive(str(values.get(key, ""))).size == size,
        )
        before = parse_drive(self.state.values[key]).size
        change = Change(f"{key}.size", None if before is None else format_size(before), text)
        self._add(f"grow {key} of {self.state.guest.label} to {text}", command, change)

    def pool(self, pool: str) -> None:
        guest = self.state.guest
        title = f"put {guest.label} into pool {pool}" if pool else f"take {guest.label} out of pool {guest.pool}"
        self._add(title, pool_command(guest, pool), Change("pool", guest.pool or None, pool or None))

    def template(self) -> None:
        if self.state.running:
            raise InvalidRequest(f"{self.state.guest.label} runs, and a template cannot: stop it first")
        command = self._command(
            "POST", ("template",), {}, "qmtemplate", lambda values: str(values.get("template")) == "1"
        )
        self._add(f"make {self.state.guest.label} a template", command, Change("template", False, True))

    @property
    def _digest(self) -> str | None:
        """The digest fits only the first write; the state is read again before the next one."""
        return (self.state.digest or None) if not self.steps else None

    def _command(
        self,
        method: str,
        tail: tuple[str, ...],
        form: t.Mapping[str, t.Any],
        task_type: str,
        done: t.Callable[[t.Mapping[str, t.Any]], bool],
    ) -> Command:
        guest = self.state.guest
        return Command(
            method,
            (QEMU, guest.vmid, *tail),
            form,
            node=guest.node,
            task_type=task_type,
            task_id=str(guest.vmid),
            done=lambda: done(self.read_config()),
        )

    def _add(self, title: str, command: Command, *changes: Change) -> None:
        self.steps.append(Step(title, command, changes))


def _has_come_true(config: ConfigChanges, before: t.Mapping[str, str], values: t.Mapping[str, t.Any]) -> bool:
    """Whether a configuration is what a lost write was to make of it."""
    for key, text in config.set.items():
        current = values.get(key)
        if DRIVE_KEY.fullmatch(key) and key not in before:
            # What was asked for is an order to make a disk, which is nowhere written down.
            if current is None:
                return False
        elif key != "cipassword" and not meaning_of(key).same(None if current is None else str(current), text):
            return False
    return not set(config.unset) & set(values)
