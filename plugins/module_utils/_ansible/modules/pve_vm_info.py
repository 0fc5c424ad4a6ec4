# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_vm_info."""

from __future__ import annotations

from ..._operations.info import GATHER, STATUSES, guests_request, look_at_guests
from ..argument_spec import connection_spec, guest_spec, guest_type_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={
        **connection_spec(),
        **guest_spec(),
        **guest_type_spec(),
        **timeout_spec(120),
        "node": {"type": "str"},
        "pool": {"type": "str"},
        "tags": {"type": "list", "elements": "str"},
        "status": {"type": "str", "choices": list(STATUSES)},
        "template": {"type": "bool"},
        "gather": {"type": "list", "elements": "str", "choices": list(GATHER), "default": []},
    },
    request_from=guests_request,
    operation=look_at_guests,
    only_looks=True,
)
