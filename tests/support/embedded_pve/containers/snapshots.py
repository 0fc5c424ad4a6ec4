# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of containers (PVE::AbstractConfig, PVE::API2::LXC::Snapshot; 95a, 95b)."""

from __future__ import annotations

import time
from typing import Any

from fakepve.model import PveError, TaskError

from .power import ContainerPower
from .values import UNUSED_KEY, names_of

NOT_IN_SNAPSHOT = frozenset(("snapshots", "snapstate", "snaptime", "vmstate", "lock", "digest", "description"))


class ContainerSnapshots(ContainerPower):
    def _routes_embedded_container_snapshots(self) -> list[tuple[str, str, Any]]:
        all_of_it = "/nodes/{node}/lxc/{vmid}/snapshot"
        one = all_of_it + "/{snapname}"
        return [
            ("GET", all_of_it, self._ct_snapshots),
            ("POST", all_of_it, self._ct_take),
            ("DELETE", one, self._ct_drop),
            ("POST", one + "/rollback", self._ct_rollback),
            ("GET", one + "/config", self._ct_snapshot_config),
            ("PUT", one + "/config", self._ct_describe),
        ]

    async def _ct_snapshots(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        ct = self.find_container(values)
        items = []
        for name, snap in ct.snapshots.items():
            item = {"name": name, "snaptime": snap.get("snaptime") or 0, "description": snap.get("description") or ""}
            items.append({**item, **{key: snap[key] for key in ("parent", "snapstate") if snap.get(key)}})
        running = 1 if ct.status == "running" else 0
        current = {
            "name": "current",
            "digest": self.digest_of(ct),
            "running": running,
            "description": "You are here!",
            **({"parent": ct.config["parent"]} if ct.config.get("parent") else {}),
        }
        return [*items, current]

    async def _ct_take(self, values: dict[str, Any], user: str) -> str:
        ct, name = self.find_container(values), values["snapname"]
        if name in ("current", "vzdump"):
            raise PveError(500, f"unable to use snapshot name '{name}' (reserved name)")

        async def body() -> None:
            self.need_quorum()
            if ct.template:
                raise TaskError("you can't take a snapshot if it's a template")
            self.refuse_locked_container(ct)
            if name in ct.snapshots:
                raise TaskError(f"snapshot name '{name}' already used")
            if not self.has_feature("snapshot", ct.config):
                raise TaskError("snapshot feature is not available")
            snap = {key: value for key, value in ct.config.items() if key not in NOT_IN_SNAPSHOT}
            snap = {key: value for key, value in snap.items() if not UNUSED_KEY.fullmatch(key)}
            snap["snaptime"] = int(time.time())
            if values.get("description"):
                snap["description"] = str(values["description"]).rstrip("\n") + "\n"
            ct.snapshots[name] = snap
            ct.config["parent"] = name

        return await self.task(ct.node, "vzsnapshot", ct.vmid, user, body, vm=ct)

    def _snapshot_of(self, ct: Any, name: str) -> dict[str, Any]:
        if name not in ct.snapshots:
            raise TaskError(f"snapshot '{name}' does not exist")
        found: dict[str, Any] = ct.snapshots[name]
        return found

    async def _ct_drop(self, values: dict[str, Any], user: str) -> str:
        ct, name = self.find_container(values), values["snapname"]

        async def body() -> None:
            self.need_quorum()
            self._snapshot_of(ct, name)
            self.refuse_locked_container(ct)
            if ct.template:
                raise TaskError("you can't delete a snapshot if vm is a template")
            snap = ct.snapshots.pop(name)
            for other in [*ct.snapshots.values(), ct.config]:
                if other.get("parent") != name:
                    continue
                if snap.get("parent"):
                    other["parent"] = snap["parent"]
                else:
                    other.pop("parent")
            # A volume that only the snapshot had is unused from now on.
            for volume in sorted(names_of(snap) - names_of(ct.config)):
                self.add_unused_volume(ct.config, volume)

        return await self.task(ct.node, "vzdelsnapshot", ct.vmid, user, body, vm=ct)

    async def _ct_rollback(self, values: dict[str, Any], user: str) -> str:
        ct, name = self.find_container(values), values["snapname"]

        async def body() -> None:
            self.need_quorum()
            self._roll_container_back(ct, name)
            if values.get("start"):
                await self.start_container(ct, user)

        return await self.task(ct.node, "vzrollback", ct.vmid, user, body, vm=ct)

    def _roll_container_back(self, ct: Any, name: str) -> None:
        if ct.template:
            raise TaskError("you can't rollback if vm is a template")
        snap = self._snapshot_of(ct, name)
        if snap.get("snapstate"):
            raise TaskError(f"unable to rollback to incomplete snapshot (snapstate = {snap['snapstate']})")
        self.refuse_locked_container(ct)
        if ct.status == "running":
            self.halt_guest(ct)
        for volume in sorted(names_of(ct.config) - names_of(snap)):
            self.add_unused_volume(ct.config, volume)
        kept = {key: value for key, value in ct.config.items() if key == "description" or UNUSED_KEY.fullmatch(key)}
        back = {key: value for key, value in snap.items() if key not in NOT_IN_SNAPSHOT}
        ct.config = {**kept, **back, "parent": name}
        used = names_of(ct.config)
        ct.config = {k: v for k, v in ct.config.items() if not (UNUSED_KEY.fullmatch(k) and v in used)}
        ct.pending, ct.deletes = {}, set()

    async def _ct_snapshot_config(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        ct = self.find_container(values)
        if values["snapname"] not in ct.snapshots:
            raise PveError(500, f"snapshot '{values['snapname']}' does not exist")
        return dict(ct.snapshots[values["snapname"]])

    async def _ct_describe(self, values: dict[str, Any], user: str) -> None:
        if values.get("description") is None:
            return
        ct = self.find_container(values)
        await self.lock_container(ct)
        try:
            self.refuse_locked_container(ct)
            if values["snapname"] not in ct.snapshots:
                raise PveError(500, f"snapshot '{values['snapname']}' does not exist")
            ct.snapshots[values["snapname"]]["description"] = str(values["description"]).rstrip("\n") + "\n"
        finally:
            self.release(ct, "config")
