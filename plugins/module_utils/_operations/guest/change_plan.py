# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan that makes a guest what a request desires: a pure function of request and state."""

from __future__ import annotations

import itertools
import re
import typing as t
from dataclasses import dataclass, field

from ..._pve.commands import Command
from ..._pve.errors import InvalidRequest
from ..._pve.guests import NAME_KEYS
from ..._pve.sizes import format_size
from ..._pve.vm_config import VOLUME_KEY
from ..plan import Change, Plan, PlanStep
from .config_changes import ConfigChanges
from .desired import DesiredSetting
from .guest_request import GuestRequest
from .kind import GuestKind
from .pools import pool_command
from .state import GuestState, Origin, ReadConfig
from .volumes import Drive, VolumeChanges, VolumeProgress, parse_drive


@dataclass(frozen=True)
class GuestStep(PlanStep):
    """A step on a guest: the keys of the configuration that it writes, and what the next plan must know."""

    keys: tuple[str, ...] = ()
    # Of these keys, those for which PVE makes a new volume.
    made: tuple[str, ...] = ()
    taken_back: t.Mapping[str, str] = field(default_factory=dict)
    grown: tuple[str, ...] = ()
    doomed: tuple[str, ...] = ()
    writes_secret: bool = False

    def origin_after(self, before: Origin) -> Origin:
        """Where the state after the step comes from: a password that nobody can read back is written once."""
        return Origin.WRITTEN if self.writes_secret else before

    def note(self, progress: VolumeProgress) -> None:
        """Note for the next plan of the same run that this step was taken."""
        for key in self.keys:
            progress.taken_back.pop(key, None)
            progress.grown.discard(key)
        progress.taken_back.update(self.taken_back)
        progress.grown.update(self.grown)
        progress.doomed.update(self.doomed)


@dataclass(frozen=True)
class GuestPlan(Plan):
    """The steps that change one guest."""

    steps: tuple[GuestStep, ...] = ()


def plan_changes(
    request: GuestRequest,
    state: GuestState,
    read_config: ReadConfig | None = None,
    progress: VolumeProgress | None = None,
) -> GuestPlan:
    """Say what has to be sent to make the guest what the request wants; raises InvalidRequest, and then nothing is.

    The steps are in the order in which they have to be taken; the digest of the state guards the first one. progress
    is what steps that were taken before have noted.
    """
    volumes = request.volume_changes(state, progress)
    config = config_changes(request, state, volumes)
    builder = _Builder(request.kind, state, read_config)
    if volumes.take_back or config.revert_first:
        builder.take_back({*volumes.take_back, *config.revert_first}, volumes.take_back)
    for key, place in volumes.move.items():
        builder.move(key, place)
    for key, size in volumes.resize.items():
        builder.resize(key, size)
    if config.keys:
        builder.configure(config)
    if volumes.destroy:
        builder.destroy(volumes.destroy)
    for key, (before, size) in volumes.resize_imported.items():
        builder.resize(key, size, before)
    if request.pool is not None and request.pool != state.guest.pool:
        builder.pool(request.pool)
    if request.state == "template" and not state.template:
        builder.template()
    return builder.plan()


def config_changes(request: GuestRequest, state: GuestState, volumes: VolumeChanges) -> ConfigChanges:
    """Compare everything that one write of the configuration can change; raises InvalidRequest."""
    values, changes = state.values, ConfigChanges(request.kind, state)
    if request.selector.name is not None:
        changes.add(DesiredSetting(NAME_KEYS[request.kind.path], request.selector.name))
    for setting in request.settings:
        changes.add(setting)
    if request.tags is not None:
        changes.add(request.tags.setting(values.get("tags"), state.guest.vmid))
    for device in (*request.networks, *request.devices):
        if device.present:
            changes.add(device.setting(changes.base(device.slot)))
        else:
            changes.remove(device.slot, values.get(device.slot))
    for key, text in volumes.set.items():
        changes.set[key] = text
        changes.changes.append(Change(key, values.get(key), text))
    for key in volumes.revert:
        changes.take_back(key)
    for key in volumes.detach:
        changes.remove(key, changes.base(key))
    for key in request.remove:
        changes.remove(key, values.get(key))
    request.complete(changes)
    return changes


