# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make a guest a resource of PVE's high availability, in a group or, since PVE 9, under a node affinity rule."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from .._pve.client import PveClient
from .._pve.commands import Command, repeat_on_conflict, run_command
from .._pve.errors import NOT_IMPLEMENTED, InvalidRequest, PermissionDenied, PveError, Refused
from .._pve.guests import LXC, Guest, GuestHandle
from .._pve.tasks import Task
from .facts import Status
from .plan import Change, Plan, PlanStep

NODE_AFFINITY = "node-affinity"
# What PVE 9 makes of a group when it is upgraded (PVE::HA::Groups migrate_groups_to_rules).
FORMER_GROUP = "ha-group-{}"
STARTED = "started"
_MIGRATED = "groups have been migrated to rules"


@dataclass(frozen=True)
class NodeAffinity:
    """Where HA keeps a resource: in a group, or on the nodes of a rule; in neither, anywhere."""

    group: str | None = None
    rule: str | None = None


def find_node_affinity(client: PveClient, name: str) -> NodeAffinity:
    """Find the rule of this name, or that a group of this name became, or the group; at most two requests.

    Raises InvalidRequest when there is none.
    """
    rules = _read_rules(client)
    if rules is not None:
        names = {str(rule["rule"]) for rule in rules}
        found = next((known for known in (name, FORMER_GROUP.format(name)) if known in names), None)
        if found is not None:
            return NodeAffinity(rule=found)
    groups = _read_groups(client)
    if groups is not None and name in groups:
        return NodeAffinity(group=name)
    if groups is None:
        there = ", ".join(sorted(str(rule["rule"]) for rule in rules or ())) or "none"
        raise InvalidRequest(
            f"there is no node affinity rule {name} (there is {there}), and this PVE has rules instead of HA groups: "
            f"make the rule with ha-manager rules add node-affinity {name}"
        )
    raise InvalidRequest(f"there is no HA group {name}: there is {', '.join(sorted(groups)) or 'none'}")


def _read_rules(client: PveClient) -> list[t.Mapping[str, t.Any]] | None:
    """The node affinity rules; None where PVE has no rules yet."""
    try:
        return list(client.read("cluster", "ha", "rules", type=NODE_AFFINITY))
    except PveError as error:
        if error.cause.status == NOT_IMPLEMENTED:
            return None
        raise


def _read_groups(client: PveClient) -> set[str] | None:
    """The names of the groups; None where PVE has none any more."""
    try:
        return {str(group["group"]) for group in client.read("cluster", "ha", "groups")}
    except PveError as error:
        if _MIGRATED in error.cause.pve_message:
            return None
        raise


def plan_ha(vmid: int, affinity: NodeAffinity) -> Plan:
    """Say what has to be sent to let HA keep a guest started."""
    sid = f"vm:{vmid}"
    form = {"sid": sid, "state": "started", "group": affinity.group}
    resource = PlanStep(
        f"make {sid} an HA resource",
        Command("POST", ("cluster", "ha", "resources"), form),
        (Change("ha", None, "started"),),
    )
    # A rule speaks only of what is HA's already.
    return Plan((resource,) if affinity.rule is None else (resource, RuleStep(sid, affinity.rule)))


@dataclass(frozen=True)
class HaHome:
    """The nodes that HA brings a resource back to whenever one of them is online, and the rule that says so."""

    name: str
    nodes: frozenset[str]


@dataclass(frozen=True)
class HaPlacement:
    """Where HA keeps a resource, None for anywhere, and the nodes in HA's maintenance mode, to which it moves none."""

    home: HaHome | None = None
    in_maintenance: frozenset[str] = frozenset()


def read_placement(handle: GuestHandle) -> HaPlacement:
    """Read where HA may have a resource; anywhere when the caller may not know.

    A node in HA's maintenance mode keeps none (PVE::HA::NodeStatus).
    """
    client, sid = handle.client, sid_of(handle.guest)
    try:
        rules, group = _read_rules(client), None
        resource = client.read("cluster", "ha", "resources", sid)
        if rules is None and resource.get("group"):
            group = client.read("cluster", "ha", "groups", str(resource["group"]))
        manager = _read_manager(client)
    except PveError as error:
        if isinstance(error, (PermissionDenied, Refused)):
            return HaPlacement()
        raise
    online = _nodes_in("online", manager)
    home = None
    if group is not None:
        fails_back = not int(group.get("nofailback") or 0)
        home = _home(f"the HA group {resource['group']}", group, fails_back, "restricted", online)
    fails_back = bool(int(resource.get("failback", 1)))
    for rule in rules or ():
        if sid in _words(rule.get("resources")) and not int(rule.get("disable") or 0):
            home = _home(f"the HA rule {rule['rule']}", rule, fails_back, "strict", online)
            break
    return HaPlacement(home, _nodes_in("maintenance", manager))


@dataclass(frozen=True)
class HaMaintenance:
    """The nodes in HA's maintenance mode, and for each resource that HA has moved because of one, which one."""

    nodes: frozenset[str] = frozenset()
    left: t.Mapping[str, str] = field(default_factory=dict)

    def has_moved(self, guest: Guest, node: str) -> bool:
        """HA has moved the guest off this node, whose maintenance mode is on."""
        return node in self.nodes and guest.node != node and self.left.get(sid_of(guest)) == node


