# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making a container of a backup; what is in the backup is read first, so that check mode and plan know it."""

from __future__ import annotations

import typing as t

from ..._pve.client import PveClient
from ..._pve.commands import Command
from ..._pve.container_config import MOUNT_KEY, MOUNT_POINT
from ..._pve.errors import InvalidRequest
from ..._pve.guests import Guest, GuestHandle
from ..._pve.turns import Places
from ..backup.restoring import read_archived
from ..guest.change_plan import plan_changes
from ..guest.creation import Creation, Source, expected_copy, label_of, read_new_config
from ..guest.desired import flag
from ..guest.guest_request import GuestRequest
from ..guest.placement import Cluster, choose_node
from ..guest.state import GuestState
from ..guest.volumes import parse_drive
from ..plan import Change
from .sources import ContainerSource, RestoreOptions


def plan_restore(
    client: PveClient,
    request: GuestRequest,
    source: ContainerSource,
    options: RestoreOptions,
    unprivileged: bool | None,
    cluster: Cluster,
) -> Creation:
    """Plan a container of a backup; reads the configuration in it, and raises a PveError when it cannot be made."""
    backup, storage = source.volid, options.storage
    if storage is None:
        raise InvalidRequest("restore: give storage, where the volumes of the backup go")
    kind = request.kind
    node = request.node or choose_node(client, request.needs(), cluster.nodes)
    expected = _expected(client, request, backup, storage, unprivileged, node)
    form = {
        "ostemplate": backup,
        "restore": 1,
        "storage": storage,
        "unique": 1 if options.unique else None,
        "unprivileged": None if unprivileged is None else flag(unprivileged),
        "hostname": request.selector.name,
        "pool": request.pool or None,
    }

    def is_own(found: t.Mapping[str, str]) -> bool:
        return found.get("hostname") == expected.name

    def command(client: PveClient, vmid: int) -> Command:
        return Command(
            "POST",
            (kind.path,),
            {"vmid": vmid, **form},
            node=node,
            task_type=kind.task("restore"),
            task_id=str(vmid),
            done=lambda: is_own(read_new_config(client, kind, node, vmid)),
        )

    # Raises what would otherwise only come up once the container is there, half made.
    plan_changes(request, expected)
    return Creation(
        kind=kind,
        title=f"restore {backup} as guest {label_of(request)} on node {node}",
        changes=(Change("restore", None, backup), Change("hostname", None, expected.name)),
        node=node,
        expected=expected,
        command=command,
        is_own=is_own,
        vmid=request.selector.vmid,
        places=Places(node, frozenset({storage})),
    )


def _expected(
    client: PveClient, request: GuestRequest, backup: str, storage: str, unprivileged: bool | None, node: str
) -> GuestState:
    """The container as it will be before it is configured; only its addresses and volumes cannot be foretold."""
    archived = read_archived(client, node, backup)
    values = {key: value for key, value in archived.values.items() if "." not in key}
    if archived.notes:
        values["description"] = archived.notes
    if unprivileged is not None:
        values["unprivileged"] = flag(unprivileged)
    for key in filter(MOUNT_KEY.fullmatch, values):
        drive = parse_drive(values[key])
        if drive.storage is not None:
            values[key] = MOUNT_POINT.merge(values[key], {"file": f"{storage}:{drive.file.partition(':')[2]}"})
    handle = GuestHandle(client, Guest(request.selector.vmid or 0, node, request.kind.path))
    return expected_copy(request, Source(handle, values), node)
