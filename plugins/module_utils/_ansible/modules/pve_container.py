# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_container."""

from __future__ import annotations

from ..._operations.container.container_request import container_request, container_spec
from ..._operations.guest.ensure_guest import ensure_guest
from ..argument_spec import connection_spec, guest_spec, lock_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={
        **connection_spec(),
        **guest_spec(),
        "name": {"type": "str", "aliases": ["hostname"]},
        **timeout_spec(1800),
        **lock_spec(),
        **container_spec(),
    },
    request_from=container_request,
    operation=ensure_guest,
)
