# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest as it is: its configuration, what waits for the next start, and its status."""

from __future__ import annotations

import enum
import typing as t
from dataclasses import dataclass, field

from ..._pve.guests import CREATION_LOCKS, NAME_KEYS, UNNAMED, Guest, GuestHandle
from ..facts import (
    RUNNING,
    STOPPED,
    Pending,
    Status,
    goes,
    guest_result,
    pending_of,
    pending_result,
    read_status,
    split_tags,
)

# Found in PVE's list of settings without being one.
_NO_SETTINGS = frozenset({"digest"})
# What PVE's list says of a deletion that takes the volume along (PVE::API2::Qemu vm_pending).
FORCED = "2"


class Origin(enum.Enum):
    """Where the state comes from, which says whether a password, which nobody can read back, has to be written."""

    FOUND = "found"
    CLONED = "cloned"
    WRITTEN = "written"


@dataclass(frozen=True)
class GuestState:
    """What plans are made from.

    values are the settings as they will be once all that is pending has come true, current those in effect (of a guest
    for which nothing can be pending: None, they are the same). forced are the pending deletions that take a volume
    along. not_read is what a running guest has not read of its cloud-init settings, as far as it is known.
    """

    guest: Guest
    values: t.Mapping[str, str] = field(default_factory=dict)
    status: Status | None = None
    pending: tuple[Pending, ...] = ()
    digest: str = ""
    origin: Origin = Origin.FOUND
    current: t.Mapping[str, str] | None = None
    forced: frozenset[str] = frozenset()
    not_read: tuple[Pending, ...] = ()

    @property
    def in_effect(self) -> t.Mapping[str, str]:
        """The settings that the guest has now."""
        return self.values if self.current is None else self.current

    @property
    def there(self) -> t.Mapping[str, str]:
        """The settings that the guest has now, and those that it has none of yet: drives with their place and size."""
        return {**self.values, **self.in_effect}

    @property
    def waiting(self) -> dict[str, Pending]:
        """What is pending, by key."""
        return {item.key: item for item in self.pending}

    @property
    def name(self) -> str:
        return self.values.get(NAME_KEYS[self.guest.kind], "")

    @property
    def running(self) -> bool:
        return self.status is not None and self.status.condition not in ("stopped", "hibernated")

    @property
    def template(self) -> bool:
        return self.values.get("template") == "1"

    @property
    def reboot_required(self) -> bool:
        """Something is pending, and only a stop and a start, or a reboot, will bring it about."""
        return bool(self.pending or self.not_read) and self.status is not None and self.status.condition == RUNNING


def read_state(handle: GuestHandle, origin: Origin = Origin.FOUND, status: Status | None = None) -> GuestState:
    """Read a guest; two requests, or one when its status is known, and more while it is being made."""
    entries = handle.read("pending")
    lock = values_of(entries).get("lock", "")
    if lock in CREATION_LOCKS:
        handle.wait_until_created(lock)
        entries, status = handle.read("pending"), None
    digest = next((str(entry.get("value")) for entry in entries if entry["key"] == "digest"), "")
    return GuestState(
        handle.guest,
        values_of(entries),
        status or read_status(handle),
        pending_of(entries),
        digest,
        origin,
        current=current_of(entries),
        forced=frozenset(str(entry["key"]) for entry in entries if str(entry.get("delete")) == FORCED),
    )


# Reads the configuration as it is now, to see whether a change whose answer was lost has been made: the settings with
# all that is pending, or, by the query current=1, those in effect.
ReadConfig = t.Callable[..., t.Mapping[str, t.Any]]


def config_reader(handle: GuestHandle) -> ReadConfig:
    """The function by which a plan of this guest looks again."""

    def read_config(**query: t.Any) -> t.Mapping[str, t.Any]:
        return t.cast("t.Mapping[str, t.Any]", handle.read("config", **query))

    return read_config


def new_guest_status(name: str) -> Status:
    """The status of a guest that was made a moment ago and not started."""
    return Status(
        name=name, condition=STOPPED, template=False, lock="", ha_managed=False, ha_state="", uptime=0, tags=()
    )


def values_of(entries: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, str]:
    """The settings with all pending changes made, from PVE's list of them."""
    values = {}
    for entry in entries:
        value = entry.get("pending", entry.get("value"))
        if value is not None and not goes(entry) and entry["key"] not in _NO_SETTINGS:
            values[str(entry["key"])] = str(value)
    return values


def current_of(entries: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, str]:
    """The settings in effect, from PVE's list of them."""
    return {
        str(entry["key"]): str(entry["value"])
        for entry in entries
        if entry.get("value") is not None and entry["key"] not in _NO_SETTINGS
    }


def state_result(state: GuestState) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """The guest, and the other facts, as a result returns them; a guest that is not made yet has no vmid."""
    guest, known = state.guest, state.status or new_guest_status(state.name)
    status = known._replace(
        # A guest that has just been made without a name has the one that PVE gives it.
        name=state.name or known.name or (UNNAMED[guest.kind].format(guest.vmid) if guest.vmid else ""),
        template=state.template,
        tags=split_tags(state.values.get("tags")),
    )
    facts = {
        "config": dict(sorted(state.values.items())),
        "pending": pending_result((*state.pending, *state.not_read)),
        "reboot_required": state.reboot_required,
    }
    return {**guest_result(guest, status), "vmid": guest.vmid or None}, facts
