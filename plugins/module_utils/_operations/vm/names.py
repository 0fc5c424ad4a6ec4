# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What PVE takes as the name of a virtual machine."""

from __future__ import annotations

import re

from ..._pve.errors import InvalidRequest

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")


def check_name(option: str, name: str) -> None:
    """Raise InvalidRequest unless PVE takes it as a name (PVE::JSONSchema, dns-name)."""
    if not _NAME.fullmatch(name) or len(name) > 253:
        raise InvalidRequest(
            f"{option} {name!r} is not a DNS name: letters, digits and hyphens, in parts that dots separate"
        )
