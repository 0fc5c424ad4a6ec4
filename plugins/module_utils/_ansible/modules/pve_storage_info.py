# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_storage_info."""

from __future__ import annotations

from ..._operations.volumes.storage_info import STORED_CONTENTS, list_storages, storages_request
from ..argument_spec import connection_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={
        **connection_spec(),
        **timeout_spec(600),
        "storage": {"type": "str"},
        "node": {"type": "str"},
        "content": {"type": "str", "choices": list(STORED_CONTENTS)},
    },
    request_from=storages_request,
    operation=list_storages,
    only_looks=True,
)
