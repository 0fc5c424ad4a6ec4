# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PVE's calendar events, as far as two of them can be told to mean the same (PVE::CalendarEvent)."""

from __future__ import annotations

import re
import typing as t

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NAMED = {
    "minutely": "*:*",
    "hourly": "*:00",
    "daily": "00:00",
    "weekly": "mon 00:00",
    "monthly": "*-*-1 00:00",
    "yearly": "*-1-1 00:00",
    "annually": "*-1-1 00:00",
    "quarterly": "*-1,4,7,10-1 00:00",
    "semiannually": "*-1,7-1 00:00",
    "semi-annually": "*-1,7-1 00:00",
}


def same_schedule(one: str, other: str) -> bool:
    """Whether two calendar events mean the same, as far as that can be told."""
    return comparable_schedule(one) == comparable_schedule(other)


def comparable_schedule(text: str) -> t.Hashable:
    """What an event says: its days of the week, its date and its time, without what is a matter of spelling."""
    words = text.strip().lower().split()
    if len(words) == 1 and words[0] in _NAMED:
        words = _NAMED[words[0]].split()
    days: frozenset[str] = frozenset(DAYS)
    date, clock = "*-*-*", "0:0"
    for word in words:
        if re.match(r"[a-z]", word) and word[:3] in DAYS:
            days = _days(word)
        elif "-" in word:
            date = _numbers(word if word.count("-") == 2 else f"*-{word}")
        else:
            clock = _numbers(_clock(word))
    return days, date, clock


def _days(word: str) -> frozenset[str]:
    found: set[str] = set()
    for part in word.split(","):
        first, dots, last = part.partition("..")
        begin, end = (DAYS.index(day[:3]) if day[:3] in DAYS else -1 for day in (first, last or first))
        if min(begin, end) < 0:
            return frozenset({word})
        found.update(DAYS[begin : end + 1] if dots else (DAYS[begin],))
    return frozenset(found)


def _clock(word: str) -> str:
    """Hours and minutes; of one part alone, minutes of each hour."""
    parts = word.split(":")
    if len(parts) == 1:
        parts = ["*", *parts]
    return ":".join(parts[:2]) if parts[2:] in ([], ["00"], ["0"]) else word


def _numbers(word: str) -> str:
    """Without zeros in front."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", word)
