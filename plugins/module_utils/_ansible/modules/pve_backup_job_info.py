# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_backup_job_info."""

from __future__ import annotations

from ..._operations.backup.backup_job_info import jobs_request, list_jobs
from ..argument_spec import connection_spec, guest_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={**connection_spec(), **guest_spec(), **timeout_spec(600), "job": {"type": "str"}},
    request_from=jobs_request,
    operation=list_jobs,
    only_looks=True,
)
