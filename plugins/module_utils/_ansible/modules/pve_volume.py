# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_volume."""

from __future__ import annotations

from ..._operations.volumes.ensure_volume import ensure_volume
from ..._operations.volumes.volume_request import VOLUME_SPEC, volume_request
from ..argument_spec import connection_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={**connection_spec(), **timeout_spec(7200), **VOLUME_SPEC},
    request_from=volume_request,
    operation=ensure_volume,
)
