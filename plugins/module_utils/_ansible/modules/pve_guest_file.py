# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_guest_file."""

from __future__ import annotations

from ..._operations.agent.access import DEFAULT_SHELL, SHELLS
from ..._operations.agent.ensure_file import STATES, ensure_file, file_request
from ..argument_spec import connection_spec, guest_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={
        **connection_spec(),
        **guest_spec(),
        **timeout_spec(600),
        "shell": {"type": "str", "choices": list(SHELLS), "default": DEFAULT_SHELL},
        "path": {"type": "str", "required": True},
        "state": {"type": "str", "choices": list(STATES), "default": "present"},
        "content": {"type": "str"},
        "src": {"type": "path"},
        "mode": {"type": "str"},
        "owner": {"type": "str"},
        "group": {"type": "str"},
    },
    request_from=file_request,
    operation=ensure_file,
)
