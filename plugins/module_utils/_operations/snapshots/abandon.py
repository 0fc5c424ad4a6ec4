# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calling a snapshot off that takes longer than somebody can wait."""

from __future__ import annotations

from ..._pve.guests import LXC, GuestHandle, Selector
from ..._pve.tasks import stop_task
from ..own_tasks import Moment, own_tasks
from ..plan import Applier
from .planning import plan_snapshots
from .snapshot_request import SnapshotRequest
from .snapshot_tree import read_snapshots


def abandon_snapshot(handle: GuestHandle, name: str, before: Moment) -> bool:
    """Stop the task that takes the snapshot, and delete what it leaves, within the client's deadline.

    before is the moment before the snapshot was asked for. False when the snapshot was complete before it could be
    stopped, and stays. Raises a PveError when nobody knows what has become of it.
    """
    client, guest = handle.client, handle.guest
    upids = own_tasks(handle, ("vz" if guest.kind == LXC else "qm") + "snapshot", before)
    for upid in upids:
        stop_task(client, upid)
    held = read_snapshots(handle)
    found = held.get(name)
    if found is None or not upids:
        return True
    if not found.state:
        return False
    request = SnapshotRequest(Selector(guest.vmid), "absent", name)
    planned = plan_snapshots(request, guest, held, lambda: read_snapshots(handle))
    Applier(client).apply(planned.plan, handle)
    return True
