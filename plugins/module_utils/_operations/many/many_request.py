# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked for many guests: the request of each, and how they share the cluster."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ..._pve.errors import InvalidRequest
from ..._pve.guests import Guest, Selector
from ..facts import listed_result
from ..info import GuestsRequest
from ..plan import Applier, Outcome

ON_FAILURE = ("continue", "stop")


@dataclass(frozen=True)
class Entry:
    """One guest: where the task names it, which one is meant, what is asked for it, and the seconds it has.

    wait_for_lock is how many of these it may wait for a lock, None where nobody can choose that.
    """

    place: str
    selector: Selector
    request: t.Any
    seconds: int
    wait_for_lock: int | None = None


@dataclass(frozen=True)
class Selection:
    """Which existing guests are meant; templates never are."""

    conditions: GuestsRequest
    names: tuple[str, ...] = ()

    def selects(self, guest: Guest) -> bool:
        """Whether the guest meets all conditions, as far as the cluster's list of guests knows."""
        fits = not guest.template and self.conditions.fits(listed_result(guest))
        return fits and (not self.names or any(fnmatchcase(guest.name, pattern) for pattern in self.names))

    def unmet(self, guests: t.Sequence[Guest], chosen: t.Sequence[Guest]) -> t.Iterator[str]:
        """What of it no guest meets: patterns that are perhaps written wrong, or all conditions together."""
        for pattern in self.names:
            if not any(fnmatchcase(guest.name, pattern) and not guest.template for guest in guests):
                yield f"no guest has a name that fits {pattern!r}"
        if not chosen:
            yield "no guest meets what select asks for"


@dataclass(frozen=True)
class ManyRequest:
    """The guests of one task. With a selection, entry_of makes the entry of each guest that is found."""

    entries: tuple[Entry, ...]
    operation: t.Callable[[Applier, t.Any], Outcome]
    selection: Selection | None = None
    entry_of: t.Callable[[Guest], Entry] | None = None
    parallel: int = 8
    per_node: int | None = None
    per_storage: int | None = None
    on_failure: str = "continue"


def selection_from(parameters: t.Mapping[str, t.Any]) -> Selection:
    """Read which guests are meant; raises InvalidRequest when that would be all of the cluster by omission."""
    names = tuple(parameters.get("names") or ())
    kind = parameters.get("guest_type")
    conditions = GuestsRequest(
        node=parameters.get("node"),
        pool=parameters.get("pool"),
        tags=tuple(parameters.get("tags") or ()),
        status=parameters.get("status"),
        kind=None if kind in (None, "auto") else kind,
    )
    if not (names or conditions.node or conditions.pool or conditions.tags or conditions.status):
        raise InvalidRequest("select needs one of tags, pool, node, names and status; names ['*'] selects all guests")
    return Selection(conditions, names)


def check_distinct(entries: t.Sequence[Entry], guests: t.Sequence[Guest] = ()) -> None:
    """Raise InvalidRequest when two entries mean one guest, as far as guests tell which one a name means."""
    by_vmid: dict[int, Entry] = {}
    for entry in entries:
        for vmid in _vmids(entry.selector, guests):
            _refuse(by_vmid.setdefault(vmid, entry), entry)
    by_name: dict[str, list[Entry]] = {}
    for entry in entries:
        for other in by_name.setdefault(entry.selector.name or "", []):
            if entry.selector.name and _may_be_one(other.selector, entry.selector):
                _refuse(other, entry)
        by_name[entry.selector.name or ""].append(entry)


def _vmids(selector: Selector, guests: t.Sequence[Guest]) -> list[int]:
    if selector.vmid is not None:
        return [selector.vmid]
    return [guest.vmid for guest in guests if selector.kind in (None, guest.kind) and selector.names(guest)]


def _may_be_one(one: Selector, other: Selector) -> bool:
    """Two selectors of one name may mean one guest."""
    return (one.vmid is None or other.vmid is None) and (one.kind == other.kind or None in (one.kind, other.kind))


def _refuse(one: Entry, other: Entry) -> None:
    if one is not other:
        raise InvalidRequest(
            f"{one.place} ({one.selector}) and {other.place} ({other.selector}) mean one guest: nothing was changed"
        )
