# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was read of a cluster, in a form that a cache can keep."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..addresses import Interface
from .hosts import Known

# What can be read of a guest besides the list.
READABLE = ("config", "status", "snapshots", "agent")
_VERSION = 2

Entry = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Miss:
    """A guest that gave no answer: when that was, in seconds since 1970, and why."""

    when: float
    why: str


def _of_each() -> dict[str, dict[int, t.Any]]:
    return {what: {} for what in READABLE}


@dataclass
class Memory:
    """The list of guests, and by vmid what each answered; source is the user, cluster and options of the read."""

    source: str
    read_at: float
    entries: list[Entry]
    nodes: list[Entry] = field(default_factory=list)
    # The answers as JSON can hold them. A guest that answered that it has no addresses is in here, too.
    answers: dict[str, dict[int, t.Any]] = field(default_factory=_of_each)
    missed: dict[str, dict[int, Miss]] = field(default_factory=_of_each)

    def known(self, vmid: int) -> Known:
        """Return what was read of a guest."""
        found = {what: self.answers[what].get(vmid) for what in READABLE}
        settled = frozenset(what for what in READABLE if vmid in self.missed[what] or vmid in self.answers[what])
        interfaces = found["agent"]
        return Known(
            config=found["config"],
            status=found["status"],
            snapshots=found["snapshots"],
            interfaces=None if interfaces is None else tuple(_interface(item) for item in interfaces),
            settled=settled,
        )

    def keep(self, what: str, vmid: int, answer: t.Any) -> None:
        """Store an answer, as JSON can hold it."""
        self.missed[what].pop(vmid, None)
        self.answers[what][vmid] = answer

    def miss(self, what: str, vmid: int, when: float, why: str) -> None:
        """Store that there was no answer."""
        self.missed[what][vmid] = Miss(when, why)

    def forget_misses(self, before: float) -> None:
        """Forget the misses from before that time, so that these guests are asked again."""
        for what, misses in self.missed.items():
            self.missed[what] = {vmid: miss for vmid, miss in misses.items() if miss.when >= before}

    def as_cache(self) -> dict[str, t.Any]:
        """Return it as JSON can hold it."""
        return {
            "version": _VERSION,
            "source": self.source,
            "read_at": self.read_at,
            "guests": [dict(entry) for entry in self.entries],
            "nodes": [dict(entry) for entry in self.nodes],
            "answers": {
                what: {str(vmid): answer for vmid, answer in answers.items()} for what, answers in self.answers.items()
            },
            "missed": {
                what: {str(vmid): [miss.when, miss.why] for vmid, miss in misses.items()}
                for what, misses in self.missed.items()
            },
        }


def memory_from_cache(data: t.Any, source: str, oldest: float) -> Memory | None:
    """Read what as_cache wrote; None when it is of another source, read before oldest, or not what was written."""
    try:
        if (data["version"], data["source"]) != (_VERSION, source) or data["read_at"] < oldest:
            return None
        memory = Memory(
            source,
            float(data["read_at"]),
            list(data["guests"]),
            list(data["nodes"]),
            {what: {int(vmid): answer for vmid, answer in data["answers"][what].items()} for what in READABLE},
            {
                what: {int(vmid): Miss(float(when), str(why)) for vmid, (when, why) in data["missed"][what].items()}
                for what in READABLE
            },
        )
        for vmid in memory.answers["agent"]:
            memory.known(vmid)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return memory


def _interface(item: t.Mapping[str, t.Any]) -> Interface:
    return Interface(str(item["name"]), str(item["mac"] or ""), tuple(str(text) for text in item["addresses"]))
