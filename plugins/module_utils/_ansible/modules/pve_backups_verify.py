# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_backups_verify."""

from __future__ import annotations

from dataclasses import replace

from ..many import many_of
from . import pve_backup_verify

DESCRIPTION = replace(many_of(pve_backup_verify.DESCRIPTION, selects=True), hides_options=True)
