# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_migrate."""

from __future__ import annotations

from ..._operations.migration.ensure_migration import ensure_migration
from ..._operations.migration.migration_request import migration_request, migration_spec
from ..argument_spec import connection_spec, guest_spec, guest_type_spec, lock_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={
        **connection_spec(),
        **guest_spec(),
        **guest_type_spec(),
        **timeout_spec(3600),
        **lock_spec(),
        **migration_spec(),
    },
    request_from=migration_request,
    operation=ensure_migration,
)
