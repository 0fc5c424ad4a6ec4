# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may run which custom action: CloudStack's user, by the type or the name of the role, or by the id."""

from __future__ import annotations

import typing as t

from .._pve.errors import InvalidRequest, PermissionDenied
from .details import Details
from .payload import Caller
from .registry import find_action

DETAIL = "allowed_callers"
EVERY_ACTION = "*"
# CloudStack's RoleType.
ROLE_TYPES = ("Admin", "ResourceAdmin", "DomainAdmin", "User")
# A user's name is no kind: users of two domains can have the same.
_KINDS: dict[str, t.Callable[[Caller], str]] = {
    "roletype": lambda caller: caller.role_type,
    "rolename": lambda caller: caller.role_name,
    "id": lambda caller: caller.id,
}


def check_caller(details: Details, caller: Caller, name: str) -> None:
    """Raise PermissionDenied when the operator's details do not let this caller run the action."""
    given = details.mapping(DETAIL)
    if not given:
        return
    rules, action = parse_callers(given), find_action(name)
    rule = rules.get(name, rules.get(EVERY_ACTION)) if action is not None and action.custom else None
    if rule is not None and not any(_is_meant(caller, *who) for who in rule):
        who = str(caller) or "a caller whom CloudStack does not name"
        raise PermissionDenied(f"{DETAIL} of the site policy does not let {who} run {name}")


def parse_callers(rules: t.Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """The callers of each custom action, as pairs of their kind and value; raises InvalidRequest."""
    parsed = {}
    for key, text in rules.items():
        action = find_action(key)
        if key != EVERY_ACTION and (action is None or not action.custom):
            raise InvalidRequest(f"{DETAIL}: {key[:100]!r} is no custom action")
        words = (word.strip() for word in text.split("|"))
        parsed[action.name if action else EVERY_ACTION] = [_parse(key, word) for word in words if word]
    return parsed


def _parse(key: str, word: str) -> tuple[str, str]:
    kind, _colon, value = word.partition(":") if ":" in word else ("roletype", ":", word)
    if kind not in _KINDS or not value or (kind == "roletype" and value not in ROLE_TYPES):
        raise InvalidRequest(
            f"{DETAIL}: {word[:100]!r} for {key} is none of {', '.join(ROLE_TYPES)}, rolename:NAME and id:UUID"
        )
    return kind, value


def _is_meant(caller: Caller, kind: str, value: str) -> bool:
    return _KINDS[kind](caller) == value
