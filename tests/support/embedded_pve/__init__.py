# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Proxmox VE API in the test's own process, for this collection's tests and demo only."""

from __future__ import annotations

from .consoles.shell import Shell
from .handle import PveHandle
from .knobs import Knobs
from .recorder import Exchange
from .runner import running_embedded_pve
from .seed import standard_guests
from .server import EmbeddedPve

__all__ = ["EmbeddedPve", "Exchange", "Knobs", "PveHandle", "Shell", "running_embedded_pve", "standard_guests"]
