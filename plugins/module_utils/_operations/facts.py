# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What PVE says of one guest, read into typed values, and the form in which results return it."""

from __future__ import annotations

import re
import typing as t

from .._pve.guests import Guest, GuestHandle

RUNNING = "running"
PAUSED = "paused"
HIBERNATED = "hibernated"
STOPPED = "stopped"
# Where PVE's own web interface offers Resume (pve-manager, qemu/Config.js).
_RESUMABLE = ("paused", "suspended", "prelaunch")


class Status(t.NamedTuple):
    """status/current of a guest: fresh, other than what /cluster/resources says."""

    name: str
    condition: str
    template: bool
    lock: str
    ha_managed: bool
    ha_state: str
    uptime: int
    tags: tuple[str, ...]
    max_memory: int = 0


class Pending(t.NamedTuple):
    """A setting that takes effect at the next start of the guest."""

    key: str
    current: t.Any
    pending: t.Any
    delete: bool


def read_status(handle: GuestHandle) -> Status:
    """Read status/current of a guest."""
    return parse_status(handle.read("status", "current"))


def parse_status(data: t.Mapping[str, t.Any]) -> Status:
    """Bring status/current into typed values; a virtual machine and a container answer alike."""
    ha = data.get("ha") or {}
    return Status(
        name=str(data.get("name") or ""),
        condition=_condition(data),
        template=bool(int(data.get("template") or 0)),
        lock=str(data.get("lock") or ""),
        ha_managed=bool(int(ha.get("managed") or 0)),
        ha_state=str(ha.get("state") or ""),
        uptime=int(data.get("uptime") or 0),
        tags=split_tags(data.get("tags")),
        max_memory=int(data.get("maxmem") or 0),
    )


def _condition(data: t.Mapping[str, t.Any]) -> str:
    # A paused guest is status running, a hibernated one is stopped and locked (PVE::QemuServer::vmstatus).
    if data.get("status") == RUNNING:
        if data.get("qmpstatus") == "prelaunch" and data.get("lock") == "backup":
            # vzdump runs QEMU for the disks of a stopped guest (PVE::VZDump::QemuServer enforce_vm_running_for_backup).
            return STOPPED
        return PAUSED if data.get("qmpstatus") in _RESUMABLE else RUNNING
    return HIBERNATED if data.get("lock") == "suspended" else STOPPED


def split_tags(text: t.Any) -> tuple[str, ...]:
    """Split PVE's list of tags, which knows three separators (PVE::JSONSchema::split_list)."""
    return tuple(tag for tag in re.split(r"[;,\s]+", str(text or "")) if tag)


def read_pending(handle: GuestHandle) -> tuple[Pending, ...]:
    """Read what waits for the next start of the guest."""
    return pending_of(handle.read("pending"))


def pending_of(entries: t.Iterable[t.Mapping[str, t.Any]]) -> tuple[Pending, ...]:
    """Pick from PVE's list of settings those that are not in effect yet."""
    waiting = (
        Pending(str(entry["key"]), entry.get("value"), entry.get("pending"), goes(entry))
        for entry in entries
        if "pending" in entry or entry.get("delete")
    )
    return tuple(sorted(waiting, key=lambda item: item.key))


def goes(entry: t.Mapping[str, t.Any]) -> bool:
    """Whether an entry of PVE's list of pending settings is a key that will be unset.

    What is pending beside a deletion comes true after it (PVE::LXC::Config, vmconfig_apply_pending).
    """
    return bool(entry.get("delete")) and "pending" not in entry


def guest_result(guest: Guest, status: Status) -> dict[str, t.Any]:
    """The guest as results return it."""
    return {
        "vmid": guest.vmid,
        "name": status.name,
        "node": guest.node,
        "type": guest.kind,
        "status": status.condition,
        "template": status.template,
        "lock": status.lock or None,
        "tags": list(status.tags),
        "pool": guest.pool or None,
        "ha_managed": status.ha_managed,
        "ha_state": status.ha_state or guest.ha_state or None,
        "uptime": status.uptime,
    }


def listed_result(guest: Guest, running: bool | None = None) -> dict[str, t.Any]:
    """The guest in the form of guest_result, from the cluster's list alone; None is what the list does not know.

    The list calls a paused guest running. Who knows better whether the guest runs says so.
    """
    if running is None and guest.status != "unknown":
        running = guest.status == RUNNING
    condition = None if running is None else _condition({"status": RUNNING if running else "", "lock": guest.lock})
    return {
        "vmid": guest.vmid,
        "name": guest.name or None,
        "node": guest.node,
        "type": guest.kind,
        "status": condition,
        "template": guest.template,
        "lock": guest.lock or None,
        "tags": list(split_tags(guest.tags)),
        "pool": guest.pool or None,
        "ha_managed": bool(guest.ha_state),
        "ha_state": guest.ha_state or None,
        "uptime": guest.uptime,
    }


def pending_result(pending: t.Iterable[Pending]) -> list[dict[str, t.Any]]:
    """What waits for the next start, as results return it; passwords come masked from PVE."""
    return [
        {"key": item.key, "current": item.current, "pending": item.pending, "delete": item.delete} for item in pending
    ]
