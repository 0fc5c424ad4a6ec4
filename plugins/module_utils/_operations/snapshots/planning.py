# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the snapshots that there are to those asked for: which commands, and what differs then."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..._pve.commands import Command
from ..._pve.errors import ErrorReason, InvalidRequest, NotFound
from ..._pve.guests import LXC, Guest
from ..facts import RUNNING, STOPPED
from ..plan import Change, Plan, PlanStep
from .snapshot_request import SnapshotRequest
from .snapshot_tree import Snapshot, Snapshots

Look = t.Callable[[], Snapshots]


@dataclass(frozen=True)
class SnapshotPlan:
    """The plan, the snapshots that it deletes in this order, and what the user should know besides."""

    plan: Plan = field(default_factory=Plan)
    deletes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def plan_snapshots(request: SnapshotRequest, guest: Guest, held: Snapshots, look: Look) -> SnapshotPlan:
    """Say what has to be sent. look reads the list anew, for commands whose answer is lost.

    Raises InvalidRequest or NotFound when the request cannot be met.
    """
    commands = _Commands(guest, look)
    if request.state == "rolled_back":
        return SnapshotPlan(_plan_rollback(request, guest, held, commands))
    if request.state == "absent":
        return _plan_deletes(_unwanted(request, held), held, held, commands)
    return _plan_present(request, guest, held, commands)


def _plan_present(request: SnapshotRequest, guest: Guest, held: Snapshots, commands: _Commands) -> SnapshotPlan:
    name = request.snapshot or ""
    if guest.kind == LXC and request.vmstate:
        raise InvalidRequest(f"{guest.label} is a container, whose memory cannot be saved: leave vmstate out")
    found = held.get(name)
    if found is None:
        plan, made = Plan((commands.create(request),)), held.added(Snapshot(name))
    else:
        _check_complete(guest, found)
        _check_vmstate(request, guest, found, held.running)
        plan, made = _describe(request, found, commands), held
    expired = request.retention.expired(made.entries, spared=name) if request.retention else []
    pruned = _plan_deletes(expired, held, made, commands)
    return SnapshotPlan(
        plan + pruned.plan, pruned.deletes, tuple(_memory_warnings(request, guest, found, held.running))
    )


def _describe(request: SnapshotRequest, found: Snapshot, commands: _Commands) -> Plan:
    wanted = request.description
    if wanted is None or _same_text(wanted, found.description):
        return Plan()
    return Plan((commands.describe(found.name, wanted),), (Change("description", found.description, wanted.rstrip()),))


def _same_text(one: str, other: str) -> bool:
    # PVE drops the white space at the end of a description (PVE::QemuServer parse_vm_config).
    return one.rstrip() == other.rstrip()


def _check_complete(guest: Guest, found: Snapshot) -> None:
    if found.state:
        raise InvalidRequest(
            f"snapshot {found.name!r} of {guest.label} is incomplete (PVE marks it {found.state!r}): "
            f"wait for the task that works on it, or delete it with state=absent"
        )


def _check_vmstate(request: SnapshotRequest, guest: Guest, found: Snapshot, running: bool) -> None:
    """Raise InvalidRequest when the snapshot would have to be made anew; of a stopped guest that would not help."""
    if request.vmstate is None or request.vmstate == found.vmstate or (request.vmstate and not running):
        return
    has, wanted = ("with", "false") if found.vmstate else ("without", "true")
    raise InvalidRequest(
        f"snapshot {found.name!r} of {guest.label} was taken {has} the guest's memory, which vmstate={wanted} "
        f"cannot change afterwards: delete it first, or leave vmstate out"
    )


def _memory_warnings(request: SnapshotRequest, guest: Guest, found: Snapshot | None, running: bool) -> t.Iterator[str]:
    if request.vmstate and not running and not (found and found.vmstate):
        yield f"{guest.label} does not run, so snapshot {request.snapshot!r} holds no memory, although vmstate is true"


def _unwanted(request: SnapshotRequest, held: Snapshots) -> list[str]:
    """The names that state=absent deletes, in order."""
    names: list[str] = []
    if request.snapshot is not None and held.get(request.snapshot) is not None:
        names = held.descendants(request.snapshot) if request.children == "delete" else []
        names.append(request.snapshot)
    if request.retention is not None:
        rest = [entry for entry in held.entries if entry.name not in names]
        names += request.retention.expired(rest)
    return names


