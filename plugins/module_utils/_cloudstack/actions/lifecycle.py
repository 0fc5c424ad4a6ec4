# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the first start of a guest to its end: start, stop, reboot, delete."""

from __future__ import annotations

import typing as t

from ..._operations.facts import RUNNING, STOPPED
from ..._operations.power import PowerRequest
from ..._operations.vm.ensure import converge
from ..._operations.vm.removal import remove_vm
from ..._operations.vm.request import VmRequest
from ..._operations.vm.state import read_state
from ..._pve.errors import TaskFailed
from ..._pve.guests import QEMU, Selector
from ..owned import condition_of, find_own_guest, own_guest, power
from ..run import Run
from ..translate import start_request

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
