# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest that is in the place where a backup is to be restored, and whether it may be replaced."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ..._pve.errors import Conflict, InvalidRequest, PveError
from ..._pve.guests import NAME_KEYS, Guest, GuestHandle, guest_label
from ..._pve.locks import outlast_lock
from ..facts import PAUSED, RUNNING, Status, read_status
from .restoring import restored_from

Config = t.Mapping[str, t.Any]
# What stays the same of a virtual machine whatever is set on it.
_LASTING = (
    ("smbios1", re.compile(r"uuid=([^,]+)")),
    ("vmgenid", re.compile("(.+)")),
    ("meta", re.compile(r"ctime=(\d+)")),
)


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
        return guest_label(self.guest.vmid, self.name)

    @property
    def came_from(self) -> str | None:
        """The backup that its notes name."""
        return restored_from(str(self.config.get("description") or ""))

    @property
    def lock(self) -> str:
        return str(self.config.get("lock") or "")

    def is_same(self, other: Target) -> bool:
        """The other one is this guest at another time; one that has no lasting mark has to be unchanged."""
        if self.name != other.name:
            return False
        marks = _lasting_marks(self.config)
        if not any(marks):
            return self.config.get("digest") == other.config.get("digest")
        return marks == _lasting_marks(other.config)


def _lasting_marks(config: Config) -> list[str]:
    found = (pattern.search(str(config.get(key) or "")) for key, pattern in _LASTING)
    return [match[1] if match else "" for match in found]


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


class LastLook:
    """Looks right before a guest is replaced whether it still is the one that was seen hours before."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.node = target.guest.node
        self.has_refused = False

    def __call__(self) -> None:
        self.has_refused = False
        try:
            self._look()
        except PveError as error:
            self.has_refused = True
            raise type(error)(f"{error}; {self.target.label} was not touched", error.cause) from error

    def _look(self) -> None:
        handle = self.target.handle
        now = self._read()
        while outlast_lock(handle, now.lock):
            now = self._read()
        check_unprotected(now)
        check_stopped(now, read_status(handle))

    def _read(self) -> Target:
        handle, before = self.target.handle, self.target
        config = handle.read_config()
        if config is None or handle.guest.node != self.node:
            raise Conflict(f"guest {before.guest.vmid} has left node {self.node} meanwhile: look at it")
        now = Target(handle, config)
        if not now.lock and not before.is_same(now):
            raise Conflict(f"{now.label} on node {self.node} is not the guest any more that it was before: look at it")
        return now
