# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Say which storages there are, where, and how full they are."""

from __future__ import annotations

import itertools
import typing as t
from dataclasses import dataclass

from ..._pve.errors import NotFound, PermissionDenied
from ..._pve.nodes import look_for_node
from ..._pve.storages import NodeStorage, read_storages
from ..plan import Applier, Outcome
from .volume_info import LISTED_CONTENTS

STORED_CONTENTS = LISTED_CONTENTS
# What the configuration of a storage has beside what the list of the cluster says.
_NOT_SHOWN = ("storage", "type", "content", "shared", "digest", "nodes", "disable")


@dataclass(frozen=True)
class StoragesRequest:
    """The conditions for a list of storages; None is no condition."""

    storage: str | None = None
    node: str | None = None
    content: str | None = None

    def fits(self, storage: NodeStorage) -> bool:
        return (
            self.storage in (None, storage.name)
            and self.node in (None, storage.node)
            and (self.content is None or self.content in storage.contents)
        )


def storages_request(parameters: t.Mapping[str, t.Any]) -> StoragesRequest:
    """Read the options."""
    return StoragesRequest(parameters["storage"], parameters["node"], parameters["content"])


def list_storages(applier: Applier, request: StoragesRequest) -> Outcome:
    """Return the storages; two requests. Raises NotFound for a storage or a node that does not exist."""
    storages = read_storages(applier.client)
    known = {storage.name for storage in storages}
    if request.storage is not None and request.storage not in known:
        raise NotFound(f"there is no storage {request.storage}, or no right to see it (Datastore.Audit)")
    if request.node is not None and all(storage.node != request.node for storage in storages):
        look_for_node(applier.client, request.node)
    configurations = _configurations(applier)
    fitting = [storage for storage in storages if request.fits(storage)]
    results = [
        _storage(name, list(group), configurations.get(name, {}))
        for name, group in itertools.groupby(fitting, key=lambda storage: storage.name)
    ]
    return Outcome(changed=False, facts={"storages": results})


def _configurations(applier: Applier) -> dict[str, t.Mapping[str, t.Any]]:
    try:
        return {str(entry["storage"]): entry for entry in applier.client.read("storage")}
    except PermissionDenied:
        return {}


def _storage(name: str, storages: t.Sequence[NodeStorage], configuration: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {
        "storage": name,
        "type": storages[0].type,
        "content": list(storages[0].contents),
        "shared": storages[0].shared,
        "config": {key: value for key, value in sorted(configuration.items()) if key not in _NOT_SHOWN},
        "nodes": [
            {
                "node": storage.node,
                "active": storage.active,
                "total": storage.total,
                "used": storage.used,
                "available": storage.available,
            }
            for storage in storages
        ],
    }
