# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_containers."""

from __future__ import annotations

from ..many import many_of
from . import pve_container

DESCRIPTION = many_of(pve_container.DESCRIPTION, selects=False)
