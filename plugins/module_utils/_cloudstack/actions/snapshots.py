# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The snapshots of the instance: ListSnapshots, CreateSnapshot, RestoreSnapshot, DeleteSnapshot."""

from __future__ import annotations

import time
import typing as t
from dataclasses import replace

from ..._operations.facts import PAUSED, RUNNING, STOPPED
from ..._operations.guest.state import GuestState, read_state
from ..._operations.snapshots.snapshot_tree import Snapshots, read_snapshots
from ..._pve.errors import AlreadyExists, InvalidRequest, NotFound, TimedOut
from ..._pve.guests import Selector
from ..._pve.vm_config import NIC_KEY
from ..answer import table
from ..details import Detail
from ..owned import OwnGuest, own_guest
from ..parameters import lines, parameter, required
from ..run import Run

if t.TYPE_CHECKING:
    from ..._operations.snapshots.snapshot_request import SnapshotRequest
    from ..._operations.vm.vm_request import VmRequest

NAME = Detail("snap_name")
SAVE_MEMORY = Detail("snap_save_memory", "flag", default=False)
DESCRIPTION = "snap_description"


class _Target(t.NamedTuple):
    """The instance's guest and its snapshots."""

    guest: OwnGuest
    held: Snapshots

    @property
    def label(self) -> str:
        return self.guest.label

    def apply(self, request: SnapshotRequest) -> tuple[str, ...]:
        """Carry out a request; returns PVE's warnings."""
        from ..._operations.snapshots.planning import plan_snapshots

        handle = self.guest.handle
        planned = plan_snapshots(request, handle.guest, self.held, lambda: read_snapshots(handle))
        self.guest.applier.apply(planned.plan, handle)
        return planned.warnings


def list_snapshots(run: Run) -> dict[str, t.Any]:
    """Show the snapshots, the oldest first, with their times in UTC."""
    held = _target(run, adopt=False).held
    rows = [
        {
            "name": entry.name,
            "snaptime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry.created)) if entry.created else "-",
            "description": entry.description or "-",
            "parent": entry.parent or "-",
            "vmstate": "yes" if entry.vmstate else "no",
            "state": f"incomplete ({entry.state})" if entry.state else "complete",
        }
        for entry in held.entries
    ]
    return table(rows)


def create_snapshot(run: Run) -> dict[str, t.Any]:
    """Create a snapshot. If that takes too long, it is cancelled and removed."""
    from ..._operations.own_tasks import Moment
    from ..._operations.snapshots.abandon import abandon_snapshot

    name = required(run, NAME)
    request = _request(run, "present", name, vmstate=parameter(run, SAVE_MEMORY) or None, description=_description(run))
    target = _target(run)
    if target.held.get(name) is not None:
        raise AlreadyExists(f"{target.label} has a snapshot {name!r} already: choose another name")
    most = run.details.number("max_snapshots")
    if most is not None and len(target.held.entries) >= most:
        raise InvalidRequest(
            f"{target.label} has {len(target.held.entries)} snapshots, and the site policy allows {most}: delete one"
        )
    before = Moment.now(run.client)
    try:
        warnings = target.apply(request)
    except BaseException as error:
        called_off = run.call_off(error, "snapshot", lambda: abandon_snapshot(target.guest.handle, name, before))
        if called_off:
            if isinstance(error, TimedOut):
                raise TimedOut(
                    f"the wait of {run.time.wait:g} s was too short for snapshot {name!r}: it was removed"
                ) from None
            raise
        warnings = ()
    return {"message": "; ".join(["Snapshot created", *warnings])}


def restore_snapshot(run: Run) -> dict[str, t.Any]:
    """Go back to a snapshot. The instance runs afterwards when it ran before, or when the snapshot holds its memory.

    Its networks stay those that it has now: CloudStack may have given the former ones to other instances.
    """
    name = required(run, NAME)
    request = _request(run, "rolled_back", name)
    target = _target(run)
    target.apply(request)
    try:
        started = _go_on(target, name)
    except BaseException:
        run.context.left_behind = "the rollback itself was done"
        raise
    return {"message": f"Instance restored to snapshot {name}{' and started' if started else ''}"}


def _go_on(target: _Target, name: str) -> bool:
    """Bring a guest that was rolled back to where CloudStack has it; True when it had to be started."""
    from ..translate import start_request

    guest, before = target.guest, target.guest.state
    run, ran = guest.run, guest.condition in (RUNNING, PAUSED)
    guest.state = _restored(target, name) if run.dry_run else read_state(guest.handle)
    guest.converge(_keep_identity(run, before, guest.state))
    if not ran or guest.condition == RUNNING:
        return False
    guest.converge(start_request(run.instance, run.details, run.vmid))
    guest.power("started")
    return True


def _restored(target: _Target, name: str) -> GuestState:
    """What a dry run expects after a rollback: a guest that runs if the snapshot holds its memory, or a stopped one."""
    guest, found = target.guest, target.held.get(name)
    condition = RUNNING if found and found.vmstate else STOPPED
    return replace(guest.state, status=guest.status._replace(condition=condition))


def delete_snapshot(run: Run) -> dict[str, t.Any]:
    """Delete a snapshot; those that are based on it stay."""
    name = required(run, NAME)
    request = _request(run, "absent", name)
    target = _target(run)
    if target.held.get(name) is None:
        there = "it has " + ", ".join(target.held.names) if target.held.names else "it has none"
        raise NotFound(f"{target.label} has no snapshot {name!r}: {there}")
    target.apply(request)
    return {"message": "Snapshot deleted"}


def _target(run: Run, adopt: bool = True) -> _Target:
    guest = own_guest(run, adopt)
    return _Target(guest, read_snapshots(guest.handle))


def _request(run: Run, state: str, name: str, **options: t.Any) -> SnapshotRequest:
    """The request of pve_snapshot; raises InvalidRequest with the names of CloudStack's parameters."""
    from ..._operations.snapshots.snapshot_request import snapshot_request

    try:
        return snapshot_request({"vmid": run.vmid, "state": state, "snapshot": name, **options})
    except InvalidRequest as error:
        raise InvalidRequest(str(error).replace("snapshot must", f"{NAME.name} must", 1)) from error


def _description(run: Run) -> str | None:
    return lines(run, DESCRIPTION, run.details.number("max_snapshot_description") or 0)


def _keep_identity(run: Run, before: GuestState, after: GuestState) -> VmRequest:
    """What a rollback must not change: the networks, and the tag of the mark."""
    from ..._operations.guest.desired import DesiredSetting
    from ..._operations.guest.tags import DesiredTags
    from ..._operations.vm.vm_request import VmRequest

    nets = {key: text for key, text in before.values.items() if NIC_KEY.fullmatch(key)}
    return VmRequest(
        Selector(run.vmid),
        settings=tuple(DesiredSetting(key, text) for key, text in nets.items()),
        tags=DesiredTags((run.details.required("tag"),), only=False),
        remove=tuple(key for key in after.values if NIC_KEY.fullmatch(key) and key not in nets),
    )
