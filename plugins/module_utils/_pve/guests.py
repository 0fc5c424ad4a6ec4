# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests (virtual machines and containers): which there are, where they are, how to ask them."""

from __future__ import annotations

import typing as t

from .client import PveClient
from .errors import Ambiguous, ErrorReason, InvalidRequest, Locked, NotFound, PveError, TransportError, Unreachable
from .numbers import in_full

QEMU = "qemu"
LXC = "lxc"
# The key of a guest's name, and its name without one (PVE::QemuServer and PVE::LXC, vmstatus).
NAME_KEYS = {QEMU: "name", LXC: "hostname"}
UNNAMED = {QEMU: "VM {}", LXC: "CT{}"}
KIND_NAMES = {QEMU: "virtual machine", LXC: "container"}
# The locks of a guest that is only coming into being (PVE::AbstractConfig).
CREATION_LOCKS = frozenset({"create", "clone"})
# The last lock that a guest has before its number is free (PVE::API2::Qemu, destroy_vm).
DESTROYED = "destroyed"
UNSETTLED_LOCKS = CREATION_LOCKS | {DESTROYED}
# What PVE writes into the configuration of a clone at first (PVE::API2::Qemu, clone_vm); that of a new guest is empty.
_STUB_NOTES = frozenset({"", "qmclone temporary file"})
_STUB_KEYS = frozenset({"digest", "description", "lock"})


class Guest(t.NamedTuple):
    """What /cluster/resources says of a guest; vmid, node, kind, pool, lock and tags are always right.

    name, status, template and uptime come from statistics that are up to 10 s old and absent for a new guest
    (PVE::API2Tools extract_vm_stats): confirm them before acting on them.
    """

    vmid: int
    node: str
    kind: str
    name: str = ""
    status: str = "unknown"
    pool: str = ""
    ha_state: str = ""
    lock: str = ""
    tags: str = ""
    template: bool | None = None
    uptime: int | None = None

    @property
    def label(self) -> str:
        """How messages call the guest."""
        if not self.vmid:
            return f"the new guest {self.name}".rstrip()
        return guest_label(self.vmid, self.name)


def guest_label(vmid: int, name: str | None) -> str:
    """How messages call a guest of which only these are known."""
    return f"guest {vmid} ({name})" if name else f"guest {vmid}"


class Selector(t.NamedTuple):
    """Which guest a request means: by vmid, by name, or by both, and then both must fit."""

    vmid: int | None = None
    name: str | None = None
    kind: str | None = None
    # Of the guests of the name only templates are meant.
    template: bool = False

    def __str__(self) -> str:
        what = "template" if self.template else KIND_NAMES.get(self.kind or "", "guest")
        if self.vmid is not None:
            return f"{what} {self.vmid}"
        return f"{what} named {self.name!r}"

    def names(self, guest: Guest) -> bool:
        """The guest has the name that is meant."""
        return guest.name == self.name and (not self.template or bool(guest.template))


def read_guests(client: PveClient) -> list[Guest]:
    """Return all guests of the cluster that the caller may see; one request."""
    return parse_guests(client.read("cluster", "resources", type="vm"))


def parse_guests(resources: t.Iterable[t.Mapping[str, t.Any]]) -> list[Guest]:
    """Pick the guests from the list of everything in the cluster."""
    return [_guest(entry) for entry in resources if entry.get("type") in KIND_NAMES]


def _guest(entry: t.Mapping[str, t.Any]) -> Guest:
    return Guest(
        vmid=int(entry["vmid"]),
        node=str(entry["node"]),
        kind=str(entry["type"]),
        name=str(entry.get("name") or ""),
        status=str(entry.get("status") or "unknown"),
        pool=str(entry.get("pool") or ""),
        ha_state=str(entry.get("hastate") or ""),
        lock=str(entry.get("lock") or ""),
        tags=str(entry.get("tags") or ""),
        template=bool(int(entry["template"] or 0)) if "template" in entry else None,
        uptime=int(entry["uptime"] or 0) if "uptime" in entry else None,
    )


