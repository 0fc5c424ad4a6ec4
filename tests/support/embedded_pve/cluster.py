# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster's view: resources, nodes, networks and storages (01-basics.json, 80-cluster.json)."""

from __future__ import annotations

import re
import time
from typing import Any

from aiohttp import web
from fakepve.server import USER, ok

from .consoles import Consoles
from .knobs import Knobs
from .migration import Migration
from .parameters import request_parameters
from .vzdump import Vzdump

GIB = 1024**3
# What the list says of a guest without its statistics.
KEPT = frozenset({"id", "type", "node", "vmid", "status", "tags", "lock", "pool", "hastate"})
BRIDGE_TYPES = {"bridge": "bridge", "any_bridge": "bridge", "any_local_bridge": "bridge", "include_sdn": "bridge"}


def former_or(vm: Any, name: str) -> str:
    """What /cluster/resources still shows, or the truth once it got there."""
    former = getattr(vm, f"former_{name}", None)
    return str(former[0] if former and time.monotonic() < former[1] else getattr(vm, name))


class Cluster(Migration, Consoles, Vzdump):
    def __init__(self, host: str, port: int, knobs: Knobs) -> None:
        super().__init__(host, port, knobs)
        self.bridges: dict[str, list[str]] = {}
        self.cpu_models: dict[str, str] = {}
        self.node_facts: dict[str, dict[str, Any]] = {}
        self.storage_usage: dict[tuple[str, str], tuple[int, int]] = {}

    def bridges_of(self, node: str) -> list[str]:
        return self.bridges.get(node, ["vmbr0", "vmbr1"])

    def missing_bridge(self, node: str, net: str) -> str | None:
        found = re.search(r"(?:^|,)bridge=([^,]+)", net)
        if found and found.group(1) not in self.bridges_of(node):
            return found.group(1)
        return None

    def _routes_embedded_cluster(self) -> list[tuple[str, str, Any]]:
        return [
            ("GET", "/nodes/{node}/network", self._network_list),
            ("GET", "/nodes/{node}/status", self._node_status),
        ]

    # ---- resources

    def note_rename(self, vm: Any, name: str) -> None:
        if self.knobs.resources_lag and name != vm.name:
            vm.former_name = (vm.name, time.monotonic() + self.knobs.resources_lag)
        vm.name = name

    def run_guest(self, vm: Any) -> None:
        self._note_status(vm)
        super().run_guest(vm)

    def halt_guest(self, vm: Any) -> None:
        self._note_status(vm)
        super().halt_guest(vm)

    def _note_status(self, vm: Any) -> None:
        """pvestatd tells the cluster every ten seconds who runs."""
        if self.knobs.resources_lag:
            vm.former_status = (vm.status, time.monotonic() + self.knobs.resources_lag)

    async def _resources(self, request: Any) -> web.Response:
        kind = self._verify(request, await request_parameters(request)).get("type")
        user = request[USER]
        items: list[dict[str, Any]] = []
        if kind in (None, "vm"):
            seen = [guest for guest in self._guests() if self.allowed(user, f"/vms/{guest.vmid}", "VM.Audit")]
            items += [self._resource(guest) for guest in seen]
            items = [self._without_hidden_pool(self._remembered(item), user) for item in items]
        if kind in (None, "node"):
            items += [self._node_resource(name, user) for name in sorted(self.nodes)]
        if kind in (None, "storage"):
            for node in sorted(self.nodes):
                found = (self._storage_resource(node, name) for name in self.storages if self._shows(user, name))
                items += [item for item in found if item]
        if kind is None:
            items += [{"id": f"/pool/{name}", "pool": name, "type": "pool"} for name in self._seen_pools(user)]
        return ok(items)

    def _remembered(self, item: dict[str, Any]) -> dict[str, Any]:
        """Five minutes after a node is lost the statistics of its guests have expired (README: Clusters)."""
        if not self.nodes.get(item["node"], {}).get("forgotten"):
            return item
        return {key: value for key, value in item.items() if key in KEPT}

    def _shows(self, user: str, storage: str) -> bool:
        """The list of everything has a storage with Datastore.Audit alone (PVE::API2::Cluster, resources)."""
        return bool(self.allowed(user, f"/storage/{storage}", "Datastore.Audit"))

    def _seen_pools(self, user: str) -> list[str]:
        return [name for name in sorted(self.pools) if self.allowed(user, f"/pool/{name}", "Pool.Audit")]

    def _without_hidden_pool(self, item: dict[str, Any], user: str) -> dict[str, Any]:
        """The pool of a guest is in the list for those who may see the pool (PVE::API2::Cluster resources)."""
        if item.get("pool") and not self.allowed(user, f"/pool/{item['pool']}", "Pool.Audit"):
            item.pop("pool")
        return item

    def _resource(self, vm: Any) -> dict[str, Any]:
        kind = "lxc" if vm in self.cts else "qemu"
        item: dict[str, Any] = {"id": vm.guest, "type": kind, "node": vm.node, "vmid": vm.vmid, "status": "unknown"}
        optional = {"tags": vm.config.get("tags"), "lock": vm.lock, "pool": vm.pool, "hastate": vm.ha_state}
        item.update({key: value for key, value in optional.items() if value})
        born = getattr(vm, "born_at", None)
        if born is not None and time.monotonic() - born < self.knobs.resources_lag:
            return item
        online = self.nodes.get(vm.node, {}).get("online", True)
        if not online and self.knobs.node_lost_long_ago:
            # Five minutes after the last news of a node nobody knows the statistics of its guests.
            return item
        item["name"] = former_or(vm, "name")
        item["template"] = 1 if vm.template else 0
        if online:
            item["status"] = former_or(vm, "status")
        item.update(self.usage_of(vm))
        return item

    def usage_of(self, vm: Any) -> dict[str, Any]:
        """Overridden by the containers' part."""
        usage: dict[str, Any] = self._vm_usage(vm)
        return usage

    def _members(self, name: str, kind: str | None) -> list[dict[str, Any]]:
        """Pool members have the fields of /cluster/resources (72-misc.json: pool get)."""
        members: list[dict[str, Any]] = []
        for member in super()._members(name, kind):
            guest = self.guest(member["vmid"]) if member["type"] in ("qemu", "lxc") else None
            members.append({**member, **(self._resource(guest) if guest is not None else {})})
            for unlisted in ("pool", "lock", "tags"):
                members[-1].pop(unlisted, None)
        return members

    def _node_resource(self, name: str, user: str) -> dict[str, Any]:
        """What a node has and uses is for those with Sys.Audit on it (PVE::API2Tools extract_node_stats)."""
        online = self.nodes[name].get("online", True)
        item = {
            "id": "node/" + name,
            "type": "node",
            "node": name,
            "status": "online" if online else "offline",
            "level": "",
        }
        facts = self._facts(name) if online else {}
        if not self.allowed(user, f"/nodes/{name}", "Sys.Audit"):
            facts = {key: value for key, value in facts.items() if key == "cgroup-mode"}
        return {**item, **facts}

    def _facts(self, name: str) -> dict[str, Any]:
        facts = {"cpu": 0.02, "maxcpu": 4, "mem": 2 * GIB, "maxmem": 32 * GIB, "disk": 4 * GIB, "maxdisk": 64 * GIB}
        return {**facts, "uptime": 3600, "cgroup-mode": 2, **self.node_facts.get(name, {})}

    def _storage_resource(self, node: str, name: str) -> dict[str, Any] | None:
        item = super()._storage_resource(node, name)
        if item is None:
            return None
        store = self.storages[name]
        total, used = self.storage_usage.get((node, name)) or self._space(store)[:2]
        item.update(maxdisk=total, disk=used)
        if not store.get("active", 1) or not self.nodes[node].get("online", True):
            item["status"] = "unknown"
            item.pop("maxdisk")
            item.pop("disk")
        return dict(item)

    def _status_item(self, name: str, node: str, formats: bool = False) -> dict[str, Any]:
        item: dict[str, Any] = super()._status_item(name, node, formats)
        usage = self.storage_usage.get((node, name))
        if usage and item["active"]:
            item.update(total=usage[0], used=usage[1], avail=usage[0] - usage[1])
        return item

    # ---- nodes and networks

    async def _nodes(self, request: Any) -> web.Response:
        items = []
        for name in sorted(self.nodes):
            item = self._node_resource(name, request[USER])
            item["ssl_fingerprint"] = "AA:" * 31 + "AA"
            items.append(item)
        return ok(items)

    async def _node_status(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        node = values["node"]
        facts = self._facts(node)
        return {
            "uptime": facts["uptime"],
            "cpu": facts["cpu"],
            "loadavg": ["0.10", "0.12", "0.09"],
            "memory": {"total": facts["maxmem"], "used": facts["mem"], "free": facts["maxmem"] - facts["mem"]},
            "rootfs": {"total": facts["maxdisk"], "used": facts["disk"], "avail": facts["maxdisk"] - facts["disk"]},
            "pveversion": f"pve-manager/{self.version}/embedded",
            "kversion": "Linux 6.14.0-embedded",
            "cpuinfo": {"cpus": facts["maxcpu"], "sockets": 1, "cores": facts["maxcpu"], "model": self._cpu_of(node)},
            "current-kernel": {"sysname": "Linux", "release": "6.14.0", "machine": "x86_64", "version": "#1"},
        }

    def _cpu_of(self, node: str) -> str:
        return self.cpu_models.get(node, "embedded")

    async def _network_list(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        wanted = values.get("type")
        address = self.address_of(values["node"])
        items: list[dict[str, Any]] = []
        for number, bridge in enumerate(self.bridges_of(values["node"])):
            if not self._may_use_bridge(user, bridge):
                continue
            item = {
                "iface": bridge,
                "type": "bridge",
                "active": 1,
                "autostart": 1,
                "method": "manual",
                "method6": "manual",
                "bridge_ports": "eno1" if not number else "",
                "bridge_stp": "off",
                "bridge_fd": "0",
                "families": ["inet"],
                "priority": 4 + number,
            }
            if not number:
                item.update(method="static", address=address, netmask="24", cidr=address + "/24")
            items.append(item)
        items.append({"iface": "eno1", "type": "eth", "active": 1, "method": "manual", "families": ["inet"]})
        if wanted in (None, "include_sdn"):
            return items
        return [item for item in items if item["type"] == BRIDGE_TYPES.get(wanted, wanted)]

    def _may_use_bridge(self, user: str, bridge: str) -> bool:
        """The list leaves out bridges that the caller may not see (PVE::API2::Network, index)."""
        path = f"/sdn/zones/localnetwork/{bridge}"
        return any(self.allowed(user, path, privilege) for privilege in ("SDN.Audit", "SDN.Use"))
