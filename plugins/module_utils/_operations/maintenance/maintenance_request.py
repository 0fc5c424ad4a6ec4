# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of the maintenance of a node: that its guests are elsewhere, or that they are back."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..._pve.errors import InvalidRequest
from ..._pve.guests import Guest
from ..many.many_request import Selection, selection_from
from ..migration.migration_request import MigrationOptions, how_spec, migration_options

STATES = ("evacuated", "returned")
UNMOVABLE = ("fail", "stop", "leave")


@dataclass(frozen=True)
class MaintenanceRequest:
    """Which node is meant, and how its guests leave it or come back.

    nodes are those that they may go to, all others when there are none. first has the tags of the guests that go first.
    With a selection only the guests that it selects are meant.
    """

    node: str
    state: str = "evacuated"
    nodes: tuple[str, ...] = ()
    parallel: int = 2
    first: tuple[str, ...] = ()
    unmovable: str = "fail"
    move_stopped: bool = True
    overcommit_memory: bool = False
    seconds: int = 3600
    wait_for_lock: int = 0
    options: MigrationOptions = field(default_factory=MigrationOptions)
    selection: Selection | None = None

    def means(self, guest: Guest) -> bool:
        """Whether the guest is one of those that the maintenance is about."""
        return self.selection is None or self.selection.selects(guest)


def maintenance_spec() -> dict[str, t.Any]:
    """The options of the maintenance of a node."""
    return {
        "node": {"type": "str", "required": True},
        "state": {"type": "str", "choices": list(STATES), "default": "evacuated"},
        "nodes": {"type": "list", "elements": "str"},
        "select": {"type": "dict", "options": _select_spec()},
        "parallel": {"type": "int", "default": 2},
        "first": {"type": "list", "elements": "str"},
        "unmovable": {"type": "str", "choices": list(UNMOVABLE), "default": "fail"},
        "move_stopped": {"type": "bool", "default": True},
        "overcommit_memory": {"type": "bool", "default": False},
        "guest_timeout": {"type": "int", "default": 3600},
        **how_spec(),
    }


def _select_spec() -> dict[str, t.Any]:
    return {
        "names": {"type": "list", "elements": "str"},
        "pool": {"type": "str"},
        "tags": {"type": "list", "elements": "str"},
    }


def maintenance_request(parameters: t.Mapping[str, t.Any]) -> MaintenanceRequest:
    """Check the options; raises InvalidRequest."""
    for option in ("parallel", "guest_timeout"):
        if parameters[option] < 1:
            raise InvalidRequest(f"{option} must be at least 1, not {parameters[option]}")
    nodes = tuple(parameters.get("nodes") or ())
    if parameters["node"] in nodes:
        raise InvalidRequest(f"nodes has {parameters['node']}, which is the node that the guests leave: take it out")
    if nodes and parameters["state"] == "returned":
        raise InvalidRequest("nodes is for state=evacuated: guests return to the node that they came from")
    return MaintenanceRequest(
        node=parameters["node"],
        state=parameters["state"],
        nodes=nodes,
        parallel=parameters["parallel"],
        first=tuple(parameters.get("first") or ()),
        unmovable=parameters["unmovable"],
        move_stopped=parameters["move_stopped"],
        overcommit_memory=parameters["overcommit_memory"],
        seconds=parameters["guest_timeout"],
        wait_for_lock=parameters["wait_for_lock"],
        options=migration_options(parameters),
        selection=_selection(parameters.get("select")),
    )


def _selection(parameters: t.Mapping[str, t.Any] | None) -> Selection | None:
    if parameters is None:
        return None
    if not any(parameters.values()):
        raise InvalidRequest("select needs one of tags, pool and names: leave it out when all guests are meant")
    return selection_from(parameters)
