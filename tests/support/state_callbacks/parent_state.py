# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the process that forks the workers holds, at the beginning of each task and at the end; see parent_state()."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any, NoReturn

from ansible.plugins.callback import CallbackBase

from tests.support.process_state import state_of_this_process

DOCUMENTATION = """
name: parent_state
type: aggregate
short_description: The state of Ansible's main process for the tests of cloudbridge.proxmox
description:
  - Writes it as lines of JSON to the file named by CLOUDBRIDGE_TEST_PARENT_STATE.
  - Puts something that raises in the place of what CLOUDBRIDGE_TEST_SPOIL names as C(MODULE:NAME).
"""


def fail(*_arguments: Any, **_options: Any) -> NoReturn:
    raise RuntimeError("a bug of ours")


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "parent_state"
    CALLBACK_NEEDS_ENABLED = True

    def _write(self) -> None:
        with Path(os.environ["CLOUDBRIDGE_TEST_PARENT_STATE"]).open("a", encoding="utf-8") as out:
            out.write(json.dumps(state_of_this_process()) + "\n")

    def v2_playbook_on_play_start(self, play: Any) -> None:
        module, _colon, name = os.environ.get("CLOUDBRIDGE_TEST_SPOIL", "").partition(":")
        if module:
            setattr(importlib.import_module(module), name, fail)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._write()

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._write()
