# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of a move: where a guest is to be, and how it gets there."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..._pve.errors import InvalidRequest
from ..._pve.guests import Selector
from ..selection import selector_from

ONLINE = ("auto", "always", "never")


@dataclass(frozen=True)
class MigrationOptions:
    """How a guest may be moved.

    target_storage says for each storage of one node which one of the other its volumes go to; the empty name stands
    for all that are not named.
    """

    online: str = "auto"
    with_local_disks: bool = False
    target_storage: t.Mapping[str, str] = field(default_factory=dict)
    bandwidth: int | None = None
    shutdown_timeout: int = 180
    check_cpu: bool = True
    # How the caller's own option is called that lets local disks be copied.
    local_disks_option: str = "with_local_disks"

    def storage_for(self, storage: str) -> str:
        """The storage of the other node for what is on this one, unless both nodes share it."""
        return self.target_storage.get(storage, self.target_storage.get("", storage))

    @property
    def storage_list(self) -> str | None:
        """The storages as PVE takes them (PVE::JSONSchema, storage-pair-list)."""
        pairs = (f"{source}:{name}" if source else name for source, name in sorted(self.target_storage.items()))
        return ",".join(pairs) or None


@dataclass(frozen=True)
class MigrationRequest:
    """Which guest is meant, and the nodes of which it is to be on one.

    planned is the one of them that a plan for several guests has for this one, and free the memory that the plan has
    left on each.
    """

    selector: Selector
    nodes: tuple[str, ...]
    options: MigrationOptions = MigrationOptions()
    overcommit_memory: bool = False
    planned: str | None = None
    free: t.Mapping[str, int] | None = None
    # Of several nodes one with enough memory is chosen; of one that is asked only here.
    looks_at_memory: bool = False


def migration_spec() -> dict[str, t.Any]:
    """The options of a move, beside those that say which guest is meant."""
    return {
        "node": {"type": "str"},
        "nodes": {"type": "list", "elements": "str"},
        "overcommit_memory": {"type": "bool", "default": False},
        **how_spec(),
    }


def how_spec() -> dict[str, t.Any]:
    """The options that say how guests may be moved."""
    return {
        "online": {"type": "str", "choices": list(ONLINE), "default": "auto"},
        "with_local_disks": {"type": "bool", "default": False},
        "target_storage": {"type": "raw"},
        "bandwidth": {"type": "int"},
        "shutdown_timeout": {"type": "int", "default": 180},
        "check_cpu": {"type": "bool", "default": True},
    }


def migration_request(parameters: t.Mapping[str, t.Any]) -> MigrationRequest:
    """Check the options of a move; raises InvalidRequest."""
    node, nodes = parameters.get("node"), tuple(parameters.get("nodes") or ())
    if bool(node) == bool(nodes):
        raise InvalidRequest("say where the guest is to be by one of node and nodes")
    return MigrationRequest(
        selector=selector_from(parameters),
        nodes=nodes or (str(node),),
        options=migration_options(parameters),
        overcommit_memory=parameters["overcommit_memory"],
    )


def migration_options(parameters: t.Mapping[str, t.Any]) -> MigrationOptions:
    """Check the options that say how guests may be moved; raises InvalidRequest."""
    bandwidth, shutdown_timeout = parameters.get("bandwidth"), parameters["shutdown_timeout"]
    if bandwidth is not None and bandwidth < 1:
        raise InvalidRequest(f"bandwidth must be at least 1 KiB/s, not {bandwidth}")
    if shutdown_timeout < 1:
        raise InvalidRequest(f"shutdown_timeout must be more than 0 seconds, not {shutdown_timeout}")
    return MigrationOptions(
        online=parameters["online"],
        with_local_disks=parameters["with_local_disks"],
        target_storage=_storages(parameters.get("target_storage")),
        bandwidth=bandwidth,
        shutdown_timeout=shutdown_timeout,
        check_cpu=parameters["check_cpu"],
    )


def _storages(value: t.Any) -> dict[str, str]:
    """Read one storage for all, or one for each of those that are named."""
    if not value:
        return {}
    found = {str(key): name for key, name in value.items()} if isinstance(value, dict) else {"": value}
    for name in found.values():
        if not isinstance(name, str) or not name or set(name) & set(":, "):
            raise InvalidRequest(
                f"target_storage is the name of a storage, or a dictionary from storages to storages: not {value!r}"
            )
    return found
