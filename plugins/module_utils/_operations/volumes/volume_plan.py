# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to be done for a file to be there, or gone: a pure function of the request and of what was found."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..._pve.errors import AlreadyExists, Locked
from ..._pve.storages import NodeStorage, Volume
from ..plan import Change, Plan, Runnable
from .file_names import MAX_NAME
from .sources import Verdict
from .transfers import Delete, Fetch, Upload
from .volume_request import VolumeRequest

# What a file that takes the place of another is called until it does; PVE cannot rename one.
_TEMPORARY = "cloudbridge-replaces-"
_VERBS = {
    "url": "download",
    "src": "upload",
    "template": "download",
    "oci_reference": "pull",
    "copy_from": "copy",
}
Report = t.Callable[[str], None]


@dataclass(frozen=True)
class VolumeState:
    """A file on a storage; left_over says that a replacement broke off, and users are the guests that use it."""

    storage: NodeStorage
    volume: Volume | None = None
    verdict: Verdict | None = None
    left_over: bool = False
    users: tuple[str, ...] = ()
    # Others make the file just now, and in check mode nobody waits for them.
    awaited: bool = False

    @property
    def is_missing(self) -> bool:
        """The file is not there, and nobody makes it."""
        return self.volume is None and not self.awaited

    @property
    def is_different(self) -> bool:
        return self.volume is not None and self.verdict is not None and not self.verdict.same

    def is_doomed(self, request: VolumeRequest) -> bool:
        """The file is to be deleted, for good or for another one."""
        if request.state == "absent":
            return self.volume is not None or self.awaited or self.left_over
        return self.is_different and request.replace


def temporary_name(file_name: str) -> str:
    """What the new file is called while the old one is still there."""
    # The end stays, since it says what the file is.
    return _TEMPORARY + file_name[-(MAX_NAME - len(_TEMPORARY)) :]


def plan_volume(request: VolumeRequest, states: t.Sequence[VolumeState], report: Report | None = None) -> Plan:
    """Plan what brings all storages into the state asked for; raises a PveError before anything is done."""
    several = len(states) > 1
    if request.state == "absent":
        steps = [step for state in states for step in _absent(request, state, several)]
    else:
        steps = [step for state in states for step in _present(request, state, several, report)]
    return Plan(tuple(steps))


def _absent(request: VolumeRequest, state: VolumeState, several: bool) -> list[Runnable]:
    storage, steps = state.storage, _without_left_over(request, state)
    if state.volume is not None or state.awaited:
        _check_users(request, state, "deleted")
        before = _before(state.volume) or "a file that another task makes"
        change = Change(_key(request, storage, several), before, None)
        title = f"delete {request.volid} on node {storage.node}"
        steps.append(Delete(request, storage, request.file_name, title, (change,)))
    return steps


def _present(request: VolumeRequest, state: VolumeState, several: bool, report: Report | None) -> list[Runnable]:
    if state.awaited or (state.volume is not None and not state.is_different):
        return []
    source, storage, volume = request.origin, state.storage, state.volume
    if volume is not None:
        _check_replacement(request, state)
    change = Change(_key(request, storage, several), _before(volume), f"{source.kind} {source.shown}")
    title = f"{_VERBS[source.kind]} {source.shown} to {request.volid} on node {storage.node}"
    if source.kind == "src":
        # PVE writes an upload over what is there, once its checksum is verified.
        return [Upload(request, storage, request.file_name, title, (change,), progress=report)]
    if volume is None:
        return [Fetch(request, storage, request.file_name, title, (change,))]
    return _replacement(request, state, title, change)


def _replacement(request: VolumeRequest, state: VolumeState, title: str, change: Change) -> list[Runnable]:
    """The new file first, under another name; PVE refuses to download over what is there."""
    storage, name = state.storage, request.file_name
    other = temporary_name(name)
    kept = f"{request.storage}:{request.content}/{other}"
    on_node = f"on node {storage.node}"
    steps = _without_left_over(request, state)
    steps.append(Fetch(request, storage, other, title.replace(request.volid, kept)))
    steps.append(Delete(request, storage, name, f"delete {request.volid} {on_node}"))
    steps.append(Fetch(request, storage, name, title, (change,), kept_as=kept))
    steps.append(Delete(request, storage, other, f"delete {kept} {on_node}"))
    return steps


def _without_left_over(request: VolumeRequest, state: VolumeState) -> list[Runnable]:
    """Delete what a replacement that broke off has left."""
    if not state.left_over:
        return []
    name = temporary_name(request.file_name)
    title = f"delete {request.storage}:{request.content}/{name} on node {state.storage.node}, which was left over"
    return [Delete(request, state.storage, name, title)]


def _check_replacement(request: VolumeRequest, state: VolumeState) -> None:
    if not request.replace:
        why = state.verdict.why if state.verdict else ""
        raise AlreadyExists(
            f"{request.volid} on node {state.storage.node} is another file than the one asked for: {why}: "
            f"set replace to have it replaced, or give another file_name"
        )
    _check_users(request, state, "replaced")


def _check_users(request: VolumeRequest, state: VolumeState, verb: str) -> None:
    if state.users and not request.force:
        raise Locked(
            f"{request.volid} on node {state.storage.node} is not {verb}, because {', '.join(state.users)} "
            f"{'use' if len(state.users) > 1 else 'uses'} it: take it out there first, or set force"
        )


def _key(request: VolumeRequest, storage: NodeStorage, several: bool) -> str:
    return f"{request.volid} on {storage.node}" if several else request.volid


def _before(volume: Volume | None) -> str | None:
    return None if volume is None else f"{volume.size} bytes"
