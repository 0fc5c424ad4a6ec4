# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restoring one backup into one guest, and taking away what is left when that fails."""

from __future__ import annotations

import contextlib
import random
import typing as t
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from ..._pve.client import PveClient
from ..._pve.commands import Command, no_check, run_command
from ..._pve.errors import AlreadyExists, Conflict, ErrorReason, PveError, TaskFailed
from ..._pve.guests import LXC, NAME_KEYS, QEMU, Guest, GuestHandle
from ..._pve.tasks import Task, parse_upid
from ..._pve.vm_config import NIC, NIC_KEY
from ..facts import split_tags
from ..guest.creation import LONGEST_PAUSE_SECONDS, MOST_TRIES
from ..plan import Change
from .restore_request import NetworkOverride

MARK = "Restored from "
CHECK_MARK = "Made by pve_restore to check a backup for guest "
TASKS = {QEMU: "qmrestore", LXC: "vzrestore"}
DESTROY_TASKS = {QEMU: "qmdestroy", LXC: "vzdestroy"}
# What there is of a guest while it is restored, and when that fails (PVE::QemuServer, restore_vma_archive).
_REMAINS = frozenset({"digest", "memory", "lock"})


@dataclass(frozen=True)
class ArchivedConfig:
    """The configuration in a backup, and its notes."""

    values: t.Mapping[str, str]
    notes: str

    def name(self, kind: str) -> str:
        return self.values.get(NAME_KEYS[kind], "")


def read_archived(client: PveClient, node: str, volid: str) -> ArchivedConfig:
    """Read the configuration in a backup; one request, which fails when the backup begins with damage."""
    return parse_archived(str(client.read("nodes", node, "vzdump", "extractconfig", volume=volid)))


def parse_archived(text: str) -> ArchivedConfig:
    """Take a guest's configuration file apart, its snapshots left out."""
    values, notes = {}, []
    for line in text.splitlines():
        if line.startswith("["):
            break
        if line.startswith("#"):
            if not line.startswith(("#qmdump#", "#vzdump#")):
                notes.append(unquote(line[1:]))
            continue
        key, colon, value = line.partition(":")
        if colon:
            values[key.strip()] = value.strip()
    return ArchivedConfig(values, "\n".join(notes))


def marked(notes: str, volid: str) -> str:
    """Notes that name the backup which the guest was restored from, and no other one."""
    lines = [line for line in notes.splitlines() if not line.startswith((MARK, CHECK_MARK))]
    return "\n".join([*lines, f"{MARK}{volid}"]).lstrip("\n")


def restored_from(notes: str) -> str | None:
    """The backup that a guest's notes name."""
    return next((line[len(MARK) :].strip() for line in notes.splitlines() if line.startswith(MARK)), None)


def network_overrides(
    archived: ArchivedConfig, kind: str, wanted: t.Sequence[NetworkOverride], disconnected: bool, fresh: bool
) -> dict[str, str]:
    """The network devices that differ from those of the backup; fresh leaves out their addresses, so that PVE gives new
    ones."""
    by_slot = {override.slot: override for override in wanted}
    found = {}
    for slot in sorted(filter(NIC_KEY.fullmatch, archived.values)):
        override = by_slot.get(slot, NetworkOverride(slot))
        link_down = True if disconnected else override.link_down
        parts: dict[str, str | None] = {}
        if override.bridge is not None:
            parts["bridge"] = override.bridge
        if override.vlan is not None:
            parts["tag"] = str(override.vlan) if override.vlan else None
        if link_down is not None:
            parts["link_down"] = "1" if link_down else None
        if parts and fresh:
            parts["macaddr" if kind == QEMU else "hwaddr"] = None
        if parts:
            found[slot] = NIC.merge(archived.values[slot], parts)
    return found


def with_tags(archived: ArchivedConfig, tags: t.Sequence[str]) -> str:
    """The tags of the backup, and these."""
    return ";".join(dict.fromkeys([*split_tags(archived.values.get("tags")), *tags]))


