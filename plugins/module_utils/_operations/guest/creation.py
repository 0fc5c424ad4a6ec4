# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making a guest: from nothing or as a clone, with a number that nobody else has taken meanwhile."""

from __future__ import annotations

import random
import typing as t
from dataclasses import dataclass, field

from ..._pve.client import PveClient
from ..._pve.commands import Command, run_command
from ..._pve.errors import AlreadyExists, Ambiguous, ErrorReason, InvalidRequest, NotFound, PermissionDenied, PveError
from ..._pve.guests import (
    CREATION_LOCKS,
    NAME_KEYS,
    QEMU,
    Guest,
    GuestHandle,
    Selector,
    find_guest,
    get_guest,
    is_absent,
)
from ..._pve.tasks import Task
from ..._pve.turns import Places
from ..._pve.vm_config import NIC_KEY, VOLUME_KEY
from ..plan import Change
from ..selection import MIN_VMID, confirm_name
from .change_plan import config_changes, plan_changes
from .guest_request import CloneOptions, GuestRequest
from .kind import GuestKind
from .placement import NO_CLUSTER, Cluster, check_clone_target, choose_node
from .state import GuestState, Origin
from .volumes import parse_drive

# Each try costs two requests; as many parallel runs can take numbers from each other.
MOST_TRIES = 50
LONGEST_PAUSE_SECONDS = 0.3


@dataclass
class Creation:
    """The step that makes a guest. vmid is its number, or None until PVE has given the next free one."""

    kind: GuestKind
    title: str
    changes: tuple[Change, ...]
    node: str
    expected: GuestState
    command: t.Callable[[PveClient, int], Command]
    is_own: t.Callable[[t.Mapping[str, str]], bool]
    vmid: int | None = None
    places: Places = field(default_factory=Places)
    vmid_is_given: bool = field(init=False)
    # The answer of PVE did not arrive: the guest was recognised, and another run may have made it.
    answer_was_lost: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.vmid_is_given = self.vmid is not None

    def run(self, client: PveClient, _handle: GuestHandle | None) -> Task | None:
        """Make the guest; when its number came from PVE and is taken by now, with the next one.

        Raises Ambiguous when, after a lost answer, the number has a guest that somebody else has made.
        """
        # The turn comes before the number: others may take numbers while this run waits for it.
        with client.turns.taken(self.places, client.deadline):
            return self._make(client)

    def _make(self, client: PveClient) -> Task | None:
        repeated = False
        for _try in range(MOST_TRIES):
            vmid = self.vmid if self.vmid_is_given and self.vmid else _next_number(client)
            lost_before = client.lost_answers
            client.turns.own_vmids.add(vmid)
            # Several runs may be given one number; PVE decides in the task of a clone whose it is.
            client.turns.unsure_vmids.add(vmid)
            try:
                task = run_command(client, self.command(client, vmid))
            except PveError as error:
                client.turns.own_vmids.discard(vmid)
                if isinstance(error, PermissionDenied):
                    raise self._named(error, vmid) from error
                if error.pve_reason is not ErrorReason.EXISTS:
                    raise
                if self.vmid_is_given:
                    raise AlreadyExists(
                        f"guest {vmid} exists: it was made in the meantime, or {client.identity} lacks VM.Audit "
                        f"to see it; nothing was changed",
                        error.cause,
                    ) from error
                client.deadline.pause(random.uniform(0, LONGEST_PAUSE_SECONDS))  # noqa: S311 - no secret
                continue
            finally:
                client.turns.unsure_vmids.discard(vmid)
            self.answer_was_lost = client.lost_answers != lost_before
            if not self.answer_was_lost or self.is_own(read_new_config(client, self.kind, self.node, vmid)):
                self.vmid = vmid
                return task
            # Somebody else got the number while the answer was lost; that guest is not ours to touch.
            client.turns.own_vmids.discard(vmid)
            if self.vmid_is_given or repeated:
                raise Ambiguous(f"guest {vmid} was made by somebody else in the meantime: it was not touched")
            repeated = True
        raise AlreadyExists(f"each of {MOST_TRIES} free numbers was taken by somebody else before it could be used")

    def was_overtaken(self, known: t.Container[int]) -> bool:
        """Whether a number below the guest's was given away that was still free when known were all the guests.

        PVE gives the lowest free number (PVE::API2::Cluster, nextid), so whoever has a lower one came before.
        """
        return not self.vmid_is_given and any(number not in known for number in range(MIN_VMID, self.vmid or 0))

    def _named(self, error: PermissionDenied, vmid: int) -> PermissionDenied:
        """The refusal with the privilege that PVE does not name where one of two paths would do."""
        if error.cause.pve_message.strip() != "Permission check failed":
            return error
        pool = self.expected.guest.pool
        cause = error.cause._replace(privilege="VM.Allocate", acl_path=f"/vms/{vmid}")
        instead = f" or on /pool/{pool}" if pool else ""
        return PermissionDenied(f"{error}: it takes VM.Allocate on {cause.acl_path}{instead}", cause)

    def handle(self, client: PveClient) -> GuestHandle:
        """The handle of the guest, once it is there."""
        return GuestHandle(client, self.expected.guest._replace(vmid=self.vmid or 0, node=self.node))


