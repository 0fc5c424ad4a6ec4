# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""List what storages hold."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ..._pve.client import PveClient
from ..._pve.errors import NotFound, Refused
from ..._pve.nodes import look_for_node
from ..._pve.storages import NodeStorage, Volume, read_storages, read_volumes
from ..plan import Applier, Outcome
from ..selection import check_vmid

# What the list of a storage can be of (PVE::Storage::Plugin, content).
LISTED_CONTENTS = ("images", "rootdir", "iso", "vztmpl", "import", "backup", "snippets")


@dataclass(frozen=True)
class VolumesRequest:
    """The conditions for a list of volumes; None is no condition."""

    storage: str | None = None
    node: str | None = None
    content: str | None = None
    vmid: int | None = None
    pattern: str | None = None

    def fits(self, volume: Volume) -> bool:
        """The pattern is one of the name, with or without the storage and the kind."""
        names = (volume.volid, volume.volid.partition(":")[2], volume.file_name)
        return self.pattern is None or any(fnmatchcase(name, self.pattern) for name in names)


def volumes_request(parameters: t.Mapping[str, t.Any]) -> VolumesRequest:
    """Check the options; raises InvalidRequest."""
    if parameters["vmid"] is not None:
        check_vmid("vmid", parameters["vmid"])
    names = ("storage", "node", "content", "vmid", "pattern")
    return VolumesRequest(**{name: parameters[name] for name in names})


def list_volumes(applier: Applier, request: VolumesRequest) -> Outcome:
    """Return the volumes; one request for the storages, and one for each storage of each node."""
    found = read_storages(applier.client)
    if request.node is not None and all(storage.node != request.node for storage in found):
        look_for_node(applier.client, request.node)
    storages = storages_to_list(found, request)
    volumes, warnings = [], []
    for storage in storages:
        listed, warning = _volumes_of(applier.client, storage, request)
        volumes += [volume for volume in listed if request.fits(volume)]
        warnings += warning
    volumes.sort(key=lambda volume: (volume.volid, volume.node))
    results = [{**volume.as_result(), "shared": _is_shared(volume, storages)} for volume in volumes]
    return Outcome(changed=False, warnings=tuple(warnings), facts={"volumes": results})


def storages_to_list(storages: t.Iterable[NodeStorage], request: VolumesRequest) -> list[NodeStorage]:
    """Pick the storages that the conditions fit, a shared one once; raises NotFound for a storage that nobody has."""
    named = [storage for storage in storages if request.storage in (None, storage.name)]
    if request.storage is not None and not named:
        raise NotFound(f"there is no storage {request.storage}, or no right to see it (Datastore.Audit)")
    here = [storage for storage in named if request.node in (None, storage.node)]
    if request.node is not None and not here:
        what = f"storage {request.storage}" if request.storage else "storage"
        raise NotFound(f"node {request.node} has no {what}, or there is no right to see it (Datastore.Audit)")
    chosen: dict[tuple[str, str], NodeStorage] = {}
    for storage in sorted(here, key=lambda storage: not storage.active):
        if request.content is None or request.content in storage.contents:
            chosen.setdefault((storage.name, "" if storage.shared else storage.node), storage)
    return list(chosen.values())


def _volumes_of(client: PveClient, storage: NodeStorage, request: VolumesRequest) -> tuple[list[Volume], list[str]]:
    """What is in one of them; one that is not active at the moment is only fatal when it was named."""
    try:
        return read_volumes(client, storage.name, storage.node, request.content, request.vmid), []
    except Refused as error:
        if request.storage is not None:
            raise
        return [], [f"storage {storage.name} on node {storage.node} could not be listed: {error}"]


def _is_shared(volume: Volume, storages: t.Iterable[NodeStorage]) -> bool:
    return any(storage.shared for storage in storages if storage.name == volume.storage)
