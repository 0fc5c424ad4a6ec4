# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write each task result as a line of JSON to the file named by CLOUDBRIDGE_TEST_RESULTS."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: json_lines
type: aggregate
short_description: JSON lines for the tests of cloudbridge.proxmox
description: Writes each task result as a line of JSON to the file named by CLOUDBRIDGE_TEST_RESULTS.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "json_lines"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._path = Path(os.environ["CLOUDBRIDGE_TEST_RESULTS"])

    def _write(self, outcome: str, result: Any) -> None:
        # Attributes of 2.19 and later, then those of 2.18.
        task = getattr(result, "task", None) or result._task
        host = getattr(result, "host", None) or result._host
        answer = getattr(result, "result", None) or result._result
        line = {
            "outcome": outcome,
            "task": task.get_name(),
            "action": task.action,
            "host": host.get_name(),
            "result": answer,
        }
        with self._path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line, default=str) + "\n")

    def v2_runner_on_ok(self, result: Any) -> None:
        self._write("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._write("ignored" if ignore_errors else "failed", result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._write("skipped", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._write("unreachable", result)
