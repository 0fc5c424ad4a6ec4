# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest of an instance: found, checked to be the instance's, read, and marked if it has no mark yet."""

from __future__ import annotations

import typing as t

from .._operations.facts import Status, read_status
from .._operations.guest.state import GuestState, config_reader, read_state
from .._pve.errors import NotFound, PveError, Refused
from .._pve.guests import DESTROYED, QEMU, UNSETTLED_LOCKS, Guest, GuestHandle, Selector, is_absent, is_stub
from .guests import Found, check_owner, find, locate
from .ownership import Mark, Verdict, adopted_notes, judge, read_mark
from .run import Run

if t.TYPE_CHECKING:
    from .._operations.plan import Applier
    from .._operations.vm.vm_request import VmRequest

_IS_BEING_DESTROYED = f"is locked ({DESTROYED})"


class OwnGuest:
    """The guest of the run's instance, as it was read last."""

    def __init__(self, run: Run, applier: Applier, handle: GuestHandle, state: GuestState) -> None:
        self.run = run
        self.applier = applier
        self.handle = handle
        self.state = state

    @property
    def label(self) -> str:
        return self.handle.guest.label

    @property
    def status(self) -> Status:
        if self.state.status is None:
            raise TypeError("the status of the guest has not been read")
        return self.state.status

    @property
    def condition(self) -> str:
        """Running, paused, hibernated or stopped."""
        return self.status.condition

    def converge(self, request: VmRequest) -> GuestState:
        """Change the guest until it is what the request says, and return what was read then; raises a PveError."""
        from .._operations.guest.ensure_guest import converge

        self.state = converge(self.applier, request, self.handle, self.state)
        return self.state

    def power(self, desired: str, **options: t.Any) -> None:
        """Bring the guest into a power state, with the options of PowerRequest; raises a PveError."""
        from .._operations.power import PowerRequest, bring_into_state

        request = PowerRequest(Selector(self.handle.guest.vmid), desired, **options)
        bring_into_state(self.applier, self.handle, self.status, request)

    def mark(self, mark: Mark) -> None:
        """Mark the guest, which has this mark so far, as the instance's, and read it again."""
        # Most guests are marked: these imports would take longer than reading the guest.
        from .._operations.guest.change_plan import plan_changes
        from .._operations.guest.desired import DesiredSetting
        from .._operations.guest.tags import DesiredTags
        from .._operations.vm.vm_request import VmRequest

        run, handle, state = self.run, self.handle, self.state
        notes = adopted_notes(state.values.get("description", ""), mark, run.instance, run.details.text("cloud") or "")
        request = VmRequest(
            Selector(handle.guest.vmid),
            settings=(DesiredSetting("description", notes),),
            tags=DesiredTags((run.details.required("tag"),), only=False),
        )
        self.applier.apply(plan_changes(request, state, config_reader(handle)), handle)
        self.state = read_state(handle, status=state.status)


def own_guest(run: Run, adopt: bool = True) -> OwnGuest:
    """Find the instance's guest and read it, with two requests. Without adopt, nothing is written.

    Raises NotFound when it is gone, PermissionDenied when the guest with its number is not the instance's, Refused when
    its deployment was interrupted.
    """
    own = _read_own(run, locate(run), adopt)
    if own is None:
        raise NotFound(f"{run.instance.name} is gone: there is no guest {run.vmid} in the cluster")
    return own


def find_own_guest(run: Run, adopt: bool = True) -> OwnGuest | None:
    """Do the same for an action that has nothing to do when the guest is gone: None when the whole cluster says so.

    It also finds what an interrupted deployment has left. A guest whose number CloudStack does not know, as after a
    failed prepare, is found by its mark.
    """
    return _read_own(run, find(run), adopt, unfinished=True)


def _read_own(run: Run, found: Found | None, adopt: bool, unfinished: bool = False) -> OwnGuest | None:
    found = found if found is None or found[1].lock not in UNSETTLED_LOCKS else _settled(found[0])
    if found is None:
        return None
    handle, status = found
    own = OwnGuest(run, run.applier(), handle, read_state(handle, status=status))
    verdict, mark = check_owner(run, handle, own.state.status or status, own.state.values)
    if verdict is Verdict.UNFINISHED and not unfinished:
        raise Refused(
            f"{own.label} on node {handle.guest.node} is what an interrupted deployment of {run.instance.name} has "
            f"left: delete the instance, and deploy it again"
        )
    cloud = run.details.text("cloud")
    # The mark may be older than the name of the cloud.
    lacks_cloud = verdict is Verdict.OURS and mark.genuine and bool(cloud) and mark.cloud != cloud
    if adopt and (verdict is Verdict.ADOPTABLE or lacks_cloud):
        own.mark(mark)
    return own


def _settled(handle: GuestHandle) -> Found | None:
    """The guest after its creation or destruction has ended; None if it is gone then."""
    from .._operations.vm.cleanup import settled_config

    return None if settled_config(handle) is None else (handle, read_status(handle))


def remove_unfinished(run: Run, vmid: int) -> bool:
    """Remove what an interrupted deployment of the instance has left on its node, unless it is locked."""
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
    """Whether an action failed because the guest has been destroyed meanwhile, as the whole cluster says."""
    if _IS_BEING_DESTROYED in str(error):
        tries = run.deadline.tries(run.deadline.remaining)
        while find(run) is not None:
            if not tries.again():
                return False
        return True
    return (isinstance(error, NotFound) or is_absent(error)) and find(run) is None
