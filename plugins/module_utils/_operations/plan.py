# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans as data, and the one place that carries them out."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .._pve.client import PveClient
from .._pve.commands import Command, run_command
from .._pve.guests import Guest, GuestHandle
from .._pve.tasks import Task
from .once import Once

if t.TYPE_CHECKING:
    from .guest.placement import Cluster

Result = t.TypeVar("Result")


@dataclass(frozen=True)
class Change:
    """One thing that will differ, as the diff shows it; None is 'not there'."""

    key: str
    before: t.Any
    after: t.Any


class Runnable(t.Protocol):
    """One step of a plan."""

    @property
    def title(self) -> str: ...

    @property
    def changes(self) -> tuple[Change, ...]: ...

    def run(self, client: PveClient, handle: GuestHandle | None) -> Task | None:
        """Carry the step out; raises a PveError."""


@dataclass(frozen=True)
class PlanStep:
    """One command of a plan, with words for the user that say what it does, and what will differ after it."""

    title: str
    command: Command
    changes: tuple[Change, ...] = ()

    def run(self, client: PveClient, handle: GuestHandle | None) -> Task | None:
        """Carry the step out; raises a PveError."""
        return run_command(client, self.command, handle)


@dataclass(frozen=True)
class Plan:
    """What has to be done, and what will differ then. The empty plan changes nothing."""

    steps: tuple[Runnable, ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.steps)

    def __add__(self, other: Plan) -> Plan:
        return Plan(self.steps + other.steps, self.changes + other.changes)


@dataclass
class Applier:
    """Carries plans out, or, in check mode, only notes them."""

    client: PveClient
    check_mode: bool = False
    # The cluster, where it has just been read for several guests.
    cluster: Cluster | None = None
    # Takes a line that says how far the work is, where somebody looks on.
    progress: t.Callable[[str], None] | None = None
    # What is done once for all guests of a run.
    once: Once = field(default_factory=Once)
    tasks: list[Task] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def apply(self, plan: Plan, handle: GuestHandle | None = None) -> bool:
        """Run the steps in order; True when something was sent, so that the guest has to be read again.

        Raises a PveError at the first step that fails; what was done before stays noted.
        """
        self.changes.extend(plan.changes)
        for step in plan.steps:
            self._take(step, handle)
        return plan.changed and not self.check_mode

    def apply_first(self, plan: Plan, handle: GuestHandle | None = None) -> bool:
        """Run the first step alone, when the others have to be planned again from what it makes; else as apply."""
        return self.apply(plan if self.check_mode else Plan(plan.steps[:1], plan.changes), handle)

    def _take(self, step: Runnable, handle: GuestHandle | None) -> None:
        if not self.check_mode:
            task = step.run(self.client, handle)
            if task is not None:
                self.tasks.append(task)
        self.titles.append(step.title)
        self.changes.extend(step.changes)

    def note(self, title: str) -> None:
        """Note a step that the caller carries out itself, or in check mode would."""
        self.titles.append(title)

    def record(self, title: str, *changes: Change) -> None:
        """Note what has been changed by a step that failed."""
        self.titles.append(title)
        self.changes.extend(changes)

    @property
    def guests(self) -> tuple[Guest, ...] | None:
        """The cluster's guests, where they have just been read."""
        return None if self.cluster is None else self.cluster.guests

    @property
    def done(self) -> list[str]:
        """The steps that were carried out."""
        return [] if self.check_mode else list(self.titles)

    def watch(self, wait: t.Callable[[], Result], otherwise: Result) -> Result:
        """Wait for what the steps bring about; in check mode nothing will come of them."""
        return otherwise if self.check_mode and self.titles else wait()

    @property
    def changed(self) -> bool:
        return bool(self.titles)


@dataclass(frozen=True)
class Outcome:
    """What an operation found and did; the bridge and the modules answer with it."""

    changed: bool
    guest: t.Mapping[str, t.Any] | None = None
    changes: tuple[Change, ...] = ()
    steps: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()
    warnings: tuple[str, ...] = ()
    facts: t.Mapping[str, t.Any] = field(default_factory=dict)


def outcome(
    applier: Applier,
    guest: t.Mapping[str, t.Any] | None,
    warnings: t.Iterable[str] = (),
    **facts: t.Any,
) -> Outcome:
    """Gather what an applier did into the answer of an operation."""
    task_warnings = (line for task in applier.tasks for line in task.warnings)
    return Outcome(
        changed=applier.changed,
        guest=guest,
        changes=tuple(applier.changes),
        steps=tuple(applier.titles),
        tasks=tuple(applier.tasks),
        warnings=(*warnings, *task_warnings),
        facts=facts,
    )
