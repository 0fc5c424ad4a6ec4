# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds the guest of an instance on any node, and checks that it is the instance's."""

from __future__ import annotations

import contextlib
import typing as t

from .._operations.facts import Status, parse_status, read_status
from .._pve.errors import (
    AnswerLost,
    ErrorReason,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    PveError,
    TimedOut,
    TransportError,
    Unreachable,
)
from .._pve.guests import KIND_NAMES, QEMU, UNSETTLED_LOCKS, Guest, GuestHandle, is_stub, parse_guests
from .ownership import Mark, Verdict, foreign, is_instance_name, judge, read_mark

if t.TYPE_CHECKING:
    from .run import Run

# How long a node may take for its first answer before the cluster is asked for its state.
LOOK_SECONDS = 4.0
Found = t.Tuple[GuestHandle, Status]  # noqa: UP006 - Python 3.9 evaluates it


def find(run: Run) -> Found | None:
    """Find the guest by its number, or by its mark when CloudStack does not know that."""
    return locate(run) if run.instance.vmid is not None else find_by_mark(run)


def locate(run: Run) -> Found | None:
    """Find the guest by its number; one request when it is where CloudStack thinks that it is.

    None only when the whole cluster says that there is none; raises a PveError if that is unknown.
    """
    client, vmid = run.client, run.vmid
    guest = Guest(vmid, run.node, QEMU)
    try:
        with briefly(run):
            status = parse_status(client.read_once("nodes", guest.node, QEMU, vmid, "status", "current"))
    except (NotFound, Unreachable, AnswerLost, TimedOut):
        # It may have moved, and its former node may be down.
        return _look_up(run, lambda item: item.vmid == vmid)
    return GuestHandle(client, guest), status


@contextlib.contextmanager
def briefly(run: Run) -> t.Iterator[None]:
    """Limit the time for an answer: a request to a node that is down may take a minute."""
    client, whole = run.client, run.client.deadline
    client.deadline = whole.within(LOOK_SECONDS)
    try:
        yield
    finally:
        client.deadline = whole


def check_online(node: str, entries: t.Iterable[t.Mapping[str, t.Any]]) -> None:
    """Raise Unreachable when the cluster's list has the node as offline: nothing on it can be asked."""
    if any(str(entry.get("node")) == node and entry.get("status") == "offline" for entry in entries if is_node(entry)):
        raise Unreachable(
            f"node {node} is offline, as the other nodes of the cluster say: it is unknown what runs there; "
            f"try again when it is back, or when HA has moved its guests"
        )


def is_node(entry: t.Mapping[str, t.Any]) -> bool:
    """Whether an entry of the cluster's resources, or of the list of nodes, is a node."""
    return entry.get("type") == "node"


def _look_up(run: Run, is_meant: t.Callable[[Guest], bool]) -> Found | None:
    resources: list[dict[str, t.Any]] = run.client.read("cluster", "resources")
    guest = next((item for item in parse_guests(resources) if is_meant(item)), None)
    if guest is None:
        _confirm_absence(run, resources)
        return None
    if guest.kind != QEMU:
        raise InvalidRequest(f"guest {guest.vmid} is a {KIND_NAMES[guest.kind]}, not {run.instance.name}")
    check_online(guest.node, resources)
    handle = GuestHandle(run.client, guest)
    return handle, read_status(handle)


def _confirm_absence(run: Run, resources: t.Iterable[t.Mapping[str, t.Any]]) -> None:
    """Raise a PveError unless every node takes part in the answer, and the number really is free."""
    nodes = [entry for entry in resources if is_node(entry)]
    silent = sorted(str(entry["node"]) for entry in nodes if entry.get("status") == "offline")
    if silent or not nodes:
        raise TransportError(
            f"it is unknown whether {run.instance.name} is gone: "
            f"{', '.join(silent) or 'every node'} does not answer; try again when the cluster is complete"
        )
    vmid = run.instance.vmid
    if vmid is None:
        return
    try:
        # nextid knows every guest; the list of resources has only those that the token may see.
        run.client.read("cluster", "nextid", vmid=vmid)
    except PveError as error:
        if is_taken(error):
            raise PermissionDenied(
                f"guest {vmid} is there, but {run.client.identity} cannot see it: grant VM.Audit on it", error.cause
            ) from error
        raise


def is_free(run: Run, vmid: int) -> bool:
    """Whether no guest has the number; raises a PveError if that is unknown."""
    try:
        run.client.read("cluster", "nextid", vmid=vmid)
    except PveError as error:
        if is_taken(error):
            return False
        raise
    return True


def is_taken(error: PveError) -> bool:
    """nextid says that a guest has the number, somewhere in the cluster."""
    return "already exists" in error.cause.field_errors.get("vmid", "") or error.pve_reason is ErrorReason.EXISTS


def find_by_mark(run: Run) -> Found | None:
    """Find the guest of an instance whose number CloudStack does not know, by its mark; as locate does.

    Guests of its name are read first. Guests with the name of another instance are not read, so the number of requests
    does not grow with the number of instances.
    """
    instance, tag = run.instance, run.details.required("tag").lower()
    resources: list[dict[str, t.Any]] = run.client.read("cluster", "resources")
    tagged = [
        guest
        for guest in parse_guests(resources)
        if guest.kind == QEMU and tag in guest.tags.lower().replace(",", ";").split(";")
    ]
    names = {guest.vmid: guest.name for guest in tagged}
    for node in sorted({guest.node for guest in tagged if not guest.name}):
        # The list has no name of a new guest yet, nor those of a node that was just started.
        check_online(node, resources)
        names.update({int(item["vmid"]): str(item.get("name") or "") for item in run.client.read("nodes", node, QEMU)})
    mine = [guest for guest in tagged if names[guest.vmid] == instance.name]
    others = [guest for guest in tagged if not is_instance_name(names[guest.vmid])]
    for guest in (*mine, *others):
        check_online(guest.node, resources)
        handle = GuestHandle(run.client, guest)
        mark = read_mark(handle.read("config"))
        if mark.uuid == instance.uuid and mark.genuine:
            return handle, read_status(handle)
    _confirm_absence(run, resources)
    return None


def check_owner(run: Run, handle: GuestHandle, status: Status, config: t.Mapping[str, t.Any]) -> tuple[Verdict, Mark]:
    """The verdict: the instance's, adoptable, or unfinished; raises PermissionDenied for any other guest.

    A stub has no mark: it is the instance's by its number alone.
    """
    if is_stub(config):
        return Verdict.UNFINISHED, Mark()
    details, mark = run.details, read_mark(config)
    custom = details.text("vm_name") if details.flag("adopt_custom_names") else None
    ownership = details.required("ownership")
    verdict = judge(mark, status.name, run.instance, ownership, custom)
    if status.template and verdict is Verdict.ADOPTABLE:
        verdict = Verdict.FOREIGN
    if verdict is Verdict.FOREIGN:
        raise foreign(handle.guest.label, handle.guest.node, mark, run.instance, ownership)
    return verdict, mark


def is_half_made(status: Status) -> bool:
    """The guest is being created or destroyed, so it has no mark."""
    return status.lock in UNSETTLED_LOCKS
