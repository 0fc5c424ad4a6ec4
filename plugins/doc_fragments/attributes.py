# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What every module of this collection can do."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode), and predicts there what would change without changing it.
    support: full
  diff_mode:
    description: Returns what has changed, or in C(check_mode) would change, when in diff mode.
    support: full
  action_group:
    description: Use C(group/cloudbridge.proxmox.pve) in C(module_defaults) to set defaults for all these modules.
    support: full
    membership:
      - cloudbridge.proxmox.pve
  platform:
    description: What the module manages.
    support: full
    platforms: Proxmox VE 8 and 9
"""

    IDEMPOTENT = r"""
options: {}
attributes:
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
"""

    IDEMPOTENT_BUT_RESTART = r"""
options: {}
attributes:
  idempotent:
    description: A second run with the same options changes nothing.
    support: partial
    details:
      - The states V(restarted) and V(reset) do something each time.
"""

    IDEMPOTENT_BUT_ROLLBACK = r"""
options: {}
attributes:
  idempotent:
    description: A second run with the same options changes nothing.
    support: partial
    details:
      - The state V(rolled_back) does something each time.
"""

    IDEMPOTENT_BUT_BACKUP = r"""
options: {}
attributes:
  idempotent:
    description: A second run with the same options changes nothing.
    support: partial
    details:
      - C(max_age=0) makes a new backup each time.
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode), and predicts there what would change without changing it.
    support: full
    details:
      - This module changes nothing.
  diff_mode:
    description: Returns what has changed, or in C(check_mode) would change, when in diff mode.
    support: N/A
    details:
      - This module changes nothing.
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
    details:
      - This module changes nothing.
  action_group:
    description: Use C(group/cloudbridge.proxmox.pve) in C(module_defaults) to set defaults for all these modules.
    support: full
    membership:
      - cloudbridge.proxmox.pve
  platform:
    description: What the module manages.
    support: full
    platforms: Proxmox VE 8 and 9
"""
