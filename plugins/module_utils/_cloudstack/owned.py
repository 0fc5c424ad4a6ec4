# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest of an instance, read, checked to be the instance's, and marked as such where it was not yet."""

from __future__ import annotations

import typing as t

from .._operations.facts import read_status
from .._operations.guest.state import GuestState, config_reader, read_state
from .._pve.errors import NotFound, PveError, Refused
from .._pve.guests import DESTROYED, QEMU, UNSETTLED_LOCKS, Guest, GuestHandle, Selector, is_absent, is_stub
from .guests import Found, check_owner, find, locate
from .ownership import Mark, Verdict, adopted_notes, judge, read_mark
from .run import Run

if t.TYPE_CHECKING:
    from .._operations.plan import Applier
    from .._operations.power import PowerRequest

_IS_BEING_DESTROYED = f"is locked ({DESTROYED})"
Own = t.Tuple[GuestHandle, GuestState]  # noqa: UP006 - Python 3.9 evaluates it


def own_guest(run: Run, applier: Applier, adopt: bool = True) -> Own:
    """Find the instance's guest and read it; two requests. Without adopt, nothing is written.

    Raises NotFound when it is gone, PermissionDenied when the guest with its number is not the instance's, Refused when
    its deployment was broken off.
    """
    own = read_own(run, applier, locate(run), adopt)
    if own is None:
        raise NotFound(f"{run.instance.name} is gone: there is no guest {run.vmid} in the cluster")
    return own


def find_own_guest(run: Run, applier: Applier, adopt: bool = True) -> Own | None:
    """Do the same for an action that has nothing to do when the guest is gone: None when the whole cluster says so.

    What a deployment has left that was broken off is found as well. A guest whose number CloudStack does not know, as
    after a prepare that failed, is found by its mark.
    """
    return read_own(run, applier, find(run), adopt, unfinished=True)


def read_own(
    run: Run, applier: Applier, found: Found | None, adopt: bool = True, unfinished: bool = False
) -> Own | None:
    """Read the guest and make sure that it is the instance's; one that was there before the bridge is marked."""
    found = found if found is None or found[1].lock not in UNSETTLED_LOCKS else _settled(found[0])
    if found is None:
        return None
    handle, status = found
    state = read_state(handle, status=status)
    current = state.status or status
    verdict, mark = check_owner(run, handle, current, state.values)
    if verdict is Verdict.UNFINISHED and not unfinished:
        raise Refused(
            f"{handle.guest.label} on node {handle.guest.node} is what a deployment of {run.instance.name} has left "
            f"that was broken off: delete the instance, and deploy it again"
        )
    cloud = run.details.text("cloud")
    # One that was made before the cloud got its name gets that now.
    lacks_cloud = verdict is Verdict.OURS and mark.genuine and bool(cloud) and mark.cloud != cloud
    if not adopt or (verdict is not Verdict.ADOPTABLE and not lacks_cloud):
        return handle, state
    return mark_guest(run, applier, handle, state, mark)


def mark_guest(run: Run, applier: Applier, handle: GuestHandle, state: GuestState, mark: Mark) -> Own:
    """Mark a guest that was there before the bridge as the instance's, and read it again; mark is what it has."""
    # Most guests are marked: to import what marks one would take longer than to read them.
    from .._operations.guest.change_plan import plan_changes
    from .._operations.guest.desired import DesiredSetting
    from .._operations.guest.tags import DesiredTags
    from .._operations.vm.vm_request import VmRequest

    notes = adopted_notes(state.values.get("description", ""), mark, run.instance, run.details.text("cloud") or "")
    request = VmRequest(
        Selector(handle.guest.vmid),
        settings=(DesiredSetting("description", notes),),
        tags=DesiredTags((run.details.required("tag"),), only=False),
    )
    applier.apply(plan_changes(request, state, config_reader(handle)), handle)
    return handle, read_state(handle, status=state.status)


def _settled(handle: GuestHandle) -> Found | None:
    """The guest once nobody makes or destroys it any more; None when it is gone then."""
    from .._operations.vm.cleanup import settled_config

    return None if settled_config(handle) is None else (handle, read_status(handle))


def remove_unfinished(run: Run, vmid: int) -> bool:
    """Remove what a deployment of the instance that was broken off has left on its node, when no lock is on it."""
    handle = GuestHandle(run.client, Guest(vmid, run.node, QEMU))
    try:
        state = read_state(handle)
    except NotFound:
        return False
    instance, ownership = run.instance, run.details.required("ownership")
    is_ours = judge(read_mark(state.values), "", instance, ownership) is Verdict.UNFINISHED
    if state.values.get("lock") or not (is_ours or is_stub(state.values)):
        return False
    from .._operations.vm.cleanup import remove_remnant

    remove_remnant(run.applier(), handle, state)
    return True


def is_gone(run: Run, error: PveError) -> bool:
    """Whether an action failed because the guest has vanished meanwhile, for good, as the whole cluster says."""
    if _IS_BEING_DESTROYED in str(error):
        tries = run.deadline.tries(run.deadline.remaining)
        while find(run) is not None:
            if not tries.again():
                return False
        return True
    return (isinstance(error, NotFound) or is_absent(error)) and find(run) is None


def condition_of(state: GuestState) -> str:
    """What the guest is: running, paused, hibernated or stopped."""
    return state.status.condition if state.status else ""


def power(applier: Applier, handle: GuestHandle, state: GuestState, request: PowerRequest) -> None:
    """Bring a guest that has been read into a power state; raises a PveError."""
    from .._operations.power import bring_into_state

    if state.status is None:
        raise TypeError("the status of the guest has not been read")
    bring_into_state(applier, handle, state.status, request)
