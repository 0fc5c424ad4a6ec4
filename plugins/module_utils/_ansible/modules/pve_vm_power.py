# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_vm_power."""

from __future__ import annotations

from ..._operations.power import STATES, STOP_METHODS, WAIT_FOR, ensure_power, power_request
from ..argument_spec import connection_spec, guest_spec, guest_type_spec, lock_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={
        **connection_spec(),
        **guest_spec(),
        **guest_type_spec(),
        **timeout_spec(600),
        **lock_spec(),
        "state": {"type": "str", "choices": list(STATES), "default": "started"},
        "stop_method": {"type": "str", "choices": list(STOP_METHODS), "default": "shutdown"},
        "shutdown_timeout": {"type": "int", "default": 180},
        "wait_for": {"type": "list", "elements": "str", "choices": list(WAIT_FOR)},
        "wait_timeout": {"type": "int", "default": 300},
        "prefer_networks": {"type": "list", "elements": "str"},
        "exclude_networks": {"type": "list", "elements": "str"},
    },
    request_from=power_request,
    operation=ensure_power,
)
