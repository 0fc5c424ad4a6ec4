# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What PVE lets only root@pam do with a container (PVE::LXC check_ct_modify_config_perm)."""

from __future__ import annotations

import typing as t

from ..._pve.container_config import DEVICE_KEY, FEATURES, MOUNT_KEY, is_privileged
from ..._pve.errors import Cause, PermissionDenied
from ..guest.config_changes import ConfigChanges
from ..guest.volumes import parse_drive

ROOT = "root@pam"
# The feature that a user with VM.Allocate may switch, unless the container is privileged.
_FOR_USERS = "nesting"


def check_root(identity: str, changes: ConfigChanges, unprivileged: bool | None) -> None:
    """Raise PermissionDenied when a write of the configuration has something that only root may write.

    unprivileged is what a new container is to be, when that is said.
    """
    if identity == ROOT:
        return
    for what in _for_root(changes, unprivileged):
        raise PermissionDenied(
            f"{what} of {changes.state.guest.label} is for {ROOT} with its password alone, no privilege and no token "
            f"will do: this task runs as {identity}",
            Cause(pve_message=f"only allowed for {ROOT}"),
        )


def _for_root(changes: ConfigChanges, unprivileged: bool | None) -> t.Iterator[str]:
    values = changes.state.values
    for key in sorted({*changes.set, *changes.unset}):
        text = changes.set.get(key)
        if DEVICE_KEY.fullmatch(key):
            yield f"the device {key}"
        elif key == "hookscript":
            yield "a hookscript"
        elif MOUNT_KEY.fullmatch(key) and text is not None and parse_drive(text).is_path:
            yield f"the mount point {key} of {parse_drive(text).file} of the node"
        elif key == "features":
            privileged = is_privileged(values) if values else unprivileged is False
            names = _switched(values.get(key, ""), text or "") - (set() if privileged else {_FOR_USERS})
            if names:
                yield f"the feature {' and '.join(sorted(names))}"


def _switched(before: str, after: str) -> set[str]:
    """The features of which PVE finds another value."""
    old, new = FEATURES.parse(before), FEATURES.parse(after)
    return {name for name in {*old, *new} if old.get(name) != new.get(name)}
