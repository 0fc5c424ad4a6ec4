# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which guest a request means, made certain before anything is sent to it."""

from __future__ import annotations

import re
import typing as t

from .._pve.client import PveClient
from .._pve.errors import Ambiguous, InvalidRequest
from .._pve.guests import CREATION_LOCKS, Guest, GuestHandle, Selector, get_guest
from .facts import Status, read_status

MIN_VMID = 100
MAX_VMID = 999_999_999
_DNS_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")


def selector_from(parameters: t.Mapping[str, t.Any], kind: str | None = None) -> Selector:
    """Read vmid, name and guest_type; raises InvalidRequest when they cannot mean one guest."""
    vmid, name = parameters.get("vmid"), parameters.get("name")
    if vmid is None and not name:
        raise InvalidRequest("say which guest is meant by vmid or by name")
    if vmid is not None:
        check_vmid("vmid", vmid)
    guest_type = parameters.get("guest_type")
    return Selector(vmid, name or None, kind or (None if guest_type in (None, "auto") else guest_type))


def check_vmid(option: str, vmid: int) -> None:
    """Raise InvalidRequest unless it is a number that PVE gives to guests."""
    if not MIN_VMID <= vmid <= MAX_VMID:
        raise InvalidRequest(f"{option} must be from {MIN_VMID} to {MAX_VMID}, not {vmid}")


def check_dns_name(option: str, name: str) -> None:
    """Raise InvalidRequest unless PVE takes it as a name (PVE::JSONSchema, dns-name)."""
    if not _DNS_NAME.fullmatch(name) or len(name) > 253:
        raise InvalidRequest(
            f"{option} {name!r} is not a DNS name: letters, digits and hyphens, in parts that dots separate"
        )


def select_guest(
    client: PveClient, selector: Selector, guests: t.Sequence[Guest] | None = None
) -> tuple[GuestHandle, Status]:
    """Find the guest and its fresh status, wait until it is fully made, and check that its name is the one asked for.

    Two requests, one when the cluster's guests have just been read. Raises NotFound, Ambiguous or InvalidRequest.
    """
    handle = GuestHandle(client, get_guest(client, selector, guests))
    return handle, read_confirmed(handle, selector)


def read_confirmed(handle: GuestHandle, selector: Selector) -> Status:
    """Read the fresh status of a guest, as select_guest does, and keep its fresh name; one request."""
    status = read_status(handle)
    if status.lock in CREATION_LOCKS:
        handle.wait_until_created(status.lock)
        status = read_status(handle)
    confirm_name(handle.guest, status.name, selector)
    handle.guest = handle.guest._replace(name=status.name or handle.guest.name)
    return status


def confirm_name(guest: Guest, name: str, selector: Selector) -> None:
    """Raise Ambiguous when the guest has another name than the request says."""
    if selector.name is not None and name != selector.name:
        raise Ambiguous(
            f"guest {guest.vmid} on node {guest.node} is named {name!r}, not {selector.name!r}: nothing was changed"
        )
