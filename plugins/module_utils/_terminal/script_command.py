# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a script from the command line: print its steps and the console's output, and return an exit code."""

from __future__ import annotations

import os
import sys

from .._operations.console.sessions import why_silent
from .._operations.plan import Applier
from .._pve.deadline import Deadline
from .._pve.errors import ScriptFailed
from .connecting import SessionRequest, open_for
from .credentials import Credentials
from .exit_codes import ExitCode
from .interactive_session import notify
from .script.files import read_script
from .script.running import StepResult, run_steps

_CODES = {
    "timeout": ExitCode.EXPECTED_IN_VAIN,
    "silent": ExitCode.BUSY,
    "ended": ExitCode.NO_CONNECTION,
    "login": ExitCode.NOT_ALLOWED,
}


def run_script_command(credentials: Credentials, request: SessionRequest, path: str) -> int:
    """Run the script of a file on the requested terminal; returns the exit code.

    Steps and failures are printed as they come, and what the console showed when the script has ended.
    Raises Ending or a PveError when the script cannot begin.
    """
    script = read_script(path, os.environ)
    opened = open_for(credentials, request, notify)
    for sentence in opened.notes:
        notify(sentence)
    applier = Applier(opened.target.client)
    with opened.session:
        try:
            result = run_steps(
                applier,
                opened.session,
                opened.target.label,
                script,
                Deadline(script.total),
                _note,
                lambda silent: why_silent(opened.target, opened.session.console.upid, silent),
            )
        except ScriptFailed as error:
            _show(error.transcript)
            notify(str(error))
            return _CODES.get(error.reason, ExitCode.FAILED)
    if result.skipped:
        notify("nothing to do: unless holds")
    _show(result.transcript)
    return ExitCode.OK


def _note(result: StepResult) -> None:
    notify(f"step {result.step.number}: {result.title}: {'skipped' if result.skipped else 'ok'}")


def _show(transcript: str) -> None:
    sys.stdout.write(transcript if transcript.endswith("\n") or not transcript else transcript + "\n")
    sys.stdout.flush()
