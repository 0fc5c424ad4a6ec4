# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ..module_utils._ansible.modules.pve_guest_password import DESCRIPTION
from ..plugin_utils._worker import WorkerAction


class ActionModule(WorkerAction):
    """The module pve_guest_password, in Ansible's worker where it can be."""

    description = DESCRIPTION
