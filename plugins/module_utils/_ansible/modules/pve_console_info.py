# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_console_info."""

from __future__ import annotations

from ..._operations.console.console_request import console_request
from ..._operations.console.info import look_at_console
from ..argument_spec import connection_spec, guest_spec, guest_type_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={
        **connection_spec(),
        **guest_spec(),
        **guest_type_spec(),
        **timeout_spec(60),
        "node": {"type": "str"},
        "type": {"type": "str", "choices": ["info", "vnc", "terminal", "spice", "link"], "default": "info"},
        "transport": {"type": "str", "choices": ["websocket", "tcp"]},
        "serial": {"type": "str", "choices": ["serial0", "serial1", "serial2", "serial3"]},
        "spice_proxy": {"type": "str"},
        "width": {"type": "int"},
        "height": {"type": "int"},
        "host": {"type": "str"},
        "node_address": {"type": "str", "choices": ["api", "cluster"], "default": "api"},
        "require_running": {"type": "bool", "default": True},
        "include_auth": {"type": "bool", "default": False},
    },
    request_from=console_request,
    operation=look_at_console,
    only_looks=True,
)
