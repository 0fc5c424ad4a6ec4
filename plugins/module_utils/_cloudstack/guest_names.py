# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The name that an instance has in PVE."""

from __future__ import annotations

import typing as t

from .._operations.vm.names import check_name

if t.TYPE_CHECKING:
    from .details import Details
    from .payload import Instance


def guest_name(instance: Instance, details: Details) -> str:
    """The name that the guest has in PVE; raises InvalidRequest when PVE would not take it."""
    name = details.text("vm_name") or instance.name
    check_name("vm_name", name)
    return name
