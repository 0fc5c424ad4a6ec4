# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_task_info."""

from __future__ import annotations

from ..._operations.task_info import look_at_tasks, tasks_request
from ..argument_spec import connection_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={
        **connection_spec(),
        **timeout_spec(600),
        "upid": {"type": "str", "aliases": ["task"]},
        "wait": {"type": "bool", "default": False},
        "fail_on_error": {"type": "bool", "default": True},
        "node": {"type": "str"},
        "vmid": {"type": "int"},
        "type": {"type": "str"},
        "user": {"type": "str"},
        "since": {"type": "int"},
        "errors_only": {"type": "bool", "default": False},
        "running": {"type": "bool", "default": False},
        "limit": {"type": "int", "default": 50},
    },
    request_from=tasks_request,
    operation=look_at_tasks,
    only_looks=True,
)
