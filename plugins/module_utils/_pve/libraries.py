# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The libraries of others, for a process that Python was told to start without them (python -S)."""

from __future__ import annotations

import sys


def find_libraries() -> None:
    """Make what pip has installed importable."""
    if sys.flags.no_site and "site" not in sys.modules:
        import site

        site.main()
