# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_guest_password."""

from __future__ import annotations

from ..._operations.agent.ensure_password import ON_CREATE, UPDATES, ensure_password, password_request
from ..argument_spec import connection_spec, guest_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={
        **connection_spec(),
        **guest_spec(),
        **timeout_spec(120),
        "user": {"type": "str", "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
        "crypted": {"type": "bool", "default": False},
        "update_password": {"type": "str", "choices": list(UPDATES), "default": ON_CREATE},
    },
    request_from=password_request,
    operation=ensure_password,
)
