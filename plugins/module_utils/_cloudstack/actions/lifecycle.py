# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the making of a guest to its end: create, start, stop, reboot, delete."""

from __future__ import annotations

import typing as t
import uuid

from ..._operations.facts import RUNNING, STOPPED
from ..._operations.plan import Change, Plan, Step
from ..._operations.power import PowerRequest
from ..._operations.selection import check_vmid
from ..._operations.vm.deploy import Deployment, deploy_clone, deploy_new, take_down
from ..._operations.vm.ensure import converge
from ..._operations.vm.names import check_name
from ..._operations.vm.removal import remove_vm
from ..._operations.vm.request import VmRequest
from ..._operations.vm.state import read_state
from ..._pve.commands import Command
from ..._pve.errors import PveError, Refused, TaskFailed, TimedOut
from ..._pve.guests import QEMU, Selector
from ..._pve.tasks import parse_upid
from ..owned import condition_of, find_own_guest, own_guest, power
from ..run import Run
from ..translate import ISO, Order, clone_request, install_request, start_request

# What is left of the time for PVE to kill a guest that did not shut down by itself, and for the answer.
AFTER_SHUTDOWN_SECONDS = 10
NOT_THERE = "Instance is not there"


def create(run: Run) -> dict[str, t.Any]:
    """Make the guest from a template or for an ISO image, and start it. When that fails nothing is left of it."""
    details, instance = run.details, run.instance
    check_vmid("proxmox_vmid", run.vmid)
    order = Order(instance, details, run.vmid, uuid.uuid4().hex, run.node)
    deployment = Deployment(run.vmid, run.node, order.deployment, finish=_after_start(run), on_order=run.ordered)
    is_iso = (details.text("template_type") or "").lower() == ISO
    request = install_request(order) if is_iso else None
    applier = run.applier()
    try:
        if request is not None:
            deploy_new(applier, deployment, request)
        else:
            template, node = _template(run)
            deploy_clone(applier, deployment, template, node, lambda values: clone_request(order, values))
    except BaseException as error:
        run.enter_margin()
        run.left_behind = take_down(run.client, deployment, error)
        explained = _explained(run, deployment, error)
        if explained is None:
            raise
        raise explained from error
    return {"message": f"Instance created as {run.vmid} on node {run.node}"}


def _explained(run: Run, deployment: Deployment, error: BaseException) -> PveError | None:
    """The failure in the words of somebody who knows what was wanted; None when it is clear as it is."""
    if isinstance(error, Refused) and "uses local storage" in error.cause.pve_message:
        template = run.details.text("template_id")
        return Refused(
            f"the template {template} is on local storage of another node than {run.node}: copy it to {run.node} and "
            f"set template_map, as in {template}@{run.node}=<vmid>, or put it on shared storage",
        )
    if isinstance(error, TimedOut) and deployment.ordered and not run.left_behind:
        upid = f" during {parse_upid(error.cause.upid).type}" if error.cause.upid else ""
        return TimedOut(
            f"the wait of {run.wait:g} s was too short{upid}: everything that was made till then was removed"
        )
    return None


def _template(run: Run) -> tuple[Selector, str]:
    """The template for the node, as the operator maps it or as it was named."""
    details = run.details
    wanted = details.required("template_id")
    mapped = details.mapping("template_map").get(f"{wanted}@{run.node}", wanted)
    if mapped.isdigit():
        check_vmid("template_id", int(mapped))
        return Selector(vmid=int(mapped), kind=QEMU), run.node
    check_name("template_id", mapped)
    return Selector(name=mapped, kind=QEMU), run.node


def _after_start(run: Run) -> list[Plan]:
    details = run.details
    if not details.flag("ha") and not details.text("ha_group"):
        return []
    sid = f"vm:{run.vmid}"
    form = {"sid": sid, "state": "started", "group": details.text("ha_group")}
    command = Command("POST", ("cluster", "ha", "resources"), form)
    return [Plan((Step(f"make {sid} an HA resource", command, (Change("ha", None, "started"),)),))]


def start(run: Run) -> dict[str, t.Any]:
    """Start the instance, with the networks that it has in CloudStack now; one that runs is left alone."""
    applier = run.applier()
    handle, state = own_guest(run, applier)
    if condition_of(state) == RUNNING:
        return {"message": "Instance is running already"}
    if condition_of(state) == STOPPED:
        state = converge(applier, start_request(run.instance, run.details, run.vmid), handle, state)
    power(applier, handle, state, PowerRequest(Selector(run.vmid), "started"))
    return {"message": "Instance started"}


def stop(run: Run) -> dict[str, t.Any]:
    """Stop the instance by the method that the operator chose; one that is gone or stopped is left alone."""
    applier = run.applier()
    own = find_own_guest(run, applier)
    if own is None:
        return {"message": NOT_THERE}
    handle, state = own
    request = PowerRequest(
        Selector(handle.guest.vmid),
        "stopped",
        stop_method=run.details.required("stop_method"),
        shutdown_timeout=shutdown_timeout(run),
    )
    power(applier, handle, state, request)
    return {"message": "Instance stopped"}


def reboot(run: Run) -> dict[str, t.Any]:
    """Reboot the instance; one that is stopped is started, and one that does not react is reset if that is wanted."""
    applier = run.applier()
    handle, state = own_guest(run, applier)
    selector = Selector(run.vmid)
    request = PowerRequest(selector, "restarted", shutdown_timeout=shutdown_timeout(run))
    try:
        power(applier, handle, state, request)
    except TaskFailed:
        if run.details.text("reboot_fallback") != "reset":
            raise
        power(applier, handle, read_state(handle), PowerRequest(selector, "reset"))
        return {"message": "Instance reset: it did not react to the request to reboot"}
    return {"message": "Instance rebooted"}


def delete(run: Run) -> dict[str, t.Any]:
    """Stop and destroy the instance with all its disks; one that is gone is a success."""
    applier = run.applier()
    own = find_own_guest(run, applier, adopt=False)
    if own is None:
        return {"message": NOT_THERE}
    handle, state = own
    request = VmRequest(
        Selector(handle.guest.vmid, kind=QEMU),
        state="absent",
        force=True,
        purge=True,
        destroy_unreferenced_disks=True,
    )
    remove_vm(applier, handle, request, state)
    return {"message": "Instance deleted"}


def shutdown_timeout(run: Run) -> int:
    """The time that a guest has to shut down, so that the run can still do what comes after it."""
    seconds = run.details.number("shutdown_timeout") or 1
    return max(1, min(seconds, int(run.deadline.remaining) - AFTER_SHUTDOWN_SECONDS))
