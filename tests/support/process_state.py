# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of one task could live on into the next that the same process carries out."""

from __future__ import annotations

import hashlib
import json
import locale
import os
import signal
import threading
from pathlib import Path
from typing import Any


def state_of_this_process() -> dict[str, Any]:
    """Everything that has to be the same before and after a task."""
    umask = os.umask(0)
    os.umask(umask)
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "signals": {number.name: str(signal.getsignal(number)) for number in signal.Signals},
        "locale": locale.setlocale(locale.LC_ALL),
        # Secrets are in it.
        "environment": hashlib.sha256(json.dumps(dict(os.environ), sort_keys=True).encode()).hexdigest(),
        "directory": str(Path.cwd()),
        "umask": umask,
    }
