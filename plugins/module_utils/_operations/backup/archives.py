# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backups that a storage holds."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ..._pve.client import PveClient
from ..._pve.errors import InvalidRequest
from ..._pve.guests import LXC, QEMU, GuestHandle
from ..._pve.storages import Volume, read_volumes, storage_of

VERIFIED_BADLY = "failed"
# PVE::Storage::archive_info, and PVE::Storage::PBSPlugin print_volid.
_FILE = re.compile(
    r"backup/vzdump-(?P<kind>qemu|lxc|openvz)-(?P<vmid>[1-9]\d{2,8})-(?P<stamp>\d{4}(_\d\d){2}-\d\d(_\d\d){2})\..+"
)
_SNAPSHOT = re.compile(r"backup/(?P<kind>vm|ct)/(?P<vmid>\d+)/(?P<stamp>\d{4}(-\d\d){2}T\d\d(:\d\d){2})Z")
# PVE::QemuServer::MetaInfo. A clone has that of its source, a restored guest that of its backup, a container none.
_CREATED = re.compile(r"(?:^|,)ctime=(\d+)(?:,|$)")
_KINDS = {"vm": QEMU, "ct": LXC, "qemu": QEMU, "lxc": LXC, "openvz": LXC}


class VolumeName(t.NamedTuple):
    """What the name of a backup says: whose it is, of which kind, and when it was made by its storage's clock."""

    storage: str
    kind: str
    vmid: int
    stamp: str

    @property
    def fields(self) -> tuple[int, ...]:
        """Year, month, day, hour, minute and second."""
        return tuple(map(int, re.findall(r"\d+", self.stamp)))


def parse_backup_name(volid: str) -> VolumeName | None:
    """Take the name of a backup apart; None for one that somebody has renamed."""
    storage, _colon, name = volid.partition(":")
    found = _FILE.fullmatch(name) or _SNAPSHOT.fullmatch(name)
    return VolumeName(storage, _KINDS[found["kind"]], int(found["vmid"]), found["stamp"]) if found else None


def named_backup(option: str, volid: str) -> VolumeName:
    """The name of a backup that an option gives; raises InvalidRequest when it is none."""
    name = parse_backup_name(volid)
    if name is None:
        raise InvalidRequest(
            f"{option} {volid!r} is not the name of a backup as PVE lists it, "
            f"like local:backup/vzdump-qemu-100-2026_01_31-03_00_00.vma.zst"
        )
    return name


@dataclass(frozen=True)
class Backup:
    """A backup as its storage lists it; created is in seconds since 1970. Of the notes a list has the first line."""

    volid: str
    node: str
    vmid: int | None
    kind: str
    created: int
    size: int | None
    format: str
    notes: str | None
    protected: bool
    verification: str | None
    encrypted: bool

    @property
    def storage(self) -> str:
        return storage_of(self.volid)

    @property
    def name(self) -> VolumeName | None:
        """What its name says; None when it has been renamed, and then PVE never prunes it."""
        return parse_backup_name(self.volid)

    @property
    def is_unfinished(self) -> bool:
        """It is still being made on Proxmox Backup Server: PVE lists it with the size 1 (PBSPlugin list_volumes)."""
        return self.format.startswith("pbs-") and self.size == 1

    @property
    def is_good(self) -> bool:
        """It is whole, and no verification of it has failed."""
        return self.verification != VERIFIED_BADLY and not self.is_unfinished

    def as_result(self) -> dict[str, t.Any]:
        return {
            "volid": self.volid,
            "storage": self.storage,
            "node": self.node,
            "vmid": self.vmid,
            "type": self.kind,
            "created": self.created,
            "size": self.size,
            "format": self.format,
            "notes": self.notes,
            "protected": self.protected,
            "verification": self.verification,
            "encrypted": self.encrypted,
        }


def backup_in(volume: Volume) -> Backup:
    """The backup that a volume of a storage's list is."""
    entry, name = volume.details, parse_backup_name(volume.volid)
    subtype = str(entry.get("subtype") or "")
    return Backup(
        volid=volume.volid,
        node=volume.node,
        vmid=int(entry["vmid"]) if entry.get("vmid") is not None else None,
        kind=_KINDS.get(subtype) or (name.kind if name else ""),
        created=int(entry.get("ctime") or 0),
        size=volume.size,
        format=volume.format,
        notes=str(entry["notes"]) if entry.get("notes") is not None else None,
        protected=bool(int(entry.get("protected") or 0)),
        verification=str((entry.get("verification") or {}).get("state") or "") or None,
        encrypted=bool(entry.get("encrypted")),
    )


def read_backups(client: PveClient, node: str, storage: str, vmid: int | None = None) -> list[Backup]:
    """Read the backups on a storage, the oldest first; one request."""
    found = map(backup_in, read_volumes(client, storage, node, "backup", vmid))
    return sorted(found, key=lambda backup: (backup.created, backup.volid))


def read_notes(client: PveClient, backup: Backup) -> str:
    """Read all lines of a backup's notes; one request."""
    attributes = client.read("nodes", backup.node, "storage", backup.storage, "content", backup.volid)
    return str(attributes.get("notes") or "")


def read_creation(handle: GuestHandle) -> int:
    """When the guest was created at the earliest, in seconds since 1970; 0 where PVE does not know. One request.

    A backup that is older is one of a guest that had the number before.
    """
    if handle.guest.kind != QEMU:
        return 0
    config = handle.read_config() or {}
    found = _CREATED.search(str(config.get("meta") or ""))
    return int(found[1]) if found else 0
