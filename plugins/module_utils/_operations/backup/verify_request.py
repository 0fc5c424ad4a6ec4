# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked for to prove that a backup works."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ..._pve.errors import InvalidRequest
from ..._pve.guests import Selector
from ..._pve.storage_names import check_storage_name
from ..selection import check_vmid, selector_from
from .archives import named_backup
from .backup_request import seconds_of
from .restore_request import restored_settings

BOOTS = ("auto", "agent", "console", "none")
DEFAULT_TAG = "verify-backup"
BOOT_SECONDS = 300
VERIFY_SPEC: dict[str, dict[str, t.Any]] = {
    "backup": {"type": "str"},
    "storage": {"type": "str"},
    "max_age": {"type": "str"},
    "node": {"type": "str"},
    "restore_storage": {"type": "str"},
    "pool": {"type": "str"},
    "vmids": {"type": "str"},
    "tag": {"type": "str", "default": DEFAULT_TAG},
    "config": {"type": "dict"},
    "bandwidth": {"type": "int"},
    "boot": {"type": "str", "choices": list(BOOTS), "default": "auto"},
    "boot_timeout": {"type": "int", "default": BOOT_SECONDS},
    "commands": {"type": "list", "elements": "str"},
    "keep_failed": {"type": "bool", "default": False},
}
_RANGE = re.compile(r"(\d+)\s*-\s*(\d+)")
_TAG = re.compile(r"[a-z0-9_][a-z0-9_+.-]*")


@dataclass(frozen=True)
class VerifyRequest:
    """The guest whose backup is restored, and what the restored one has to do."""

    selector: Selector
    backup: str | None = None
    storage: str | None = None
    max_age: int | None = None
    node: str | None = None
    restore_storage: str | None = None
    pool: str | None = None
    vmids: range | None = None
    tag: str = DEFAULT_TAG
    config: t.Mapping[str, t.Any] = field(default_factory=dict)
    bandwidth: int | None = None
    boot: str = "auto"
    boot_seconds: int = BOOT_SECONDS
    commands: tuple[str, ...] = ()
    # A script for the console, as that room has it.
    console_checks: t.Any = None
    keep_failed: bool = False


def verify_request(parameters: t.Mapping[str, t.Any]) -> VerifyRequest:
    """Check the options; raises InvalidRequest."""
    backup = parameters.get("backup")
    if backup:
        source = named_backup("backup", backup)
        named = parameters.get("vmid") is not None or parameters.get("name")
        selector = selector_from(parameters) if named else Selector(source.vmid, kind=source.kind)
        if selector.vmid not in (None, source.vmid):
            raise InvalidRequest(f"backup {backup} is one of guest {source.vmid}, not of guest {selector.vmid}")
    else:
        selector = selector_from(parameters)
    for name in ("storage", "restore_storage"):
        check_storage_name(name, parameters.get(name))
    if not _TAG.fullmatch(parameters["tag"]):
        raise InvalidRequest(f"tag {parameters['tag']!r} is none that PVE takes as it is: use small letters and digits")
    if parameters["boot_timeout"] <= 0:
        raise InvalidRequest(f"boot_timeout must be more than 0 seconds, not {parameters['boot_timeout']}")
    commands = tuple(parameters.get("commands") or ())
    if commands and parameters["boot"] not in ("auto", "agent"):
        raise InvalidRequest(f"commands are run by the guest agent, which boot={parameters['boot']} does not wait for")
    max_age = parameters.get("max_age")
    return VerifyRequest(
        selector=selector,
        backup=backup,
        storage=parameters.get("storage"),
        max_age=None if max_age is None else seconds_of("max_age", max_age),
        node=parameters.get("node"),
        restore_storage=parameters.get("restore_storage"),
        pool=parameters.get("pool"),
        vmids=_numbers(parameters.get("vmids")),
        tag=parameters["tag"],
        config=restored_settings(parameters.get("config") or {}),
        bandwidth=parameters.get("bandwidth"),
        boot=parameters["boot"],
        boot_seconds=parameters["boot_timeout"],
        commands=commands,
        keep_failed=parameters["keep_failed"],
    )


def _numbers(text: str | None) -> range | None:
    """Read a range of numbers such as 9000-9099."""
    if text is None:
        return None
    found = _RANGE.fullmatch(text.strip())
    if not found or int(found[1]) > int(found[2]):
        raise InvalidRequest(f"vmids {text!r} is no range of numbers as in 9000-9099")
    for number in found.groups():
        check_vmid("vmids", int(number))
    return range(int(found[1]), int(found[2]) + 1)
