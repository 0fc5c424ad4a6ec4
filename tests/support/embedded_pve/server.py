# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The embedded PVE: fakepve corrected by what a real PVE 9.2 was recorded to answer."""

from __future__ import annotations

from .access import Access
from .agent import Agent
from .clone import Clone
from .containers import Containers
from .disks import Disks
from .ha import HighAvailability
from .older import Older
from .restore import Restore
from .strict_http import StrictHttp


class EmbeddedPve(Older, StrictHttp, Access, Agent, HighAvailability, Restore, Clone, Disks, Containers):
    """One cluster; see the parts for what each corrects."""
