# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the first start of a guest to its end: start, stop, reboot, delete."""

from __future__ import annotations

import typing as t

from ..._operations.facts import RUNNING, STOPPED
from ..._operations.guest.removal import remove_guest
from ..._operations.guest.state import read_state
from ..._operations.vm.vm_request import VmRequest
from ..._pve.errors import PveError, TaskFailed
from ..._pve.guests import QEMU, Selector
from ..owned import OwnGuest, find_own_guest, is_gone, own_guest
from ..run import Run
from ..translate import start_request

# What is left of the time for PVE to kill a guest that did not shut down by itself, and for the answer.
AFTER_SHUTDOWN_SECONDS = 10
NOT_THERE = "Instance is not there"


def start(run: Run) -> dict[str, t.Any]:
    """Start the instance, with the networks that it has in CloudStack now; one that runs stays as it is."""
    guest = own_guest(run)
    if guest.condition == RUNNING:
        return {"message": "Instance is running already"}
    if guest.condition == STOPPED:
        guest.converge(start_request(run.instance, run.details, run.vmid))
    guest.power("started")
    return {"message": "Instance started"}


def stop(run: Run) -> dict[str, t.Any]:
    """Stop the instance by the operator's method; one that is gone or stopped stays as it is."""
    return _unless_gone(run, _stop)


def _stop(guest: OwnGuest) -> dict[str, t.Any]:
    method = guest.run.details.required("stop_method")
    guest.power("stopped", stop_method=method, shutdown_timeout=shutdown_timeout(guest.run))
    return {"message": "Instance stopped"}


def reboot(run: Run) -> dict[str, t.Any]:
    """Reboot the instance; a stopped one is started. One that does not react is reset if reboot_fallback says so."""
    guest = own_guest(run)
    try:
        guest.power("restarted", shutdown_timeout=shutdown_timeout(run))
    except TaskFailed:
        if run.details.text("reboot_fallback") != "reset":
            raise
        guest.state = read_state(guest.handle)
        guest.power("reset")
        return {"message": "Instance reset: it did not react to the request to reboot"}
    return {"message": "Instance rebooted"}


def delete(run: Run) -> dict[str, t.Any]:
    """Stop and destroy the instance with all its disks; one that is gone is a success."""
    return _unless_gone(run, _delete, adopt=False)


def _delete(guest: OwnGuest) -> dict[str, t.Any]:
    request = VmRequest(
        Selector(guest.handle.guest.vmid, kind=QEMU),
        state="absent",
        force=True,
        purge=True,
        destroy_unreferenced_disks=True,
    )
    remove_guest(guest.applier, guest.handle, request, guest.state)
    return {"message": "Instance deleted"}


def _unless_gone(run: Run, act: t.Callable[[OwnGuest], dict[str, t.Any]], adopt: bool = True) -> dict[str, t.Any]:
    """Act on the guest, for an action that succeeds if the guest is gone, or vanishes meanwhile."""
    try:
        guest = find_own_guest(run, adopt)
        return {"message": NOT_THERE} if guest is None else act(guest)
    except PveError as error:
        # Somebody else may do the same, as CloudStack itself when it tries again.
        if not is_gone(run, error):
            raise
        return {"message": NOT_THERE}


def shutdown_timeout(run: Run) -> int:
    """The time that a guest has to shut down, so that the run can still do what comes after it."""
    seconds = run.details.number("shutdown_timeout") or 1
    return max(1, min(seconds, int(run.deadline.remaining) - AFTER_SHUTDOWN_SECONDS))
