# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The snapshots of the instance: ListSnapshots, CreateSnapshot, RestoreSnapshot, DeleteSnapshot."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, replace

from ..._operations.facts import PAUSED, RUNNING, STOPPED
from ..._operations.guest.state import GuestState, read_state
from ..._operations.snapshots.snapshot_tree import Snapshots, read_snapshots
from ..._pve.errors import AlreadyExists, InvalidRequest, NotFound, PveError, TimedOut, TransportError
from ..._pve.guests import GuestHandle, Selector
from ..._pve.vm_config import NIC_KEY
from ..answer import table
from ..details import Detail
from ..owned import condition_of, own_guest, power
from ..parameters import lines, parameter, required
from ..run import Run

if t.TYPE_CHECKING:
    from ..._operations.plan import Applier
    from ..._operations.snapshots.snapshot_request import SnapshotRequest
    from ..._operations.vm.vm_request import VmRequest

NAME = Detail("snap_name")
SAVE_MEMORY = Detail("snap_save_memory", "flag", default=False)
DESCRIPTION = "snap_description"


@dataclass
class _Target:
    """The instance's guest and its snapshots."""

    handle: GuestHandle
    state: GuestState
    held: Snapshots

    @property
    def label(self) -> str:
        return self.handle.guest.label

    def apply(self, applier: Applier, request: SnapshotRequest) -> tuple[str, ...]:
        """Carry a request out; returns what the user should know."""
        from ..._operations.snapshots.planning import plan_snapshots

        planned = plan_snapshots(request, self.handle.guest, self.held, lambda: read_snapshots(self.handle))
        applier.apply(planned.plan, self.handle)
        return planned.warnings


def list_snapshots(run: Run) -> dict[str, t.Any]:
    """Show the snapshots, the oldest first, with their times in UTC."""
    held = _target(run, run.applier(), adopt=False).held
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
    """Take a snapshot. When that takes too long it is called off, and nothing is left of it."""
    from ..._operations.own_tasks import Moment
    from ..._operations.snapshots.abandon import abandon_snapshot

    name = required(run, NAME)
    request = _request(run, "present", name, vmstate=parameter(run, SAVE_MEMORY) or None, description=_description(run))
    applier = run.applier()
    target = _target(run, applier)
    if target.held.get(name) is not None:
        raise AlreadyExists(f"{target.label} has a snapshot {name!r} already: choose another name")
    most = run.details.number("max_snapshots")
    if most is not None and len(target.held.entries) >= most:
        raise InvalidRequest(
            f"{target.label} has {len(target.held.entries)} snapshots, and the site policy allows {most}: delete one"
        )
    before = Moment.now(applier.client)
    try:
        warnings = target.apply(applier, request)
    except BaseException as error:
        if run.dry_run or (isinstance(error, PveError) and not isinstance(error, (TimedOut, TransportError))):
            raise
        run.begin_cleanup()
        try:
            called_off = abandon_snapshot(target.handle, name, before)
        except PveError as problem:
            run.context.left_behind = f"the snapshot may still come into being: {problem}"
            raise error from None
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

    Its networks stay those that it has now: CloudStack may have given those of then to somebody else.
    """
    name = required(run, NAME)
    request = _request(run, "rolled_back", name)
    applier = run.applier()
    target = _target(run, applier)
    target.apply(applier, request)
    try:
        started = _go_on(run, applier, target, name)
    except BaseException:
        run.context.left_behind = "the rollback itself was done"
        raise
    return {"message": f"Instance restored to snapshot {name}{' and started' if started else ''}"}


def _go_on(run: Run, applier: Applier, target: _Target, name: str) -> bool:
    """Bring a guest that was rolled back to where CloudStack has it; True when it had to be started."""
    from ..._operations.guest.ensure_guest import converge
    from ..._operations.power import PowerRequest
    from ..translate import start_request

    handle = target.handle
    state = _restored(target, name) if run.dry_run else read_state(handle)
    state = converge(applier, _keep_identity(run, target.state, state), handle, state)
    if condition_of(target.state) not in (RUNNING, PAUSED) or condition_of(state) == RUNNING:
        return False
    state = converge(applier, start_request(run.instance, run.details, run.vmid), handle, state)
    power(applier, handle, state, PowerRequest(Selector(run.vmid), "started"))
    return True


def _restored(target: _Target, name: str) -> GuestState:
    """What a dry run takes the guest for that would have been rolled back: else as it is, it runs with its memory."""
    state, found = target.state, target.held.get(name)
    condition = RUNNING if found and found.vmstate else STOPPED
    return replace(state, status=state.status._replace(condition=condition) if state.status else None)


def delete_snapshot(run: Run) -> dict[str, t.Any]:
    """Delete a snapshot; those that are based on it stay."""
    name = required(run, NAME)
    request = _request(run, "absent", name)
    applier = run.applier()
    target = _target(run, applier)
    if target.held.get(name) is None:
        there = "it has " + ", ".join(target.held.names) if target.held.names else "it has none"
        raise NotFound(f"{target.label} has no snapshot {name!r}: {there}")
    target.apply(applier, request)
    return {"message": "Snapshot deleted"}


def _target(run: Run, applier: Applier, adopt: bool = True) -> _Target:
    handle, state = own_guest(run, applier, adopt)
    return _Target(handle, state, read_snapshots(handle))


def _request(run: Run, state: str, name: str, **options: t.Any) -> SnapshotRequest:
    """Go through the one door of snapshots; raises InvalidRequest in the words of CloudStack's parameters."""
    from ..._operations.snapshots.snapshot_request import snapshot_request

    try:
        return snapshot_request({"vmid": run.vmid, "state": state, "snapshot": name, **options})
    except InvalidRequest as error:
        raise InvalidRequest(str(error).replace("snapshot must", f"{NAME.name} must", 1)) from error


def _description(run: Run) -> str | None:
    return lines(run, DESCRIPTION, run.details.number("max_snapshot_description") or 0)


def _keep_identity(run: Run, before: GuestState, after: GuestState) -> VmRequest:
    """What a rollback must not bring back: the networks of then, and a guest without the mark's tag."""
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
