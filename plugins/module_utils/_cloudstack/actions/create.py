# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""create: the guest of an instance, from a template or for an ISO image."""

from __future__ import annotations

import typing as t
import uuid

from ..._operations.facts import STOPPED, split_tags
from ..._operations.guest.creation import Source, find_source
from ..._operations.guest.placement import check_clone_target, read_cluster
from ..._operations.ha import NodeAffinity, find_node_affinity, plan_ha
from ..._operations.plan import Plan
from ..._operations.selection import check_dns_name, check_vmid
from ..._operations.vm.cleanup import remove_deployment
from ..._operations.vm.deployment import Deployment, deploy
from ..._operations.vm.vm_request import VmRequest
from ..._pve.errors import AlreadyExists, InvalidRequest, PveError, Refused, TimedOut
from ..._pve.guests import QEMU, Selector
from ..._pve.tasks import parse_upid
from ..guest_names import check_guest_name
from ..guests import is_free
from ..networks import bridges_of, check_networks
from ..run import Run
from ..tags import check_tags
from ..translate import ISO, DesiredVm, clone_request, install_request, start_request
from .imports import import_own, imported_vmid


def create(run: Run) -> dict[str, t.Any]:
    """Create the guest from a template or for an ISO image, and start it. If that fails, it is removed."""
    imported = imported_vmid(run)
    if imported is not None:
        return _import(run, imported)
    details, instance = run.details, run.instance
    check_vmid("proxmox_vmid", run.vmid)
    desired = DesiredVm(instance, details, run.vmid, uuid.uuid4().hex, run.node)
    deployment = Deployment(run.vmid, run.node, desired.deployment, finish=_after_start(run), on_request=run.on_create)
    request = install_request(desired) if _is_iso(run) else None
    check_guest_name(run)
    if request is not None:
        # To ask for the one bridge that doctor has looked at would be a request more for each instance.
        check_networks(run, {run.details.text("network_bridge") or ""})
        _check_tags(run, ())
    applier = run.applier()
    if run.dry_run and not is_free(run, run.vmid):
        raise AlreadyExists(f"guest {run.vmid} is there already")
    try:
        source = None
        if request is None:
            source = find_source(run.client, *_template(run))
            request = _clone(run, desired, source)
        deploy(applier, deployment, request, source)
    except BaseException as error:
        run.begin_cleanup()
        # Until the cleanup has an answer: if it is interrupted, the guest may be left.
        run.context.left_behind = f"guest {run.vmid} on node {run.node} may be left"
        run.context.left_behind = remove_deployment(run.client, deployment, error)
        explained = _explained(run, deployment, error)
        if explained is None:
            raise
        raise explained from error
    return {"message": f"Instance created as {run.vmid} on node {run.node}"}


def _import(run: Run, vmid: int) -> dict[str, t.Any]:
    """Use the guest that the operator has named instead of creating one. It is never removed."""
    guest = import_own(run, vmid)
    if guest.condition == STOPPED:
        guest.converge(start_request(run.instance, run.details, vmid))
    guest.power("started")
    return {"message": f"Instance imported as {vmid} on node {guest.handle.guest.node}"}


def _clone(run: Run, desired: DesiredVm, source: Source) -> VmRequest:
    """The guest as a clone of what was read; raises a PveError when there is no place for it on the node."""
    request = clone_request(desired, source)
    if source.handle.guest.node == run.node:
        # The template was made with bridges of this node.
        check_networks(run, bridges_of(source.values))
    else:
        _check_distance(run, source, request.clone.storage if request.clone else None)
        check_networks(run, ())
    _check_tags(run, split_tags(source.values.get("tags")))
    return request


def _check_tags(run: Run, there: t.Iterable[str]) -> None:
    """Raise PermissionDenied for a tag that PVE would refuse; prepare has asked for the one of the mark."""
    if run.dry_run or run.details.words("tags"):
        check_tags(run, lambda: there)


def tags_of_template(run: Run) -> tuple[str, ...]:
    """The tags that the instance has without being given any; raises a PveError."""
    if _is_iso(run):
        return ()
    return split_tags(find_source(run.client, *_template(run)).values.get("tags"))


def _is_iso(run: Run) -> bool:
    return (run.details.text("template_type") or "").lower() == ISO


def _check_distance(run: Run, source: Source, storage: str | None) -> None:
    """Raise a PveError when PVE cannot clone from the template's node to this one; one request."""
    label, cluster = source.handle.guest.label, read_cluster(run.client)
    cluster.check_node(run.node)
    check_clone_target(label, {}, storage, run.node, cluster.nodes)
    try:
        check_clone_target(label, source.values, storage, run.node, cluster.nodes)
    except InvalidRequest as error:
        raise _too_far(run) from error


def _too_far(run: Run) -> InvalidRequest:
    template = run.details.text("template_id")
    return InvalidRequest(
        f"the template {template} is on local storage of another node than {run.node}: copy it to {run.node} and "
        f"set template_map, as in {template}@{run.node}=<vmid>, or put it on shared storage",
    )


def _explained(run: Run, deployment: Deployment, error: BaseException) -> PveError | None:
    """The failure in terms of the instance; None if the error is clear as it is."""
    if isinstance(error, Refused) and "uses local storage" in error.cause.pve_message:
        return _too_far(run)
    if isinstance(error, TimedOut) and deployment.requested and not run.context.left_behind:
        upid = f" during {parse_upid(error.cause.upid).type}" if error.cause.upid else ""
        return TimedOut(
            f"the wait of {run.time.wait:g} s was too short{upid}: everything that was made until then was removed"
        )
    return None


def _template(run: Run) -> tuple[Selector, str]:
    """The template, as the operator maps it for this node or for all, or as it was named; and where to look for it."""
    wanted, mapped = run.details.required("template_id"), run.details.mapping("template_map")
    found = mapped.get(f"{wanted}@{run.node}") or mapped.get(wanted) or wanted
    name, _at, node = found.partition("@")
    if name.isdigit():
        check_vmid("template_id", int(name))
        return Selector(vmid=int(name), kind=QEMU), node or run.node
    check_dns_name("template_id", name)
    return Selector(name=name, kind=QEMU), node or run.node


def _after_start(run: Run) -> list[Plan]:
    """What is done once the guest runs; raises InvalidRequest, before anything is created, if that is impossible."""
    name = run.details.text("ha_group")
    if name:
        return [plan_ha(run.vmid, find_node_affinity(run.client, name))]
    return [plan_ha(run.vmid, NodeAffinity())] if run.details.flag("ha") else []
