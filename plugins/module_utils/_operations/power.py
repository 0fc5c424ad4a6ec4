# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Start, stop, restart, reset, pause and hibernate guests."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .._pve.client import PveClient
from .._pve.commands import Command, run_command
from .._pve.deadline import Deadline
from .._pve.errors import Cause, ErrorReason, InvalidRequest, Refused, TimedOut
from .._pve.guests import LXC, Guest, GuestHandle, Selector
from .._pve.tasks import Task
from .addresses import Addresses, Network, read_networks
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
from .ha import is_through_ha, is_wanted_running, takes_commands, want_stopped
from .plan import Applier, Change, Outcome, Plan, PlanStep, outcome
from .selection import select_guest, selector_from
from .waiting import wait_for_addresses, wait_for_agent, watch_status

STATES = ("started", "stopped", "restarted", "reset", "paused", "hibernated")
STOP_METHODS = ("shutdown", "stop", "shutdown_then_stop")
WAIT_FOR = ("agent", "ip")
# A guest can die right after a start that went well; PVE's own status then lags a moment behind.
SETTLE_SECONDS = 5.0
# The task of a reboot ends with the shutdown: PVE's clean-up starts the guest afterwards (qm cleanup).
REBOOT_SETTLE_SECONDS = 60.0
# HA heeds a command in its next rounds, of ten seconds each (PVE::HA::CRM).
HA_ROUND_SECONDS = 25.0

# The condition that a state, or an action of PVE, ends in; several where more than one will do.
_ENDS_IN: dict[str, tuple[str, ...]] = {
    "started": (RUNNING,),
    "restarted": (RUNNING,),
    "reset": (RUNNING,),
    "stopped": (STOPPED, HIBERNATED),
    "paused": (PAUSED,),
    "hibernated": (HIBERNATED,),
    "start": (RUNNING,),
    "resume": (RUNNING,),
    "reboot": (RUNNING,),
    "stop": (STOPPED, HIBERNATED),
    "shutdown": (STOPPED, HIBERNATED),
    "pause": (PAUSED,),
    "hibernate": (HIBERNATED,),
}
_CONTAINER_STATES = ("started", "stopped", "restarted")


@dataclass(frozen=True)
class PowerRequest:
    """Which state a guest is to be in, and by which means."""

    selector: Selector
    state: str
    stop_method: str = "shutdown"
    shutdown_timeout: int = 180
    wait_for: tuple[str, ...] = ()
    wait_timeout: int = 300
    prefer_networks: tuple[Network, ...] = ()
    exclude_networks: tuple[Network, ...] = ()


@dataclass(frozen=True)
class PowerStep(PlanStep):
    """A step whose effect is seen in the condition of the guest.

    The task of an HA guest ends before anything has happened, so this step goes on until something has.
    """

    ends_in: tuple[str, ...] = ()
    through_ha: bool = False

    def run(self, client: PveClient, handle: GuestHandle | None) -> Task | None:
        if handle is None:
            raise TypeError("a power step is about a guest")
        command = self.command
        if not command.once:
            command = replace(command, done=lambda: read_status(handle).condition in self.ends_in)
        task = run_command(client, command, handle)
        if self.through_ha:
            asked = Cause(upid=task.upid) if task else Cause()
            if STOPPED in self.ends_in:
                await_ha_stop(handle, self.ends_in, asked)
            else:
                await_condition(handle, self.ends_in, client.deadline, asked)
        return task


@dataclass(frozen=True)
class HaStopStep:
    """Let HA start a guest no more that is stopped at the moment."""

    title: str
    changes: tuple[Change, ...] = ()

    def run(self, _client: PveClient, handle: GuestHandle | None) -> Task | None:
        """Request it, and wait until the guest is stopped for good; raises a PveError."""
        if handle is None:
            raise TypeError("a power step is about a guest")
        want_stopped(handle)
        await_ha_stop(handle, _ENDS_IN["stopped"], Cause())
        return None


def power_request(parameters: t.Mapping[str, t.Any]) -> PowerRequest:
    """Check the options of a power operation; raises InvalidRequest."""
    request = PowerRequest(
        selector=selector_from(parameters),
        state=parameters["state"],
        stop_method=parameters["stop_method"],
        shutdown_timeout=parameters["shutdown_timeout"],
        wait_for=tuple(parameters.get("wait_for") or ()),
        wait_timeout=parameters["wait_timeout"],
        prefer_networks=read_networks("prefer_networks", parameters.get("prefer_networks")),
        exclude_networks=read_networks("exclude_networks", parameters.get("exclude_networks")),
    )
    for option in ("shutdown_timeout", "wait_timeout"):
        if getattr(request, option) <= 0:
            raise InvalidRequest(f"{option} must be more than 0 seconds, not {getattr(request, option)}")
    if (request.prefer_networks or request.exclude_networks) and "ip" not in request.wait_for:
        raise InvalidRequest(
            "prefer_networks and exclude_networks are about the addresses of wait_for=ip: set that, too"
        )
    if request.wait_for and _ENDS_IN[request.state] != (RUNNING,):
        raise InvalidRequest(f"wait_for only goes with a state that leaves the guest running, not {request.state}")
    return request


