# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_guest_exec."""

from __future__ import annotations

from ..._operations.agent.access import DEFAULT_SHELL, SHELLS
from ..._operations.agent.exec_command import exec_request, execute
from ..argument_spec import connection_spec, guest_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={
        **connection_spec(),
        **guest_spec(),
        **timeout_spec(600),
        "argv": {"type": "list", "elements": "str"},
        "command": {"type": "str"},
        "stdin": {"type": "str"},
        "stdin_add_newline": {"type": "bool", "default": True},
        "chdir": {"type": "str"},
        "creates": {"type": "str"},
        "removes": {"type": "str"},
        "shell": {"type": "str", "choices": list(SHELLS), "default": DEFAULT_SHELL},
        "strip_empty_ends": {"type": "bool", "default": True},
    },
    request_from=exec_request,
    operation=execute,
)
