# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The site policy, a JSON file of the operator: what tenants and callers may do."""

from __future__ import annotations

import fnmatch
import json
import re
import typing as t

from .._pve.errors import InvalidRequest, PermissionDenied
from .._pve.storage_names import STORAGE_NAME, check_storage_name
from .details import DETAILS, POLICY, Details, parse_detail
from .payload import Caller
from .registry import find_action

MAX_BYTES = 1024 * 1024
# A pattern without any of these matches all names.
_LITERAL = re.compile(r"[A-Za-z0-9]")
_SET = re.compile(r"\[[^]]*\]")
_ISO = re.compile(rf"{STORAGE_NAME.pattern}:iso/[A-Za-z0-9][A-Za-z0-9._+ ()@-]*\.(iso|img)", re.IGNORECASE)
ALLOWED_CALLERS = "allowed_callers"
EVERY_ACTION = "*"
# CloudStack's RoleType.
ROLE_TYPES = ("Admin", "ResourceAdmin", "DomainAdmin", "User")


def read_policy(path: str) -> dict[str, t.Any]:
    """Read the site policy; a missing file is an empty policy. Raises InvalidRequest if it cannot be used."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs 10 ms
            content = file.read(MAX_BYTES)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"the policy {path!r} cannot be read: {getattr(error, 'strerror', error)}") from error
    try:
        policy = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the policy {path!r} is not JSON: {error}") from error
    if not isinstance(policy, dict):
        raise InvalidRequest(f"the policy {path!r} is not a JSON object")
    for name, value in policy.items():
        if name not in DETAILS:
            raise InvalidRequest(f"the policy {path!r} knows no {name!r}")
        if value is not None:
            parsed = parse_detail(DETAILS[name], value, POLICY)
            if name == ALLOWED_CALLERS:
                parse_callers(parsed)
    return policy


def check_source(details: Details, vmid: int, config: t.Mapping[str, str]) -> None:
    """Raise InvalidRequest unless the operator lets this guest be cloned, and the tenant select it.

    The name of a guest that is not a template may be a tenant's choice, so it does not count.
    """
    wanted, is_template = details.required("template_id"), config.get("template") == "1"
    names = [wanted, str(vmid), *([config["name"]] if is_template and "name" in config else [])]
    if details.from_tenant("template_id") and not _allows(details, "allowed_templates", names):
        raise InvalidRequest(f"template_id: the site policy does not allow the template {wanted!r}")
    if not is_template and not _names_guest(details, str(vmid)):
        raise InvalidRequest(
            f"template_id: {wanted} is no template but a guest: name its number in allowed_templates of the site "
            f"policy to let it be cloned"
        )


def _names_guest(details: Details, number: str) -> bool:
    """The operator has named this guest as a source of clones, by its number and without a pattern."""
    mapped = details.mapping("template_map").values()
    own = not details.from_tenant("template_id") and details.text("template_id") == number
    return own or number in details.words("allowed_templates") or number in mapped


def check_vm_name(details: Details, name: str) -> None:
    """Raise InvalidRequest for a name that means a template in the details."""
    maps, allowed = details.mapping("template_map"), details.words("allowed_templates")
    named = {
        "allowed_templates": [pattern for pattern in allowed if _LITERAL.search(_SET.sub("", pattern))],
        "template_id": [details.text("template_id") or ""],
        "template_map": [text.partition("@")[0] for text in (*maps, *maps.values())],
    }
    for detail, patterns in named.items():
        found = next((pattern for pattern in patterns if fnmatch.fnmatchcase(name.lower(), pattern.lower())), None)
        if found:
            raise InvalidRequest(f"vm_name: {name!r} is the template {found!r} of {detail}: choose another name")


def storage_of(details: Details) -> str | None:
    """The storage to put disks on, mapped; raises InvalidRequest when a tenant may not select it."""
    storage = details.text("storage")
    if storage is None:
        return None
    return (
        _mapped_storage(details, storage) if not details.from_tenant("storage") else storage_parameter(details, storage)
    )


def storage_parameter(details: Details, storage: str) -> str:
    """A storage that a tenant names, mapped; raises InvalidRequest when tenants may not select it."""
    if not _allows(details, "allowed_storages", (storage,)):
        raise InvalidRequest(f"storage: the site policy does not allow the storage {storage!r}")
    return _mapped_storage(details, storage)


def _mapped_storage(details: Details, storage: str) -> str:
    mapped = details.mapping("storage_map").get(storage, storage)
    check_storage_name("storage_map:", mapped)
    return mapped


def disk_size_of(details: Details) -> int | None:
    """The size of the first disk in GiB; raises InvalidRequest if a tenant may not have that much."""
    size = details.number("disk_size_gb")
    if size is not None and details.from_tenant("disk_size_gb"):
        check_disk_size(details, size)
    return size


def check_disk_size(details: Details, size: int) -> None:
    """Raise InvalidRequest when tenants may not have a disk of so many GiB."""
    most = details.number("max_disk_size_gb")
    if most is not None and size > most:
        raise InvalidRequest(f"disk_size_gb: {size} is more than the {most} that the site policy allows")


def iso_of(details: Details) -> str:
    """The ISO image to install from; raises InvalidRequest unless it is one, and one that may be selected."""
    iso = details.required("iso_path")
    check_iso(iso)
    if details.from_tenant("iso_path") and not _allows(details, "allowed_isos", (iso,)):
        raise InvalidRequest(f"iso_path: the site policy does not allow {iso!r}")
    return iso


def check_iso_parameter(details: Details, iso: str) -> None:
    """Raise InvalidRequest unless it is an ISO image that tenants may put into their instances."""
    check_iso(iso)
    if not _allows(details, "allowed_isos", (iso,)):
        raise InvalidRequest(f"iso_path: the site policy does not allow {iso!r}")


def check_backup(details: Details, storage: str, mode: str, protected: bool) -> None:
    """Raise InvalidRequest unless tenants may create such backups on this storage."""
    if storage != details.text("backup_storage") and not _allows(details, "allowed_backup_storages", (storage,)):
        raise InvalidRequest(f"storage: the site policy does not allow the backup storage {storage!r}")
    if not _allows(details, "allowed_backup_modes", (mode,)):
        raise InvalidRequest(f"mode: the site policy does not allow backups in the mode {mode!r}")
    if protected and not details.flag("allow_protected_backups"):
        raise InvalidRequest("protected: the site policy does not allow backups that cannot be pruned")


def check_iso(iso: str) -> None:
    """Raise InvalidRequest unless the text is the name of an ISO image."""
    if not _ISO.fullmatch(iso) or ".." in iso:
        raise InvalidRequest(f"iso_path {iso[:100]!r} is not an ISO image as in local:iso/debian.iso")


def _allows(details: Details, name: str, candidates: t.Iterable[str]) -> bool:
    patterns = details.words(name)
    return any(fnmatch.fnmatchcase(candidate, pattern) for candidate in candidates for pattern in patterns)


# A user's name is no kind: users of two domains can have the same.
_KINDS: dict[str, t.Callable[[Caller], str]] = {
    "roletype": lambda caller: caller.role_type,
    "rolename": lambda caller: caller.role_name,
    "id": lambda caller: caller.id,
}


def check_caller(details: Details, caller: Caller, name: str) -> None:
    """Raise PermissionDenied when the operator's details do not let this caller run the action."""
    given = details.mapping(ALLOWED_CALLERS)
    if not given:
        return
    rules, action = parse_callers(given), find_action(name)
    rule = rules.get(name, rules.get(EVERY_ACTION)) if action is not None and action.custom else None
    if rule is not None and not any(_is_meant(caller, *who) for who in rule):
        who = str(caller) or "a caller whom CloudStack does not name"
        raise PermissionDenied(f"{ALLOWED_CALLERS} of the site policy does not let {who} run {name}")


def parse_callers(rules: t.Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """The callers of each custom action, as pairs of their kind and value; raises InvalidRequest."""
    parsed = {}
    for key, text in rules.items():
        action = find_action(key)
        if key != EVERY_ACTION and (action is None or not action.custom):
            raise InvalidRequest(f"{ALLOWED_CALLERS}: {key[:100]!r} is no custom action")
        words = (word.strip() for word in text.split("|"))
        parsed[action.name if action else EVERY_ACTION] = [_parse_caller(key, word) for word in words if word]
    return parsed


def _parse_caller(key: str, word: str) -> tuple[str, str]:
    kind, _colon, value = word.partition(":") if ":" in word else ("roletype", ":", word)
    if kind not in _KINDS or not value or (kind == "roletype" and value not in ROLE_TYPES):
        raise InvalidRequest(
            f"{ALLOWED_CALLERS}: {word[:100]!r} for {key} is none of {', '.join(ROLE_TYPES)}, rolename:NAME and id:UUID"
        )
    return kind, value


def _is_meant(caller: Caller, kind: str, value: str) -> bool:
    return _KINDS[kind](caller) == value
