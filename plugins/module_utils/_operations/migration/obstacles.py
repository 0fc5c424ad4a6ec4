# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands in the way of moving a guest to a node, each with what to do about it."""

from __future__ import annotations

import typing as t

from ..._pve.client import PveClient
from ..._pve.errors import PermissionDenied
from ..._pve.guests import LXC
from ..ha import no_move_to
from ..once import Once
from .migration_request import MigrationOptions
from .preconditions import Preconditions


def obstacles(
    preconditions: Preconditions, target: str, options: MigrationOptions, client: PveClient, once: Once
) -> list[str]:
    """Say what stands in the way of moving the guest there; asks both nodes when nothing else does."""
    found = [*_of_node(preconditions, target, options), *_of_guest(preconditions, options)]
    if preconditions.online and not found:
        found.extend(_of_both_nodes(preconditions, target, options, client, once))
    return found


def _of_node(preconditions: Preconditions, target: str, options: MigrationOptions) -> t.Iterator[str]:
    if target in preconditions.cluster.offline:
        yield f"node {target} is offline"
        return
    # PVE lists nodes here that nothing stands against, too.
    barred = {name: why for name, why in (preconditions.not_allowed.get(target) or {}).items() if why}
    storages = [str(name) for name in barred.pop("unavailable_storages", ())]
    lacking = [name for name in storages if options.storage_for(name) == name]
    wanted = _wanted_storages(preconditions, options)
    lacking += [name for name in _missing_storages(preconditions, target, wanted) if name not in lacking]
    if lacking:
        yield (
            f"its storage {', '.join(lacking)} is not there: make it available there, or say by target_storage where "
            f"its volumes go"
        )
    content = "rootdir" if preconditions.guest.kind == LXC else "images"
    unfit = [name for name in wanted if name not in lacking and not _takes(preconditions, target, name, content)]
    if unfit:
        yield f"storage {', '.join(unfit)} there is not for {content}: say by target_storage where its volumes go"
    devices = ", ".join(map(str, barred.pop("unavailable-resources", ())))
    if devices:
        yield f"the mapping of its devices ({devices}) has none of node {target}: add that node to it"
    apart = barred.pop("blocking-ha-resources", ())
    if apart:
        sids = ", ".join(str(entry.get("sid")) for entry in apart)
        yield f"an HA rule keeps it apart from {sids}, which is there: choose another node, or move that first"
    if barred:
        yield f"PVE does not allow it ({barred})"
    if target in preconditions.ha.in_maintenance:
        yield no_move_to(target)
    home = preconditions.ha.home
    if home is not None and target not in home.nodes:
        yield (
            f"HA brings it back, as {home.name} prefers {', '.join(sorted(home.nodes))}: change that, or use "
            f"ha-manager crm-command node-maintenance"
        )


def _wanted_storages(preconditions: Preconditions, options: MigrationOptions) -> list[str]:
    """The storages that its volumes go to."""
    shared = frozenset().union(*(node.shared for node in preconditions.cluster.nodes))
    names = {volume.storage for volume in (*preconditions.local_volumes, *preconditions.mounts)}
    return sorted({name if name in shared else options.storage_for(name) for name in names})


def _missing_storages(preconditions: Preconditions, target: str, wanted: t.Sequence[str]) -> list[str]:
    """The storages of these that the target has not, as far as the caller can see."""
    nodes = {node.name: node for node in preconditions.cluster.nodes}
    if target not in nodes:
        return []
    known = frozenset().union(*(node.storage_names for node in nodes.values()))
    return [name for name in wanted if name in known - nodes[target].storage_names]


def _takes(preconditions: Preconditions, target: str, storage: str, content: str) -> bool:
    """Whether the target's storage is for such volumes, as far as the caller can see."""
    found = next((node for node in preconditions.cluster.nodes if node.name == target), None)
    return found is None or storage not in found.storage_names or (storage, content) in found.storages


def _of_guest(preconditions: Preconditions, options: MigrationOptions) -> t.Iterator[str]:
    online = preconditions.online
    if online and options.online == "never":
        yield "it runs, and online is never: stop it first"
    if online and preconditions.guest.kind == LXC and options.online == "always":
        yield "it runs, and PVE moves a container only by restarting it: set online to auto"
    if preconditions.through_ha and (options.target_storage or options.bandwidth is not None):
        yield "HA moves it, and HA takes neither target_storage nor bandwidth: leave them out"
    if preconditions.local_isos:
        yield f"{', '.join(preconditions.local_isos)} in its drive is on this node only: detach it first"
    if preconditions.bind_mounts:
        keys = ", ".join(preconditions.bind_mounts)
        yield f"{keys} binds a directory of this node: mark it as shared if the other node has the same, or remove it"
    if preconditions.local_devices:
        devices = ", ".join(preconditions.local_devices)
        yield f"it uses devices of this node ({devices}): map them to devices of both nodes, or remove them"
    if preconditions.fixed_while_running and online:
        devices = ", ".join(preconditions.fixed_while_running)
        yield f"it uses mapped devices that cannot move while it runs ({devices}): stop it first"
    attached = [volume for volume in preconditions.local_volumes if volume.attached]
    if online and attached and not options.with_local_disks:
        disks = ", ".join(volume.volume for volume in attached)
        yield (
            f"it runs, and its disks are on this node only ({disks}): let them be copied by "
            f"{options.local_disks_option}, or stop it first"
        )
    snapshots = sorted({name for volume in preconditions.local_volumes for name in volume.snapshots})
    if online and snapshots:
        yield (
            f"it runs, and its disks, which are on this node only, have snapshots ({', '.join(snapshots)}): "
            f"delete those, or stop it first"
        )


def _of_both_nodes(
    preconditions: Preconditions, target: str, options: MigrationOptions, client: PveClient, once: Once
) -> t.Iterator[str]:
    """What shows only on the nodes themselves: a guest that runs needs its bridges and its processor there."""
    source = preconditions.guest.node
    if preconditions.bridges:
        missing = sorted((preconditions.bridges & _bridges(client, source, once)) - _bridges(client, target, once))
        if missing:
            yield f"node {target} has no bridge {', '.join(missing)}: make it there, or stop the guest first"
    if preconditions.host_cpu and options.check_cpu:
        here, there = _cpu(client, source, once), _cpu(client, target, once)
        if here and there and here != there:
            yield (
                f"it has the CPU type host, and node {target} has another processor ({there} and not {here}): "
                f"stop it first, give it another CPU type, or set check_cpu to false"
            )


def _bridges(client: PveClient, node: str, once: Once) -> frozenset[str]:
    def read() -> frozenset[str]:
        entries = client.read("nodes", node, "network", type="any_bridge")
        return frozenset(str(entry["iface"]) for entry in entries)

    return once.get(("bridges", node), read)


def _cpu(client: PveClient, node: str, once: Once) -> str:
    """The model of a node's processor; empty when the caller may not know."""

    def read() -> str:
        try:
            return str((client.read("nodes", node, "status").get("cpuinfo") or {}).get("model") or "")
        except PermissionDenied:
            return ""

    return once.get(("cpu", node), read)
