# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Power plans: from every condition to every state, for machines and containers, by every way to stop."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.facts import (
    HIBERNATED,
    PAUSED,
    RUNNING,
    STOPPED,
    Status,
    parse_status,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.plan import Change
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.power import (
    STATES,
    STOP_METHODS,
    PowerRequest,
    plan_power,
    power_request,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import Guest, Selector

CONDITIONS = (RUNNING, PAUSED, HIBERNATED, STOPPED)
SOFT = {"timeout": 180}
FORCED = {"timeout": 180, "forceStop": 1}
TO_DISK = {"todisk": 1}
IMPOSSIBLE = "impossible"

# state, condition: the actions for the stop methods that are named; "" is whichever
MACHINES = {
    ("started", RUNNING): {"": []},
    ("started", PAUSED): {"": [("resume", {})]},
    ("started", HIBERNATED): {"": [("start", {})]},
    ("started", STOPPED): {"": [("start", {})]},
    ("stopped", RUNNING): {
        "shutdown": [("shutdown", SOFT)],
        "stop": [("stop", {})],
        "shutdown_then_stop": [("shutdown", FORCED)],
    },
    ("stopped", PAUSED): {
        "shutdown": [("resume", {}), ("shutdown", SOFT)],
        "stop": [("stop", {})],
        "shutdown_then_stop": [("resume", {}), ("shutdown", FORCED)],
    },
    ("stopped", HIBERNATED): {"": []},
    ("stopped", STOPPED): {"": []},
    ("restarted", RUNNING): {
        "shutdown": [("reboot", SOFT)],
        "stop": [("stop", {}), ("start", {})],
        "shutdown_then_stop": [("shutdown", FORCED), ("start", {})],
    },
    ("restarted", PAUSED): {
        "shutdown": [("resume", {}), ("reboot", SOFT)],
        "stop": [("stop", {}), ("start", {})],
        "shutdown_then_stop": [("resume", {}), ("shutdown", FORCED), ("start", {})],
    },
    ("restarted", HIBERNATED): {"": [("start", {})]},
    ("restarted", STOPPED): {"": [("start", {})]},
    ("reset", RUNNING): {"": [("reset", {})]},
    ("reset", PAUSED): {"": [("resume", {}), ("reset", {})]},
    ("reset", HIBERNATED): IMPOSSIBLE,
    ("reset", STOPPED): IMPOSSIBLE,
    ("paused", RUNNING): {"": [("suspend", {})]},
    ("paused", PAUSED): {"": []},
    ("paused", HIBERNATED): IMPOSSIBLE,
    ("paused", STOPPED): IMPOSSIBLE,
    ("hibernated", RUNNING): {"": [("suspend", TO_DISK)]},
    ("hibernated", PAUSED): {"": [("resume", {}), ("suspend", TO_DISK)]},
    ("hibernated", HIBERNATED): {"": []},
    ("hibernated", STOPPED): IMPOSSIBLE,
}
MATRIX = [
    (state, condition, method, IMPOSSIBLE if row == IMPOSSIBLE else row.get(method, row.get("")))
    for (state, condition), row in MACHINES.items()
    for method in STOP_METHODS
]


def machine(kind="qemu"):
    return Guest(100, "pve1", kind, name="web")


def status(condition, **changes):
    facts = {
        "name": "web",
        "condition": condition,
        "template": False,
        "lock": "",
        "ha_managed": False,
        "ha_state": "",
        "uptime": 0,
        "tags": (),
        **changes,
    }
    return Status(**facts)


def plan(state, condition, method="shutdown", kind="qemu", wait_for=(), **changes):
    request = PowerRequest(Selector(100), state, method, wait_for=wait_for)
    return plan_power(request, machine(kind), status(condition, **changes))


def actions(found):
    return [(step.command.tail[-1], dict(step.command.form)) for step in found.steps]


def model(condition, action, form):
    """What PVE does to a guest (30-lifecycle.json); the failure when it refuses."""
    up = condition in (RUNNING, PAUSED)
    if action == "start":
        assert not up, "VM 100 already running"
        return RUNNING
    if action == "stop":
        return STOPPED if up else condition
    if action == "shutdown":
        assert condition != PAUSED, "VM is paused - cannot shutdown"
        return STOPPED if up else condition
    assert up, "VM 100 not running"
    if action == "reboot":
        assert condition != PAUSED, "VM is paused - cannot shutdown"
    if action == "suspend":
        return HIBERNATED if form.get("todisk") else PAUSED
    return RUNNING


def test_the_matrix_is_complete():
    assert set(MACHINES) == set(itertools.product(STATES, CONDITIONS))


@pytest.mark.parametrize(("state", "condition", "method", "expected"), MATRIX)
def test_a_virtual_machine_from_each_condition_to_each_state(state, condition, method, expected):
    if expected == IMPOSSIBLE:
        with pytest.raises(InvalidRequest, match=r"guest 100 \(web\) is .*start it first"):
            plan(state, condition, method)
        return
    found = plan(state, condition, method)
    assert actions(found) == expected
    assert found.changed is bool(expected)
    assert bool(found.changes) is bool(expected)
    assert len({step.title for step in found.steps}) == len(expected)


@pytest.mark.parametrize(("state", "condition", "method", "expected"), MATRIX)
def test_applied_to_a_model_the_plan_leads_there_and_nothing_is_left_to_do(state, condition, method, expected):
    if expected == IMPOSSIBLE:
        return
    after = condition
    for action, form in actions(plan(state, condition, method)):
        after = model(after, action, form)
    again = plan(state, after, method)
    if state in ("restarted", "reset"):
        assert after == RUNNING
        assert again.changed
    else:
        assert not again.changed
        assert again.changes == ()


@pytest.mark.parametrize(
    ("state", "condition", "method"), list(itertools.product(STATES, (RUNNING, STOPPED), STOP_METHODS))
)
def test_a_container_can_be_started_stopped_and_restarted(state, condition, method):
    if state not in ("started", "stopped", "restarted"):
        with pytest.raises(InvalidRequest, match=f"is a container, which cannot be {state}"):
            plan(state, condition, method, kind="lxc")
        return
    found = plan(state, condition, method, kind="lxc")
    assert actions(found) == actions(plan(state, condition, method))
    for step in found.steps:
        assert step.command.tail[:2] == ("lxc", 100)
        assert step.command.task_type.startswith("vz")


@pytest.mark.parametrize("state", [state for state in STATES if state != "stopped"])
def test_a_template_stays_as_it_is(state):
    with pytest.raises(InvalidRequest, match="is a template, which cannot be"):
        plan(state, STOPPED, template=True)


def test_a_template_is_stopped():
    assert not plan("stopped", STOPPED, template=True).changed


@pytest.mark.parametrize(
    ("state", "condition", "change"),
    [
        ("started", STOPPED, Change("power", "stopped", "running")),
        ("started", PAUSED, Change("power", "paused", "running")),
        ("stopped", RUNNING, Change("power", "running", "stopped")),
        ("paused", RUNNING, Change("power", "running", "paused")),
        ("hibernated", PAUSED, Change("power", "paused", "hibernated")),
        ("restarted", RUNNING, Change("power", "running", "restarted")),
        ("restarted", STOPPED, Change("power", "stopped", "running")),
        ("reset", RUNNING, Change("power", "running", "reset")),
    ],
)
def test_the_diff_is_the_condition_before_and_after(state, condition, change):
    assert plan(state, condition).changes == (change,)


# The names of PVE's tasks, by which a lost answer is looked up.
TASKS = [
    ("started", STOPPED, "shutdown", ["qmstart"]),
    ("started", PAUSED, "shutdown", ["qmresume"]),
    ("stopped", RUNNING, "shutdown", ["qmshutdown"]),
    ("stopped", RUNNING, "stop", ["qmstop"]),
    ("restarted", RUNNING, "shutdown", ["qmreboot"]),
    ("reset", RUNNING, "shutdown", ["qmreset"]),
    ("paused", RUNNING, "shutdown", ["qmpause"]),
    ("hibernated", RUNNING, "shutdown", ["qmsuspend"]),
]
HA_TASKS = [
    ("started", STOPPED, "shutdown", ["hastart"]),
    ("stopped", RUNNING, "shutdown", ["hastop"]),
    ("restarted", RUNNING, "stop", ["hastop", "hastart"]),
    ("restarted", RUNNING, "shutdown", ["qmreboot"]),
    ("paused", RUNNING, "shutdown", ["qmpause"]),
]


@pytest.mark.parametrize(("state", "condition", "method", "tasks"), TASKS)
def test_the_task_of_each_command_has_pves_name(state, condition, method, tasks):
    steps = plan(state, condition, method).steps
    assert [step.command.task_type for step in steps] == tasks
    assert {step.command.task_id for step in steps} == {"100"}


@pytest.mark.parametrize(("state", "condition", "method", "tasks"), HA_TASKS)
def test_ha_starts_and_stops_its_guests_itself(state, condition, method, tasks):
    steps = plan(state, condition, method, ha_managed=True, ha_state="started").steps
    assert [step.command.task_type for step in steps] == tasks
    assert [step.through_ha for step in steps] == [task.startswith("ha") for task in tasks]


def test_ha_leaves_alone_what_it_shall_ignore():
    steps = plan("started", STOPPED, ha_managed=True, ha_state="ignored").steps
    assert [(step.command.task_type, step.through_ha) for step in steps] == [("qmstart", False)]


@pytest.mark.parametrize("state", STATES)
def test_only_a_reboot_and_a_reset_must_not_be_done_twice(state):
    for step in plan(state, RUNNING).steps:
        assert step.command.once is (step.command.tail[-1] in ("reboot", "reset"))


PARAMETERS = {
    "vmid": 100,
    "state": "started",
    "stop_method": "shutdown",
    "shutdown_timeout": 180,
    "wait_for": None,
    "wait_timeout": 300,
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"vmid": None}, "vmid or by name"),
        ({"vmid": 99}, "vmid must be from 100"),
        ({"vmid": 1_000_000_000}, "vmid must be from 100"),
        ({"shutdown_timeout": 0}, "shutdown_timeout must be more than 0 seconds, not 0"),
        ({"wait_timeout": -5}, "wait_timeout must be more than 0 seconds, not -5"),
        ({"state": "stopped", "wait_for": ["ip"]}, "wait_for only goes with"),
        ({"state": "paused", "wait_for": ["agent"]}, "wait_for only goes with"),
    ],
)
def test_what_cannot_be_is_refused_by_name(changes, words):
    with pytest.raises(InvalidRequest, match=words):
        power_request({**PARAMETERS, **changes})


def test_containers_have_no_agent():
    with pytest.raises(InvalidRequest, match="has no guest agent: use wait_for=ip"):
        plan("started", STOPPED, kind="lxc", wait_for=("agent",))


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        ({"status": "stopped", "qmpstatus": "stopped"}, STOPPED),
        ({"status": "stopped", "qmpstatus": "stopped", "lock": "suspended"}, HIBERNATED),
        ({"status": "stopped", "lock": "backup"}, STOPPED),
        ({"status": "running", "qmpstatus": "running"}, RUNNING),
        ({"status": "running", "qmpstatus": "running", "lock": "suspending"}, RUNNING),
        ({"status": "running", "qmpstatus": "paused"}, PAUSED),
        ({"status": "running", "qmpstatus": "suspended"}, PAUSED),
        ({"status": "running", "qmpstatus": "prelaunch"}, PAUSED),
        ({"status": "running"}, RUNNING),
        ({}, STOPPED),
    ],
)
def test_the_condition_behind_pves_words(data, condition):
    assert parse_status(data).condition == condition
