# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every way of pve_vm_power from one condition of a guest to another."""

from __future__ import annotations

from typing import NamedTuple


class Transition(NamedTuple):
    """The condition before, what is asked for, the condition after, PVE's actions, and the diff's text."""

    before: str
    state: str
    method: str
    after: str
    actions: list[str]
    shown: str

    def title(self) -> str:
        """A name for the test."""
        return f"{self.before}-{self.state}-{self.method}"


TRANSITIONS = [
    Transition(*row)
    for row in (
        ("stopped", "started", "shutdown", "running", ["start"], "running"),
        ("paused", "started", "shutdown", "running", ["resume"], "running"),
        ("hibernated", "started", "shutdown", "running", ["start"], "running"),
        ("running", "stopped", "shutdown", "stopped", ["shutdown"], "stopped"),
        ("running", "stopped", "stop", "stopped", ["stop"], "stopped"),
        ("running", "stopped", "shutdown_then_stop", "stopped", ["shutdown"], "stopped"),
        ("paused", "stopped", "shutdown", "stopped", ["resume", "shutdown"], "stopped"),
        ("paused", "stopped", "stop", "stopped", ["stop"], "stopped"),
        ("running", "paused", "shutdown", "paused", ["suspend"], "paused"),
        ("running", "hibernated", "shutdown", "hibernated", ["suspend"], "hibernated"),
        ("paused", "hibernated", "shutdown", "hibernated", ["resume", "suspend"], "hibernated"),
        ("running", "restarted", "shutdown", "running", ["reboot"], "restarted"),
        ("paused", "restarted", "shutdown", "running", ["resume", "reboot"], "running"),
        ("running", "restarted", "stop", "running", ["stop", "start"], "restarted"),
        ("running", "restarted", "shutdown_then_stop", "running", ["shutdown", "start"], "restarted"),
        ("hibernated", "restarted", "shutdown", "running", ["start"], "running"),
        ("stopped", "restarted", "shutdown", "running", ["start"], "running"),
        ("running", "reset", "shutdown", "running", ["reset"], "reset"),
        ("paused", "reset", "shutdown", "running", ["resume", "reset"], "running"),
    )
]
