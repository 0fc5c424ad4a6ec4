# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task as Ansible's worker carries it out, in the process that module_server.py has forked for it.

Ansible's task, connection, templar and action plugin are the real ones; there is no playbook around them, whose start
takes forty times as long. What the action plugin leaves to the module, the caller has to carry out.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins.loader import connection_loader, init_plugin_loader
from ansible.template import Templar

COLLECTION = "cloudbridge.proxmox"
PLUGINS = f"ansible_collections.{COLLECTION}.plugins.action"


class LeftToTheModule(Exception):
    """The worker is not the place for this one."""


@functools.cache
def action_of(module: str) -> type:
    """The module's action plugin, which stops where Ansible would begin to pack the module."""

    class Action(importlib.import_module(f"{PLUGINS}.{module}").ActionModule):  # type: ignore[misc]
        def _execute_module(self, *_arguments: Any, **_options: Any) -> NoReturn:
            raise LeftToTheModule

    return Action


def load_everything() -> None:
    """What Ansible has loaded in the process that forks the workers, as it has parsed the tasks there."""
    init_plugin_loader()
    package = importlib.import_module(PLUGINS)
    for path in Path(package.__path__[0]).glob("[a-z]*.py"):
        prepared(path.stem, {})


def prepared(module: str, arguments: Mapping[str, Any], **keywords: Any) -> Any:
    """The action plugin of the task."""
    loader = DataLoader()
    task = Task.load({f"{COLLECTION}.{module}": arguments, "connection": "local", **keywords}, loader=loader)
    context = PlayContext()
    connection = connection_loader.get("ansible.builtin.local", context)
    return action_of(module)(task, connection, context, loader, Templar(loader), None)


def run_in_worker(module: str, given: Mapping[str, Any]) -> int:
    """Print the task's result; the exit code is the module's. Raises LeftToTheModule."""
    arguments = {name: value for name, value in given.items() if not name.startswith("_ansible_")}
    action = prepared(module, arguments, check_mode=given["_ansible_check_mode"], diff=given["_ansible_diff"])
    result = action.run(task_vars={})
    sys.stdout.write(f"{json.dumps(result)}\n")
    return int(bool(result.get("failed")))
