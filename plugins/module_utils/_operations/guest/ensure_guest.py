# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make, change and delete guests: read, plan, apply, until nothing is left to do."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..._pve.client import PveClient
from ..._pve.deadline import Tries
from ..._pve.errors import Ambiguous, ErrorReason, NotFound, PveError, Refused
from ..._pve.guests import Guest, GuestHandle, Selector, find_guest, read_guests, unless_absent
from ..._pve.vm_config import VOLUME_KEY
from ..plan import Applier, Change, Outcome, Plan, outcome
from ..power import PowerRequest, bring_into_state
from ..selection import confirm_name
from .change_plan import plan_changes
from .creation import Creation, plan_creation
from .guest_request import GuestRequest
from .placement import Cluster, read_cluster
from .pools import see_pool
from .refusal import take_back
from .removal import plan_removal, remove_guest
from .state import GuestState, Origin, config_reader, new_guest_status, read_state, state_result
from .tags import with_tag_style
from .unfinished import find_rival, wait_for_unfinished
from .volumes import VolumeProgress
from .whereabouts import bring_to_node

# At least so long a run waits for the names of guests that others began before it took a number for its own.
RIVAL_SECONDS = 10.0


def ensure_guest(applier: Applier, request: GuestRequest) -> Outcome:
    """Bring a guest into the state asked for. Three requests when it is in it already.

    Raises a PveError; what was done before that is noted in the applier.
    """
    cluster = applier.cluster or read_cluster(applier.client)
    found = _find(applier, request, cluster)
    if request.state == "absent":
        return _ensure_absent(applier, request, found)
    if not found:
        return _ensure_new(applier, request, cluster)
    handle, state = found
    node, state, warnings = bring_to_node(applier, request, handle, state)
    request = request.provided(applier, node, {**state.in_effect, **state.values})
    return _result(applier, _converge_all(applier, request, handle, state), warnings)


def _ensure_new(applier: Applier, request: GuestRequest, cluster: Cluster) -> Outcome:
    creation = plan_creation(applier.client, request, cluster)
    values = {} if creation.expected.origin is Origin.WRITTEN else creation.expected.values
    request, known = request.provided(applier, creation.node, values), len(applier.changes)
    if applier.check_mode:
        state = create_guest(applier, request, creation)[1]
    else:
        handle, state = _create_and_read(applier, request, cluster, creation)
        state = _converge_all(applier, request, handle, state)
    # What a clone has from its source was never there before.
    applier.changes[known:] = [replace(change, before=None) for change in applier.changes[known:]]
    return _result(applier, state)


def _converge_all(applier: Applier, request: GuestRequest, handle: GuestHandle, state: GuestState) -> GuestState:
    known = len(applier.changes)
    state = converge(applier, request, handle, see_pool(handle, request.pool, state))
    return bring_about(applier, request, handle, state, applier.changes[known:])


def create_guest(applier: Applier, request: GuestRequest, creation: Creation) -> tuple[GuestHandle, GuestState]:
    """Make a guest that is certainly new, and configure it by what is known of it unread; raises a PveError."""
    made = applier.apply(Plan((creation,)))
    handle, state = creation.handle(applier.client), creation.expected
    request = _with_tag_style(applier, request, state)
    plan = plan_changes(request, state, config_reader(handle))
    written = {key for step in plan.steps for key in step.keys if VOLUME_KEY.fullmatch(key)}
    if made and state.origin is Origin.CLONED and written & set(state.values):
        # A drive's properties are written together with the name of its volume, which only PVE knows.
        state = read_state(handle, state.origin, new_guest_status(state.name))
        plan = plan_changes(request, state, config_reader(handle))
    applier.apply(plan, handle)
    return handle, state


def _with_tag_style(applier: Applier, request: GuestRequest, state: GuestState) -> GuestRequest:
    tags = with_tag_style(applier.client, request.tags, state.values.get("tags"), state.guest.vmid)
    return request if tags is request.tags else replace(request, tags=tags)


def _result(applier: Applier, state: GuestState, warnings: t.Sequence[str] = ()) -> Outcome:
    guest, facts = state_result(state)
    return outcome(applier, guest, warnings, **facts)


def _find(applier: Applier, request: GuestRequest, cluster: Cluster) -> tuple[GuestHandle, GuestState] | None:
    """Find and read the guest that is meant; None when there is none, or when it vanishes while it is being made."""
    if request.selector.vmid is not None:
        return _find_by_vmid(applier.client, request, cluster)
    return _find_by_name(applier.client, request, cluster)


def _find_by_vmid(client: PveClient, request: GuestRequest, cluster: Cluster) -> tuple[GuestHandle, GuestState] | None:
    guest = find_guest(client, request.selector, guests=cluster.guests)
    found = None if guest is None else _read_unless_gone(client, guest)
    if found is not None and not request.rename:
        handle, state = found
        confirm_name(handle.guest, _name(state), request.selector)
    return found


def _find_by_name(client: PveClient, request: GuestRequest, cluster: Cluster) -> tuple[GuestHandle, GuestState] | None:
    guest = find_guest(client, request.selector, guests=cluster.guests, offline=cluster.offline)
    guests = cluster.guests
    while guest is None and request.state != "absent" and wait_for_unfinished(client, request.kind, guests):
        guests = tuple(read_guests(client))
        guest = find_guest(client, request.selector, fresh=True, guests=guests, offline=cluster.offline)
    found = None if guest is None else _read_unless_gone(client, guest)
    if found is None or _name(found[1]) == request.selector.name:
        return found
    # The statistics still had the old name of a guest that was renamed a moment ago.
    guest = find_guest(client, request.selector, fresh=True, offline=cluster.offline)
    return None if guest is None else _read_unless_gone(client, guest)


