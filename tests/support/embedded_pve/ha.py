# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HA's resources, and the rules that took the place of its groups in PVE 9 (PVE::API2::HA)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from fakepve.model import PveError
from fakepve.routing import split_list

from .base import EmbeddedBase, parameter_error
from .knobs import Knobs

MIGRATED = "ha groups have been migrated to rules"


class HighAvailability(EmbeddedBase):
    def __init__(self, host: str, port: int, knobs: Knobs) -> None:
        super().__init__(host, port, knobs)
        self.ha_rules: dict[str, dict[str, Any]] = {}
        self.ha_groups: dict[str, str] = {}

    def _routes_embedded_ha(self) -> list[tuple[str, str, Any]]:
        return [
            ("POST", "/cluster/ha/resources", self._ha_resource_create),
            ("GET", "/cluster/ha/groups", self._ha_groups),
            ("GET", "/cluster/ha/rules", self._ha_rules),
            ("GET", "/cluster/ha/rules/{rule}", self._ha_rule),
            ("PUT", "/cluster/ha/rules/{rule}", self._ha_rule_update),
        ]

    async def _ha_resource_create(self, values: dict[str, Any], user: str) -> None:
        sid, group = str(values["sid"]), values.get("group")
        guest = self.guest(int(sid.rpartition(":")[2]))
        if guest is None:
            raise PveError(500, f"unable to add service '{sid}' - no such service")
        if group and not self.knobs.ha_groups:
            raise parameter_error(group=f"invalid parameter 'group': {MIGRATED}")
        if group and group not in self.ha_groups:
            raise PveError(500, f"HA group '{group}' does not exist")
        if guest.ha_managed:
            raise PveError(500, f"resource ID '{sid}' already defined")
        guest.ha_state = values.get("state", "started")

    async def _ha_groups(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        if not self.knobs.ha_groups:
            raise PveError(500, f"cannot index groups: {MIGRATED}")
        return [{"group": name, "nodes": nodes, "type": "group"} for name, nodes in self.ha_groups.items()]

    def _need_rules(self, method: str) -> None:
        if self.knobs.ha_groups:
            raise PveError(501, f"Method '{method} /cluster/ha/rules' not implemented")

    async def _ha_rules(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        self._need_rules("GET")
        return [self._shown_rule(name) for name in self.ha_rules if values.get("type") in (None, "node-affinity")]

    async def _ha_rule(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        self._need_rules("GET")
        return self._shown_rule(values["rule"])

    def _shown_rule(self, name: str) -> dict[str, Any]:
        if name not in self.ha_rules:
            raise PveError(500, f"no such ha rule '{name}'")
        text = json.dumps(self.ha_rules, sort_keys=True)
        rule = self.ha_rules[name]
        shown = {"rule": name, "type": "node-affinity", "digest": hashlib.sha1(text.encode()).hexdigest()}
        return {**rule, **shown, "resources": ",".join(rule["resources"])}

    async def _ha_rule_update(self, values: dict[str, Any], user: str) -> None:
        self._need_rules("PUT")
        current = self._shown_rule(values["rule"])
        if values.get("digest") not in (None, current["digest"]):
            text = "detected modified configuration - file changed by other user? Try again."
            raise PveError(500, f"update HA rules failed: {text}")
        resources = split_list(values.get("resources"))
        managed = {f"vm:{vm.vmid}" for vm in self.vms if vm.ha_managed}
        unmanaged = [sid for sid in resources if sid not in managed]
        if unmanaged:
            raise PveError(500, f"update HA rules failed: cannot use unmanaged resource(s) {', '.join(unmanaged)}.")
        self.ha_rules[values["rule"]]["resources"] = resources

    def forget_guest(self, guest: Any) -> None:
        super().forget_guest(guest)
        for rule in self.ha_rules.values():
            rule["resources"] = [sid for sid in rule["resources"] if sid != f"vm:{guest.vmid}"]
