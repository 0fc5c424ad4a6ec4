# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the service says on its standard error, which systemd keeps in its journal."""

from __future__ import annotations

import sys
import time


def say(text: str) -> None:
    """Write a line for systemd's journal; callers put no secret into it."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z ") if sys.stderr.isatty() else ""
    try:
        sys.stderr.write(f"{stamp}{text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # Nobody listens.
