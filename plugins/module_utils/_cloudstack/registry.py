# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The actions that CloudStack can ask for, and where each is; nothing is imported before it is needed."""

from __future__ import annotations

import importlib
import re
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from .run import Run

Answer = t.Dict[str, t.Any]  # noqa: UP006 - Python 3.9 evaluates it
Function = t.Callable[["Run"], Answer]


@dataclass(frozen=True)
class Action:
    """One action: its name as CloudStack's users write it, and module:function below the actions package."""

    name: str
    target: str

    def load(self) -> Function:
        """Import the function that carries the action out."""
        module, _colon, function = self.target.partition(":")
        package = __name__.rpartition(".")[0]
        loaded: Function = getattr(importlib.import_module(f"{package}.actions.{module}"), function)
        return loaded


ACTIONS = (
    Action("prepare", "lifecycle:prepare"),
    Action("create", "lifecycle:create"),
    Action("start", "lifecycle:start"),
    Action("stop", "lifecycle:stop"),
    Action("reboot", "lifecycle:reboot"),
    Action("delete", "lifecycle:delete"),
    Action("status", "status:status"),
    Action("statuses", "status:statuses"),
    Action("getconsole", "console:getconsole"),
    Action("ListSnapshots", "snapshots:list_snapshots"),
    Action("CreateSnapshot", "snapshots:create_snapshot"),
    Action("RestoreSnapshot", "snapshots:restore_snapshot"),
    Action("DeleteSnapshot", "snapshots:delete_snapshot"),
    Action("Shutdown", "power:shutdown"),
    Action("Suspend", "power:suspend"),
    Action("Resume", "power:resume"),
    Action("Reset", "power:reset"),
    Action("ResizeDisk", "storage:resize_disk"),
    Action("AttachISO", "storage:attach_iso"),
    Action("DetachISO", "storage:detach_iso"),
    Action("Backup", "backup:backup"),
    Action("Migrate", "placement:migrate"),
    Action("SyncNetworks", "placement:sync_networks"),
    Action("GuestInfo", "guest:guest_info"),
    Action("doctor", "doctor:doctor"),
)


def find_action(name: str) -> Action | None:
    """Find an action by its name in any case; blanks, hyphens and underscores do not count."""
    wanted = _key(name)
    return next((action for action in ACTIONS if _key(action.name) == wanted), None)


def _key(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()
