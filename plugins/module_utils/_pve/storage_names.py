# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of storages."""

from __future__ import annotations

import re

from .errors import InvalidRequest

# PVE::JSONSchema, pve-storage-id.
STORAGE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]")


def check_storage_name(option: str, name: str | None) -> None:
    """Raise InvalidRequest, which names the option, unless a storage can have this name; None is no name at all."""
    if name is not None and not STORAGE_NAME.fullmatch(name):
        raise InvalidRequest(f"{option} {name[:100]!r} is not the name of a storage")
