# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making a virtual machine: from nothing or as a clone, with a number that nobody else has taken meanwhile."""

from __future__ import annotations

import random
import typing as t
import uuid
from dataclasses import dataclass, field

from ..._pve.client import PveClient
from ..._pve.commands import Command, run_command
from ..._pve.errors import AlreadyExists, Ambiguous, ErrorReason, InvalidRequest, NotFound, PermissionDenied, PveError
from ..._pve.guests import CREATION_LOCKS, QEMU, Guest, GuestHandle, Selector, find_guest, get_guest, is_absent
from ..._pve.tasks import Task
from ..._pve.turns import Places
from ..._pve.vm_config import DRIVE_KEY, SMBIOS, value_type_of
from ..plan import Change
from ..selection import MIN_VMID, confirm_name
from ..vm.disk_plan import disk_changes
from ..vm.disks import parse_drive
from ..vm.vm_request import CloneOptions, VmRequest
from .change_plan import plan_changes
from .config_plan import config_changes
from .placement import NO_CLUSTER, Cluster, check_clone_target, choose_node, needs_of
from .state import GuestState, Origin

# Each try costs two requests; as many parallel runs can take numbers from each other.
MOST_TRIES = 50
LONGEST_PAUSE_SECONDS = 0.3
# Of a source's settings, those that a clone has anew or not at all (PVE::API2::Qemu, clone_vm).
_NOT_CLONED = frozenset({"template", "lock", "parent", "protection", "vmgenid", "smbios1", "meta"})


@dataclass
class Creation:
    """The step that makes a guest. vmid is its number, or None until PVE has given the next free one."""

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
            self.answer_was_lost = client.lost_answers != lost_before
            if not self.answer_was_lost or self.is_own(_read_config(client, self.node, vmid)):
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


def plan_creation(client: PveClient, request: VmRequest, cluster: Cluster) -> Creation:
    """Plan how the guest is made; reads what is needed for that, and raises a PveError when it cannot be."""
    if request.node is not None:
        cluster.check_node(request.node)
    if request.clone is None:
        return plan_create(client, request, cluster)
    source = request.clone.source
    # Any user of the cluster can give the name of a template to a guest.
    source = source._replace(template=any(item.template and item.name == source.name for item in cluster.guests))
    guest = get_guest(client, source, cluster.guests, cluster.offline, node=request.node)
    return plan_clone(request, read_source(GuestHandle(client, guest), request.clone), cluster)


