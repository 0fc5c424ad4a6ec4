# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_snapshot_info."""

from __future__ import annotations

from ..._operations.info import look_at_snapshots, snapshots_request
from ..argument_spec import connection_spec, guest_spec, guest_type_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={**connection_spec(), **guest_spec(), **guest_type_spec(), **timeout_spec(60)},
    request_from=snapshots_request,
    operation=look_at_snapshots,
    only_looks=True,
)