@t.runtime_checkable
class PlansCreation(t.Protocol):
    """A request that knows a way of its own to make its guest, besides clones and settings alone."""

    def own_creation(self, client: PveClient, cluster: Cluster) -> Creation | None:
        """Plan how the guest is made, or None for the usual way; raises a PveError."""


def plan_creation(client: PveClient, request: GuestRequest, cluster: Cluster) -> Creation:
    """Plan how the guest is made; reads what is needed for that, and raises a PveError when it cannot be."""
    if request.node is not None:
        cluster.check_node(request.node)
    if request.clone is None:
        own = request.own_creation(client, cluster) if isinstance(request, PlansCreation) else None
        return own or plan_create(client, request, cluster)
    source = request.clone.source
    # Any user of the cluster can give the name of a template to a guest.
    source = source._replace(template=any(item.template and item.name == source.name for item in cluster.guests))
    guest = get_guest(client, source, cluster.guests, cluster.offline, node=request.node)
    return plan_clone(request, read_source(GuestHandle(client, guest), request.clone), cluster)


def plan_create(client: PveClient, request: GuestRequest, cluster: Cluster = NO_CLUSTER) -> Creation:
    """Plan a guest that is no clone; reads only when the request names no node."""
    kind, needs = request.kind, request.needs()
    empty = GuestState(Guest(request.selector.vmid or 0, request.node or "", kind.path))
    config = config_changes(request, empty, request.volume_changes(empty))
    node = request.node or choose_node(client, needs, cluster.nodes)
    values = dict(config.set)
    # A number can be taken by somebody else while an answer is lost: a mark that nobody else has tells the guest that
    # this run made, or, when the caller gives one that others may have, the notes.
    notes = values.get("description")
    mark = kind.mark[0] if kind.mark else ""
    if kind.mark and mark not in values:
        values[mark], notes = kind.mark[1](), None
    pool = {"pool": request.pool} if request.pool else {}
    name = request.selector.name

    options = request.creation_options()

    def is_own(found: t.Mapping[str, str]) -> bool:
        if mark:
            has_mark = kind.value_type_of(mark).same(found.get(mark, "").strip(), values[mark].strip())
        else:
            has_mark = _is_alike(kind, found, values)
        return has_mark and name in (None, found.get(NAME_KEYS[kind.path])) and _has_notes(found, notes)

    def command(client: PveClient, vmid: int) -> Command:
        return Command(
            "POST",
            (kind.path,),
            {"vmid": vmid, **values, **pool, **options},
            node=node,
            task_type=kind.task("create"),
            task_id=str(vmid),
            done=lambda: is_own(read_new_config(client, kind, node, vmid)),
        )

    pool_changes = [Change("pool", None, request.pool)] if request.pool else []
    changes = (*_number_changes(request), *config.changes, *pool_changes)
    guest = Guest(request.selector.vmid or 0, node, kind.path, name or "", pool=request.pool or "")
    return Creation(
        kind=request.kind,
        title=f"create guest {label_of(request)} on node {node}",
        changes=changes,
        node=node,
        expected=GuestState(guest, values, origin=Origin.WRITTEN),
        command=command,
        is_own=is_own,
        vmid=request.selector.vmid,
        places=Places(node, needs.storage_names),
    )


