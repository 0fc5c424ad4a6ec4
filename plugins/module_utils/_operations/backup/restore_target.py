# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest that is in the place where a backup is to be restored, and whether it may be replaced."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..._pve.errors import InvalidRequest
from ..._pve.guests import NAME_KEYS, Guest, GuestHandle
from ..facts import PAUSED, RUNNING, Status
from .restoring import restored_from

Config = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Target:
    """The guest that is there already."""

    handle: GuestHandle
    config: Config

    @property
    def guest(self) -> Guest:
        return self.handle.guest

    @property
    def name(self) -> str:
        return str(self.config.get(NAME_KEYS[self.guest.kind]) or "")

    @property
    def label(self) -> str:
        return f"guest {self.guest.vmid} ({self.name})" if self.name else f"guest {self.guest.vmid}"

    @property
    def came_from(self) -> str | None:
        """The backup that its notes name."""
        return restored_from(str(self.config.get("description") or ""))

    @property
    def lock(self) -> str:
        return str(self.config.get("lock") or "")


def check_unprotected(target: Target) -> None:
    """Raise InvalidRequest for a guest that PVE would not remove."""
    if str(target.config.get("protection") or "0") == "1":
        raise InvalidRequest(
            f"{target.label} on node {target.guest.node} is protected against removal: set protection to false first"
        )


def check_stopped(target: Target, status: Status) -> None:
    """Raise InvalidRequest for a guest that somebody may be using."""
    if status.condition in (RUNNING, PAUSED):
        how = "runs" if status.condition == RUNNING else "is paused"
        raise InvalidRequest(f"{target.label} on node {target.guest.node} {how}: stop it first")
