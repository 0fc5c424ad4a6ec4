# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tags of a guest. Whether their case matters the datacenter says (PVE::GuestHelpers::get_unique_tags)."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field, replace

from ..._pve.client import PveClient
from ..._pve.errors import InvalidRequest
from ..._pve.properties import PropertyFormat, truth
from ..._pve.value_types import CASE_SENSITIVE_TAGS, TAGS
from ..facts import split_tags
from ..maintenance_tags import maintenance_tags
from .desired import DesiredSetting

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_TAG_STYLE = PropertyFormat()


@dataclass(frozen=True)
class DesiredTags:
    """The tags that a guest is to have, alone or among others."""

    tags: tuple[str, ...] = ()
    only: bool = True
    # Whether the datacenter's tag-style tells upper from lower case.
    case_sensitive: bool = False
    key: str = field(default="tags", init=False)

    def setting(self, current: str | None, vmid: int) -> DesiredSetting:
        """The setting of the tags, given those that are there; without those of a maintenance it would not return."""
        there: t.Sequence[str] = split_tags(current)
        if self.only:
            there = maintenance_tags(there, vmid)
        fold: t.Callable[[str], str] = str if self.case_sensitive else str.lower
        known = {fold(tag) for tag in there}
        missing = [tag for tag in self.tags if fold(tag) not in known]
        value_type = CASE_SENSITIVE_TAGS if self.case_sensitive else TAGS
        return DesiredSetting("tags", ";".join(sorted({*there, *missing})) or None, value_type=value_type)

    def differs_by_case_alone(self, current: str | None, vmid: int) -> bool:
        """Whether the datacenter's tag-style decides if there is anything to change."""
        loose, strict = replace(self, case_sensitive=False), replace(self, case_sensitive=True)
        return loose.setting(current, vmid).is_met_by(current) and not strict.setting(current, vmid).is_met_by(current)


def desired_tags(tags: t.Sequence[str] | None, mode: str) -> DesiredTags | None:
    """Check the tags of a request; None when it says nothing of them."""
    if tags is None:
        return None
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise InvalidRequest(f"tags: {tag!r} is no tag: letters, digits, and _ . + - after the first character")
    return DesiredTags(tuple(tags), mode == "set")


def with_tag_style(client: PveClient, tags: DesiredTags | None, current: str | None, vmid: int) -> DesiredTags | None:
    """The tags, compared as PVE stores them; one request, and only when they differ by case alone."""
    if tags is None or not tags.differs_by_case_alone(current, vmid):
        return tags
    options: t.Mapping[str, t.Any] = client.read("cluster", "options")
    style = options.get("tag-style") or {}
    values = _TAG_STYLE.parse(style) if isinstance(style, str) else style
    return replace(tags, case_sensitive=truth(str(values.get("case-sensitive", 0))) == "1")
