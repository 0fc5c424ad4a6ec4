# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backups stay when PVE prunes, as its own rules have it (PVE::Storage, prune_mark_backup_group)."""

from __future__ import annotations

import calendar
import datetime
import typing as t
from dataclasses import dataclass, field

from ..._pve.errors import InvalidRequest
from .archives import Backup

Fields = tuple[int, ...]
NEW = "a new backup"
_Period = t.Callable[[Fields], t.Hashable]


def _week(moment: Fields) -> t.Hashable:
    return datetime.date(*moment[:3]).isocalendar()[:2]


# What two backups of one period have in common, in the order in which PVE goes through the rules.
PERIODS: dict[str, _Period] = {
    "last": lambda moment: moment,
    "hourly": lambda moment: moment[:4],
    "daily": lambda moment: moment[:3],
    "weekly": _week,
    "monthly": lambda moment: moment[:2],
    "yearly": lambda moment: moment[:1],
}


@dataclass(frozen=True)
class Retention:
    """How many backups stay, by rule; as the storage's own settings say when as_storage."""

    keep: t.Mapping[str, int] = field(default_factory=dict)
    as_storage: bool = False

    @property
    def text(self) -> str:
        """The retention as PVE takes it."""
        return ",".join(f"keep-{name}={count}" for name, count in self.keep.items())

    @property
    def limit(self) -> int:
        """How many backups PVE lets there be without pruning; 0 for any number (PVE::VZDump, exec_backup_task)."""
        return sum(self.keep.values())


@dataclass(frozen=True)
class Candidate:
    """A backup that pruning looks at: its local time, and whether PVE leaves it alone and does not count it."""

    volid: str
    created: int
    moment: Fields
    spared: bool = False


def retention_from(parameters: t.Mapping[str, t.Any]) -> Retention | None:
    """Read keep_last to keep_yearly and keep_as_storage; raises InvalidRequest. None when nothing is to be pruned."""
    keep = {name: parameters[f"keep_{name}"] for name in PERIODS if parameters.get(f"keep_{name}") is not None}
    for name, count in keep.items():
        if count < 0:
            raise InvalidRequest(f"keep_{name} must not be negative, but is {count}")
    if parameters.get("keep_as_storage"):
        if keep:
            raise InvalidRequest(f"keep_as_storage does not go with keep_{next(iter(keep))}: give one of them")
        return Retention(as_storage=True)
    if keep and not any(keep.values()):
        names = " and ".join(f"keep_{name}" for name in keep)
        raise InvalidRequest(f"{names} are all 0, by which PVE prunes nothing: leave them out, or keep at least 1")
    return Retention(keep) if keep else None


def parse_retention(text: str) -> Retention:
    """Read a retention as PVE writes it; one that keeps all is empty."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    found = {name.strip().removeprefix("keep-"): int(value or 0) for name, _equals, value in pairs}
    if found.pop("all", 0):
        return Retention()
    return Retention({name: found[name] for name in PERIODS if found.get(name)})


def candidates(backups: t.Iterable[Backup], new: int | None = None, new_is_spared: bool = False) -> list[Candidate]:
    """The backups of one guest as pruning sees them; new is when one more will be made.

    The names of files say the local time of their node; that of the new one is as far from the time in seconds.
    """
    found, ahead = [], 0
    for backup in backups:
        name = backup.name
        moment = name.fields if name else _fields(backup.created + ahead)
        found.append(Candidate(backup.volid, backup.created, moment, backup.protected or name is None))
        ahead = calendar.timegm((*moment, 0, 0, 0)) - backup.created
    if new is not None:
        # It is the newest of them, whatever the clocks and their seconds say: PVE makes no two within one.
        new = max((new, *(one.created + 1 for one in found)))
        found.append(Candidate(NEW, new, _fields(new + ahead), new_is_spared))
    return found


def pruned(found: t.Iterable[Candidate], retention: Retention) -> list[str]:
    """The names of what is pruned, the oldest first."""
    counted = [one for one in sorted(found, key=lambda one: -one.created) if not one.spared]
    if not retention.limit:
        return []
    kept: set[str] = set()
    gone: set[str] = set()
    for name, period in PERIODS.items():
        _apply(counted, retention.keep.get(name, 0), period, kept, gone)
    return [one.volid for one in reversed(counted) if one.volid not in kept]


def _apply(newest_first: t.Sequence[Candidate], count: int, period: _Period, kept: set[str], gone: set[str]) -> None:
    """Mark by one rule: of each period that no rule before has kept one of, the newest, until so many are kept."""
    if not count:
        return
    covered = {period(one.moment) for one in newest_first if one.volid in kept}
    mine: set[t.Hashable] = set()
    for one in newest_first:
        where = period(one.moment)
        if one.volid in kept or one.volid in gone or where in covered:
            continue
        if where in mine:
            gone.add(one.volid)
            continue
        if len(mine) >= count:
            return
        mine.add(where)
        kept.add(one.volid)


def _fields(seconds: int) -> Fields:
    return tuple(datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).timetuple()[:6])
