# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was read of a cluster, in a form that a cache can keep."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..waiting import Addresses
from .hosts import Known

# What can be read of a guest besides the list.
READABLE = ("config", "agent")
_VERSION = 1

Entry = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Miss:
    """A guest that gave no answer: when that was, in seconds since 1970, and why."""

    when: float
    why: str


@dataclass
class Memory:
    """The list of guests, and by vmid what each answered; source is who asked which cluster."""

    source: str
    read_at: float
    entries: list[Entry]
    configs: dict[int, dict[str, t.Any]] = field(default_factory=dict)
    # A guest that has told that it has no addresses to tell is in here, too.
    addresses: dict[int, Addresses] = field(default_factory=dict)
    missed: dict[str, dict[int, Miss]] = field(default_factory=lambda: {what: {} for what in READABLE})

    def known(self, vmid: int) -> Known:
        """Return what was read of a guest."""
        settled = {what for what in READABLE if vmid in self.missed[what]}
        settled |= {"config"} if vmid in self.configs else set()
        settled |= {"agent"} if vmid in self.addresses else set()
        return Known(self.configs.get(vmid), self.addresses.get(vmid), frozenset(settled))

    def keep(self, what: str, vmid: int, answer: t.Any) -> None:
        """Take down an answer: a configuration, or Addresses."""
        self.missed[what].pop(vmid, None)
        if what == "config":
            self.configs[vmid] = answer
        else:
            self.addresses[vmid] = answer

    def miss(self, what: str, vmid: int, when: float, why: str) -> None:
        """Take down that there was no answer."""
        self.missed[what][vmid] = Miss(when, why)

    def forget_misses(self, before: float) -> None:
        """Let those be asked again that gave no answer before that time."""
        for what, misses in self.missed.items():
            self.missed[what] = {vmid: miss for vmid, miss in misses.items() if miss.when >= before}

    def as_cache(self) -> dict[str, t.Any]:
        """Return it as JSON can hold it."""
        return {
            "version": _VERSION,
            "source": self.source,
            "read_at": self.read_at,
            "guests": [dict(entry) for entry in self.entries],
            "config": {str(vmid): config for vmid, config in self.configs.items()},
            "agent": {str(vmid): addresses.as_result() for vmid, addresses in self.addresses.items()},
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
        return Memory(
            source,
            float(data["read_at"]),
            list(data["guests"]),
            {int(vmid): dict(config) for vmid, config in data["config"].items()},
            {
                int(vmid): Addresses(tuple(addresses["ipv4"]), tuple(addresses["ipv6"]))
                for vmid, addresses in data["agent"].items()
            },
            {
                what: {int(vmid): Miss(float(when), str(why)) for vmid, (when, why) in data["missed"][what].items()}
                for what in READABLE
            },
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