def ensure_power(applier: Applier, request: PowerRequest) -> Outcome:
    """Bring a guest into a power state. Two requests when it is in it already; raises a PveError."""
    handle, status = select_guest(applier.client, request.selector, applier.guests)
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
    plan = plan_power(request, handle.guest, status)
    if not plan.changed and request.state == "stopped" and is_through_ha(status) and is_wanted_running(handle):
        # It is about to start, as right after somebody has asked for that.
        title = f"let HA keep {handle.guest.label} stopped"
        plan = Plan((HaStopStep(title),), (Change("ha", "started", "stopped"),))
    if not applier.apply(plan, handle):
        return None
    rebooted = any(isinstance(step, PowerStep) and "reboot" in step.command.tail for step in plan.steps)
    watch = applier.client.deadline.within(REBOOT_SETTLE_SECONDS if rebooted else SETTLE_SECONDS)
    return await_condition(handle, _ENDS_IN[request.state], watch)


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
    return Plan(tuple(_step(guest, status, action, form) for action, form in actions), changes)


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
    """Yield the actions, in order."""
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
            yield ("pause", {})
    elif condition != HIBERNATED:
        yield from _resume_if(condition)
        yield ("hibernate", {"todisk": 1})


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


_TITLES = {"stop": "stop {} hard", "shutdown": "shut {} down"}
# PVE calls both suspend, but not their tasks (PVE::API2::Qemu vm_suspend).
_PVE_NAMES = {"pause": "suspend", "hibernate": "suspend"}
_TASK_NAMES = {"hibernate": "suspend"}
# Through HA even a shutdown is a stop (PVE::API2::Qemu vm_shutdown); what is not here goes to the guest itself.
_HA_TASKS = {"start": "hastart", "stop": "hastop", "shutdown": "hastop"}
# A stopped container refuses to be stopped, a virtual machine does not.
_ACCEPTS = {
    "start": frozenset({ErrorReason.ALREADY_RUNNING}),
    "stop": frozenset({ErrorReason.NOT_RUNNING}),
    "shutdown": frozenset({ErrorReason.NOT_RUNNING}),
}
_ONCE = ("reboot", "reset")


def _step(guest: Guest, status: Status, action: str, form: t.Mapping[str, t.Any]) -> PowerStep:
    through_ha = is_through_ha(status) and action in _HA_TASKS
    own_task = ("vz" if guest.kind == LXC else "qm") + _TASK_NAMES.get(action, action)
    command = Command(
        "POST",
        (guest.kind, guest.vmid, "status", _PVE_NAMES.get(action, action)),
        form,
        node=guest.node,
        task_type=_HA_TASKS[action] if through_ha else own_task,
        task_id=str(guest.vmid),
        accepts=_ACCEPTS.get(action, frozenset()),
        once=action in _ONCE,
    )
    title = _TITLES.get(action, f"{action} {{}}").format(guest.label)
    return PowerStep(title, command, ends_in=_ENDS_IN[action], through_ha=through_ha)


def await_ha_stop(handle: GuestHandle, wanted: tuple[str, ...], asked_ha: Cause) -> Status:
    """Wait until HA has stopped the guest for good; raises as await_condition does.

    HA loses a command that comes while it starts or moves the guest, and would start one that nobody has asked it to
    let lie.
    """
    deadline = handle.client.deadline
    heeded, insisted = deadline.within(HA_ROUND_SECONDS), False

    def is_down_for_good(status: Status) -> bool:
        nonlocal insisted
        is_down, settled = status.condition in wanted, takes_commands(status.ha_state)
        if is_down and settled and not is_wanted_running(handle):
            return True
        _check_no_ha_error(handle, status, asked_ha)
        if not insisted and (is_down or not settled or (heeded.expired and status.ha_state != "request_stop")):
            insisted = True
            want_stopped(handle)
        return False

    status, reached = watch_status(handle, deadline, is_down_for_good)
    if not reached:
        raise TimedOut(_ha_is_late(handle, status, wanted, deadline), asked_ha)
    return status


def await_condition(
    handle: GuestHandle, wanted: tuple[str, ...], watch: Deadline, asked_ha: Cause | None = None
) -> Status:
    """Read the status until the guest's condition is one of those wanted.

    asked_ha names the task that asked HA for it. Raises Refused, or TimedOut when HA may still do it.
    """

    def is_wanted(status: Status) -> bool:
        if status.condition in wanted:
            return True
        _check_no_ha_error(handle, status, asked_ha)
        return False

    status, reached = watch_status(handle, watch, is_wanted)
    if reached:
        return status
    if asked_ha:
        raise TimedOut(_ha_is_late(handle, status, wanted, watch), asked_ha)
    where = f"{handle.guest.label} on node {handle.guest.node} is {status.condition} and not {wanted[0]}"
    raise Refused(f"{where}, although PVE's task ended well: look at the guest's own console and the node's log")


def _check_no_ha_error(handle: GuestHandle, status: Status, asked_ha: Cause | None) -> None:
    if asked_ha and status.ha_state == "error":
        raise Refused(f"{handle.guest.label} is in the HA state error: look at it with ha-manager status", asked_ha)


def _ha_is_late(handle: GuestHandle, status: Status, wanted: tuple[str, ...], watch: Deadline) -> str:
    return (
        f"{handle.guest.label} on node {handle.guest.node} is {status.condition} and not {wanted[0]} after "
        f"{watch.seconds:.0f} s: HA was asked for it, look at it with ha-manager status"
    )


def _wait_for(handle: GuestHandle, request: PowerRequest) -> Addresses | None:
    if not request.wait_for:
        return None
    watch = handle.client.deadline.within(request.wait_timeout)
    if "agent" in request.wait_for:
        wait_for_agent(handle, watch)
    if "ip" not in request.wait_for:
        return None
    return wait_for_addresses(handle, watch, request.prefer_networks, request.exclude_networks)