def find_guest(
    client: PveClient,
    selector: Selector,
    *,
    fresh: bool = False,
    guests: t.Sequence[Guest] | None = None,
    offline: t.Collection[str] | None = None,
    node: str | None = None,
) -> Guest | None:
    """Find the one guest that is meant, or None; fresh asks the nodes for the names even when one seems known.

    guests are those of the cluster, and offline its lost nodes, if they have just been read. Of several guests of the
    name that on node is taken. Raises InvalidRequest when the vmid belongs to a guest of another kind, Ambiguous when
    several have the name, and Unreachable when only a lost node knows whether one has it.
    """
    guests = read_guests(client) if guests is None else guests
    if selector.vmid is not None:
        guest = next((item for item in guests if item.vmid == selector.vmid), None)
        if guest is not None and selector.kind and guest.kind != selector.kind:
            raise InvalidRequest(
                f"guest {guest.vmid} is a {KIND_NAMES[guest.kind]}, not a {KIND_NAMES[selector.kind]}: "
                f"nothing was changed"
            )
        return guest
    found = _by_name(client, guests, selector, fresh, offline)
    here = [guest for guest in found if guest.node == node]
    return _only_one(selector, here or found)


def get_guest(
    client: PveClient,
    selector: Selector,
    guests: t.Sequence[Guest] | None = None,
    offline: t.Collection[str] | None = None,
    node: str | None = None,
) -> Guest:
    """Find the one guest that is meant, as find_guest does; raises NotFound when there is none."""
    guest = find_guest(client, selector, guests=guests, offline=offline, node=node)
    if guest is None:
        hint = _of_another_kind(read_guests(client) if guests is None else guests, selector)
        hint = hint or "check the vmid, the name and VM.Audit"
        raise NotFound(f"there is no {selector} that {client.identity} can see: {hint}")
    return guest


def _of_another_kind(guests: t.Sequence[Guest], selector: Selector) -> str:
    """Say that a guest of the name is of another kind than those that are meant; empty when none is."""
    other = next((guest for guest in guests if selector.kind and selector.name and selector.names(guest)), None)
    return "" if other is None else f"the guest of that name, {other.vmid}, is a {KIND_NAMES[other.kind]}"


def _by_name(
    client: PveClient,
    guests: t.Sequence[Guest],
    selector: Selector,
    fresh: bool,
    offline: t.Collection[str] | None,
) -> list[Guest]:
    """Look for the name in the statistics first; ask the nodes where those cannot know it."""
    guests = [guest for guest in guests if selector.kind in (None, guest.kind)]
    known = [guest for guest in guests if selector.names(guest)]
    nameless = {guest.node for guest in guests if not guest.name}
    unsure = nameless
    if fresh or not known:
        # A guest that was renamed a moment ago still has its old name in the statistics.
        unsure = {guest.node for guest in guests}
    found = {guest.vmid: guest for guest in known if guest.node not in unsure}
    silent = []
    for node in sorted(unsure):
        try:
            if node in (offline or ()):
                raise Unreachable(f"node {node} is offline")
            asked = _node_guests(client.read_once, node, guests)
        except TransportError:
            # Of several lost nodes only the first one costs the time until PVE gives up.
            offline = client.offline_nodes() if offline is None else offline
            silent.append(node)
            asked = [guest for guest in known if guest.node == node]
        found.update({guest.vmid: guest for guest in asked if selector.names(guest)})
    if not found:
        doubtful = [node for node in silent if node in nameless]
        found.update({guest.vmid: guest for guest in _insist(client, guests, selector, doubtful, offline or ())})
    return list(found.values())


def _insist(
    client: PveClient,
    guests: t.Sequence[Guest],
    selector: Selector,
    nodes: t.Sequence[str],
    offline: t.Collection[str],
) -> list[Guest]:
    """Ask silent nodes again, with patience: a guest there without a name may be the one that is meant.

    Raises Unreachable when one of them is offline: waiting does not help then.
    """
    asked = [guest for node in nodes if node not in offline for guest in _node_guests(client.read, node, guests)]
    found = [guest for guest in asked if selector.names(guest)]
    lost = [node for node in nodes if node in offline]
    if lost and not found:
        raise Unreachable(
            f"nobody can tell whether there is a {selector}: PVE has forgotten the names of the guests of "
            f"{' and '.join(lost)}, which {'is' if len(lost) == 1 else 'are'} offline: give vmid"
        )
    return found


