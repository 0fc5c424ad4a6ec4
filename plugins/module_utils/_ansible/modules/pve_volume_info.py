# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_volume_info."""

from __future__ import annotations

from ..._operations.volumes.volume_info import LISTED_CONTENTS, list_volumes, volumes_request
from ..argument_spec import connection_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={
        **connection_spec(),
        **timeout_spec(600),
        "storage": {"type": "str"},
        "node": {"type": "str"},
        "content": {"type": "str", "choices": list(LISTED_CONTENTS)},
        "vmid": {"type": "int"},
        "pattern": {"type": "str"},
    },
    request_from=volumes_request,
    operation=list_volumes,
    only_looks=True,
)
