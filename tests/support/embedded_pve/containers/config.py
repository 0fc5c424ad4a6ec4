# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of a container: reading and changing it (PVE::API2::LXC::Config; 95a-containers-config.json)."""

from __future__ import annotations

from typing import Any

from fakepve.model import PveError, TaskError
from fakepve.routing import check_digest

from ..base import missing_config, parameter_error
from ..options import split_names
from .pending import deletes_of
from .rights import ContainerRights
from .values import check_formats, option_exists

HIGHEST_WEIGHT = 10000  # cpu.weight of the second version of control groups


class ContainerConfig(ContainerRights):
    def _routes_embedded_container_config(self) -> list[tuple[str, str, Any]]:
        one = "/nodes/{node}/lxc/{vmid}"
        return [
            ("GET", one + "/config", self._ct_config),
            ("PUT", one + "/config", self._ct_change),
            ("GET", one + "/pending", self._ct_pending),
        ]

    def find_container(self, values: dict[str, Any]) -> Any:
        """The container on that node; also checked again inside tasks."""
        ct = self.ct(int(values["vmid"]))
        if ct is None or ct.node != values["node"]:
            raise PveError(500, missing_config(values["node"], int(values["vmid"]), "lxc"))
        return ct

    @staticmethod
    def refuse_locked_container(ct: Any, *allow: str) -> None:
        if ct.lock and ct.lock not in allow:
            raise PveError(500, f"CT is locked ({ct.lock})")

    async def _ct_config(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        ct = self.find_container(values)
        deletes = deletes_of(ct)
        if values.get("snapshot") and values.get("current"):
            text = "cannot use 'snapshot' parameter with 'current'"
            raise parameter_error(snapshot=text, current=text)
        if values.get("snapshot"):
            if values["snapshot"] not in ct.snapshots:
                raise PveError(500, f"snapshot '{values['snapshot']}' does not exist")
            config = dict(ct.snapshots[values["snapshot"]])
        else:
            config = dict(ct.config)
            if not values.get("current"):
                config.update(ct.pending)
                config = {key: value for key, value in config.items() if key not in deletes}
        return {**self.readable(user, ct.vmid, config), "digest": self.digest_of(ct)}

    async def _ct_pending(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        ct = self.find_container(values)
        deletes = deletes_of(ct)
        config, pending = (self.readable(user, ct.vmid, found) for found in (ct.config, ct.pending))
        items: list[dict[str, Any]] = [{"key": "digest", "value": self.digest_of(ct)}]
        for key in sorted({*config, *pending}):
            item: dict[str, Any] = {"key": key}
            if key in config:
                item["value"] = config[key]
            if key in pending:
                item["pending"] = pending[key]
            if key in deletes:
                item["delete"] = 1
            items.append(item)
        return items

    async def _ct_change(self, given: dict[str, Any], user: str) -> None:
        values = {key: value for key, value in given.items() if key not in ("node", "vmid", "digest")}
        if not values:
            raise PveError(500, "no options specified")
        deletes, reverts = split_names(values.pop("delete", "")), split_names(values.pop("revert", ""))
        if "cpuunits" in values:
            values["cpuunits"] = max(1, min(int(values["cpuunits"]), HIGHEST_WEIGHT))
        check_formats(values)
        ct = self.find_container(given)
        self.refuse_lock_timeout(ct.vmid)
        await self.lock_container(ct)
        try:
            ct = self.find_container(given)
            self.refuse_locked_container(ct)
            check_digest(self.digest_of(ct), given.get("digest"))
            unprivileged = ct.config.get("unprivileged")
            for names in (deletes, reverts):
                self.check_container_change(user, ct.vmid, None, ct.config, {}, names, unprivileged)
            self._check_keys(values, deletes, reverts)
            self.check_container_change(user, ct.vmid, None, ct.config, values, [], unprivileged)
            self.need_quorum()
            self.update_container(ct, values, deletes, reverts)
            self.refuse_bad_cards(ct)
        finally:
            self.release(ct, "config")

    async def lock_container(self, ct: Any) -> None:
        try:
            await self.acquire(ct, "config")
        except TaskError as problem:
            raise PveError(500, str(problem)) from problem

    @staticmethod
    def _check_keys(values: dict[str, Any], deletes: list[str], reverts: list[str]) -> None:
        for key in reverts:
            if not option_exists(key):
                raise parameter_error(revert=f"unknown option '{key}'")
            if key in values:
                raise parameter_error(revert=f"you can't use '-{key}' and '-revert {key}' at the same time")
        for key in deletes:
            if not option_exists(key):
                raise parameter_error(delete=f"unknown option '{key}'")
            if key in values:
                raise parameter_error(delete=f"you can't use '-{key}' and -delete {key}' at the same time")
            if key in reverts:
                raise parameter_error(delete=f"you can't use '-delete {key}' and '-revert {key}' at the same time")
