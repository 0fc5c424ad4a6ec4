# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The privileges that the bridge's token needs, path by path, and which of them it has."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .details import Details

if t.TYPE_CHECKING:
    from .._pve.client import PveClient

# Since this version a bridge may only be used with SDN.Use (PVE::RPCEnvironment check_sdn_bridge).
_FIRST_WITH_SDN = 8
_GUESTS = (
    "VM.Audit VM.Allocate VM.Clone VM.Config.Disk VM.Config.CDROM VM.Config.CPU VM.Config.Memory VM.Config.Network "
    "VM.Config.HWType VM.Config.Options VM.Config.Cloudinit VM.PowerMgmt VM.Console VM.Snapshot VM.Snapshot.Rollback"
).split()


@dataclass(frozen=True)
class Need:
    """What is needed on a path; of names with | between them one will do. Without what is optional, purpose fails."""

    path: str
    privileges: tuple[str, ...]
    purpose: str = ""
    # A path that will do as well: guests that are made in a pool need no more than the pool.
    instead: str = ""

    @property
    def optional(self) -> bool:
        return bool(self.purpose)


def needs(
    details: Details,
    release: int,
    bridges: t.Iterable[str],
    storages: t.Iterable[str],
    raw_console: bool,
    zones: t.Mapping[str, str] | None = None,
) -> list[Need]:
    """What these details need of PVE of this release.

    raw_console says that consoles are not relayed; zones are those of the bridges that are vnets.
    """
    zones = zones or {}
    lowest = details.required("vmid_range").partition("-")[0]
    pool = details.text("pool")
    # A guest of CloudStack that is not there yet: what holds for it is inherited.
    guests, in_pool = f"/vms/{lowest}", f"/pool/{pool}" if pool else ""
    found = [
        Need(guests, tuple(_GUESTS), instead=in_pool),
        Need(guests, ("VM.Migrate",), "Migrate", instead=in_pool),
        Need(guests, ("VM.Backup",), "Backup", instead=in_pool),
        Need(
            guests,
            ("VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted|VM.Monitor",),
            "the addresses of GuestInfo",
            instead=in_pool,
        ),
    ]
    if pool:
        found.append(Need(in_pool, ("Pool.Audit", "VM.Allocate")))
    found += [Need(f"/storage/{name}", ("Datastore.AllocateSpace", "Datastore.Audit")) for name in storages]
    backups = details.text("backup_storage")
    if backups:
        found.append(Need(f"/storage/{backups}", ("Datastore.AllocateSpace", "Datastore.Audit"), "Backup"))
    if release >= _FIRST_WITH_SDN:
        found += [Need(f"/sdn/zones/{zones.get(name, 'localnetwork')}/{name}", ("SDN.Use",)) for name in bridges]
    if raw_console and not details.text("console_host"):
        found.append(Need("/", ("Sys.Audit",), "the address of a console"))
    if details.text("ha_group"):
        found.append(Need("/", ("Sys.Audit", "Sys.Console")))
    elif details.flag("ha"):
        found.append(Need("/", ("Sys.Console",)))
    return found


class Privileges:
    """What the token has; each path is asked for once."""

    def __init__(self, client: PveClient) -> None:
        self._client = client
        self._held: dict[str, frozenset[str]] = {}

    def missing(self, need: Need) -> list[str]:
        """The privileges of a need that the token lacks; raises a PveError."""
        held = self._on(need.path) | (self._on(need.instead) if need.instead else frozenset())
        return [names for names in need.privileges if held.isdisjoint(names.split("|"))]

    def _on(self, path: str) -> frozenset[str]:
        if path not in self._held:
            answer: t.Mapping[str, t.Mapping[str, t.Any]] = self._client.read("access", "permissions", path=path)
            self._held[path] = frozenset(name for rights in answer.values() for name in rights)
        return self._held[path]
