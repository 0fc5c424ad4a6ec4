# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The actions that CloudStack can ask for, and where each is; nothing is imported before it is needed."""

from __future__ import annotations

import importlib
import re
import typing as t

# It gets the Run, and returns the fields of the answer.
Function = t.Callable[[t.Any], t.Dict[str, t.Any]]  # noqa: UP006 - Python 3.9 evaluates it

# What the resident service does with an action whose executable was killed: it goes on to its end, removes what it has
# created, or cancels it if it only reads.
GO_ON = "go on"
TAKE_BACK = "take back"
DROP = "drop"


class Action(t.NamedTuple):
    """One action: its name as CloudStack's users write it, and module:function below the actions package."""

    name: str
    target: str
    orphaned: str = GO_ON
    # Users of CloudStack ask for it, where the operator has registered it.
    custom: bool = True

    def load(self) -> Function:
        """Import the function that carries the action out."""
        module, _colon, function = self.target.partition(":")
        package = __name__.rpartition(".")[0]
        loaded: Function = getattr(importlib.import_module(f"{package}.actions.{module}"), function)
        return loaded


ACTIONS = (
    Action("prepare", "prepare:prepare", DROP, custom=False),
    Action("create", "create:create", TAKE_BACK, custom=False),
    Action("start", "lifecycle:start", custom=False),
    Action("stop", "lifecycle:stop", custom=False),
    Action("reboot", "lifecycle:reboot", custom=False),
    Action("delete", "lifecycle:delete", custom=False),
    Action("status", "status:status", DROP, custom=False),
    Action("statuses", "status:statuses", DROP, custom=False),
    Action("getconsole", "console:getconsole", DROP, custom=False),
    Action("ListSnapshots", "snapshots:list_snapshots", DROP),
    Action("CreateSnapshot", "snapshots:create_snapshot"),
    Action("RestoreSnapshot", "snapshots:restore_snapshot"),
    Action("DeleteSnapshot", "snapshots:delete_snapshot"),
    Action("Shutdown", "power:shutdown"),
    Action("Suspend", "power:suspend"),
    Action("Resume", "power:resume"),
    Action("Reset", "power:reset"),
    Action("ResizeDisk", "storage:resize_disk"),
    Action("AttachDisk", "disks:attach_disk"),
    Action("DetachDisk", "disks:detach_disk"),
    Action("AttachISO", "storage:attach_iso"),
    Action("DetachISO", "storage:detach_iso"),
    Action("Backup", "backup:backup"),
    Action("Migrate", "placement:migrate"),
    Action("SyncNetworks", "placement:sync_networks"),
    Action("Import", "imports:import_guest"),
    Action("GuestInfo", "guest:guest_info", DROP),
    Action("doctor", "doctor:doctor", DROP, custom=False),
)


def find_action(name: str) -> Action | None:
    """Find an action by its name in any case; blanks, hyphens and underscores do not count."""
    wanted = _key(name)
    return next((action for action in ACTIONS if _key(action.name) == wanted), None)


def _key(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()
