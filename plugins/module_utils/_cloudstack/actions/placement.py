# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the instance is and what it is connected to: Migrate, SyncNetworks."""

from __future__ import annotations

import typing as t
from fnmatch import fnmatchcase

from ..._operations.migration.migration_request import MigrationOptions
from ..._operations.migration.moving import migrate_guest
from ..._pve.errors import InvalidRequest, TimedOut
from ..._pve.vm_config import NIC, NIC_KEY
from ..answer import table
from ..details import DETAILS, Detail
from ..networks import network_options
from ..owned import own_guest
from ..parameters import required
from ..run import Run
from ..translate import request_of

TARGET = Detail("target_node", pattern=DETAILS["node"].pattern)


def migrate(run: Run) -> dict[str, t.Any]:
    """Move the instance to another node, online when it runs. CloudStack learns of it from the next statuses."""
    target = required(run, TARGET)
    nodes = run.details.words("allowed_nodes")
    if not any(fnmatchcase(target, pattern) for pattern in nodes):
        hint = "" if nodes else ": it names none in allowed_nodes, where those belong that are hosts in CloudStack"
        raise InvalidRequest(f"{TARGET.name}: the site policy does not allow the node {target!r}{hint}")
    guest = own_guest(run)
    if guest.handle.guest.node == target:
        return {"message": f"Instance is on node {target} already"}
    copies = bool(run.details.flag("migrate_local_disks"))
    # What the operator has as nodes of one cluster in CloudStack is his to answer for.
    options = MigrationOptions(with_local_disks=copies, check_cpu=False, local_disks_option="migrate_local_disks")
    try:
        migrate_guest(guest.applier, guest.handle, guest.status, target, options)
    except TimedOut as error:
        # The task is not stopped: the API does not show whether it is about to switch over.
        task = error.cause.upid
        if not task:
            raise
        raise TimedOut(
            f"the wait of {run.time.wait:g} s was too short to move {guest.label} to {target}: "
            f"PVE goes on with it, and the guest stays locked until it is on the one node or the other; look at {task}",
            error.cause,
        ) from error
    return {"message": f"Instance is on node {target} now"}


def sync_networks(run: Run) -> dict[str, t.Any]:
    """Set the network cards as CloudStack knows them, and show them."""
    nics = run.instance.nics
    if not nics:
        # VirtualMachineManagerImpl.toVmTO loads no NICs: those that are there must not be taken for surplus.
        raise InvalidRequest(
            "CloudStack sent no network cards along, as it does for most custom actions: nothing was changed; "
            "stop and start the instance, which sets them as well"
        )
    options = network_options(nics, run.details)
    guest = own_guest(run)
    before = guest.state
    after = guest.converge(request_of({"vmid": run.vmid, "networks": options}))
    waiting = {item.key for item in after.pending}
    rows = []
    for key in sorted(filter(NIC_KEY.fullmatch, {*before.values, *after.values})):
        parts = NIC.parse(after.values[key]) if key in after.values else {}
        same = after.values.get(key) == before.values.get(key)
        what = "unchanged" if same else "changed" if key in after.values else "removed"
        rows.append(
            {
                "nic": key,
                "mac": parts.get("macaddr") or "-",
                "bridge": parts.get("bridge") or "-",
                "vlan": parts.get("tag") or "-",
                "result": f"{what}, from the next stop and start on" if key in waiting else what,
            }
        )
    return table(rows)
