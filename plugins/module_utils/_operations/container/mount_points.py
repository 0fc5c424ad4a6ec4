# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The root file system and the mount points of a container: what a request may say of them, and what that changes."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ..._pve.container_config import MAX_MOUNT_POINTS, MOUNT_KEY, MOUNT_POINT
from ..._pve.errors import InvalidRequest
from ..._pve.properties import truth
from ..._pve.sizes import gibibytes, whole_mebibytes
from ..._pve.vm_config import MAX_UNUSED, UNUSED_KEY, VOLUME_NAME
from ..guest.desired import check_unique, flag, given
from ..guest.state import GuestState
from ..guest.volumes import (
    Drive,
    Slot,
    VolumeChanges,
    VolumeProgress,
    parse_drive,
    size_option,
    storage_option,
)
from .kind import CONTAINER

MOUNT_OPTIONS = ("discard", "lazytime", "noatime", "nodev", "noexec", "nosuid")
ROOTFS = "rootfs"
# PVE::LXC::Config, verify_lxc_mp_string.
_PATH = re.compile(r"/[^,\r\n\0]*")
_DOTS = re.compile(r"/\.\.?(/|$)")

_BOOLEAN = {"type": "bool"}
_FLAGS = ("acl", "quota", "ro", "replicate", "shared")
ROOTFS_SPEC: dict[str, t.Any] = {
    "storage": {"type": "str"},
    "size": {"type": "str"},
    "volume": {"type": "str"},
    "mount_options": {"type": "list", "elements": "str", "choices": list(MOUNT_OPTIONS)},
    "idmap": {"type": "str"},
    **dict.fromkeys(_FLAGS, _BOOLEAN),
}
MOUNT_POINT_SPEC: dict[str, t.Any] = {
    "slot": {"type": "str", "required": True, "aliases": ["id"]},
    "state": {"type": "str", "choices": ["present", "detached", "absent"], "default": "present"},
    "path": {"type": "path", "aliases": ["mp", "mountpoint"]},
    "host_path": {"type": "path"},
    **ROOTFS_SPEC,
    "backup": _BOOLEAN,
    "keepattrs": _BOOLEAN,
}


@dataclass(frozen=True)
class DesiredMountPoint:
    """The root file system or a mount point as desired; what it does not say stays as it is."""

    slot: str
    state: str = "present"
    storage: str | None = None
    size: int | None = None
    # What it is, where it is no new volume: one that is there, or a directory or a device of the node.
    source: str | None = None
    parts: t.Mapping[str, str | None] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """How messages call it."""
        return ROOTFS if self.slot == ROOTFS else f"mount_points: {self.slot}"


def desired_mount_points(
    rootfs: t.Mapping[str, t.Any] | None, mount_points: t.Sequence[t.Mapping[str, t.Any]] | None
) -> tuple[DesiredMountPoint, ...]:
    """Check the root file system and the mount points of a request; raises InvalidRequest, naming the slot."""
    desired = [] if rootfs is None else [_desired(ROOTFS, "present", given(rootfs, ROOTFS_SPEC))]
    for entry in mount_points or ():
        options = given(entry, MOUNT_POINT_SPEC)
        slot, state = options.pop("slot"), options.pop("state")
        _check_slot(slot, state)
        if state != "present" and options:
            raise InvalidRequest(f"mount_points: {slot} is {state}, so {', '.join(sorted(options))} cannot be set")
        desired.append(_desired(slot, state, options))
    check_unique("mount_points", (point.slot for point in desired))
    return tuple(desired)


def _check_slot(slot: str, state: str) -> None:
    unused, match = UNUSED_KEY.fullmatch(slot), MOUNT_KEY.fullmatch(slot)
    if unused and int(unused[1]) < MAX_UNUSED:
        if state != "absent":
            raise InvalidRequest(
                f"mount_points: {slot} can only be absent, which deletes its volume: give the volume to a slot that is "
                f"free to use it"
            )
    elif not match or not match[1] or int(match[1]) >= MAX_MOUNT_POINTS:
        raise InvalidRequest(
            f"mount_points: {slot!r} is not a slot: the slots are mp0 to mp{MAX_MOUNT_POINTS - 1}, and to take away "
            f"unused0 to unused{MAX_UNUSED - 1}"
        )