class _Builder:
    """Puts steps together, with the words, the command, and the way to see afterwards whether it has been done."""

    def __init__(self, kind: GuestKind, state: GuestState, read_config: ReadConfig | None) -> None:
        self.kind = kind
        self.state = state
        self.read_config = read_config or _nothing_read
        self.steps: list[GuestStep] = []

    def plan(self) -> GuestPlan:
        return GuestPlan(tuple(self.steps))

    def configure(self, config: ConfigChanges) -> None:
        keys = config.keys
        command = self._write(
            {**config.set, "delete": ",".join(config.unset) or None, "revert": ",".join(config.revert) or None},
            keys,
            lambda: self._has_come_true(config),
        )
        made = tuple(key for key, text in config.set.items() if _makes_volume(key, text))
        title = f"{_what_is_done(config)} of {self.state.guest.label}"
        self._add(
            title, command, *config.changes, keys=keys, made=made, writes_secret=bool(self.kind.write_only & set(keys))
        )

    def take_back(self, pending: t.Collection[str], drives: t.Mapping[str, str]) -> None:
        """Revert what is pending for keys that are to be unset, and for drives that are to be moved.

        The options of these drives are set again afterwards.
        """
        keys = tuple(sorted(pending))
        command = self._write({"revert": ",".join(keys)}, keys, lambda: self._is_taken_back(keys))
        title = f"{_TAKE_BACK} {', '.join(keys)} of {self.state.guest.label}"
        changes = (Change(key, self.state.values.get(key), self.state.in_effect[key]) for key in keys)
        self._add(title, command, *changes, keys=keys, taken_back=drives)

    def destroy(self, keys: t.Sequence[str]) -> None:
        """Delete disks and their volumes. The call makes a task: to delete a large volume can take minutes."""
        there = {key: self.state.in_effect.get(key, self.state.values.get(key)) for key in keys}
        slots = [key for key in keys if VOLUME_KEY.fullmatch(key)]
        kept = [key for key in slots if key not in self.state.in_effect or not self.kind.deletes_volumes]
        doomed = tuple(parse_drive(there[key] or "").file for key in kept)
        self._delete(there, doomed)
        if not self.kind.deletes_volumes:
            free = (f"unused{number}" for number in itertools.count())
            unused = (key for key in free if key not in self.state.values)
            self._delete(dict(zip(unused, doomed)), ())

    def _delete(self, there: t.Mapping[str, str | None], doomed: tuple[str, ...]) -> None:
        if not there:
            return
        keys = tuple(there)
        form = {"delete": ",".join(keys), "force": 1 if self.kind.deletes_volumes else None}
        self._add(
            f"delete the disks {', '.join(keys)} of {self.state.guest.label}",
            self._write(form, keys, lambda: self._is_deleted(keys)),
            *(Change(key, text, None) for key, text in there.items()),
            keys=keys,
            doomed=doomed,
        )

    def move(self, key: str, place: t.Mapping[str, str]) -> None:
        storage = place["storage"]
        endpoint, parameter, task = self.kind.move
        command = self._command(
            "POST",
            (endpoint,),
            {parameter: key, "delete": 1, **place, "digest": self._digest},
            task,
            lambda: self._drive_now(key).storage == storage,
        )
        before = parse_drive(self.state.in_effect[key])
        changes = [Change(f"{key}.storage", before.storage, storage)] if storage != before.storage else []
        if "format" in place:
            changes.append(Change(f"{key}.format", before.format, place["format"]))
        self._add(f"move {key} of {self.state.guest.label} to {storage}", command, *changes)

    def resize(self, key: str, size: int, image_size: int | None = None) -> None:
        text = format_size(size)
        command = self._command(
            "PUT",
            ("resize",),
            {"disk": key, "size": text, "digest": self._digest},
            "resize",
            lambda: self._drive_now(key).size == size,
        )
        there = parse_drive(self.state.in_effect.get(key, self.state.values.get(key, ""))).size
        before = image_size if there is None else there
        change = Change(f"{key}.size", None if before is None else format_size(before), text)
        self._add(f"grow {key} of {self.state.guest.label} to {text}", command, change, grown=(key,))

    def pool(self, pool: str) -> None:
        guest = self.state.guest
        title = f"put {guest.label} into pool {pool}" if pool else f"take {guest.label} out of pool {guest.pool}"
        self._add(title, pool_command(guest, pool), Change("pool", guest.pool or None, pool or None))

    def template(self) -> None:
        if self.state.running:
            raise InvalidRequest(f"{self.state.guest.label} runs, and a template cannot: stop it first")
        command = self._command(
            "POST",
            ("template",),
            {},
            self.kind.task("template"),
            lambda: str(self.read_config().get("template")) == "1",
            names_task=self.kind.names_template_task,
        )
        self._add(f"make {self.state.guest.label} a template", command, Change("template", False, True))

    @property
    def _digest(self) -> str | None:
        """The digest fits only the first write; the state is read again before the next one."""
        return (self.state.digest or None) if not self.steps else None

    def _write(self, form: t.Mapping[str, t.Any], keys: t.Sequence[str], done: t.Callable[[], bool]) -> Command:
        """A write of the configuration. PUT answers when it is done and is given up after 30 s, POST makes a task."""
        volumes = any(VOLUME_KEY.fullmatch(key) or key.startswith("unused") for key in keys)
        slow = self.kind.writes_in_tasks and (volumes or self._unplugs(keys))
        return self._command(
            "POST" if slow else "PUT",
            ("config",),
            {**{name: value for name, value in form.items() if value is not None}, "digest": self._digest},
            self.kind.task("config") if slow else "",
            done,
        )

    def _unplugs(self, keys: t.Sequence[str]) -> bool:
        """Whether a running guest has to give up what it takes long to give up."""
        features = re.split(r"[,;\s]+", self.state.in_effect.get("hotplug", ""))
        return self.state.running and any(self.kind.unplugged_by.get(key) in features for key in keys)

    def _has_come_true(self, config: ConfigChanges) -> bool:
        """Whether a configuration is what a lost write was to make of it."""
        # What is taken out of a running guest is pending before the guest has given it up.
        values = self.read_config(current=1) if self._unplugs(config.keys) else self.read_config()
        for key, text in config.set.items():
            current = values.get(key)
            if VOLUME_KEY.fullmatch(key) and key not in self.state.values:
                # What was asked for is an order to make a disk, which is nowhere written down.
                if current is None:
                    return False
            elif key not in self.kind.write_only:
                same = self.kind.value_type_of(key).same
                if not same(None if current is None else str(current), text):
                    return False
        return not set(config.unset) & set(values) and (not config.revert or self._is_taken_back(config.revert))

    def _is_deleted(self, keys: t.Sequence[str]) -> bool:
        """Whether the disks are gone, or go at the next start of a guest that cannot give them up before."""
        if set(keys) & set(self.read_config()):
            return False
        plugged = {key for key in keys if self.state.running and key.startswith(("scsi", "virtio"))}
        return not plugged & set(self.read_config(current=1)) if plugged else True

    def _is_taken_back(self, keys: t.Sequence[str]) -> bool:
        values, current = self.read_config(), self.read_config(current=1)
        return all(values.get(key) == current.get(key) for key in keys)

    def _drive_now(self, key: str) -> Drive:
        """The drive in effect: what is pending still has its old place and size."""
        return parse_drive(str(self.read_config(current=1).get(key, "")))

    def _command(
        self,
        method: str,
        tail: tuple[str, ...],
        form: t.Mapping[str, t.Any],
        task_type: str,
        done: t.Callable[[], bool],
        names_task: bool = True,
    ) -> Command:
        guest = self.state.guest
        return Command(
            method,
            (self.kind.path, guest.vmid, *tail),
            form,
            node=guest.node,
            task_type=task_type,
            task_id=str(guest.vmid),
            done=done,
            names_task=names_task,
        )

    def _add(self, title: str, command: Command, *changes: Change, **notes: t.Any) -> None:
        self.steps.append(GuestStep(title, command, changes, **notes))


_TAKE_BACK = "take back what is pending for"
_NEW_VOLUME = re.compile(r"[^:/,]+:(\d+(\.\d+)?|cloudinit)(,|$)")


def _what_is_done(config: ConfigChanges) -> str:
    parts = (("set", config.set), ("unset", config.unset), (_TAKE_BACK, config.revert))
    return " and ".join(f"{word} {', '.join(sorted(keys))}" for word, keys in parts if keys)


def _makes_volume(key: str, text: str) -> bool:
    """Whether the value of a drive is an order to make its volume."""
    return bool(VOLUME_KEY.fullmatch(key) and _NEW_VOLUME.match(text))


def _nothing_read(**_query: t.Any) -> t.Mapping[str, t.Any]:
    return {}
