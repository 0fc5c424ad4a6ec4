# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_snapshot."""

from __future__ import annotations

from ..._operations.snapshots.ensure_snapshots import ensure_snapshots
from ..._operations.snapshots.snapshot_request import CHILDREN, STATES, snapshot_request
from ..argument_spec import connection_spec, guest_spec, guest_type_spec, lock_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={
        **connection_spec(),
        **guest_spec(),
        **guest_type_spec(),
        **timeout_spec(1800),
        **lock_spec(),
        "state": {"type": "str", "choices": list(STATES), "default": "present"},
        "name": {**guest_spec()["name"], "aliases": ["hostname"]},
        "snapshot": {"type": "str", "aliases": ["snapname"]},
        "description": {"type": "str"},
        "vmstate": {"type": "bool"},
        "start_after": {"type": "bool", "default": False},
        "children": {"type": "str", "choices": list(CHILDREN), "default": "keep"},
        "keep_last": {"type": "int"},
        "keep_pattern": {"type": "str"},
    },
    request_from=snapshot_request,
    operation=ensure_snapshots,
)
