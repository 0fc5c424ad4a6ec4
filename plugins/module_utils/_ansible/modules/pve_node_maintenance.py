# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_node_maintenance."""

from __future__ import annotations

from ..._operations.maintenance.ensure_maintenance import ensure_maintenance
from ..._operations.maintenance.maintenance_request import maintenance_request, maintenance_spec
from ..argument_spec import connection_spec, lock_spec, timeout_spec
from ..description import ModuleDescription
from ..many import TASK_SECONDS

DESCRIPTION = ModuleDescription(
    argument_spec={**connection_spec(), **timeout_spec(TASK_SECONDS), **lock_spec(), **maintenance_spec()},
    request_from=maintenance_request,
    operation=ensure_maintenance,
)
