# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plan as a table for people."""

from __future__ import annotations

import typing as t

_COLUMNS = ("guest", "status", "action", "from", "to", "how", "reason")


def table_of(rows: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """The lines of the table, the heading first; none when there is nothing to show."""
    cells = [[_guest(row), *(str(row[name] or "-") for name in _COLUMNS[1:])] for row in rows]
    if not cells:
        return []
    lines = [list(_COLUMNS), *cells]
    widths = [max(len(line[number]) for line in lines) for number in range(len(_COLUMNS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]


def _guest(row: t.Mapping[str, t.Any]) -> str:
    return f"{row['vmid']} ({row['name']})" if row["name"] else str(row["vmid"])
