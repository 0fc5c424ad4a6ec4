# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_migrations."""

from __future__ import annotations

from dataclasses import replace

from ..._operations.migration.ensure_migrations import ensure_migrations
from ..many import many_of
from . import pve_migrate

DESCRIPTION = replace(many_of(pve_migrate.DESCRIPTION, selects=True), operation=ensure_migrations)
