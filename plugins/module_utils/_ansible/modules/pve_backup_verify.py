# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_backup_verify."""

from __future__ import annotations

from ..._operations.backup.verify_request import VERIFY_SPEC
from ..._terminal.script.verify_console import verify_on_console, verify_with_console_request
from ..argument_spec import connection_spec, guest_spec, guest_type_spec, timeout_spec
from ..description import ModuleDescription
from . import pve_console_script

_SCRIPT = pve_console_script.DESCRIPTION.argument_spec
DESCRIPTION = ModuleDescription(
    argument_spec={
        **connection_spec(),
        **guest_spec(),
        **guest_type_spec(),
        **timeout_spec(3600),
        **VERIFY_SPEC,
        "login": _SCRIPT["login"],
        "console_steps": {**_SCRIPT["steps"], "required": False},
    },
    request_from=verify_with_console_request,
    operation=verify_on_console,
    # As those of pve_console_script.
    hides_options=True,
)
