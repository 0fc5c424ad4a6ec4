# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is found of a file where it is to be, and what is known of it before it is made."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ..._pve.client import PveClient
from ..._pve.errors import Cause, PermissionDenied, PveError
from ..._pve.guests import QEMU, read_guests
from ..._pve.storages import NodeStorage, read_storages, read_volumes, volume_in
from .sources import check_space, compare, disk_size, expected_size
from .storage_choice import choose_storages
from .transfers import others_at_work, wait_for_others
from .volume_plan import VolumeState, temporary_name
from .volume_request import VolumeRequest


@dataclass(frozen=True)
class Survey:
    """What is found, with as few questions to where the file comes from as will do."""

    request: VolumeRequest
    states: tuple[VolumeState, ...]
    # The size of the file, and that of the disk in it, where it is to be made and somebody can tell.
    size: int | None = None
    disk_size: int | None = None
    # Tasks of others that make the file, for which check mode does not wait.
    awaited: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def survey_volume(client: PveClient, request: VolumeRequest, check_mode: bool) -> Survey:
    """Look for the file on all its storages, and wait for whoever makes it, unless in check mode; raises a PveError."""
    storages = choose_storages(client, request, read_storages(client))
    surveyor = _Surveyor(client, request, check_mode)
    if request.state == "absent":
        states, makes = [surveyor.see_users(surveyor.see(storage)) for storage in storages], False
    else:
        states = surveyor.states_to_be(storages)
        makes = any(state.is_missing for state in states)
    surveyor.check_right_to_delete(states)
    return Survey(
        request=request,
        states=tuple(states),
        size=surveyor.size,
        disk_size=disk_size(request, surveyor.size) if makes else None,
        awaited=tuple(surveyor.awaited),
        warnings=tuple(surveyor.warnings),
    )


class _Surveyor:
    """Gathers what a survey says."""

    def __init__(self, client: PveClient, request: VolumeRequest, check_mode: bool) -> None:
        self.client = client
        self.check_mode = check_mode
        self.request = request
        self.size: int | None = None
        self.awaited: list[str] = []
        self.warnings: list[str] = []

    def states_to_be(self, storages: t.Sequence[NodeStorage]) -> list[VolumeState]:
        """What is found of a file that is to be there, compared with where it comes from."""
        found = [self.see(storage) for storage in storages]
        self._learn_size(found)
        states = [self._judge(state) for state in found]
        self._check_space(states)
        return states

    def see(self, storage: NodeStorage) -> VolumeState:
        """Look for the file, and wait for whoever makes it."""
        state = self._look(storage)
        while state.volume is None:
            upids = others_at_work(self.client, self.request, storage.node)
            if not upids:
                break
            if self.check_mode:
                self.awaited += [upid.text for upid in upids]
                return replace(state, awaited=True)
            wait_for_others(self.client, upids)
            state = self._look(storage)
        return state

    def see_users(self, state: VolumeState) -> VolumeState:
        """Find the guests that use the file; a request for each guest that could.

        Only ISO images stay in use: PVE makes a copy of an image that it imports, and unpacks a template.
        """
        if state.volume is None or self.request.content != "iso":
            return state
        guests = [guest for guest in read_guests(self.client) if guest.kind == QEMU]
        near = [guest for guest in guests if state.storage.shared or guest.node == state.storage.node]
        users = []
        for guest in near:
            entries = self.client.read("nodes", guest.node, guest.kind, guest.vmid, "pending")
            values = [str(entry.get(key) or "") for entry in entries for key in ("value", "pending")]
            if any(value.split(",")[0] == self.request.volid for value in values):
                users.append(guest.label)
        return replace(state, users=tuple(users))

    def check_right_to_delete(self, states: t.Sequence[VolumeState]) -> None:
        """Raise PermissionDenied when a file is to be deleted, and PVE would refuse that (73-volumes-privileges.json).

        A replacement would find it out with two files in place of one.
        """
        deletes = self.request.state == "absent" or self.request.origin.kind != "src"
        if not deletes or not any(state.is_doomed(self.request) for state in states):
            return
        path = f"/storage/{self.request.storage}"
        held = self.client.read("access", "permissions", path=path).values()
        if not any("Datastore.Allocate" in granted for granted in held):
            verb = "delete" if self.request.state == "absent" else "replace"
            raise PermissionDenied(
                f"{self.client.identity} lacks the privilege Datastore.Allocate on {path}, which it takes to {verb} "
                f"{self.request.volid}: grant it with a role on that path; nothing was changed",
                Cause(privilege="Datastore.Allocate", acl_path=path),
            )

    def _look(self, storage: NodeStorage) -> VolumeState:
        request = self.request
        listed = read_volumes(self.client, request.storage, storage.node, request.content)
        other = f"{request.storage}:{request.content}/{temporary_name(request.file_name)}"
        return VolumeState(storage, volume_in(listed, request.volid), left_over=volume_in(listed, other) is not None)

    def _learn_size(self, found: t.Sequence[VolumeState]) -> None:
        """Ask how large the file is, when it is to be made, or has nothing else to be compared by."""
        kind = self.request.origin.kind
        makes = [state.storage for state in found if state.is_missing]
        compares = kind in ("src", "copy_from") or (kind == "url" and not self.request.checksum)
        if not makes and (self.request.decompress or not compares):
            return
        try:
            self.size = expected_size(self.client, self.request, makes or [state.storage for state in found])
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
        return self.see_users(judged) if judged.is_different and self.request.replace else judged

    def _check_space(self, states: t.Sequence[VolumeState]) -> None:
        """Raise Refused when the file does not fit where it is to be made."""
        for state in states:
            makes = state.is_missing or state.is_different
            if makes and self.size is None and state.is_different:
                self.size = expected_size(self.client, self.request, [item.storage for item in states])
            if makes and self.size is not None:
                check_space(self.client, state.storage, self.request.file_name, self.size)