def _read_unless_gone(client: PveClient, guest: Guest) -> tuple[GuestHandle, GuestState] | None:
    handle = GuestHandle(client, guest)
    return unless_absent(lambda: (handle, read_state(handle)))


def _name(state: GuestState) -> str:
    return state.status.name if state.status else ""


def _ensure_absent(applier: Applier, request: GuestRequest, found: tuple[GuestHandle, GuestState] | None) -> Outcome:
    if found is None:
        return outcome(applier, None)
    handle, state = found
    guest, _facts = state_result(state)
    remove_guest(applier, handle, request, state)
    return outcome(applier, guest)


def _create_and_read(
    applier: Applier, request: GuestRequest, cluster: Cluster, creation: Creation
) -> tuple[GuestHandle, GuestState]:
    """Make the guest, and look at it; raises Ambiguous when another run has made one of its name at the same time."""
    client, began = applier.client, applier.client.deadline.remaining
    applier.apply(Plan((creation,)))
    handle = creation.handle(client)
    try:
        state = read_state(handle, creation.expected.origin, new_guest_status(creation.expected.name))
    except NotFound as error:
        raise Refused(
            f"guest {creation.vmid} is not there although PVE's task to make it ended well: look at the node's tasks",
            error.cause,
        ) from error
    known = {guest.vmid for guest in cluster.guests}
    if request.selector.name is not None and creation.was_overtaken(known | client.turns.own_vmids):
        # Another run that makes the same guest takes about as long as this one did.
        seconds = max(RIVAL_SECONDS, began - client.deadline.remaining)
        rival = find_rival(client, request.kind, request.selector.name, handle.guest.vmid, known, seconds)
        if rival is not None:
            _give_way(applier, request, creation, handle, state, rival)
    return handle, state


def _give_way(
    applier: Applier, request: GuestRequest, creation: Creation, handle: GuestHandle, state: GuestState, rival: Guest
) -> t.NoReturn:
    """Remove the guest that was made a moment ago, if it surely was, because another run has made the one of its name.

    Raises Ambiguous.
    """
    mine = f"guest {handle.guest.vmid}"
    left = f"{mine} may be left over: look at it"
    if not creation.answer_was_lost:
        left = f"{mine} was removed again"
        try:
            applier.apply(
                plan_removal(replace(request, purge=True, destroy_unreferenced_disks=False), state, handle), handle
            )
        except PveError as error:
            left = f"{mine}, which this run made, could not be removed again ({error})"
    raise Ambiguous(
        f"another run made guest {rival.vmid} on node {rival.node} with the name {state.name!r} at the same time, "
        f"and {left}: run this again to have that guest changed, or give vmid"
    )


def converge(applier: Applier, request: GuestRequest, handle: GuestHandle, state: GuestState) -> GuestState:
    """Take the first step of the plan, read again, and plan again, until the plan is empty; raises a PveError.

    Of several writers each plans again when another one was faster, as often as the deadline allows.
    """
    progress, taken = VolumeProgress(), set[str]()
    conflicts: Tries | None = None
    while True:
        request = _with_tag_style(applier, request, state)
        plan = plan_changes(request, state, config_reader(handle), progress)
        _check_progress(plan, taken, state)
        try:
            if not applier.apply_first(plan, handle):
                return state
        except PveError as error:
            if error.pve_reason is not ErrorReason.CONFLICT:
                explained = take_back(applier, handle, request.kind, state, plan.steps[0], error)
                if explained is error:
                    raise
                raise explained from error
            conflicts = conflicts or handle.client.deadline.tries(handle.client.deadline.remaining)
            if not conflicts.again():
                raise
            state = see_pool(handle, request.pool, read_state(handle, state.origin))
        else:
            step = plan.steps[0]
            taken.add(step.title)
            step.note(progress)
            _follow_pool(handle, plan)
            state = see_pool(handle, request.pool, read_state(handle, step.origin_after(state.origin), state.status))


def bring_about(
    applier: Applier, request: GuestRequest, handle: GuestHandle, state: GuestState, changes: t.Sequence[Change]
) -> GuestState:
    """Do for what a running guest has not taken what the request says; changes are those that this run has made."""
    state = replace(state, not_read=request.not_read(handle, state, changes))
    if request.apply_pending == "reboot" and state.reboot_required and state.status is not None:
        reboot = PowerRequest(request.selector, "restarted", shutdown_timeout=request.shutdown_timeout)
        status = bring_into_state(applier, handle, state.status, reboot)
        return state if status is None else read_state(handle, Origin.WRITTEN, status)
    applier.apply(request.plan_not_read(state), handle)
    return state


def _check_progress(plan: Plan, taken: set[str], state: GuestState) -> None:
    """A step that has to be taken twice has not done what PVE said it did."""
    if plan.steps and plan.steps[0].title in taken:
        change = plan.steps[0].changes[0]
        raise Refused(
            f"PVE accepted to {plan.steps[0].title}, but {change.key} still is {change.before!r} "
            f"and not {change.after!r} on node {state.guest.node}"
        )


def _follow_pool(handle: GuestHandle, plan: Plan) -> None:
    """The pool is not in the configuration, but in the cluster's list of guests."""
    if any(change.key == "pool" for change in plan.steps[0].changes):
        guest = find_guest(handle.client, Selector(handle.guest.vmid))
        handle.guest = handle.guest._replace(pool=guest.pool if guest else "")
