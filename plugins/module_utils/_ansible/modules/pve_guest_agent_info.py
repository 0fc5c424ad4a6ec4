# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_guest_agent_info."""

from __future__ import annotations

from ..._operations.agent.agent_info import PARTS, agent_info_request, look_at_agent
from ..argument_spec import connection_spec, guest_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={
        **connection_spec(),
        **guest_spec(),
        **timeout_spec(120),
        "gather": {"type": "list", "elements": "str", "choices": list(PARTS)},
    },
    request_from=agent_info_request,
    operation=look_at_agent,
    only_looks=True,
)
