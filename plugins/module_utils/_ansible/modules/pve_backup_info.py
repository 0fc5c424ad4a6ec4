# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_backup_info."""

from __future__ import annotations

from ..._operations.backup.backup_info import backups_request, list_backups
from ..argument_spec import connection_spec, guest_spec, guest_type_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={
        **connection_spec(),
        **guest_spec(),
        **guest_type_spec(),
        **timeout_spec(600),
        "storage": {"type": "str"},
        "node": {"type": "str"},
        "newest": {"type": "bool", "default": False},
    },
    request_from=backups_request,
    operation=list_backups,
    only_looks=True,
)
