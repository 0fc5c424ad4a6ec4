# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_backup."""

from __future__ import annotations

from ..._operations.backup.backup_request import BACKUP_SPEC, backup_request
from ..._operations.backup.ensure_backup import ensure_backup
from ..argument_spec import connection_spec, guest_spec, guest_type_spec, lock_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={
        **connection_spec(),
        **guest_spec(),
        **guest_type_spec(),
        **timeout_spec(7200),
        **lock_spec(),
        **BACKUP_SPEC,
    },
    request_from=backup_request,
    operation=ensure_backup,
)
