# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked for a guest's snapshots, checked before anything is sent."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ..._pve.errors import InvalidRequest
from ..._pve.guests import Selector
from ..._pve.value_types import check_description
from ..selection import selector_from
from .snapshot_tree import Snapshot

STATES = ("present", "absent", "rolled_back")
CHILDREN = ("keep", "delete")
# PVE::JSONSchema pve-configid, maxLength 40; the reserved names are refused by PVE::API2::Qemu.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,39}")
_RESERVED = ("current", "pending")


@dataclass(frozen=True)
class Retention:
    """Of the snapshots whose names match, the newest so many stay."""

    keep_last: int
    pattern: str

    def matches(self, name: str) -> bool:
        return fnmatchcase(name, self.pattern)

    def expired(self, entries: t.Sequence[Snapshot], spared: str | None = None) -> list[str]:
        """The names that have to go, the oldest first; entries are ordered by time."""
        matching = [entry.name for entry in entries if self.matches(entry.name)]
        return [name for name in matching[: -self.keep_last] if name != spared]


@dataclass(frozen=True)
class SnapshotRequest:
    """Which snapshots a guest is to have, or which one it goes back to; None leaves alone."""

    selector: Selector
    state: str = "present"
    snapshot: str | None = None
    description: str | None = None
    vmstate: bool | None = None
    start_after: bool = False
    children: str = "keep"
    retention: Retention | None = None


def snapshot_request(parameters: t.Mapping[str, t.Any]) -> SnapshotRequest:
    """Check the options of a snapshot operation; raises InvalidRequest, naming the option."""
    request = SnapshotRequest(
        selector=selector_from(parameters),
        state=parameters["state"],
        snapshot=parameters.get("snapshot"),
        description=parameters.get("description"),
        vmstate=parameters.get("vmstate"),
        start_after=bool(parameters.get("start_after")),
        children=parameters.get("children") or "keep",
        retention=_retention(parameters.get("keep_last"), parameters.get("keep_pattern")),
    )
    if request.snapshot is not None:
        _check_name(request.snapshot)
    check_description(request.description or "")
    _check_state(request)
    return request


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"snapshot must be 2 to 40 letters, digits, '_' and '-' and begin with a letter, not {name!r}"
        )
    if name.lower() in _RESERVED:
        raise InvalidRequest(f"snapshot must not be {name!r}: PVE keeps that name for itself")


def _retention(keep_last: int | None, pattern: str | None) -> Retention | None:
    if keep_last is None and pattern is None:
        return None
    if keep_last is None:
        raise InvalidRequest(f"keep_last is required with keep_pattern {pattern!r}: how many snapshots are kept")
    if not pattern:
        raise InvalidRequest(f"keep_pattern is required with keep_last {keep_last}: which snapshots may be deleted")
    if keep_last < 1:
        raise InvalidRequest(f"keep_last must be at least 1, not {keep_last}")
    return Retention(keep_last, pattern)


def _check_state(request: SnapshotRequest) -> None:
    """Raise InvalidRequest when options do not go together."""
    state, retention = request.state, request.retention
    if request.snapshot is None and (state != "absent" or retention is None):
        only = "" if state != "absent" else " unless keep_last and keep_pattern say which snapshots to delete"
        raise InvalidRequest(f"snapshot is required with state={state}{only}")
    if state == "present" and retention is not None and not retention.matches(request.snapshot or ""):
        raise InvalidRequest(
            f"keep_pattern {retention.pattern!r} does not match the snapshot {request.snapshot!r}, "
            f"so that one would never be deleted: let both fit"
        )
    belongs_to = {
        "description": (request.description is not None, "present"),
        "vmstate": (request.vmstate is not None, "present"),
        "start_after": (request.start_after, "rolled_back"),
        "children": (request.children != "keep", "absent"),
    }
    for option, (given, only_state) in belongs_to.items():
        if given and state != only_state:
            raise InvalidRequest(f"{option} only goes with state={only_state}, not with state={state}")
    if state == "rolled_back" and retention is not None:
        raise InvalidRequest("keep_last only goes with state=present and state=absent, not with state=rolled_back")
    if request.children == "delete" and request.snapshot is None:
        raise InvalidRequest("children only goes with snapshot: name the snapshot whose children are deleted")
