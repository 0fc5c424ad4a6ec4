# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a restored guest shows on its console, and what is run there."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..._operations.backup.verify_backup import verify_backup
from ..._operations.backup.verify_request import VerifyRequest, verify_request
from ..._operations.plan import Applier, Outcome
from ..._pve.client import PveClient
from ..._pve.errors import InvalidRequest, ScriptFailed
from ..._pve.guests import Guest
from .run_script import ScriptRequest, run_script
from .steps import Script, script_from

_LOGIN = "login"


class TerminalConsole:
    """The console of a guest, as pve_console_script has it."""

    def wait_for_prompt(self, client: PveClient, guest: Guest, seconds: float) -> str:
        """Wait until a login or a shell shows, and say which; raises ScriptFailed."""
        parameters = {"steps": [{"run": "true"}], "step_timeout": max(1.0, seconds), "timeout": max(1.0, seconds)}
        try:
            run_script(Applier(client), _on(guest, script_from(parameters)))
        except ScriptFailed as error:
            # A login prompt is all that is waited for.
            if error.reason != _LOGIN:
                raise
            return "a login prompt"
        return "a shell"

    def run(self, client: PveClient, guest: Guest, checks: Script) -> int:
        """Carry a script out, and say how many steps it had; raises ScriptFailed."""
        run_script(Applier(client), _on(guest, checks))
        return len(checks.steps)


def _on(guest: Guest, script: Script) -> ScriptRequest:
    return ScriptRequest({"vmid": guest.vmid, "name": None, "guest_type": guest.kind, "node": None}, script)


def verify_with_console_request(parameters: t.Mapping[str, t.Any]) -> VerifyRequest:
    """Check the options, the script for the console among them; raises InvalidRequest."""
    request = verify_request(parameters)
    if not parameters.get("console_steps"):
        if parameters.get("login"):
            raise InvalidRequest("login only goes with console_steps: say what is to be run there")
        return request
    if request.boot == "none":
        raise InvalidRequest("console_steps need a guest that runs: boot must not be none")
    script = script_from({"login": parameters.get("login"), "steps": parameters["console_steps"]})
    return replace(request, console_checks=script)


def verify_on_console(applier: Applier, request: VerifyRequest) -> Outcome:
    """Prove a backup; raises a PveError."""
    return verify_backup(applier, request, TerminalConsole())
