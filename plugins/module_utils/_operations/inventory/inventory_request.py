# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The request of an inventory: its options, checked once."""

from __future__ import annotations

import difflib
import re
import typing as t
from dataclasses import dataclass

from ..._pve.errors import InvalidRequest
from ..._pve.guests import LXC, QEMU, Guest
from ..._pve.numbers import in_full
from ..addresses import Network, read_networks
from ..facts import HIBERNATED, PAUSED, RUNNING, STOPPED, listed_result, split_tags

UNKNOWN = "unknown"
PRELAUNCH = "prelaunch"
# The list calls these running.
PAUSES = (PAUSED, PRELAUNCH)
STATUSES = (RUNNING, *PAUSES, STOPPED, HIBERNATED, UNKNOWN)
GATHER = ("config", "status", "snapshots", "agent")
GROUPS = ("status", "type", "node", "node_type", "pool", "tag", "cluster")
NODE_ADDRESS = ("name", "cluster")
CONNECT_WITH = ("agent_ipv4", "agent_ipv6", "cloud_init_ipv4", "cloud_init_ipv6", "name", "fqdn", "proxmox", "agent")
_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Options = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Filters:
    """The conditions on the entries of /cluster/resources, and those in Jinja; () is no condition."""

    status: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    include: tuple[t.Any, ...] = ()
    exclude: tuple[t.Any, ...] = ()

    def fit(self, guest: Guest) -> bool:
        """Whether the guest, as it is listed, meets all of the cheap conditions."""
        tags = {tag.lower() for tag in split_tags(guest.tags)}
        return (
            self.fits_status(guest, None)
            and (not self.pools or guest.pool in self.pools)
            and (not self.nodes or guest.node in self.nodes)
            and (not self.types or guest.kind in self.types)
            and all(tag.lower() in tags for tag in self.tags)
        )

    def fits_status(self, guest: Guest, exact: str | None) -> bool:
        """Whether the guest is in one of the states, or may be as long as its exact state is not known."""
        if not self.status:
            return True
        listed = status_of(guest)
        if exact is None and listed == RUNNING and any(status in PAUSES for status in self.status):
            return True
        return (exact or listed) in self.status


@dataclass(frozen=True)
class InventoryRequest:
    """Which guests become hosts, what is read of them, and how they are reached. Times are in seconds."""

    filters: Filters = Filters()
    templates: bool = False
    nodes: bool = False
    node_address: str = "name"
    cluster: str = ""
    gather: tuple[str, ...] = ()
    connect_with: tuple[str, ...] = ()
    prefer_networks: tuple[Network, ...] = ()
    exclude_networks: tuple[Network, ...] = ()
    workers_per_node: int = 2
    agent_timeout: float = 5.0
    agent_budget: float = 30.0
    agent_retry: float = 300.0

    @property
    def asks_addresses(self) -> bool:
        """Whether a guest may be asked for its addresses."""
        return "agent" in self.gather or any(source.startswith("agent_") for source in self.connect_with)

    @property
    def asks_status(self) -> bool:
        """Whether running guests are asked if they are paused."""
        return "status" in self.gather or any(status in PAUSES for status in self.filters.status)


def status_of(guest: Guest) -> str:
    """Return one of STATUSES; the list calls a paused guest running."""
    return str(listed_result(guest)["status"] or UNKNOWN)


def inventory_request(options: Options) -> InventoryRequest:
    """Check the options of the inventory; raises InvalidRequest, naming the option."""
    return InventoryRequest(
        filters=_filters(options.get("filters")),
        templates=bool(options.get("templates")),
        nodes=bool(options.get("nodes")),
        node_address=_choices("node_address", [options.get("node_address") or "name"], NODE_ADDRESS)[0],
        cluster=str(options.get("cluster") or ""),
        gather=_choices("gather", options.get("gather"), GATHER),
        connect_with=_choices("connect_with", options.get("connect_with"), CONNECT_WITH),
        prefer_networks=read_networks("prefer_networks", options.get("prefer_networks")),
        exclude_networks=read_networks("exclude_networks", options.get("exclude_networks")),
        workers_per_node=int(_at_least("workers_per_node", options.get("workers_per_node", 2), 1, 16)),
        agent_timeout=_at_least("agent_timeout", options.get("agent_timeout", 5), 0.1),
        agent_budget=_at_least("agent_budget", options.get("agent_budget", 30), 0.1),
        agent_retry=_at_least("agent_retry", options.get("agent_retry", 300), 0),
    )


def check_prefix(option: str, prefix: str) -> str:
    """Return the prefix; raises InvalidRequest unless names of variables can begin with it."""
    if not _PREFIX.fullmatch(prefix):
        raise InvalidRequest(f"{option} must be letters, digits and _, and not begin with a digit, not {prefix!r}")
    return prefix


def check_names(what: str, given: t.Iterable[str], known: t.Collection[str]) -> None:
    """Raise InvalidRequest for a name that is none of those known, with the one that was probably meant."""
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(str(name), list(known), 1)
            hint = f"did you mean {close[0]}?" if close else "known are {}".format(", ".join(sorted(known)))
            raise InvalidRequest(f"{what} {name!r} is not known: {hint}")


def _filters(given: t.Any) -> Filters:
    if given is None:
        return Filters()
    if not isinstance(given, t.Mapping):
        raise InvalidRequest(f"filters must be a mapping, as in 'filters: {{status: running}}', not {given!r}")
    lists = {name: _items(f"filters.{name}", value) for name, value in given.items()}
    check_names("the filter", lists, Filters.__dataclass_fields__)
    for name, known in (("status", STATUSES), ("types", (QEMU, LXC))):
        check_names(f"filters.{name}", lists.get(name, ()), known)
    # Conditions stay as they are: Ansible marks those it trusts.
    return Filters(
        **{
            name: values if name in ("include", "exclude") else tuple(str(value) for value in values)
            for name, values in lists.items()
        }
    )


def _items(option: str, value: t.Any) -> tuple[t.Any, ...]:
    if value is None:
        return ()
    if isinstance(value, t.Mapping):
        raise InvalidRequest(f"{option} must be a list, not {value!r}")
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _choices(option: str, given: t.Any, known: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(str(name) for name in given or ())
    check_names(option, names, known)
    return names


def _at_least(option: str, value: t.Any, least: float, most: float = 86400) -> float:
    if not least <= float(value) <= most:
        raise InvalidRequest(f"{option} must be from {in_full(least)} to {in_full(most)}, not {in_full(float(value))}")
    return float(value)
