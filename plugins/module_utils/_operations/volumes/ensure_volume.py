# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring a file on a storage into the state asked for: read, plan, apply."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..._pve.client import PveClient
from ..._pve.errors import PveError, Refused
from ..._pve.guests import QEMU, read_guests
from ..._pve.storages import NodeStorage, Volume, find_volume, read_storages, read_volumes, volume_in
from ..plan import Applier, Outcome, outcome
from .file_names import normalised
from .sources import Verdict, check_space, compare, expected_size
from .storage_choice import choose_storages
from .transfers import others_at_work, wait_for_others
from .volume_plan import VolumeState, plan_volume, temporary_name
from .volume_request import VolumeRequest


def ensure_volume(applier: Applier, request: VolumeRequest) -> Outcome:
    """Have a file on a storage, or have it gone; raises a PveError.

    When it is as asked, that takes a request for the storages, one for each of them to see the file, and one or two to
    compare it with the checksum or with the size at its source.
    """
    client = applier.client
    storages = choose_storages(client, request, read_storages(client))
    if request.state == "absent":
        states: list[VolumeState] = [
            _with_users(client, request, _look(client, request, storage)) for storage in storages
        ]
        applier.apply(plan_volume(request, states))
        return _outcome(applier, request, [state.volume for state in states])
    survey = Survey(applier, request, storages)
    states = survey.states()
    plan = plan_volume(request, states, applier.progress)
    survey.check_space(states)
    if applier.apply(plan):
        volumes = [find_volume(client, request.volid, storage.node) for storage in storages]
        _check_made(request, storages, volumes)
    else:
        volumes = [state.volume or _predicted(request, state.storage, survey.size) for state in states]
    return _outcome(applier, request, volumes, survey.warnings, states, survey.awaited)


class Survey:
    """What is found in all storages, with as few questions to where the file comes from as will do."""

    def __init__(self, applier: Applier, request: VolumeRequest, storages: t.Sequence[NodeStorage]) -> None:
        self.client = applier.client
        self.check_mode = applier.check_mode
        self.request = request
        self.storages = storages
        self.size: int | None = None
        self.awaited: list[str] = []
        self.warnings: list[str] = []

    def states(self) -> list[VolumeState]:
        found = [self._see(storage) for storage in self.storages]
        self._learn_size(found)
        return [self._judge(state) for state in found]

    def _see(self, storage: NodeStorage) -> VolumeState:
        """Look for the file, and wait for whoever makes it."""
        state = _look(self.client, self.request, storage)
        while state.volume is None:
            upids = others_at_work(self.client, self.request, storage.node)
            if not upids:
                break
            if self.check_mode:
                self.awaited += [upid.text for upid in upids]
                return replace(state, awaited=True)
            wait_for_others(self.client, upids)
            state = _look(self.client, self.request, storage)
        return state

    def _learn_size(self, found: t.Sequence[VolumeState]) -> None:
        """Ask how large the file is, when it is to be made, or has nothing else to be compared by."""
        kind = self.request.origin.kind
        makes = [state.storage for state in found if state.volume is None and not state.awaited]
        compares = kind in ("src", "copy_from") or (kind == "url" and not self.request.checksum)
        if not makes and (self.request.decompress or not compares):
            return
        try:
            self.size = expected_size(self.client, self.request, makes or self.storages)
        except PveError as error:
            if makes or kind == "src":
                raise
            self.warnings.append(f"{self.request.volid} was only compared by its name: {error}")

    def _judge(self, state: VolumeState) -> VolumeState:
        if state.volume is None:
            return state
        verdict = compare(self.client, self.request, state.volume, self.size)
        if verdict is None:
            return replace(state, volume=None)
        if verdict.warning:
            self.warnings.append(verdict.warning)
        judged = replace(state, verdict=verdict)
        if judged.is_different and self.request.replace:
            return _with_users(self.client, self.request, judged)
        return judged

    def check_space(self, states: t.Sequence[VolumeState]) -> None:
        """Raise Refused when the file does not fit where it is to be made."""
        for state in states:
            makes = not state.awaited and (state.volume is None or state.is_different)
            if makes and self.size is None and state.is_different:
                self.size = expected_size(self.client, self.request, self.storages)
            if makes and self.size is not None:
                check_space(self.client, state.storage, self.request.file_name, self.size)


def _look(client: PveClient, request: VolumeRequest, storage: NodeStorage) -> VolumeState:
    listed = read_volumes(client, request.storage, storage.node, request.content)
    other = f"{request.storage}:{request.content}/{temporary_name(request.file_name)}"
    return VolumeState(storage, volume_in(listed, request.volid), left_over=volume_in(listed, other) is not None)


def _with_users(client: PveClient, request: VolumeRequest, state: VolumeState) -> VolumeState:
    """Find the guests that use the file; a request for each guest that could.

    Only ISO images stay in use: PVE makes a copy of an image that it imports, and unpacks a template.
    """
    if state.volume is None or request.content != "iso":
        return state
    guests = [guest for guest in read_guests(client) if guest.kind == QEMU]
    near = [guest for guest in guests if state.storage.shared or guest.node == state.storage.node]
    users = []
    for guest in near:
        entries = client.read("nodes", guest.node, guest.kind, guest.vmid, "pending")
        values = [str(entry.get(key) or "") for entry in entries for key in ("value", "pending")]
        if any(value.split(",")[0] == request.volid for value in values):
            users.append(guest.label)
    return replace(state, users=tuple(users))


def _check_made(request: VolumeRequest, storages: t.Sequence[NodeStorage], volumes: t.Sequence[Volume | None]) -> None:
    for storage, volume in zip(storages, volumes):
        if volume is None:
            raise Refused(
                f"{request.volid} is not on node {storage.node} although PVE's task to make it ended well: "
                f"look at the node's tasks"
            )


def _predicted(request: VolumeRequest, storage: NodeStorage, size: int | None) -> Volume:
    """The file as it would be listed, in check mode."""
    ending = normalised(request.file_name).rpartition(".")[2]
    form = "iso" if request.content == "iso" else ending if request.content == "import" else f"t{ending}"
    return Volume(request.volid, storage.node, request.content, form, size, {})


def _outcome(
    applier: Applier,
    request: VolumeRequest,
    volumes: t.Iterable[Volume | None],
    warnings: t.Iterable[str] = (),
    states: t.Sequence[VolumeState] = (),
    awaited: t.Sequence[str] = (),
) -> Outcome:
    verdicts: list[Verdict] = [state.verdict for state in states if state.verdict]
    return outcome(
        applier,
        None,
        warnings,
        volid=request.volid,
        volumes=[volume.as_result() for volume in volumes if volume is not None],
        compared_by=verdicts[0].compared_by if verdicts else None,
        awaited_tasks=list(awaited),
    )
