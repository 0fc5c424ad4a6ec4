# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the steps of a script on an open session."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..._operations.plan import Applier
from ..._pve.deadline import Deadline
from ..._pve.errors import ScriptFailed
from ..session import TerminalSession
from .dialogue import Dialogue, Unanswered
from .shell import Shell
from .steps import Script, ScriptStep
from .text import Masker

# The lines of a failed command's output that its error quotes.
_LAST_LINES = 3


@dataclass(frozen=True)
class StepResult:
    """What came of a step; secrets are masked. status is a command's, groups and named those of a pattern."""

    step: ScriptStep
    title: str
    skipped: bool = False
    output: str = ""
    status: int | None = None
    groups: tuple[str | None, ...] = ()
    named: t.Mapping[str, str | None] | None = None

    def as_result(self) -> dict[str, t.Any]:
        return {
            "step": self.step.number,
            "name": self.title,
            "skipped": self.skipped,
            "output": self.output,
            "rc": self.status,
            "groups": list(self.groups),
            "matches": dict(self.named or {}),
        }


@dataclass(frozen=True)
class ScriptResult:
    """What came of a script; secrets are masked. skipped says that it had nothing to do."""

    results: tuple[StepResult, ...]
    transcript: str
    skipped: bool = False

    def as_facts(self) -> dict[str, t.Any]:
        return {
            "transcript": self.transcript,
            "answers": [result.as_result() for result in self.results],
            "matches": {name: text for result in self.results for name, text in (result.named or {}).items()},
            "skipped_by_unless": self.skipped,
        }


Note = t.Callable[[StepResult], None]


def note_planned_steps(applier: Applier, script: Script) -> None:
    """Note, in check mode, what would be typed; whether an unless holds is not known."""
    masker = Masker(script.all_secrets())
    for step in script.steps:
        if step.types and step.changes:
            applier.note(masker(step.title))


def run_steps(
    applier: Applier,
    session: TerminalSession,
    label: str,
    script: Script,
    deadline: Deadline,
    note: Note | None = None,
    explain: t.Callable[[bool], str] = lambda _silent: "",
) -> ScriptResult:
    """Take the steps; note gets each answer as it comes. Raises ScriptFailed at the first that fails.

    explain is asked when an answer has not come: why the console shows nothing, or, with False, nothing more.
    If the script has logged in, it logs out, after a failure as well.
    """
    return _Run(applier, Dialogue(session, deadline), label, script, note, explain).run()


class _Run:
    def __init__(
        self,
        applier: Applier,
        dialogue: Dialogue,
        label: str,
        script: Script,
        note: Note | None,
        explain: t.Callable[[bool], str],
    ) -> None:
        self._applier = applier
        self._label = label
        self._script = script
        self._note = note
        self._explain = explain
        self._mask = Masker(script.all_secrets())
        self._dialogue = dialogue
        self._shell = Shell(dialogue, script)

    def run(self) -> ScriptResult:
        step: ScriptStep | None = None
        results = []
        try:
            self._dialogue.begin()
            if self._script.needs_shell:
                self._shell.reach()
            elif self._script.wake:
                self._dialogue.wake()
            skipped = self._holds(self._script.unless)
            for step in () if skipped else self._script.steps:
                result = self._take(step)
                results.append(result)
                if self._note is not None:
                    self._note(result)
        except Unanswered as error:
            transcript = self._mask(self._dialogue.transcript)
            why = self._explain(error.reason == "silent") if error.reason in ("silent", "timeout") else ""
            left = self._leave(interrupt=error.reason == "timeout")
            raise self._failure(step, error, transcript, why, left) from error
        self._leave(interrupt=False)
        return ScriptResult(tuple(results), self._mask(self._dialogue.transcript), skipped)

    def _holds(self, command: str | None) -> bool:
        return command is not None and self._shell.run(command, self._script.seconds).status == 0

    def _take(self, step: ScriptStep) -> StepResult:
        title = self._mask(step.title)
        if self._holds(step.unless):
            return StepResult(step, title, skipped=True)
        if step.command is not None:
            return self._run_command(step, title)
        if step.text is not None:
            if step.changes:
                self._applier.note(title)
            self._dialogue.type(step.text)
        if step.expect is None:
            return StepResult(step, title)
        patterns = {"expect": step.expect, **({"fail_on": step.fail_on} if step.fail_on else {})}
        found = self._dialogue.expect(patterns, step.seconds)
        if found.name == "fail_on":
            raise Unanswered("pattern", f"the console shows {found.match.group()!r}")
        return StepResult(
            step,
            title,
            output=self._mask(found.shown),
            groups=tuple(None if text is None else self._mask(text) for text in found.match.groups()),
            named={name: None if text is None else self._mask(text) for name, text in found.match.groupdict().items()},
        )

    def _run_command(self, step: ScriptStep, title: str) -> StepResult:
        if step.command is None:
            raise TypeError("the step has no command")
        if step.changes:
            # Before it ends: a command that fails may have changed something.
            self._applier.note(title)
        done = self._shell.run(step.command, step.seconds)
        if done.status != 0:
            last = " / ".join(line for line in done.output.splitlines()[-_LAST_LINES:] if line.strip())
            raise Unanswered("status", f"it ended with status {done.status}" + (f" ({last})" if last else ""))
        return StepResult(step, title, output=self._mask(done.output), status=done.status)

    def _leave(self, interrupt: bool) -> bool:
        return not self._script.logout or self._shell.leave(interrupt)

    def _failure(
        self, step: ScriptStep | None, error: Unanswered, transcript: str, why: str, left: bool
    ) -> ScriptFailed:
        where = f"step {step.number} ({step.title})" if step else "the way to a prompt"
        awaited = ""
        if error.reason in ("timeout", "ended") and step and step.expect:
            awaited = f", waiting for {step.expect.pattern!r}"
        screen = [line for line in transcript.splitlines() if line.strip()]
        shown = f"; the console shows {screen[-1]!r}" if screen and error.reason != "pattern" else ""
        if error.reason == "silent":
            shown = "; the console says nothing at all" + (
                ""
                if why
                else ": it may be in use elsewhere, or nothing in the guest uses it "
                "(kernel option console=ttyS0, a getty on it)"
            )
        reason = f"; {why}" if why else ""
        open_still = "" if left else "; the script's login on the console is still open"
        sentence = f"{where} on the console of {self._label} failed{awaited}: {error}{shown}{reason}{open_still}"
        return ScriptFailed(self._mask(sentence), error.reason, step.number if step else 0, transcript)