def _node_guests(read: t.Callable[..., t.Any], node: str, guests: t.Sequence[Guest]) -> list[Guest]:
    """Return a node's guests with the names of their configuration files (PVE::QemuServer::vmstatus)."""
    here = {guest.vmid: guest for guest in guests if guest.node == node}
    found = []
    for kind in sorted({guest.kind for guest in here.values()}):
        for entry in read("nodes", node, kind):
            known = here.get(int(entry["vmid"]))
            elsewhere = {"pool": known.pool, "hastate": known.ha_state} if known else {}
            # Other than the cluster's list, a node's leaves template out of a guest that is none.
            found.append(_guest({"template": 0, **entry, **elsewhere, "node": node, "type": kind}))
    return found


def _only_one(selector: Selector, guests: t.Sequence[Guest]) -> Guest | None:
    if len(guests) > 1:
        places = ", ".join(f"{guest.vmid} on {guest.node}" for guest in sorted(guests, key=lambda item: item.vmid))
        what = "templates" if selector.template else "guests"
        raise Ambiguous(f"{len(guests)} {what} are named {selector.name!r} ({places}): say which one by vmid")
    return guests[0] if guests else None


_Found = t.TypeVar("_Found")


def unless_absent(look: t.Callable[[], _Found]) -> _Found | None:
    """What a look at a guest finds; None when the guest is not, or no longer, on the node that was asked."""
    try:
        return look()
    except PveError as error:
        if is_absent(error):
            return None
        raise


def is_absent(error: PveError) -> bool:
    """The guest is not, or no longer, on the node that was asked."""
    return error.pve_reason is ErrorReason.GUEST_ABSENT


def is_stub(config: t.Mapping[str, t.Any]) -> bool:
    """There is nothing in the configuration but what PVE writes before it begins to make a guest.

    That is left when its creation was cut off, and then PVE's clean-up as well. There may be volumes of its number.
    """
    return _STUB_KEYS.issuperset(config) and str(config.get("description") or "").strip() in _STUB_NOTES


def stub_sentence(vmid: int, node: str) -> str:
    """What an administrator has to do about a stub that is locked."""
    return (
        f"guest {vmid} on node {node} is what PVE left of a guest whose making was cut off, and no token may remove it "
        f"while it is locked: type 'qm unlock {vmid}' on {node}, and the next delete removes it"
    )


class GuestHandle:
    """Talks to one guest by its vmid, and follows it when it moves to another node."""

    def __init__(self, client: PveClient, guest: Guest) -> None:
        self.client = client
        self.guest = guest

    @property
    def path(self) -> tuple[str | int, ...]:
        """The guest's path in the API."""
        return ("nodes", self.guest.node, self.guest.kind, self.guest.vmid)

    def read(self, *tail: str | int, **query: t.Any) -> t.Any:
        """GET below the guest's path; looks the guest up again, once, when it has left its node."""
        try:
            return self.client.read(*self.path, *tail, **query)
        except PveError as error:
            if not is_absent(error) or not self.follow():
                raise
        return self.client.read(*self.path, *tail, **query)

    def read_config(self) -> dict[str, t.Any] | None:
        """The guest's configuration; None when there is no guest, or no longer."""
        return unless_absent(lambda: t.cast("dict[str, t.Any]", self.read("config")))

    def read_lock(self) -> str:
        """What PVE has locked the guest for; empty when it has not."""
        return str(self.read("status", "current").get("lock") or "")

    def follow(self) -> bool:
        """Look up which node the guest is on; False when it is not on another one than before."""
        guests = (guest for guest in read_guests(self.client) if guest.vmid == self.guest.vmid)
        guest = next(guests, None)
        if guest is None or guest.node == self.guest.node:
            return False
        self.guest = guest
        return True

    def wait_until_created(self, lock: str) -> None:
        """Wait while the guest is still being created or cloned, by whomever.

        Raises NotFound when that fails, so that the guest vanishes, and Locked at the deadline.
        """
        deadline = self.client.deadline
        tries = deadline.tries(deadline.remaining)
        while lock in CREATION_LOCKS:
            if not tries.again():
                raise Locked(
                    f"{self.guest.label} on node {self.guest.node} is still locked ({lock}) after "
                    f"{in_full(deadline.seconds)} s: wait until it is made, or unlock it with qm unlock"
                )
            lock = str(self.read("config").get("lock") or "")
