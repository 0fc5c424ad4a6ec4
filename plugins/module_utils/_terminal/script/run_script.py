# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a script on the console of a guest or a node, from the request to the outcome."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..._operations.console.abilities import Abilities, check_identity, check_terminal, read_abilities
from ..._operations.console.sessions import in_use, open_sessions, why_silent
from ..._operations.console.target import ConsoleTarget, console_target
from ..._operations.console.versions import TERMINAL
from ..._operations.plan import Applier, Outcome, outcome
from ..._pve.errors import Locked
from ..session import open_session
from .running import ScriptResult, note_planned_steps, run_steps
from .steps import Script, script_from

# The time that a closed session may take to end in PVE.
FREE_SECONDS = 3.0
UNSENT = "check mode: no session was opened and nothing was sent, so whether an unless holds is not known"


@dataclass(frozen=True)
class ScriptRequest:
    """A script and its console; parameters are those of console_target()."""

    parameters: t.Mapping[str, t.Any]
    script: Script
    serial: str | None = None


def script_request(parameters: t.Mapping[str, t.Any]) -> ScriptRequest:
    """Check the options of a script on a console; raises InvalidRequest."""
    whose = {name: parameters.get(name) for name in ("vmid", "name", "guest_type", "node")}
    return ScriptRequest(whose, script_from(parameters), parameters.get("serial"))


def run_script(applier: Applier, request: ScriptRequest) -> Outcome:
    """Take the steps of the script; raises ScriptFailed or another PveError."""
    target = console_target(applier.client, request.parameters)
    abilities = read_abilities(target)
    check_terminal(target, abilities, request.serial)
    check_identity(applier.client, target, TERMINAL)
    if applier.check_mode:
        note_planned_steps(applier, request.script)
        guarded = request.script.unless or any(step.unless for step in request.script.steps)
        return _outcome(applier, target, ScriptResult((), ""), [UNSENT] if guarded else [])
    _check_free(target, abilities)
    with open_session(target, request.serial) as session:
        result = run_steps(
            applier,
            session,
            target.label,
            request.script,
            applier.client.deadline,
            explain=lambda silent: why_silent(target, session.console.upid, silent),
        )
    return _outcome(applier, target, result)


def _outcome(applier: Applier, target: ConsoleTarget, result: ScriptResult, warnings: t.Sequence[str] = ()) -> Outcome:
    facts = {"vmid": target.vmid, "node": target.node, **result.as_facts()}
    return outcome(applier, None, warnings, **facts)


def _check_free(target: ConsoleTarget, abilities: Abilities) -> None:
    """Raise Locked when the only serial line has a session: a second one gets no output, and no error either."""
    tries = target.client.deadline.tries(FREE_SECONDS)
    while True:
        sessions = open_sessions(target, abilities)
        if not sessions or len(abilities.serials) != 1:
            return
        # A session that was just closed is about to end.
        if not tries.again():
            raise Locked(f"{in_use(f'{abilities.serials[0]} of {target.label}', sessions[0])}: close that first")
