# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings a test turns on an embedded PVE."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Knobs:
    """Durations are real seconds; task types are PVE's (qmclone, qmcreate, qmstart, qmconfig, ...)."""

    auth_failure_delay: float = 0.0
    """Seconds before a 401 is answered (a real node takes 3)."""
    idle_timeout: float = 5.0
    """Seconds after which an idle connection is closed (90-transport.json: 5)."""
    default_task_seconds: float = 0.0
    task_seconds: dict[str, float] = field(default_factory=dict)
    resources_lag: float = 0.0
    """Seconds /cluster/resources needs to know a new guest, name or status (pvestatd broadcasts every 10 s)."""
    lock_wait: float = 10.0
    """Seconds a task or a configuration write waits for another one's lock on the guest."""
    ha_seconds: float = 0.0
    """Seconds the HA manager needs to act on a request."""
    ha_groups: bool = False
    """As before PVE 9: HA has groups, and no rules."""
    silent_agent_seconds: float = 0.0
    """Seconds a silent guest agent keeps a call waiting (a real node: 3)."""
    local_node: str = ""
    """The node that answers the API; the first one when empty."""
    console_hardening: bool = True
    """As since April 2026 (qemu-server 9.1.7 and 8.4.7): a password with every ticket of a display."""
    console_password: str = ""
    """The VNC password; random when empty."""
    console_port: int | str = "5900"
