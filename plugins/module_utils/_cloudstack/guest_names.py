# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The name that an instance has in PVE."""

from __future__ import annotations

import typing as t

from .._operations.selection import check_dns_name
from .._pve.errors import InvalidRequest
from .._pve.guests import read_guests
from .ownership import is_instance_name
from .policy import check_vm_name

if t.TYPE_CHECKING:
    from .details import Details
    from .payload import Instance
    from .run import Run


def guest_name(instance: Instance, details: Details) -> str:
    """The name that the guest has in PVE; raises InvalidRequest if PVE cannot take it, or it means another guest."""
    name = details.text("vm_name") or instance.name
    check_dns_name("vm_name", name)
    if name != instance.name:
        if is_instance_name(name):
            raise InvalidRequest(f"vm_name: {name!r} is the name of an instance, and this is {instance.name}")
        check_vm_name(details, name)
    return name


def check_guest_name(run: Run) -> None:
    """Raise InvalidRequest if PVE cannot take the name, or a template has it.

    One request, and only for a name that is not CloudStack's own.
    """
    name = guest_name(run.instance, run.details)
    if name == run.instance.name:
        return
    for guest in read_guests(run.client):
        if guest.template and guest.name.lower() == name.lower():
            raise InvalidRequest(f"vm_name: {name!r} is the name of template {guest.vmid}: choose another name")
