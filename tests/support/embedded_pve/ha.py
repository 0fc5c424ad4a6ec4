# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HA's resources, and the rules that took the place of its groups in PVE 9 (PVE::API2::HA)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

from fakepve.model import PveError
from fakepve.routing import split_list

from .base import is_true, parameter_error
from .knobs import Knobs
from .power import Power

MIGRATED = "ha groups have been migrated to rules"


class HighAvailability(Power):
    def __init__(self, host: str, port: int, knobs: Knobs) -> None:
        super().__init__(host, port, knobs)
        self.ha_rules: dict[str, dict[str, Any]] = {}
        self.ha_groups: dict[str, str] = {}
        # Nodes in HA's maintenance mode, which only ha-manager on a node sets.
        self.ha_maintenance: set[str] = set()

    def _routes_embedded_ha(self) -> list[tuple[str, str, Any]]:
        return [
            ("POST", "/cluster/ha/resources", self._ha_resource_create),
            ("GET", "/cluster/ha/resources/{sid}", self._ha_resource),
            ("PUT", "/cluster/ha/resources/{sid}", self._ha_resource_update),
            ("DELETE", "/cluster/ha/resources/{sid}", self._ha_resource_delete),
            ("GET", "/cluster/ha/groups", self._ha_groups),
            ("GET", "/cluster/ha/groups/{group}", self._ha_group),
            ("GET", "/cluster/ha/status/current", self._ha_status),
            ("GET", "/cluster/ha/status/manager_status", self._ha_manager_status),
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
        guest.ha_request, guest.ha_group = values.get("state", "started"), group
        guest.ha_failback = values.get("failback")
        if self.knobs.ha_seconds:
            # A new service that is to run has to be started first, whether it runs or not (PVE::HA::Manager).
            guest.ha_state = "request_start" if guest.ha_request == "started" else "request_stop"
            self._act_later(guest)
        else:
            guest.ha_state = guest.ha_request
            if guest.ha_state == "started" and guest in self.vms and guest.status != "running":
                self.run_guest(guest)

    # ---- what the CRM does in its rounds (PVE::HA::Manager next_state_*; 96d-ha-stop-during-start.json)

    def tell_ha(self, guest: Any, state: str, act: Callable[[], None]) -> None:
        """hastart sets what is requested; hastop is a command, which only a service that is started takes."""
        if not self.knobs.ha_seconds:
            guest.ha_state = guest.ha_request = state
            act()
            return
        if state == "started":
            guest.ha_request = "started"
        else:
            guest.ha_command = "stop"
        self._act_later(guest)

    async def tell_ha_to_move(self, guest: Any, target: str) -> None:
        if self.knobs.ha_loses:
            self.knobs.ha_loses -= 1
            return
        if not self.nodes[target].get("online", True) or target in self.ha_maintenance:
            # "crm command error - node not online": only the CRM's own log says so (PVE::HA::Manager).
            return
        if self.knobs.ha_seconds:
            guest.ha_command = target
            self._act_later(guest)
        else:
            await self.move_by_ha(guest, target)

    def _act_later(self, guest: Any) -> None:
        if not getattr(guest, "ha_acts", False):
            guest.ha_acts = True
            self.in_background(self._rounds(guest))

    async def _rounds(self, guest: Any) -> None:
        try:
            while guest.ha_managed:
                await asyncio.sleep(self.knobs.ha_seconds)
                before = guest.ha_state
                command = getattr(guest, "ha_command", None)
                guest.ha_command = None
                if before == "migrate":
                    # Whether it got there or not, it is settled afterwards (next_state_migrate_relocate).
                    await self.move_by_ha(guest, guest.ha_target)
                guest.ha_state = self._next_state(guest, before, command)
                if guest.ha_state == before:
                    return
        finally:
            guest.ha_acts = False

    def _next_state(self, guest: Any, state: str, command: str | None) -> str:
        wanted = self._requested(guest)
        if state == "started":
            if guest.node in self.ha_maintenance:
                guest.ha_left = guest.node
            if wanted == "stopped":
                return "request_stop"
            if command == "stop":
                guest.ha_request = "stopped"
                return "request_stop"
            target = command or self._preferred(guest)
            if target != guest.node:
                guest.ha_target = target
                return "migrate"
        elif state == "stopped" and command not in (None, "stop", guest.node):
            guest.ha_target = command
            return "migrate"
        elif state == "stopped":
            if wanted == "started":
                return "request_start"
            # The LRM stops whatever runs and is not to.
            self.halt_guest(guest)
        elif state == "request_start":
            # Commands that come now are lost, and so they are below.
            if guest.status != "running" and self.start_problem(guest) is None:
                self.run_guest(guest)
            return "started"
        elif state == "request_stop":
            self.halt_guest(guest)
            return "stopped"
        elif state == "migrate":
            return "started" if wanted == "started" else "request_stop"
        return state

    def _preferred(self, guest: Any) -> str:
        """Where the CRM wants it because of a node's maintenance (PVE::HA::Manager, select_service_node)."""
        left, failback = getattr(guest, "ha_left", None), getattr(guest, "ha_failback", None)
        if guest.node in self.ha_maintenance:
            return min(set(self.nodes) - self.ha_maintenance)
        if left in (None, *self.ha_maintenance) or (failback is not None and not is_true(failback)):
            return str(guest.node)
        guest.ha_left = None
        return str(left)

    @staticmethod
    def _requested(guest: Any) -> str:
        wanted = getattr(guest, "ha_request", None)
        return str(wanted or ("stopped" if guest.ha_state in ("stopped", "request_stop") else "started"))

    def _service(self, sid: str) -> Any:
        guest = self.guest(int(sid.rpartition(":")[2]))
        return guest if guest is not None and guest.ha_managed else None

    async def _ha_resource(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        self.require(user, "/", "Sys.Audit")
        guest = self._service(values["sid"])
        if guest is None:
            raise PveError(500, f"no such resource '{values['sid']}'")
        group = getattr(guest, "ha_group", None)
        failback = getattr(guest, "ha_failback", None)
        given = {"group": group} if group else {}
        given.update({"failback": int(failback)} if failback is not None else {})
        return {"sid": values["sid"], "type": "vm", "state": self._requested(guest), "digest": "0" * 40, **given}

    async def _ha_resource_update(self, values: dict[str, Any], user: str) -> None:
        self.require(user, "/", "Sys.Console")
        guest = self._service(values["sid"])
        if guest is None:
            raise PveError(500, f"update resources config failed: no such resource '{values['sid']}'")
        guest.ha_request = values.get("state", self._requested(guest))
        if self.knobs.ha_seconds:
            self._act_later(guest)
            return
        guest.ha_state = guest.ha_request
        if guest.ha_request == "stopped":
            self.halt_guest(guest)

    async def _ha_resource_delete(self, values: dict[str, Any], user: str) -> None:
        guest = self._service(values["sid"])
        if guest is None:
            raise PveError(500, f"no such resource '{values['sid']}'")
        guest.ha_state = guest.ha_request = None
        for rule in self.ha_rules.values():
            rule["resources"] = [sid for sid in rule["resources"] if sid != values["sid"]]

    async def _ha_status(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        """The manager's entry has the time of its last round, which is a number that grows here."""
        node = sorted(self.nodes)[0]
        rounds = int(time.time() / (self.knobs.ha_seconds or 10))
        return [
            {"type": "master", "id": "master", "node": node, "timestamp": rounds, "status": f"{node} (active)"},
            *(
                {
                    "type": "service",
                    "id": f"service:{sid}",
                    "sid": sid,
                    "node": guest.node,
                    "state": guest.ha_state,
                    "crm_state": guest.ha_state,
                    "request_state": self._requested(guest),
                    "status": f"{sid} ({guest.node}, {guest.ha_state})",
                }
                for sid, guest in self._services()
            ),
        ]

    async def _ha_manager_status(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        states = {name: "online" if facts.get("online", True) else "unknown" for name, facts in self.nodes.items()}
        states.update(dict.fromkeys(self.ha_maintenance, "maintenance"))
        node = sorted(self.nodes)[0]
        services = {sid: {"node": guest.node, "state": guest.ha_state} for sid, guest in self._services()}
        for sid, guest in self._services():
            if getattr(guest, "ha_left", None):
                services[sid]["maintenance_node"] = guest.ha_left
        return {
            "quorum": {"node": node, "quorate": "1" if self.quorate else "0"},
            "manager_status": {"master_node": node, "node_status": states, "service_status": services},
            "lrm_status": {},
        }

    def enable_ha_maintenance(self, node: str) -> None:
        """ha-manager crm-command node-maintenance enable: HA moves what it runs there to other nodes by itself."""
        self.ha_maintenance.add(node)
        for _sid, guest in self._services():
            if guest.node == node:
                self._act_later(guest)

    def disable_ha_maintenance(self, node: str) -> None:
        """The same with disable: HA brings back what it moved, unless failback of the resource is 0."""
        self.ha_maintenance.discard(node)
        for _sid, guest in self._services():
            self._act_later(guest)

    def _services(self) -> list[tuple[str, Any]]:
        return [
            *((f"vm:{vm.vmid}", vm) for vm in self.vms if vm.ha_managed),
            *((f"ct:{ct.vmid}", ct) for ct in self.cts if ct.ha_managed),
        ]

    async def _ha_groups(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        if not self.knobs.ha_groups:
            raise PveError(500, f"cannot index groups: {MIGRATED}")
        return [{"group": name, "nodes": nodes, "type": "group"} for name, nodes in self.ha_groups.items()]

    async def _ha_group(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        name = values["group"]
        if name not in self.ha_groups:
            raise PveError(500, f"no such ha group '{name}'")
        return {"group": name, "nodes": self.ha_groups[name], "type": "group", "digest": "0" * 40}

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
        managed = {sid for sid, _guest in self._services()}
        unmanaged = [sid for sid in resources if sid not in managed]
        if unmanaged:
            raise PveError(500, f"update HA rules failed: cannot use unmanaged resource(s) {', '.join(unmanaged)}.")
        self.ha_rules[values["rule"]]["resources"] = resources

    def forget_guest(self, guest: Any) -> None:
        super().forget_guest(guest)
        guest.ha_state = None
        for rule in self.ha_rules.values():
            rule["resources"] = [sid for sid in rule["resources"] if sid != f"vm:{guest.vmid}"]