def _plan_deletes(names: t.Sequence[str], before: Snapshots, held: Snapshots, commands: _Commands) -> SnapshotPlan:
    """Delete these of the snapshots held then; before is what the diff starts from."""
    after = held
    for name in names:
        after = after.without(name)
    changes = []
    if after.names != before.names:
        changes.append(Change("snapshots", before.names, after.names))
    adopted = {child: heir for child, heir in after.parents().items() if held.parents()[child] != heir}
    if adopted:
        changes.append(
            Change(
                "parents",
                {child: held.parents()[child] for child in adopted},
                {child: heir or None for child, heir in adopted.items()},
            )
        )
    return SnapshotPlan(Plan(tuple(commands.delete(name) for name in names), tuple(changes)), tuple(names))


def _plan_rollback(request: SnapshotRequest, guest: Guest, held: Snapshots, commands: _Commands) -> Plan:
    name = request.snapshot or ""
    found = held.get(name)
    if found is None:
        there = "it has " + ", ".join(held.names) if held.names else "it has none"
        raise NotFound(f"{guest.label} on node {guest.node} has no snapshot {name!r} to roll back to: {there}")
    _check_complete(guest, found)
    since = f"changed since snapshot {held.current_parent!r}" if held.current_parent else "as it is now"
    power = RUNNING if held.running else STOPPED
    # PVE stops the guest, and starts it again from a snapshot that holds its memory.
    power_after = RUNNING if found.vmstate or request.start_after else STOPPED
    changes = [Change("state", since, f"rolled back to snapshot {name!r}")]
    if power != power_after:
        changes.append(Change("power", power, power_after))
    return Plan((commands.roll_back(name, request.start_after),), tuple(changes))


@dataclass(frozen=True)
class _Commands:
    """PVE's commands for the snapshots of one guest."""

    guest: Guest
    look: Look

    def create(self, request: SnapshotRequest) -> PlanStep:
        name = request.snapshot or ""
        form = {"snapname": name, "description": request.description, "vmstate": request.vmstate or None}
        return PlanStep(
            f"take snapshot {name!r} of {self.guest.label}",
            self._command("POST", (), form, "snapshot", lambda: self._is_complete(name)),
        )

    def describe(self, name: str, description: str) -> PlanStep:
        def done() -> bool:
            found = self.look().get(name)
            return found is not None and _same_text(found.description, description)

        return PlanStep(
            f"describe snapshot {name!r} of {self.guest.label}",
            self._command("PUT", (name, "config"), {"description": description}, "", done),
        )

    def delete(self, name: str) -> PlanStep:
        return PlanStep(
            f"delete snapshot {name!r} of {self.guest.label}",
            self._command(
                "DELETE",
                (name,),
                {},
                "delsnapshot",
                lambda: self.look().get(name) is None,
                frozenset({ErrorReason.SNAPSHOT_ABSENT}),
            ),
        )

    def roll_back(self, name: str, start: bool) -> PlanStep:
        return PlanStep(
            f"roll {self.guest.label} back to snapshot {name!r}",
            # Whether it was done cannot be seen from outside; done twice it comes to the same.
            self._command("POST", (name, "rollback"), {"start": start or None}, "rollback", lambda: False),
        )

    def _is_complete(self, name: str) -> bool:
        found = self.look().get(name)
        return found is not None and not found.state

    def _command(
        self,
        method: str,
        tail: tuple[str, ...],
        form: t.Mapping[str, t.Any],
        task: str,
        done: t.Callable[[], bool],
        accepts: frozenset[ErrorReason] = frozenset(),
    ) -> Command:
        prefix = "vz" if self.guest.kind == LXC else "qm"
        return Command(
            method,
            (self.guest.kind, self.guest.vmid, "snapshot", *tail),
            form,
            node=self.guest.node,
            task_type=prefix + task if task else "",
            task_id=str(self.guest.vmid),
            done=done,
            accepts=accepts,
        )
