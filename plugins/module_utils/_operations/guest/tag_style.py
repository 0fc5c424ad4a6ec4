# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the case of tags matters, which is an option of the datacenter (PVE::GuestHelpers::get_unique_tags)."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..._pve.client import PveClient
from ..._pve.properties import PropertyFormat, truth
from ..vm.vm_request import VmRequest
from .state import GuestState

_TAG_STYLE = PropertyFormat()


def with_tag_style(client: PveClient, request: VmRequest, state: GuestState) -> VmRequest:
    """The request with its tags compared as PVE stores them; one request, and only when tags differ by case alone."""
    tags = request.tags
    if tags is None or not tags.differs_by_case_alone(state.values.get("tags")):
        return request
    options: t.Mapping[str, t.Any] = client.read("cluster", "options")
    style = options.get("tag-style") or {}
    values = _TAG_STYLE.parse(style) if isinstance(style, str) else style
    case_sensitive = truth(str(values.get("case-sensitive", 0))) == "1"
    return replace(request, tags=replace(tags, case_sensitive=case_sensitive))