@dataclass(frozen=True)
class Source:
    """A guest that is to be cloned, and its configuration."""

    handle: GuestHandle
    values: t.Mapping[str, str]


def read_source(handle: GuestHandle, clone: CloneOptions | None = None) -> Source:
    """Read the guest that is to be cloned; one request. Raises a PveError when it is not there."""
    query = {"snapshot": clone.snapshot} if clone and clone.snapshot else {}
    values = {key: str(value) for key, value in handle.read("config", **query).items() if key != "digest"}
    return Source(handle, values)


def find_source(client: PveClient, template: Selector, node: str) -> Source:
    """Find the template, on this node first, and read it; raises NotFound or Ambiguous.

    A name means templates only: what is none may be called as whoever it belongs to likes.
    """
    try:
        if template.vmid is not None:
            return read_source(GuestHandle(client, Guest(template.vmid, node, template.kind or QEMU)))
        guest = find_guest(client, template._replace(template=True), node=node)
    except PveError as error:
        if not is_absent(error):
            raise
        guest = None
    if guest is None:
        raise NotFound(f"there is no {template._replace(template=True)} that {client.identity} can see")
    source = read_source(GuestHandle(client, guest))
    found = (source.values.get(NAME_KEYS[guest.kind]), source.values.get("template"))
    if template.name is not None and found != (template.name, "1"):
        raise NotFound(f"{guest.label} on node {guest.node} was the {template} until a moment ago: try again")
    return source


def plan_clone(request: GuestRequest, source_guest: Source, cluster: Cluster | None = None) -> Creation:
    """Plan a clone of a guest that has been read; raises InvalidRequest when it cannot be made or configured."""
    clone, handle, source = request.clone, source_guest.handle, source_guest.values
    if clone is None:
        raise TypeError("the request is for no clone")
    _check_source(handle.guest, source, clone)
    node = request.node or handle.guest.node
    if node != handle.guest.node and cluster is not None:
        check_clone_target(handle.guest.label, source, clone.storage, node, cluster.nodes)
    expected = expected_copy(request, source_guest, node)
    name = expected.name
    name_key = NAME_KEYS[request.kind.path]
    form = {
        name_key: request.selector.name,
        "full": _full(clone),
        "snapname": clone.snapshot,
        "storage": clone.storage,
        "format": clone.format,
        "description": clone.description,
        "pool": request.pool or None,
        "target": node if node != handle.guest.node else None,
    }

    def is_own(found: t.Mapping[str, str]) -> bool:
        return found.get(name_key) == name and _has_notes(found, clone.description)

    def command(client: PveClient, vmid: int) -> Command:
        return Command(
            "POST",
            (request.kind.path, handle.guest.vmid, "clone"),
            {"newid": vmid, **form},
            node=handle.guest.node,
            done=lambda: is_own(read_new_config(client, request.kind, node, vmid)),
        )

    # Raises what would otherwise only come up once the clone is there, half made.
    request.check_clone(expected.values)
    plan_changes(request, expected)
    original = f"{handle.guest.vmid} ({source.get(name_key, '')})"
    return Creation(
        kind=request.kind,
        title=f"clone guest {original} to {label_of(request)} on node {node}",
        changes=(*_number_changes(request), Change("clone", None, original), Change(name_key, None, name)),
        node=node,
        expected=expected,
        command=command,
        is_own=is_own,
        vmid=request.selector.vmid,
        places=_places_of_clone(source_guest, clone),
    )