def read_maintenance(client: PveClient) -> HaMaintenance:
    """Read HA's maintenance; none when the caller may not know."""
    try:
        manager = _read_manager(client)
    except (PermissionDenied, Refused):
        return HaMaintenance()
    services = (manager.get("service_status") or {}).items()
    left = {sid: str(service["maintenance_node"]) for sid, service in services if service.get("maintenance_node")}
    return HaMaintenance(_nodes_in("maintenance", manager), left)


def _read_manager(client: PveClient) -> t.Mapping[str, t.Any]:
    found = client.read("cluster", "ha", "status", "manager_status").get("manager_status")
    return t.cast("t.Mapping[str, t.Any]", found or {})


def _nodes_in(state: str, manager: t.Mapping[str, t.Any]) -> frozenset[str]:
    """The nodes that HA's manager sees so: online, maintenance, unknown, fence or gone."""
    return frozenset(node for node, known in (manager.get("node_status") or {}).items() if known == state)


def no_move_to(node: str) -> str:
    """Why HA moves nothing to a node in its maintenance mode, and what to do."""
    return (
        f"node {node} is in HA's maintenance mode, in which HA moves nothing there: end it with "
        f"ha-manager crm-command node-maintenance disable {node}"
    )


def _home(
    name: str, place: t.Mapping[str, t.Any], fails_back: bool, only: str, online: t.Collection[str]
) -> HaHome | None:
    """Of the nodes that are online those of the highest priority (PVE::HA::Rules::NodeAffinity, get_node_affinity)."""
    nodes = {}
    for word in _words(place.get("nodes")):
        node, _colon, priority = word.partition(":")
        if node in online:
            nodes[node] = int(priority or 0)
    if fails_back:
        best = max(nodes.values(), default=0)
        nodes = {node: priority for node, priority in nodes.items() if priority == best}
    elif not int(place.get(only) or 0):
        return None
    return HaHome(name, frozenset(nodes)) if nodes else None


def _words(value: t.Any) -> list[str]:
    return [word for word in re.split(r"[,;\s]+", str(value or "")) if word]


def sid_of(guest: Guest) -> str:
    """How HA calls a guest."""
    return f"{'ct' if guest.kind == LXC else 'vm'}:{guest.vmid}"


def is_wanted_running(handle: GuestHandle) -> bool:
    """Whether HA means to let the guest run, whatever it is now; False when the caller may not know."""
    try:
        found = handle.client.read("cluster", "ha", "resources", sid_of(handle.guest))
    except (PermissionDenied, Refused):
        return False
    return str(found.get("state") or STARTED) in (STARTED, "enabled")


def want_stopped(handle: GuestHandle) -> bool:
    """Let HA stop the guest whatever it is at; False when the caller may not.

    A command to stop is only heeded by a resource that is settled (PVE::HA::Manager, next_state_started); what is
    requested of a resource stays.
    """
    path = ("cluster", "ha", "resources", sid_of(handle.guest))

    def is_requested() -> bool:
        return not is_wanted_running(handle)

    try:
        run_command(handle.client, Command("PUT", path, {"state": "stopped"}, done=is_requested))
    except (PermissionDenied, Refused):
        return False
    return True


def is_through_ha(status: Status) -> bool:
    """Whether HA starts, stops and moves the guest (PVE::HA::Config, vm_is_ha_managed)."""
    return status.ha_managed and status.ha_state != "ignored"


def takes_commands(ha_state: str) -> bool:
    """Whether a resource in this state heeds commands, or is on its way to a stop already."""
    return ha_state in (STARTED, "request_stop", "stopped", "error")


def read_round(client: PveClient) -> int | None:
    """When HA's manager had its last round, by its own clock; None when the caller may not know."""
    try:
        entries = client.read("cluster", "ha", "status", "current")
    except (PermissionDenied, Refused):
        return None
    return next((int(entry["timestamp"]) for entry in entries if entry.get("type") == "master"), None)


@dataclass(frozen=True)
class RuleStep:
    """A resource more under a rule; others may add theirs at the same time."""

    sid: str
    rule: str

    @property
    def title(self) -> str:
        return f"put {self.sid} under the HA rule {self.rule}"

    @property
    def changes(self) -> tuple[Change, ...]:
        return (Change("ha_rule", None, self.rule),)

    def run(self, client: PveClient, _handle: GuestHandle | None) -> Task | None:
        """Write the list of resources that the rule has now, with this one; raises a PveError."""
        path = ("cluster", "ha", "rules", self.rule)

        def add() -> Task | None:
            found = client.read(*path)
            resources = _words(found.get("resources"))
            if self.sid in resources:
                return None
            form = {"resources": ",".join([*resources, self.sid]), "digest": found.get("digest")}
            return run_command(client, Command("PUT", path, {"type": NODE_AFFINITY, **form}))

        return repeat_on_conflict(client, add)
