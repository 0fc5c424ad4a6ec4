# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Start, stop, restart, reset, pause and hibernate guests."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._pve.commands import Command
from .._pve.errors import InvalidRequest, Meaning, Refused, TimedOut
from .._pve.guests import LXC, Guest, GuestHandle, Selector
from .facts import (
    HIBERNATED,
    PAUSED,
    RUNNING,
    STOPPED,
    Status,
    guest_result,
    pending_result,
    read_pending,
    read_status,
)
from .plan import Applier, Change, Outcome, Plan, Step, outcome
from .selection import select_guest, selector_from
from .waiting import Addresses, wait_for_addresses, wait_for_agent

STATES = ("started", "stopped", "restarted", "reset", "paused", "hibernated")
STOP_METHODS = ("shutdown", "stop", "shutdown_then_stop")
WAIT_FOR = ("agent", "ip")
# A guest can die right after a start that went well; PVE's own status then lags a moment behind.
SETTLE_SECONDS = 5.0
SETTLE_PAUSE_SECONDS = 0.2

# The condition that a state ends in; several where more than one will do.
_ENDS_IN: dict[str, tuple[str, ...]] = {
    "started": (RUNNING,),
    "restarted": (RUNNING,),
    "reset": (RUNNING,),
    "stopped": (STOPPED, HIBERNATED),
    "paused": (PAUSED,),
    "hibernated": (HIBERNATED,),
}
_CONTAINER_STATES = ("started", "stopped", "restarted")


@dataclass(frozen=True)
class PowerRequest:
    """Which state a guest shall be in, and by which means."""

    selector: Selector
    state: str
    stop_method: str = "shutdown"
    shutdown_timeout: int = 180
    wait_for: tuple[str, ...] = ()
    wait_timeout: int = 300


def power_request(parameters: t.Mapping[str, t.Any]) -> PowerRequest:
    """Check the options of a power operation; raises InvalidRequest."""
    request = PowerRequest(
        selector=selector_from(parameters),
        state=parameters["state"],
        stop_method=parameters["stop_method"],
        shutdown_timeout=parameters["shutdown_timeout"],
        wait_for=tuple(parameters.get("wait_for") or ()),
        wait_timeout=parameters["wait_timeout"],
    )
    for option in ("shutdown_timeout", "wait_timeout"):
        if getattr(request, option) <= 0:
            raise InvalidRequest(f"{option} must be more than 0 seconds, not {getattr(request, option)}")
    if request.wait_for and _ENDS_IN[request.state] != (RUNNING,):
        raise InvalidRequest(f"wait_for only goes with a state that leaves the guest running, not {request.state}")
    return request


def ensure_power(applier: Applier, request: PowerRequest) -> Outcome:
    """Bring a guest into a power state. Two requests when it is in it already; raises a PveError."""
    handle, status = select_guest(applier.client, request.selector)
    facts: dict[str, t.Any] = {}
    reached = bring_into_state(applier, handle, status, request)
    if reached is not None:
        status = reached
        facts["pending"] = pending_result(read_pending(handle))
    addresses = applier.watch(lambda: _wait_for(handle, request), None)
    if addresses is not None:
        facts["addresses"] = addresses.as_result()
    return outcome(applier, guest_result(handle.guest, status), **facts)


def bring_into_state(applier: Applier, handle: GuestHandle, status: Status, request: PowerRequest) -> Status | None:
    """Send what is needed to get from this status to the state asked for, and wait until it is really reached.

    Returns the new status; None when nothing was sent. Raises a PveError.
    """
    if applier.apply(plan_power(request, handle.guest, status), handle):
        return _await_condition(handle, request, status)
    return None


def plan_power(request: PowerRequest, guest: Guest, status: Status) -> Plan:
    """Say what has to be sent to get from the condition the guest is in to the state asked for."""
    _check_possible(request, guest, status)
    actions = list(_actions(request, status.condition))
    if not actions:
        return Plan()
    ends_in = _ENDS_IN[request.state][0]
    if ends_in == status.condition:
        changes = (Change("power", status.condition, request.state),)
    else:
        changes = (Change("power", status.condition, ends_in),)
    return Plan(tuple(_step(guest, action, form) for action, form in actions), changes)


