# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the doctor finds: one row for each thing that it looked at."""

from __future__ import annotations

import fnmatch
import typing as t
from dataclasses import dataclass

OK, WARNING, PROBLEM = "ok", "warning", "problem"
_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True)
class Finding:
    """One row: what was looked at, what was found, and what to do about it."""

    check: str
    result: str
    found: str
    mend: str = ""


Findings = t.Iterator[Finding]


def is_pattern(word: str) -> bool:
    """The word names what fits, and not one thing."""
    return not _WILDCARDS.isdisjoint(word)


def matches(word: str, names: t.Iterable[str]) -> list[str]:
    """Those of the names that a pattern fits."""
    return [name for name in names if fnmatch.fnmatchcase(name, word)]


def nothing_of(detail: str, word: str, there: t.Iterable[str], mend: str) -> Finding:
    """The row for a word of a list that fits nothing: a mistake where it is a name, and perhaps one where not."""
    listed = ", ".join(sorted(there)) or "none"
    return Finding(f"{detail} {word}", WARNING if is_pattern(word) else PROBLEM, f"fits nothing of {listed}", mend)
