# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of pve_vm."""

from __future__ import annotations

from ..._operations.guest.ensure_guest import ensure_guest
from ..._operations.vm.vm_request import vm_request, vm_spec
from ..argument_spec import connection_spec, guest_spec, lock_spec, timeout_spec
from ..description import ModuleDescription

DESCRIPTION = ModuleDescription(
    argument_spec={**connection_spec(), **guest_spec(), **timeout_spec(1800), **lock_spec(), **vm_spec()},
    request_from=vm_request,
    operation=ensure_guest,
)
