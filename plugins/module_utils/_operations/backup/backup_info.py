# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""List the backups that storages hold."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..._pve.client import PveClient
from ..._pve.errors import Refused, Unreachable
from ..._pve.guests import Guest, Selector, get_guest, parse_guests
from ..._pve.storages import NodeStorage, parse_storages
from ..plan import Applier, Outcome
from ..selection import selector_from
from ..volumes.volume_info import VolumesRequest, storages_to_list
from .archives import Backup, read_backups

_READS = "Datastore.AllocateSpace"


@dataclass(frozen=True)
class BackupsRequest:
    """The conditions for a list of backups; None is no condition."""

    selector: Selector | None = None
    storage: str | None = None
    node: str | None = None
    kind: str | None = None
    newest: bool = False


def backups_request(parameters: t.Mapping[str, t.Any]) -> BackupsRequest:
    """Check the options; raises InvalidRequest."""
    kind = None if parameters.get("guest_type") in (None, "auto") else parameters["guest_type"]
    named = parameters.get("vmid") is not None or parameters.get("name") is not None
    return BackupsRequest(
        # A number may have had a guest of another kind once.
        selector=selector_from({**parameters, "guest_type": None}) if named else None,
        storage=parameters.get("storage"),
        node=parameters.get("node"),
        kind=kind,
        newest=bool(parameters.get("newest")),
    )


def list_backups(applier: Applier, request: BackupsRequest) -> Outcome:
    """Return the backups, by guest and age; one request for the cluster, and one for each storage of each node."""
    client = applier.client
    resources = client.read("cluster", "resources")
    guests = parse_guests(resources)
    vmid = _vmid(client, request, guests)
    conditions = VolumesRequest(storage=request.storage, node=request.node, content="backup")
    found: list[Backup] = []
    warnings: list[str] = []
    for storage in storages_to_list(parse_storages(resources), conditions):
        backups, warning = _backups_of(client, storage, request, vmid)
        found += [backup for backup in backups if request.kind in (None, backup.kind)]
        warnings += warning
    found.sort(key=lambda backup: (backup.vmid or 0, backup.created, backup.volid))
    if request.newest:
        found = newest_of(found)
    now, names = client.server_time, {guest.vmid: guest for guest in guests}
    results = [_result(backup, names.get(backup.vmid or 0), now) for backup in found]
    return Outcome(changed=False, warnings=tuple(dict.fromkeys(warnings)), facts={"backups": results})


def newest_of(backups: t.Iterable[Backup]) -> list[Backup]:
    """Of each guest the newest backup whose verification has not failed; backups come the oldest first."""
    newest = {(backup.vmid, backup.kind): backup for backup in backups if backup.is_good}
    return list(newest.values())


def _vmid(client: PveClient, request: BackupsRequest, guests: t.Sequence[Guest]) -> int | None:
    """The number of the guest that is meant, which may be gone."""
    selector = request.selector
    if selector is None or selector.name is None:
        return selector.vmid if selector else None
    return get_guest(client, selector, guests).vmid


def _backups_of(
    client: PveClient, storage: NodeStorage, request: BackupsRequest, vmid: int | None
) -> tuple[list[Backup], list[str]]:
    """What is in one of them; one that is out of reach at the moment is only fatal when it was named."""
    try:
        found = read_backups(client, storage.node, storage.name, vmid)
    except (Refused, Unreachable) as error:
        if request.storage is not None and (storage.shared or request.node is not None):
            raise
        return [], [f"storage {storage.name} on node {storage.node} could not be listed: {error}"]
    return found, [] if found else _unseen(client, storage)


def _unseen(client: PveClient, storage: NodeStorage) -> list[str]:
    """What to say of a list that is empty because of a missing right: PVE does not say so."""
    path = f"/storage/{storage.name}"
    held = client.read("access", "permissions", path=path).values()
    if any(_READS in granted or "Datastore.Allocate" in granted for granted in held):
        return []
    return [f"{client.identity} sees no backups on storage {storage.name}: grant {_READS} on {path}, and VM.Backup"]


def _result(backup: Backup, guest: Guest | None, now: int) -> dict[str, t.Any]:
    same = guest is not None and guest.kind == backup.kind
    return {
        **backup.as_result(),
        "guest": guest.name or None if guest and same else None,
        "guest_exists": same,
        "age": max(0, now - backup.created),
    }
