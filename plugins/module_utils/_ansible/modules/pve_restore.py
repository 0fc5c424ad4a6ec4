# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_restore."""

from __future__ import annotations

from ..._operations.backup.ensure_restore import ensure_restore
from ..._operations.backup.restore_request import RESTORE_SPEC, restore_request
from ..argument_spec import connection_spec, guest_spec, lock_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={**connection_spec(), **guest_spec(), **timeout_spec(7200), **lock_spec(), **RESTORE_SPEC},
    request_from=restore_request,
    operation=ensure_restore,
)
