# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A script from the command line: its steps as they are taken, what the console showed, and an exit code."""

from __future__ import annotations

import typing as t

from ..._operations.console.target import ConsoleTarget
from ..._operations.plan import Applier
from ..._pve.errors import ScriptFailed
from ..exit_codes import ExitCode
from ..session import TerminalSession
from .running import Answer, carry_out
from .steps import Script

_CODES = {
    "timeout": ExitCode.EXPECTED_IN_VAIN,
    "silent": ExitCode.BUSY,
    "ended": ExitCode.NO_CONNECTION,
    "login": ExitCode.NOT_ALLOWED,
}


def run_script_command(
    target: ConsoleTarget, session: TerminalSession, script: Script, out: t.TextIO, err: t.TextIO
) -> int:
    """Take the steps of a script that read_script() has read, and close the session; returns the exit code.

    What the console showed goes to out when the script has ended, the steps and failures go to err as they come. The
    client's deadline bounds the whole script.
    """

    def note(answer: Answer) -> None:
        err.write(f"step {answer.step.number}: {answer.title}: {'skipped' if answer.skipped else 'ok'}\n")
        err.flush()

    with session:
        try:
            report = carry_out(Applier(target.client), session, target.label, script, note)
        except ScriptFailed as error:
            _show(out, error.transcript)
            err.write(f"{error}\n")
            return _CODES.get(error.reason, ExitCode.FAILED)
    if report.skipped:
        err.write("nothing to do: unless holds\n")
    _show(out, report.transcript)
    return ExitCode.OK


def _show(out: t.TextIO, transcript: str) -> None:
    out.write(transcript if transcript.endswith("\n") or not transcript else transcript + "\n")
    out.flush()
