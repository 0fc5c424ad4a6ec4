# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked for the backups of a guest."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ..._pve.errors import InvalidRequest
from ..._pve.guests import Selector
from ..._pve.storage_names import check_storage_name
from ..selection import selector_from
from .archives import named_backup
from .retention import PERIODS, Retention, retention_from
from .vzdump import COMPRESSIONS, MODES, NewBackup, new_backup

STATES = ("present", "absent")
CHANGE_DETECTION = ("legacy", "data", "metadata")
NOTIFICATIONS = ("auto", "legacy-sendmail", "notification-system")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE = re.compile(r"(?P<number>\d+)\s*(?P<unit>[smhdw]?)")

# What vzdump is asked for, by tasks and by jobs.
VZDUMP_SPEC: dict[str, dict[str, t.Any]] = {
    "bandwidth": {"type": "int"},
    "fleecing_storage": {"type": "str"},
    "change_detection": {"type": "str", "choices": list(CHANGE_DETECTION)},
    "zstd_threads": {"type": "int"},
    "max_workers": {"type": "int"},
    "pbs_entries_max": {"type": "int"},
    "exclude_paths": {"type": "list", "elements": "str"},
    "mailto": {"type": "list", "elements": "str"},
    "notification_mode": {"type": "str", "choices": list(NOTIFICATIONS)},
}
# How a backup is made; each is of no use where none is made.
NEW_SPEC: dict[str, dict[str, t.Any]] = {
    "mode": {"type": "str", "choices": list(MODES), "default": "snapshot"},
    "compress": {"type": "str", "choices": list(COMPRESSIONS), "default": "zstd"},
    **VZDUMP_SPEC,
}
KEEP_SPEC: dict[str, dict[str, t.Any]] = {
    **{f"keep_{name}": {"type": "int"} for name in PERIODS},
    "keep_as_storage": {"type": "bool", "default": False},
}
BACKUP_SPEC: dict[str, dict[str, t.Any]] = {
    "state": {"type": "str", "choices": list(STATES), "default": "present"},
    "storage": {"type": "str"},
    "backup": {"type": "str"},
    "node": {"type": "str"},
    "max_age": {"type": "str"},
    "notes": {"type": "str"},
    "protected": {"type": "bool"},
    **NEW_SPEC,
    **KEEP_SPEC,
}


@dataclass(frozen=True)
class BackupRequest:
    """Backups of a guest on a storage: one that is young enough, or the one that backup names.

    max_age is in seconds, and 0 asks for a new one; None where a backup is named or only pruned.
    """

    selector: Selector
    storage: str
    state: str = "present"
    backup: str | None = None
    node: str | None = None
    max_age: int | None = None
    notes: str | None = None
    protected: bool | None = None
    new: NewBackup = field(default_factory=lambda: NewBackup(""))
    retention: Retention | None = None


def backup_request(parameters: t.Mapping[str, t.Any]) -> BackupRequest:
    """Check the options; raises InvalidRequest."""
    state, backup = parameters["state"], parameters.get("backup")
    name = named_backup("backup", backup) if backup else None
    storage = parameters.get("storage") or (name.storage if name else "")
    if not storage:
        raise InvalidRequest("storage is required: say where the backups are")
    if name and name.storage != storage:
        raise InvalidRequest(f"backup {backup} is on storage {name.storage}, not on {storage}: leave storage out")
    if name and not parameters.get("vmid") and not parameters.get("name"):
        selector = Selector(name.vmid)
    else:
        selector = selector_from(parameters)
    if name and selector.vmid not in (None, name.vmid):
        raise InvalidRequest(f"backup {backup} is one of guest {name.vmid}, not of guest {selector.vmid}")
    retention = retention_from(parameters)
    _check_options(parameters, state, bool(name), retention)
    return BackupRequest(
        selector=selector,
        storage=storage,
        state=state,
        backup=backup,
        node=parameters.get("node"),
        max_age=None if parameters.get("max_age") is None else seconds_of("max_age", parameters["max_age"]),
        notes=parameters.get("notes"),
        protected=parameters.get("protected"),
        new=_new_backup(parameters, storage, retention),
        retention=retention,
    )


def seconds_of(option: str, text: str) -> int:
    """Read a time span such as 90m, 12h, 2d or 1w, or a number of seconds; raises InvalidRequest."""
    found = _AGE.fullmatch(str(text).strip())
    if not found:
        raise InvalidRequest(
            f"{option} {text!r} is no time span: give seconds, or a number with m, h, d or w, as in 12h"
        )
    return int(found["number"]) * _UNITS[found["unit"] or "s"]


def _check_options(parameters: t.Mapping[str, t.Any], state: str, is_named: bool, retention: Retention | None) -> None:
    """Raise InvalidRequest when options do not go together."""
    given = {name for name in ("max_age", "notes", "protected", "node") if parameters.get(name) is not None}
    if state == "absent":
        if not is_named and retention is None:
            raise InvalidRequest("state=absent needs backup, or one of keep_last to keep_yearly to prune by")
        wrong = sorted(given - {"node"})
        if wrong:
            raise InvalidRequest(f"{wrong[0]} only goes with state=present, not with state=absent")
    elif is_named:
        if "max_age" in given:
            raise InvalidRequest("max_age does not go with backup: say which backup is meant by one of them")
        if not given & {"notes", "protected"} and retention is None:
            raise InvalidRequest("backup with state=present needs notes or protected: say what is to be changed")
    elif "max_age" not in given:
        raise InvalidRequest("max_age is required: how old the newest backup may be, as in 24h; 0 makes a new one")
    if is_named and retention is not None:
        raise InvalidRequest("backup does not go with keep_last to keep_yearly and keep_as_storage: use two tasks")
    if "node" in given and not is_named:
        raise InvalidRequest("node only goes with backup: a guest is backed up by the node that it is on")


def _new_backup(parameters: t.Mapping[str, t.Any], storage: str, retention: Retention | None) -> NewBackup:
    for name in ("bandwidth", "zstd_threads", "max_workers", "pbs_entries_max"):
        if parameters.get(name) is not None and parameters[name] < 0:
            raise InvalidRequest(f"{name} must not be negative, but is {parameters[name]}")
    fleecing = parameters.get("fleecing_storage")
    check_storage_name("fleecing_storage", fleecing)
    return new_backup(
        storage,
        parameters["mode"],
        parameters["compress"],
        parameters.get("notes") or "",
        bool(parameters.get("protected")),
        prune=retention is not None and retention.as_storage,
        more=vzdump_options(parameters),
    )


def vzdump_options(parameters: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The options of NEW_SPEC that few people need, as vzdump takes them; None for those not given."""
    fleecing = parameters.get("fleecing_storage")
    limits = {"max-workers": parameters.get("max_workers"), "pbs-entries-max": parameters.get("pbs_entries_max")}
    return {
        "bwlimit": parameters.get("bandwidth"),
        "fleecing": None if fleecing is None else f"enabled=1,storage={fleecing}",
        "pbs-change-detection-mode": parameters.get("change_detection"),
        "zstd": parameters.get("zstd_threads"),
        "performance": ",".join(f"{key}={value}" for key, value in limits.items() if value is not None) or None,
        "exclude-path": parameters.get("exclude_paths") or None,
        "mailto": ",".join(parameters.get("mailto") or ()) or None,
        "notification-mode": parameters.get("notification_mode"),
    }
