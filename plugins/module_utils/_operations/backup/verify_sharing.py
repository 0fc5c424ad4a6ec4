# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a restored guest would share with the one that was backed up, or do to the node, once it is started."""

from __future__ import annotations

import re
import typing as t

from ..._pve.errors import InvalidRequest

# Devices of the node, which are taken away before it starts.
PASSED_THROUGH = re.compile(r"(hostpci|usb|virtiofs)\d+")
# What names files and devices of the node, by the key alone or by a value that is a path.
_SHARED_KEY = re.compile(r"args|ivshmem|parallel\d+|dev\d+|lxc\..+")
_SHARED_PATH = re.compile(r"serial\d+|mp\d+|rootfs")
_PATH = re.compile(r"((volume|file)=)?/")
_RUNS_ON_THE_NODE = "hookscript"
_OTHERWISE = "set boot to none, or verify this backup by hand"


def check_startable(values: t.Mapping[str, t.Any]) -> None:
    """Raise InvalidRequest for a guest that cannot be started, or whose start reaches beyond it."""
    if str(values.get("template") or "0") == "1":
        raise InvalidRequest("it is a template, which PVE does not start: set boot to none")
    if _RUNS_ON_THE_NODE in values:
        raise InvalidRequest(
            f"it has a {_RUNS_ON_THE_NODE}, which would run on the node for the restored guest as well: {_OTHERWISE}"
        )
    shared = sorted(key for key, value in values.items() if _is_shared(key, str(value)))
    if shared:
        raise InvalidRequest(
            f"it has {', '.join(shared)}, by which the restored guest would use what belongs to the node or to the "
            f"guest that was backed up: {_OTHERWISE}"
        )


def _is_shared(key: str, value: str) -> bool:
    return bool(_SHARED_KEY.fullmatch(key) or (_SHARED_PATH.fullmatch(key) and _PATH.match(value)))
