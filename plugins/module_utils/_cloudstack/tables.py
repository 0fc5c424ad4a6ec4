# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers that CloudStack's UI shows as a table: flat rows of texts, all with the columns of the first one."""

from __future__ import annotations

import json
import typing as t

from .._pve.errors import one_line
from .answer import MAX_BYTES, shorten

Row = t.Mapping[str, str]

# What is left for everything else in the answer.
_MOST_BYTES = MAX_BYTES - 4096
_CELL_LIMITS = (400, 100, 40)


def table(rows: t.Sequence[Row]) -> dict[str, t.Any]:
    """The fields of an answer that is a table; what does not fit is shortened, and then left out with a word on it."""
    shown: list[dict[str, str]] = []
    for limit in _CELL_LIMITS:
        shown = [{name: shorten(one_line(text), limit) for name, text in row.items()} for row in rows]
        if _fits(shown):
            break
    while not _fits(shown):
        shown = shown[: len(shown) // 2]
    if len(shown) < len(rows):
        columns = list(rows[0])
        shown.append({**dict.fromkeys(columns, ""), columns[0]: f"... and {len(rows) - len(shown)} more"})
    return {"printmessage": "true", "message": shown}


def _fits(rows: t.Sequence[Row]) -> bool:
    return len(json.dumps(rows)) <= _MOST_BYTES
