# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What there is about backups beside making them: prune, protect, read (PVE::API2::Storage, 74-backups*.json)."""

from __future__ import annotations

from typing import Any

from fakepve.model import PveError, TaskError
from fakepve.qemu import drives_of, volume_ref
from fakepve.routing import die, split_list

from .pruning import parse_keep, prune_marks
from .transfers import Transfers
from .vzdump import Vzdump


class Backups(Transfers, Vzdump):
    def _routes_embedded_backups(self) -> list[tuple[str, str, Any]]:
        prune = "/nodes/{node}/storage/{storage}/prunebackups"
        return [
            ("GET", prune, self._prune_preview),
            ("DELETE", prune, self._prune_backups),
            ("GET", "/nodes/{node}/vzdump/defaults", self._vzdump_defaults),
            ("GET", "/nodes/{node}/vzdump/extractconfig", self._extract_config),
        ]

    def _backup_store(self, values: dict[str, Any]) -> dict[str, Any]:
        storage = values["storage"]
        store: dict[str, Any] = self._active_store(storage, values["node"])
        if "backup" not in split_list(store.get("content")):
            raise die(f"storage '{storage}' does not support backups")
        return store

    def _groups(self, values: dict[str, Any]) -> list[dict[str, dict[str, Any]]]:
        """The backups that are meant, by guest."""
        groups: dict[tuple[Any, Any], dict[str, dict[str, Any]]] = {}
        for name, volume in self._volumes_on(values["storage"], values["node"]).items():
            owner, kind = volume.get("vmid"), volume.get("subtype", "qemu")
            chosen = values.get("vmid") in (None, owner) and values.get("type") in (None, kind)
            if volume.get("content") == "backup" and chosen:
                groups.setdefault((kind, owner), {})[name] = volume
        return list(groups.values())

    @staticmethod
    def _asked_retention(values: dict[str, Any], store: dict[str, Any]) -> dict[str, int]:
        text = values.get("prune-backups") or store.get("prune-backups")
        if not text:
            raise die(f"no prune-backups options configured for storage '{values['storage']}'")
        return parse_keep(str(text))

    async def _prune_preview(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        path = f"/storage/{values['storage']}"
        if not any(self.allowed(user, path, name) for name in ("Datastore.Audit", "Datastore.AllocateSpace")):
            raise PveError(403, f"Permission check failed ({path}, Datastore.Audit|Datastore.AllocateSpace)")
        if "prune-backups" in values:
            parse_keep(str(values["prune-backups"]))
        keep = self._asked_retention(values, self._backup_store(values))
        return [
            {
                "volid": f"{values['storage']}:{name}",
                "ctime": group[name]["ctime"],
                "type": group[name].get("subtype", "unknown"),
                "vmid": group[name]["vmid"],
                "mark": mark,
            }
            for group in self._groups(values)
            for name, mark in prune_marks(group, keep).items()
        ]

    async def _prune_backups(self, values: dict[str, Any], user: str) -> str:
        storage, vmid = values["storage"], values.get("vmid")
        if vmid is None:
            self.require(user, f"/storage/{storage}", "Datastore.Allocate")
        else:
            self.require(user, f"/storage/{storage}", "Datastore.AllocateSpace")
            self.require(user, f"/vms/{vmid}", "VM.Backup")
        if "prune-backups" in values:
            parse_keep(str(values["prune-backups"]))

        async def body() -> str:
            try:
                store = self._backup_store(values)
                keep = self._asked_retention(values, store)
            except PveError as problem:
                raise TaskError(problem.message) from problem
            gone = [name for group in self._groups(values) for name in self.prune_group(store, group, keep)]
            return "\n".join(f"removing backup '{storage}:{name}'" for name in gone)

        ident = f"{vmid}@{storage}" if vmid is not None else storage
        return await self.task(values["node"], "prunebackups", ident, user, body, lock=False)

    async def _vzdump_defaults(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        storage = values.get("storage") or "local"
        path = f"/storage/{storage}"
        if not any(self.allowed(user, path, name) for name in ("Datastore.Audit", "Datastore.AllocateSpace")):
            raise PveError(403, f"Permission check failed ({path}, Datastore.Audit|Datastore.AllocateSpace)")
        store = self._store(storage)
        if "backup" not in split_list(store.get("content")):
            raise die(f"can't use storage '{storage}' for backups - wrong content type")
        return {
            "storage": storage,
            "mode": "snapshot",
            "compress": "0",
            "remove": 1,
            "prune-backups": store.get("prune-backups") or "keep-all=1",
            "fleecing": {"enabled": 0},
        }

    async def _extract_config(self, values: dict[str, Any], user: str) -> str:
        storage, _colon, name = str(values["volume"]).partition(":")
        self.check_archive_access(user, values["volume"])
        volume = self._volumes_on(storage, values["node"]).get(name)
        if volume is None:
            raise die(f"volume '{values['volume']}' does not exist")
        if volume.get("damaged") == "head":
            raise die(f"Failed to extract config from VMA archive: {name[-20:]} : Read error (39) : premature end ")
        lines = [f"#{line}" for line in str(volume["guest"].get("description") or "").splitlines()]
        lines += [f"{key}: {value}" for key, value in sorted(volume["guest"].items()) if key != "description"]
        lines += self._map_of_drives(volume["guest"]) if volume.get("subtype") == "qemu" else []
        return "".join(f"{line}\n" for line in lines)

    def _map_of_drives(self, config: dict[str, Any]) -> list[str]:
        """Which drive is which stream of the archive (PVE::VZDump::QemuServer assemble)."""
        return [
            f"#qmdump#map:{key}:drive-{key}:{volume_ref(drive)[0]}:{self._ext_format(volume_ref(drive)[1]) or 'raw'}:"
            for key, drive, props in drives_of(config, skip_cdrom=True)
            if props.get("backup") != "0"
        ]

    def check_archive_access(self, user: str, volid: str) -> None:
        """PVE::Storage::check_volume_access, for a backup."""
        storage, colon, name = volid.partition(":")
        if not colon:
            raise die("Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651.")
        kind, owner, _format = self._parse_volname(self._store(storage), name)
        if kind != "backup":
            raise die(f"unable to use volume {volid} - content type needs to be 'backup'")
        self.require(user, f"/storage/{storage}", "Datastore.AllocateSpace")
        if owner:
            self.require(user, f"/vms/{owner}", "VM.Backup")

    async def _content_put(self, values: dict[str, Any], user: str) -> None:
        storage, name, _volid, store, kind, owner, _format = self._volume_target(values)
        volumes = self._volumes_on(storage, values["node"])
        volume = volumes.get(name, {})
        if kind == "backup" and values.get("protected") and not volume.get("protected"):
            most = int(store.get("max-protected-backups", -1))
            held = sum(bool(other.get("protected")) for other in volumes.values() if other.get("vmid") == owner)
            if -1 < most <= held:
                text = f"The number of protected backups per guest is limited to {most} on storage '{storage}'"
                raise die(text)
        await super()._content_put(values, user)
