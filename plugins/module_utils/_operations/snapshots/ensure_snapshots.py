# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Take, describe, delete and prune the snapshots of a guest, and roll it back to one."""

from __future__ import annotations

from ..._pve.errors import Refused, TimedOut
from ..._pve.guests import LXC, GuestHandle
from ..._pve.tasks import find_own_task, wait_for_task
from ..facts import RUNNING, Status, guest_result, listed_result, pending_result, read_pending, read_status
from ..plan import Applier, Outcome, outcome
from .planning import plan_snapshots
from .snapshot_request import SnapshotRequest
from .snapshot_tree import select_snapshots

# PVE starts the guest in a task of its own, which begins when the rollback is over.
START_SECONDS = 5.0
PAUSE_SECONDS = 0.2


def ensure_snapshots(applier: Applier, request: SnapshotRequest) -> Outcome:
    """Bring the snapshots of a guest into the state asked for. Two requests when they are; raises a PveError."""
    client = applier.client
    target = select_snapshots(client, request.selector, applier.guests)
    handle = target.handle
    planned = plan_snapshots(request, handle.guest, target.snapshots, target.read)
    if planned.plan.changed:
        target.confirm_name()
    facts, since = {}, client.server_time
    if applier.apply(planned.plan, handle):
        status = _await_start(applier, handle, since) if request.start_after else read_status(handle)
        target.read()
        guest = guest_result(handle.guest, status)
        facts["pending"] = pending_result(read_pending(handle))
    else:
        guest = listed_result(handle.guest, target.snapshots.running)
    held = target.snapshots
    found = held.get(request.snapshot) if request.snapshot else None
    return outcome(
        applier,
        guest,
        planned.warnings,
        snapshot=found.as_result() if found else None,
        snapshots=held.as_result(),
        deleted=list(planned.deletes),
        **facts,
    )


def _await_start(applier: Applier, handle: GuestHandle, since: int) -> Status:
    """Return the status once the guest runs; raises what its start task failed with."""
    client, guest = handle.client, handle.guest
    task_type = ("vz" if guest.kind == LXC else "qm") + "start"
    watch, followed = client.deadline.within(START_SECONDS), False
    status = read_status(handle)
    while status.condition != RUNNING:
        try:
            upid = None if followed else find_own_task(client, guest.node, task_type, str(guest.vmid), since)
        except TimedOut:
            break  # The sentence below says more than that there was no time for one more look.
        if upid is not None:
            followed = True
            client.own_upids.add(upid.text)
            applier.tasks.append(wait_for_task(client, upid))
        else:
            if status.ha_managed:
                watch = client.deadline
            if watch.remaining <= PAUSE_SECONDS:
                break
            watch.pause(PAUSE_SECONDS)
        try:
            status = read_status(handle)
        except TimedOut:
            break
    else:
        return status
    kind = TimedOut if status.ha_managed else Refused
    raise kind(
        f"{guest.label} on node {guest.node} was rolled back but is {status.condition}, although start_after is true: "
        f"look at its start tasks"
    )
