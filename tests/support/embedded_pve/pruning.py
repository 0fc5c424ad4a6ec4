# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backups pruning removes (PVE::Storage prune_mark_backup_group, PVE::Storage::Plugin prune_backups)."""

from __future__ import annotations

import re
import time
from typing import Any

from .base import parameter_error

FORMATS = {
    "keep-hourly": "%Y %j %H",
    "keep-daily": "%Y %j",
    "keep-weekly": "%G %V",
    "keep-monthly": "%Y %m",
    "keep-yearly": "%Y",
}
RULES = ("keep-last", *FORMATS)
STANDARD_NAME = re.compile(r"backup/vzdump-\w+-\d+-\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d\..+")


def parse_keep(text: str) -> dict[str, int]:
    """A property string of PVE's format prune-backups; refuses what that refuses."""
    found: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        name, _equals, value = part.partition("=")
        if name not in ("keep-all", *RULES):
            problem = f"{name}: property is not defined in schema and the schema does not allow additional properties"
            raise parameter_error(**{"prune-backups": f"invalid format - format error\nprune-backups.{problem}\n"})
        found[name] = int(value)
    if found.get("keep-all") and len(found) > 1:
        text = "invalid format - keep-all cannot be set together with other options.\n"
        raise parameter_error(**{"prune-backups": text})
    return found


def keep_all(keep: dict[str, int]) -> bool:
    return bool(keep.get("keep-all")) or not any(keep.values())


def prune_marks(group: dict[str, dict[str, Any]], keep: dict[str, int]) -> dict[str, str]:
    """The mark of each backup of one guest: protected, renamed, keep or remove."""
    marks: dict[str, str] = {}
    for name, volume in group.items():
        if volume.get("protected"):
            marks[name] = "protected"
        elif not STANDARD_NAME.fullmatch(name):
            marks[name] = "renamed"
    if keep_all(keep):
        return {name: marks.get(name, "keep") for name in group}
    newest_first = sorted(group, key=lambda name: -group[name]["ctime"])
    for rule in RULES:
        _mark(
            newest_first,
            {name: _period(rule, volume["ctime"]) for name, volume in group.items()},
            keep.get(rule, 0),
            marks,
        )
    return {name: marks.get(name, "remove") for name in group}


def _period(rule: str, ctime: int) -> str:
    return str(ctime) if rule == "keep-last" else time.strftime(FORMATS[rule], time.localtime(ctime))


def _mark(names: list[str], periods: dict[str, str], count: int, marks: dict[str, str]) -> None:
    if not count:
        return
    before = {periods[name] for name in names if marks.get(name) == "keep"}
    added: set[str] = set()
    for name in names:
        if name in marks or periods[name] in before:
            continue
        if periods[name] in added:
            marks[name] = "remove"
        elif len(added) >= count:
            return
        else:
            added.add(periods[name])
            marks[name] = "keep"
