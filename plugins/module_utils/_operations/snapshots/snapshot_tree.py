# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The snapshots of one guest as a tree, and the form in which results return them."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ..._pve.client import PveClient
from ..._pve.guests import CREATION_LOCKS, Guest, GuestHandle, Selector, get_guest
from ..facts import read_status
from ..selection import confirm_name

# PVE's own entry for the guest as it is now; it is no snapshot.
CURRENT = "current"


@dataclass(frozen=True)
class Snapshot:
    """One snapshot; state is set while PVE makes or deletes it, and stays when that went wrong."""

    name: str
    created: int = 0
    description: str = ""
    vmstate: bool = False
    parent: str = ""
    state: str = ""

    def as_result(self) -> dict[str, t.Any]:
        return {
            "name": self.name,
            "description": self.description,
            "vmstate": self.vmstate,
            "created": self.created,
            "parent": self.parent or None,
            "incomplete": self.state or None,
        }


@dataclass(frozen=True)
class Snapshots:
    """All snapshots of a guest, the oldest first, and what the guest's own state is based on."""

    entries: tuple[Snapshot, ...] = ()
    current_parent: str = ""
    running: bool = False

    @property
    def names(self) -> list[str]:
        return [entry.name for entry in self.entries]

    def get(self, name: str) -> Snapshot | None:
        return next((entry for entry in self.entries if entry.name == name), None)

    def parents(self) -> dict[str, str]:
        """The parent of each snapshot, and of the guest's own state; '' is none."""
        return {**{entry.name: entry.parent for entry in self.entries}, CURRENT: self.current_parent}

    def added(self, entry: Snapshot) -> Snapshots:
        """The list once PVE has made this snapshot, as the newest."""
        created = max((held.created for held in self.entries), default=0) + 1
        newest = replace(entry, parent=self.current_parent, created=created)
        return Snapshots((*self.entries, newest), entry.name, self.running)

    def without(self, name: str) -> Snapshots:
        """The list once PVE has deleted this snapshot: its children go to its parent."""
        parents = self.parents()
        heir = parents[name]
        entries = (entry for entry in self.entries if entry.name != name)
        return Snapshots(
            in_order(replace(entry, parent=heir) if entry.parent == name else entry for entry in entries),
            heir if self.current_parent == name else self.current_parent,
            self.running,
        )

    def descendants(self, name: str) -> list[str]:
        """The snapshots below this one, the deepest first."""
        found: list[str] = []
        for entry in self.entries:
            if entry.parent == name and entry.name != name:
                found += [*self.descendants(entry.name), entry.name]
        return found

    def as_result(self) -> list[dict[str, t.Any]]:
        return [entry.as_result() for entry in self.entries]


def parse_snapshots(data: t.Iterable[t.Mapping[str, t.Any]]) -> Snapshots:
    """Bring PVE's list, which is in no order, into a tree."""
    current: t.Mapping[str, t.Any] = {}
    entries = []
    for item in data:
        if item["name"] == CURRENT:
            current = item
        else:
            entries.append(_snapshot(item))
    return Snapshots(
        entries=in_order(entries),
        current_parent=str(current.get("parent") or ""),
        running=bool(int(current.get("running") or 0)),
    )


def _snapshot(item: t.Mapping[str, t.Any]) -> Snapshot:
    return Snapshot(
        name=str(item["name"]),
        created=int(item.get("snaptime") or 0),
        description=str(item.get("description") or "").rstrip(),
        vmstate=bool(int(item.get("vmstate") or 0)),
        parent=str(item.get("parent") or ""),
        state=str(item.get("snapstate") or ""),
    )


def in_order(entries: t.Iterable[Snapshot]) -> tuple[Snapshot, ...]:
    """Sort by time; of those made in one second a parent comes before its children."""
    entries = tuple(entries)
    parents = {entry.name: entry.parent for entry in entries}

    def depth(name: str) -> int:
        seen: set[str] = set()
        while name in parents and name not in seen:
            seen.add(name)
            name = parents[name]
        return len(seen)

    return tuple(sorted(entries, key=lambda entry: (entry.created, depth(entry.name), entry.name)))


def read_snapshots(handle: GuestHandle) -> Snapshots:
    """Read the list of a guest's snapshots; one request."""
    return parse_snapshots(handle.read("snapshot"))


@dataclass
class SnapshotTarget:
    """A guest, its snapshots, and whether its name is known from the guest itself."""

    handle: GuestHandle
    selector: Selector
    snapshots: Snapshots
    confirmed: bool = False

    def confirm_name(self) -> None:
        """Ask the guest itself for its name, once: the cluster's list may be 10 s behind a renaming."""
        if self.selector.name is None or self.confirmed:
            return
        name = read_status(self.handle).name
        confirm_name(self.handle.guest, name, self.selector)
        self.handle.guest = self.handle.guest._replace(name=name)
        self.confirmed = True

    def read(self) -> Snapshots:
        """Read the list of snapshots anew."""
        self.snapshots = read_snapshots(self.handle)
        return self.snapshots


def select_snapshots(client: PveClient, selector: Selector, guests: t.Sequence[Guest] | None = None) -> SnapshotTarget:
    """Find a guest and its snapshots; two requests, and one more when the cluster's list names the guest otherwise.

    Raises NotFound, Ambiguous or InvalidRequest.
    """
    handle = GuestHandle(client, get_guest(client, selector, guests))
    if handle.guest.lock in CREATION_LOCKS:
        handle.wait_until_created(handle.guest.lock)
    target = SnapshotTarget(handle, selector, Snapshots())
    if handle.guest.name != selector.name:
        target.confirm_name()
    target.read()
    return target
