# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_console_script."""

from __future__ import annotations

from ..._terminal.script.run_script import run_script, script_request
from ..argument_spec import connection_spec, guest_spec, guest_type_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={
        **connection_spec(),
        **guest_spec(),
        **guest_type_spec(),
        **timeout_spec(600),
        "node": {"type": "str"},
        "serial": {"type": "str", "choices": ["serial0", "serial1", "serial2", "serial3"]},
        "login": {
            "type": "dict",
            "options": {
                "user": {"type": "str", "required": True},
                "password": {"type": "str", "required": True, "no_log": True},
                "timeout": {"type": "int", "default": 120},
            },
        },
        "logout": {"type": "bool", "default": True},
        "wake": {"type": "bool", "default": True},
        "prompt": {"type": "str", "default": r"[#$%] ?\Z"},
        "unless": {"type": "str"},
        "steps": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "name": {"type": "str"},
                "run": {"type": "str"},
                "send": {"type": "str"},
                "send_secret": {"type": "str", "no_log": True},
                "end": {"type": "str"},
                "expect": {"type": "str"},
                "fail_on": {"type": "str"},
                "timeout": {"type": "int"},
                "unless": {"type": "str"},
                "changes": {"type": "bool", "default": True},
            },
        },
        "step_timeout": {"type": "int", "default": 30},
        "secrets": {"type": "list", "elements": "str", "no_log": True},
    },
    request_from=script_request,
    operation=run_script,
    # There are commands among the options, in which secrets may be spelt in many ways.
    hides_options=True,
)