@dataclass
class RestoreStep:
    """The restore of a backup, over a guest when force is set, else into a number that nobody has.

    vmid is None until PVE has given the next free one.
    """

    title: str
    kind: str
    node: str
    volid: str
    form: t.Mapping[str, t.Any]
    vmid: int | None = None
    force: bool = False
    changes: tuple[Change, ...] = ()
    # Says which number is free, where that is not for PVE to say; raises a PveError when none is.
    free_number: t.Callable[[PveClient], int] | None = None
    # Looks right before it is sent whether the guest still is what is to be restored over; raises a PveError when not.
    check: t.Callable[[], None] = no_check
    vmid_is_given: bool = field(init=False)

    def __post_init__(self) -> None:
        self.vmid_is_given = self.vmid is not None

    def handle(self, client: PveClient) -> GuestHandle:
        """The handle of the guest, once it is there."""
        return GuestHandle(client, Guest(self.vmid or 0, self.node, self.kind, str(self.form.get("name") or "")))

    def run(self, client: PveClient, handle: GuestHandle | None) -> Task | None:
        """Restore; when that fails, what was made is removed again, and the error says so.

        handle is that of the guest which is replaced.
        """
        for _try in range(MOST_TRIES):
            vmid = self.vmid if self.vmid_is_given and self.vmid else self._next_number(client)
            try:
                task = run_command(client, self._command(client, vmid), handle)
            except PveError as error:
                if error.pve_reason is ErrorReason.EXISTS and not self.vmid_is_given:
                    client.deadline.pause(random.uniform(0, LONGEST_PAUSE_SECONDS))  # noqa: S311 - no secret
                    continue
                if self.force:
                    raise
                raise self._cleaned_up(client, vmid, error) from error
            self.vmid = vmid
            return task
        raise AlreadyExists(f"each of {MOST_TRIES} free numbers was taken by somebody else before it could be used")

    def _next_number(self, client: PveClient) -> int:
        if self.free_number is not None:
            return self.free_number(client)
        return client.turns.next_number(lambda: int(client.read("cluster", "nextid")), client.deadline)

    def _command(self, client: PveClient, vmid: int) -> Command:
        if self.kind == QEMU:
            what: dict[str, t.Any] = {"archive": self.volid}
        else:
            what = {"ostemplate": self.volid, "restore": 1}
        handle = GuestHandle(client, Guest(vmid, self.node, self.kind))

        def done() -> bool:
            config = handle.read_config()
            return config is not None and restored_from(str(config.get("description") or "")) == self.volid

        return Command(
            "POST",
            (self.kind,),
            {"vmid": vmid, **what, "force": 1 if self.force else None, **self.form},
            node=self.node,
            task_type=TASKS[self.kind],
            task_id=str(vmid),
            done=done,
            once=True,
            check=self.check,
        )

    def _cleaned_up(self, client: PveClient, vmid: int, error: PveError) -> PveError:
        """The error of a restore that failed, with what has become of the guest that it began with."""
        if not isinstance(error, TaskFailed) or error.cause.upid not in client.own_upids:
            return error
        handle = GuestHandle(client, Guest(vmid, self.node, self.kind))

        def is_left(config: t.Mapping[str, t.Any]) -> bool:
            return is_remains(config) or restored_from(str(config.get("description") or "")) == self.volid

        try:
            config = handle.read_config()
            if config is None or not is_left(config):
                return error
            run_command(client, removal(handle, is_left), handle)
        except PveError as problem:
            return type(error)(
                f"{error}; what is left of guest {vmid} could not be removed ({problem}): look at it", error.cause
            )
        return type(error)(f"{error}; guest {vmid}, which it left, was removed", error.cause)


def is_unfinished(config: t.Mapping[str, t.Any]) -> bool:
    """The configuration is what a restore leaves of a virtual machine that fails, or has while it runs."""
    return _REMAINS.issuperset(config) and config.get("memory") in (None, 128, "128")


def is_remains(config: t.Mapping[str, t.Any]) -> bool:
    """The configuration is what a restore leaves that fails; one with a lock is being worked on."""
    return is_unfinished(config) and not config.get("lock")


def removal(handle: GuestHandle, is_left: t.Callable[[t.Mapping[str, t.Any]], bool] = is_remains) -> Command:
    """The command that deletes what a restore of the caller's that failed has left, as long as it is that.

    It waits for no lock: who holds one has begun with the guest anew.
    """

    def check() -> None:
        config, guest = handle.read("config"), handle.guest
        if config.get("lock") or not is_left(config) or not last_restore_failed(handle.client, guest):
            lock = f"locked ({config['lock']})" if config.get("lock") else "no longer what a failed restore left"
            raise Conflict(f"guest {guest.vmid} on node {guest.node} is {lock}: it was not touched, look at it")

    return replace(destruction(handle), check=check, waits_for_locks=False)


def destruction(handle: GuestHandle) -> Command:
    """The command that deletes a stopped guest with its disks; jobs that name its number go on naming it."""
    guest = handle.guest
    return Command(
        "DELETE",
        (guest.kind, guest.vmid),
        node=guest.node,
        task_type=DESTROY_TASKS[guest.kind],
        task_id=str(guest.vmid),
        accepts=frozenset({ErrorReason.GUEST_ABSENT}),
        done=lambda: handle.read_config() is None,
    )


def last_restore_failed(client: PveClient, guest: Guest) -> bool:
    """Whether the last that was done with the guest's number on its node is a restore of the caller's that failed.

    False while anybody does something with it: running tasks come first (PVE::API2::Tasks, node_tasks).
    """
    with contextlib.suppress(PveError):
        tasks = client.read("nodes", guest.node, "tasks", vmid=guest.vmid, limit=1, source="all")
        for entry in tasks:
            upid, status = parse_upid(str(entry["upid"])), str(entry.get("status") or "RUNNING")
            failed = status not in ("OK", "RUNNING") and not status.startswith("WARNINGS")
            return upid.type in TASKS.values() and upid.user == client.identity and failed
    return False


def running_restores(client: PveClient, node: str, vmid: int | None = None) -> list[str]:
    """The restores of the caller's that run on a node, by their UPIDs."""
    entries = client.read("nodes", node, "tasks", source="active", vmid=vmid)
    upids = (parse_upid(str(entry["upid"])) for entry in entries)
    return [upid.text for upid in upids if upid.type in TASKS.values() and upid.user == client.identity]