def plan_create(client: PveClient, request: VmRequest, cluster: Cluster = NO_CLUSTER) -> Creation:
    """Plan a guest that is no clone; reads only when the request names no node."""
    empty = GuestState(Guest(request.selector.vmid or 0, request.node or "", QEMU))
    disks = disk_changes(request.disks, request.state_disks, empty)
    config = config_changes(request, empty, disks)
    node = request.node or choose_node(client, needs_of(request), cluster.nodes)
    values = dict(config.set)
    # A number can be taken by somebody else while an answer is lost: the UUID tells the guest that this run made, or,
    # when the caller gives one that others may have, the notes.
    notes = values.get("description") if "smbios1" in values else None
    values.setdefault("smbios1", f"uuid={uuid.uuid4()}")
    pool = {"pool": request.pool} if request.pool else {}
    name = request.selector.name

    def is_own(found: t.Mapping[str, str]) -> bool:
        same = value_type_of("smbios1").same(found.get("smbios1", "").strip(), values["smbios1"].strip())
        return same and name in (None, found.get("name")) and _has_notes(found, notes)

    def command(client: PveClient, vmid: int) -> Command:
        return Command(
            "POST",
            (QEMU,),
            {"vmid": vmid, **values, **pool},
            node=node,
            task_type="qmcreate",
            task_id=str(vmid),
            done=lambda: is_own(_read_config(client, node, vmid)),
        )

    storages = needs_of(request).storage_names
    changes = (*config.changes, *([Change("pool", None, request.pool)] if request.pool else []))
    guest = Guest(request.selector.vmid or 0, node, QEMU, name or "", pool=request.pool or "")
    return Creation(
        title=f"create guest {_label(request)} on node {node}",
        changes=changes,
        node=node,
        expected=GuestState(guest, values, origin=Origin.WRITTEN),
        command=command,
        is_own=is_own,
        vmid=request.selector.vmid,
        places=Places(node, storages),
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
            return read_source(GuestHandle(client, Guest(template.vmid, node, QEMU)))
        guest = find_guest(client, template._replace(template=True), node=node)
    except PveError as error:
        if not is_absent(error):
            raise
        guest = None
    if guest is None:
        raise NotFound(f"there is no {template._replace(template=True)} that {client.identity} can see")
    source = read_source(GuestHandle(client, guest))
    found = (source.values.get("name"), source.values.get("template"))
    if template.name is not None and found != (template.name, "1"):
        raise NotFound(f"{guest.label} on node {guest.node} was the {template} until a moment ago: try again")
    return source


def plan_clone(request: VmRequest, source_guest: Source, cluster: Cluster | None = None) -> Creation:
    """Plan a clone of a guest that has been read; raises InvalidRequest when it cannot be made or configured."""
    clone, handle, source = request.clone, source_guest.handle, source_guest.values
    if clone is None:
        raise TypeError("the request is for no clone")
    _check_source(handle.guest, source, clone)
    node = request.node or handle.guest.node
    if node != handle.guest.node and cluster is not None:
        check_clone_target(handle.guest.label, source, clone.storage, node, cluster.nodes)
    expected = _expected_clone(request, source_guest, node)
    name = expected.name
    form = {
        "name": request.selector.name,
        "full": _full(clone),
        "snapname": clone.snapshot,
        "storage": clone.storage,
        "format": clone.format,
        "description": clone.description,
        "pool": request.pool or None,
        "target": node if node != handle.guest.node else None,
    }

    def is_own(found: t.Mapping[str, str]) -> bool:
        return found.get("name") == name and _has_notes(found, clone.description)

    def command(client: PveClient, vmid: int) -> Command:
        return Command(
            "POST",
            (QEMU, handle.guest.vmid, "clone"),
            {"newid": vmid, **form},
            node=handle.guest.node,
            done=lambda: is_own(_read_config(client, node, vmid)),
        )

    # Raises what would otherwise only come up once the clone is there, half made.
    plan_changes(request, expected)
    original = f"{handle.guest.vmid} ({source.get('name', '')})"
    return Creation(
        title=f"clone guest {original} to {_label(request)} on node {node}",
        changes=(Change("clone", None, original), Change("name", None, name)),
        node=node,
        expected=expected,
        command=command,
        is_own=is_own,
        vmid=request.selector.vmid,
        places=_places_of_clone(source_guest, clone),
    )


def _places_of_clone(source: Source, clone: CloneOptions) -> Places:
    guest = source.handle.guest
    drives = (parse_drive(text) for key, text in source.values.items() if DRIVE_KEY.fullmatch(key))
    storages = {clone.storage} if clone.storage else {drive.storage for drive in drives if drive.storage}
    # PVE locks a source that runs for one clone alone (PVE::API2::Qemu, clone_vm: lock_config_full).
    may_run = source.values.get("template") != "1" and guest.status != "stopped"
    return Places(guest.node, frozenset(storages), guest.vmid if may_run else None)


def _check_source(guest: Guest, source: t.Mapping[str, str], clone: CloneOptions) -> None:
    if clone.source.vmid is None:
        confirm_name(guest, source.get("name", ""), clone.source)
    if clone.full is False and source.get("template") != "1":
        raise InvalidRequest(f"clone: {guest.label} is no template, so a linked clone of it cannot be made: set full")


def _full(clone: CloneOptions) -> bool | None:
    """PVE makes linked clones of templates unless told otherwise, and refuses a storage for these."""
    if clone.full is None and (clone.storage or clone.format):
        return True
    return clone.full


def _expected_clone(request: VmRequest, source_guest: Source, node: str) -> GuestState:
    """The clone as it will be before it is configured; only its addresses and volumes cannot be foretold."""
    source = source_guest.values
    values = {key: value for key, value in source.items() if key not in _NOT_CLONED}
    values = {key: value for key, value in values.items() if not key.startswith(("unused", "snap"))}
    # PVE's own name for a clone that was not given one (PVE::API2::Qemu, clone_vm).
    name = request.selector.name or f"Copy-of-VM-{source.get('name') or source_guest.handle.guest.vmid}"
    values["name"] = name
    if request.clone is not None and request.clone.description is not None:
        values["description"] = request.clone.description
    # Of what the firmware says of the machine a clone has only another UUID (PVE::API2::Qemu, clone_vm).
    machine = SMBIOS.merge(source.get("smbios1"), {"uuid": None})
    if machine:
        values["smbios1"] = machine
    guest = Guest(request.selector.vmid or 0, node, QEMU, name, pool=request.pool or "")
    return GuestState(guest, values, origin=Origin.CLONED)


def _read_config(client: PveClient, node: str, vmid: int) -> t.Mapping[str, t.Any]:
    """The configuration of a guest, once it is made; empty when there is none.

    A clone for another node is on that of its source until it is done.
    """
    handle = GuestHandle(client, Guest(vmid, node, QEMU))
    try:
        config: t.Mapping[str, t.Any] = handle.read("config")
        lock = str(config.get("lock") or "")
        if lock in CREATION_LOCKS:
            handle.wait_until_created(lock)
            config = handle.read("config")
    except NotFound:
        return {}
    return config


def _next_number(client: PveClient) -> int:
    return client.turns.next_number(lambda: int(client.read("cluster", "nextid")), client.deadline)


def _has_notes(found: t.Mapping[str, str], notes: str | None) -> bool:
    return notes is None or str(found.get("description") or "").rstrip() == notes.rstrip()


def _label(request: VmRequest) -> str:
    vmid, name = request.selector.vmid, request.selector.name
    return " ".join(str(part) for part in (vmid, f"({name})" if vmid and name else name) if part)
