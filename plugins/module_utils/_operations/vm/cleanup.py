# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removing what a failed deployment has made."""

from __future__ import annotations

import typing as t

from ..._pve.client import PveClient
from ..._pve.commands import LATE_SECONDS
from ..._pve.deadline import Tries
from ..._pve.errors import ErrorReason, Locked, PveError, TimedOut, TransportError
from ..._pve.guests import (
    CREATION_LOCKS,
    QEMU,
    UNSETTLED_LOCKS,
    Guest,
    GuestHandle,
    Selector,
    is_stub,
    stub_sentence,
    unless_absent,
)
from ..._pve.numbers import in_full
from ..._pve.tasks import Upid, parse_upid, stop_task
from ..guest.removal import remove_guest
from ..guest.state import GuestState, read_state
from ..plan import Applier
from .deployment import Deployment
from .kind import VM
from .vm_request import VmRequest

MOST_TASKS = 500


def remove_deployment(
    client: PveClient, deployment: Deployment, error: BaseException | None, age: float | None = None
) -> str:
    """Remove what a deployment has made, within the client's deadline; says what could not be removed.

    Only the guest whose notes have the deployment's own text is removed: no other that has the number by now. error is
    what the deployment ended with, when that is known. age is how many seconds ago it began, for one that somebody else
    may have begun to remove.
    """
    if not deployment.requested or (isinstance(error, PveError) and error.pve_reason is ErrorReason.EXISTS):
        return ""
    if age is None and client.changes_sent == deployment.changes_before:
        return ""
    try:
        return _Removal(client, deployment, age).run(is_sure=_is_refusal(error))
    except PveError as problem:
        return f"guest {deployment.vmid} on node {deployment.node} could not be removed: {problem}"


def _is_refusal(error: BaseException | None) -> bool:
    """PVE has said no, so that nothing can come of what it was asked for last."""
    return isinstance(error, PveError) and not isinstance(error, (TransportError, TimedOut))


class _Removal:
    """The removal of one deployment."""

    def __init__(self, client: PveClient, deployment: Deployment, age: float | None) -> None:
        self.client = client
        self.deployment = deployment
        self.asked_before = age is not None
        # How long a change whose answer was lost may still be waiting for its turn.
        self.late_seconds = max(0.0, LATE_SECONDS - (age or 0.0))
        self.handle = GuestHandle(client, Guest(deployment.vmid, deployment.node, QEMU))

    def run(self, is_sure: bool) -> str:
        """Remove the guest; is_sure says that PVE does not begin to make it any more, unless its task is known."""
        known = self._stop_known()
        tries = None if known or is_sure else self.client.deadline.tries(self.late_seconds)
        while True:
            known = known or self._stop_lost()
            config = settled_config(self.handle)
            if config is not None or known or tries is None:
                break
            if not tries.again():
                return self._unknown(tries)
        if config is None:
            return ""
        if is_stub(config):
            # The number was free when PVE began.
            return self._remove() if known else ""
        return self._remove() if self.deployment.deployment in str(config.get("description") or "") else ""

    def _unknown(self, tries: Tries) -> str:
        if tries.deadline.seconds >= self.late_seconds:
            return ""
        deployment = self.deployment
        return (
            f"guest {deployment.vmid} on node {deployment.node} may still come into being: "
            f"PVE did not say whether it has begun to make it"
        )

    def _stop_known(self) -> bool:
        """Stop what still runs of this deployment; True when PVE is known to have begun to make the guest."""
        upids = [parse_upid(text) for text in sorted(self.client.own_upids)]
        for upid in upids:
            stop_task(self.client, upid, self.asked_before)
        return any(upid.type in VM.creation_tasks for upid in upids)

    def _stop_lost(self) -> bool:
        """Stop the task that makes the guest, whose UPID was lost on the way, if there is only one that it can be."""
        template = self.deployment.template
        node, vmid = (template.node, template.vmid) if template else (self.deployment.node, self.deployment.vmid)
        if not _is_locked(self.handle):
            return False
        wanted = (VM.task("clone" if template else "create"), str(vmid), self.client.identity)
        tasks = _active_creations(self.client, node)
        mine = [upid for upid in tasks if (upid.type, upid.id, upid.user) == wanted]
        if len(mine) != 1:
            return False
        self.client.own_upids.add(mine[0].text)
        stop_task(self.client, mine[0], self.asked_before)
        return True

    def _remove(self) -> str:
        remove_remnant(Applier(self.client), self.handle, read_state(self.handle))
        return ""


def remove_remnant(applier: Applier, handle: GuestHandle, state: GuestState) -> None:
    """Stop and destroy a guest that never came to be an instance, with its volumes; one that vanishes is gone."""
    selector = Selector(handle.guest.vmid, kind=QEMU)
    request = VmRequest(selector, state="absent", force=True, purge=True, destroy_unreferenced_disks=True)
    unless_absent(lambda: remove_guest(applier, handle, request, state))


def settled_config(handle: GuestHandle) -> dict[str, t.Any] | None:
    """Read the configuration once nobody makes or destroys the guest; None when it is not there, or not any more.

    Raises Locked when the guest is a stub, or when that goes on until the client's deadline.
    """
    client, tries = handle.client, None
    while True:
        config = handle.read_config()
        if config is None or config.get("lock") not in UNSETTLED_LOCKS:
            return config
        if config.get("lock") in CREATION_LOCKS and not _active_creations(client, handle.guest.node):
            # The task may have ended right before that was asked.
            config = handle.read_config()
            if config is None or config.get("lock") not in CREATION_LOCKS:
                return config
            raise Locked(stub_sentence(handle.guest.vmid, handle.guest.node))
        tries = tries or client.deadline.tries(client.deadline.remaining)
        if not tries.again():
            raise Locked(
                f"{handle.guest.label} on node {handle.guest.node} is still locked ({config['lock']}) after "
                f"{in_full(client.deadline.seconds)} s: try again when PVE is done with it"
            )


def _is_locked(handle: GuestHandle) -> bool:
    config = handle.read_config()
    return config is not None and config.get("lock") in CREATION_LOCKS


def _active_creations(client: PveClient, node: str) -> list[Upid]:
    """The tasks that make guests on the node right now, as far as the caller may see them."""
    entries: t.Iterable[t.Mapping[str, t.Any]] = client.read("nodes", node, "tasks", source="active", limit=MOST_TASKS)
    upids = (parse_upid(str(entry["upid"])) for entry in entries)
    return [upid for upid in upids if upid.type in VM.creation_tasks]