def _desired(slot: str, state: str, options: t.Mapping[str, t.Any]) -> DesiredMountPoint:
    place = ROOTFS if slot == ROOTFS else f"mount_points: {slot}"
    volume, host_path = options.get("volume"), options.get("host_path")
    named = [name for name in ("volume", "host_path") if name in options]
    if len(named) > 1:
        raise InvalidRequest(f"{place}: volume and host_path exclude each other")
    if named and "storage" in options:
        raise InvalidRequest(f"{place}: {named[0]} says what it is, so storage cannot be set")
    if host_path is not None and "size" in options:
        raise InvalidRequest(f"{place}: host_path is a directory of the node, so size cannot be set")
    if volume is not None and not VOLUME_NAME.fullmatch(volume):
        raise InvalidRequest(f"{place}: volume {volume!r} is no volume as in local-lvm:vm-100-disk-1")
    for name in ("host_path", "path"):
        if name in options and (not _PATH.fullmatch(options[name]) or _DOTS.search(options[name])):
            raise InvalidRequest(f"{place}: {name} {options[name]!r} is not an absolute path without . and ..")
    return DesiredMountPoint(
        slot,
        state,
        storage=storage_option(place, options.get("storage")),
        size=size_option(place, options.get("size"), whole_mebibytes),
        source=volume or host_path,
        parts=dict(_parts(options)),
    )


def _parts(options: t.Mapping[str, t.Any]) -> t.Iterator[tuple[str, str | None]]:
    if "path" in options:
        yield "mp", options["path"]
    if "mount_options" in options:
        yield "mountoptions", ";".join(sorted(options["mount_options"])) or None
    if "idmap" in options:
        yield "idmap", options["idmap"] or None
    for name in (*_FLAGS, "backup", "keepattrs"):
        if name in options:
            yield name, flag(options[name])


def holds(text: str | None, source: str) -> bool:
    """Whether a slot has this volume, or this directory of the node."""
    return text is not None and parse_drive(text).file == source


def mount_changes(
    points: t.Iterable[DesiredMountPoint], state: GuestState, progress: VolumeProgress | None = None
) -> VolumeChanges:
    """Compare the desired volumes with those that are there; raises InvalidRequest."""
    changes, progress = VolumeChanges(), progress or VolumeProgress()
    for point in points:
        slot = Slot(point.slot, CONTAINER, state, changes, progress)
        if point.state != "present":
            slot.take_away(destroy=point.state == "absent")
        elif slot.drive is None:
            changes.set[point.slot] = _new(point)
        else:
            _converge(point, slot, slot.drive)
    _check_protection(state, [*changes.set, *changes.detach, *changes.destroy])
    return changes


def _check_protection(state: GuestState, keys: t.Collection[str]) -> None:
    # PVE looks at the protection that there is before the call (PVE::LXC::Config, update_pct_config).
    if keys and truth(state.in_effect.get("protection", "0")) == "1":
        raise InvalidRequest(
            f"mount_points: {state.guest.label} is protected, so PVE refuses to change {', '.join(sorted(keys))}: "
            f"set protection to false first, in a task of its own"
        )


def _new(point: DesiredMountPoint) -> str:
    """The value that makes a volume, or mounts one that is there."""
    values = {name: value for name, value in point.parts.items() if value is not None}
    source = point.source
    if source is None and point.storage is not None and point.size is not None:
        source = f"{point.storage}:{gibibytes(point.size)}"
    if source is None or (point.slot != ROOTFS and "mp" not in values):
        path, other = ("path, and ", ", or host_path") if point.slot != ROOTFS else ("", "")
        raise InvalidRequest(f"{point.label} is not there yet: give {path}storage and size, or volume{other}")
    return MOUNT_POINT.write({"file": source, **values})


def _converge(point: DesiredMountPoint, slot: Slot, drive: Drive) -> None:
    parts, source = dict(point.parts), point.source
    coming = parse_drive(slot.coming).file if slot.coming is not None else None
    if source is not None and source not in (drive.file, coming):
        if not (drive.is_path and source.startswith("/")):
            raise InvalidRequest(
                f"{point.label} of {slot.label} holds {drive.file}, not {source}: detach it first"
                if point.slot != ROOTFS
                else f"rootfs of {slot.label} is the volume {drive.file}, not {source}: it cannot be exchanged"
            )
        # A directory of the node loses nothing by being mounted no more.
        parts["file"] = source
    if drive.is_path and (point.storage or point.size):
        raise InvalidRequest(
            f"{point.label} of {slot.label} is {drive.file} of the node, which has no storage and no size: detach it"
        )
    slot.converge_place(drive, point.storage)
    slot.converge_size(drive, point.size)
    is_coming = source is not None and source == coming
    slot.set_options(MOUNT_POINT.merge(slot.coming if is_coming else slot.options, parts))