def _places_of_clone(source: Source, clone: CloneOptions) -> Places:
    guest = source.handle.guest
    drives = (parse_drive(text) for key, text in source.values.items() if VOLUME_KEY.fullmatch(key))
    storages = {clone.storage} if clone.storage else {drive.storage for drive in drives if drive.storage}
    # PVE locks a source that runs for one clone alone (PVE::API2::Qemu, clone_vm: lock_config_full).
    may_run = source.values.get("template") != "1" and guest.status != "stopped"
    return Places(guest.node, frozenset(storages), guest.vmid if may_run else None)


def _check_source(guest: Guest, source: t.Mapping[str, str], clone: CloneOptions) -> None:
    if clone.source.vmid is None:
        confirm_name(guest, source.get(NAME_KEYS[guest.kind], ""), clone.source)
    if clone.full is False and source.get("template") != "1":
        raise InvalidRequest(f"clone: {guest.label} is no template, so a linked clone of it cannot be made: set full")


def _full(clone: CloneOptions) -> bool | None:
    """PVE makes linked clones of templates unless it is asked for full ones, and refuses a storage for these."""
    if clone.full is None and (clone.storage or clone.format):
        return True
    return clone.full


def expected_copy(request: GuestRequest, source_guest: Source, node: str) -> GuestState:
    """The copy as it will be before it is configured; only its addresses and volumes cannot be foretold."""
    source, kind, name_key = source_guest.values, request.kind, NAME_KEYS[request.kind.path]
    values = {key: value for key, value in source.items() if key not in kind.not_cloned}
    values = {key: value for key, value in values.items() if not key.startswith(("unused", "snap"))}
    name = request.selector.name or kind.clone_name.format(source.get(name_key) or source_guest.handle.guest.vmid)
    values[name_key] = name
    if request.clone is not None and request.clone.description is not None:
        values["description"] = request.clone.description
    for key in kind.cloned.keys() & values.keys():
        text = kind.cloned[key](values.pop(key))
        values.update({key: text} if text else {})
    guest = Guest(request.selector.vmid or 0, node, kind.path, name, pool=request.pool or "")
    return GuestState(guest, values, origin=Origin.CLONED)


def read_new_config(client: PveClient, kind: GuestKind, node: str, vmid: int) -> t.Mapping[str, t.Any]:
    """The configuration of a guest, once it is made; empty when there is none.

    A clone for another node is on that of its source until it is done.
    """
    handle = GuestHandle(client, Guest(vmid, node, kind.path))
    try:
        config: t.Mapping[str, t.Any] = handle.read("config")
        lock = str(config.get("lock") or "")
        if lock in CREATION_LOCKS:
            handle.wait_until_created(lock)
            config = handle.read("config")
    except NotFound:
        return {}
    return config


def _is_alike(kind: GuestKind, found: t.Mapping[str, t.Any], sent: t.Mapping[str, str]) -> bool:
    """Whether a guest has the settings that were sent, but for those that PVE completes: volumes and addresses."""
    completed = {key for key in sent if VOLUME_KEY.fullmatch(key) or NIC_KEY.fullmatch(key)}
    return all(
        kind.value_type_of(key).same(str(found[key]) if key in found else None, text)
        for key, text in sent.items()
        if key not in completed
    )


def _next_number(client: PveClient) -> int:
    return client.turns.next_number(lambda: int(client.read("cluster", "nextid")), client.deadline)


def _has_notes(found: t.Mapping[str, str], notes: str | None) -> bool:
    return notes is None or str(found.get("description") or "").rstrip() == notes.rstrip()


def _number_changes(request: GuestRequest) -> list[Change]:
    """The number of a new guest in the diff: that which PVE gives is not known in check mode."""
    vmid = request.selector.vmid
    return [] if vmid is None else [Change("vmid", None, vmid)]


def label_of(request: GuestRequest) -> str:
    """How the title of a step calls a guest that is to be made."""
    vmid, name = request.selector.vmid, request.selector.name
    return " ".join(str(part) for part in (vmid, f"({name})" if vmid and name else name) if part)