def _check_possible(request: PowerRequest, guest: Guest, status: Status) -> None:
    if guest.kind == LXC and request.state not in _CONTAINER_STATES:
        raise InvalidRequest(
            f"{guest.label} is a container, which cannot be {request.state}: only virtual machines can"
        )
    if guest.kind == LXC and "agent" in request.wait_for:
        raise InvalidRequest(f"{guest.label} is a container and has no guest agent: use wait_for=ip")
    if status.template and request.state != "stopped":
        raise InvalidRequest(f"{guest.label} is a template, which cannot be {request.state}: clone it")
    if status.condition in (STOPPED, HIBERNATED) and request.state in ("reset", "paused"):
        raise InvalidRequest(f"{guest.label} is {status.condition}, so it cannot be {request.state}: start it first")
    if status.condition == STOPPED and request.state == "hibernated":
        raise InvalidRequest(f"{guest.label} is stopped, so it cannot be hibernated: start it first")


_Action = tuple[str, t.Mapping[str, t.Any]]


def _actions(request: PowerRequest, condition: str) -> t.Iterator[_Action]:
    """Yield PVE's actions, in order."""
    up = condition in (RUNNING, PAUSED)
    if request.state == "started":
        if condition != RUNNING:
            yield ("resume" if condition == PAUSED else "start", {})
    elif request.state == "stopped":
        if up:
            yield from _stop(request, condition)
    elif request.state == "restarted":
        yield from _restart(request, condition)
    elif request.state == "reset":
        yield from _resume_if(condition)
        yield ("reset", {})
    elif request.state == "paused":
        if condition == RUNNING:
            yield ("suspend", {})
    elif condition != HIBERNATED:
        yield from _resume_if(condition)
        yield ("suspend", {"todisk": 1})


def _resume_if(condition: str) -> t.Iterator[_Action]:
    if condition == PAUSED:
        yield ("resume", {})


def _stop(request: PowerRequest, condition: str) -> t.Iterator[_Action]:
    if request.stop_method == "stop":
        yield ("stop", {})
        return
    # PVE refuses to shut a paused guest down: 'VM is paused - cannot shutdown'.
    yield from _resume_if(condition)
    force = {"forceStop": 1} if request.stop_method == "shutdown_then_stop" else {}
    yield ("shutdown", {"timeout": request.shutdown_timeout, **force})


def _restart(request: PowerRequest, condition: str) -> t.Iterator[_Action]:
    if condition in (STOPPED, HIBERNATED):
        yield ("start", {})
    elif request.stop_method == "shutdown":
        yield from _resume_if(condition)
        yield ("reboot", {"timeout": request.shutdown_timeout})
    else:
        yield from _stop(request, condition)
        yield ("start", {})


_TITLES = {
    "start": "start",
    "stop": "stop hard",
    "shutdown": "shut down",
    "reboot": "reboot",
    "reset": "reset",
    "suspend": "pause",
    "resume": "resume",
}
_ACCEPTS = {"start": frozenset({Meaning.ALREADY_RUNNING})}


def _step(guest: Guest, action: str, form: t.Mapping[str, t.Any]) -> Step:
    title = "hibernate" if "todisk" in form else _TITLES[action]
    command = Command(
        "POST",
        (guest.kind, guest.vmid, "status", action),
        form,
        node=guest.node,
        task_type=("qm" if guest.kind != LXC else "vz") + action,
        task_id=str(guest.vmid),
        accepts=_ACCEPTS.get(action, frozenset()),
    )
    return Step(f"{title} {guest.label}", command)


def _await_condition(handle: GuestHandle, request: PowerRequest, before: Status) -> Status:
    """Read the status until it is the one asked for: the tasks of HA guests end before anything has happened."""
    wanted = _ENDS_IN[request.state]
    deadline = handle.client.deadline
    watch = deadline if before.ha_managed else deadline.within(SETTLE_SECONDS)
    while True:
        status = read_status(handle)
        if status.condition in wanted:
            return status
        if before.ha_managed and status.ha_state == "error":
            raise Refused(f"{handle.guest.label} is in the HA state error: look at it with ha-manager status")
        if watch.expired:
            break
        watch.pause(SETTLE_PAUSE_SECONDS)
    kind = TimedOut if before.ha_managed else Refused
    raise kind(
        f"{handle.guest.label} on node {handle.guest.node} is {status.condition} and not {request.state}, "
        f"although PVE's task ended well: look at the guest's own console and the node's log"
    )


def _wait_for(handle: GuestHandle, request: PowerRequest) -> Addresses | None:
    if not request.wait_for:
        return None
    watch = handle.client.deadline.within(request.wait_timeout)
    if "agent" in request.wait_for:
        wait_for_agent(handle, watch)
    return wait_for_addresses(handle, watch) if "ip" in request.wait_for else None
