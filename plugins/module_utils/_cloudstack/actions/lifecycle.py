# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the first start of a guest to its end: start, stop, reboot, delete."""

from __future__ import annotations

import typing as t

from ..._operations.facts import RUNNING, STOPPED
from ..._operations.guest.ensure_guest import converge
from ..._operations.guest.removal import remove_guest
from ..._operations.guest.state import read_state
from ..._operations.power import PowerRequest
from ..._operations.vm.vm_request import VmRequest
from ..._pve.errors import PveError, TaskFailed
from ..._pve.guests import QEMU, Selector
from ..owned import Own, condition_of, find_own_guest, is_gone, own_guest, power
from ..run import Run
from ..translate import start_request

if t.TYPE_CHECKING:
    from ..._operations.plan import Applier

# What is left of the time for PVE to kill a guest that did not shut down by itself, and for the answer.
AFTER_SHUTDOWN_SECONDS = 10
NOT_THERE = "Instance is not there"


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
    return _unless_gone(run, _stop)


def _stop(run: Run, applier: Applier, own: Own) -> dict[str, t.Any]:
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
    return _unless_gone(run, _delete, adopt=False)


def _delete(_run: Run, applier: Applier, own: Own) -> dict[str, t.Any]:
    handle, state = own
    request = VmRequest(
        Selector(handle.guest.vmid, kind=QEMU),
        state="absent",
        force=True,
        purge=True,
        destroy_unreferenced_disks=True,
    )
    remove_guest(applier, handle, request, state)
    return {"message": "Instance deleted"}


def _unless_gone(
    run: Run, act: t.Callable[[Run, Applier, Own], dict[str, t.Any]], adopt: bool = True
) -> dict[str, t.Any]:
    """Find the guest and do something to it, for an action that has nothing to do when it is, or comes to be, gone."""
    applier = run.applier()
    try:
        own = find_own_guest(run, applier, adopt)
        return {"message": NOT_THERE} if own is None else act(run, applier, own)
    except PveError as error:
        # Somebody else may be at the same, as CloudStack itself when it tries again.
        if not is_gone(run, error):
            raise
        return {"message": NOT_THERE}


def shutdown_timeout(run: Run) -> int:
    """The time that a guest has to shut down, so that the run can still do what comes after it."""
    seconds = run.details.number("shutdown_timeout") or 1
    return max(1, min(seconds, int(run.deadline.remaining) - AFTER_SHUTDOWN_SECONDS))
