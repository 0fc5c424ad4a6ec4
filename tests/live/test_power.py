# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every way from one power state to another."""

from __future__ import annotations

import pytest

from tests.support.transitions import TRANSITIONS, Transition

from .world import IS_LIVE

SHUTDOWN = {"shutdown", "reboot"}
# tests/integration/test_pve_vm_power.py has all of them on the embedded PVE.
CASES = TRANSITIONS if IS_LIVE else TRANSITIONS[::5]


def put(run, vmid, condition, asks_the_system):
    """Bring the new guest into a condition; a system that has not booted yet hears of no shutdown."""
    if condition != "stopped":
        run.once("pve_vm_power", {"vmid": vmid, **({"wait_for": ["agent"]} if asks_the_system else {})})
    if condition in ("paused", "hibernated"):
        run.once("pve_vm_power", {"vmid": vmid, "state": condition})


@pytest.mark.parametrize("transition", CASES, ids=Transition.title)
def test_a_transition_is_made_and_made_once(world, run, new_vm, disk, transition):
    asks_the_system = bool(SHUTDOWN & set(transition.actions))
    if asks_the_system:
        world.need("template", "shuts_down")
        # Enough memory for a small system to boot.
        start = {"clone": {"source": str(world.settings.template)}, "memory": 256}
    else:
        start = {"disks": [disk]}
    vmid = new_vm["vmid"]
    run.once("pve_vm", {**new_vm, **start})
    put(run, vmid, transition.before, asks_the_system)
    options = {"vmid": vmid, "state": transition.state, "stop_method": transition.method}
    checked = run.module("pve_vm_power", options, check=True)
    made = run.once("pve_vm_power", options)
    assert (checked.changed, made.changed) == (True, True)
    after = "stopped" if transition.after == "hibernated" else transition.after
    assert world.status(vmid) == after
    if transition.state not in ("restarted", "reset"):
        run.changes_nothing("pve_vm_power", options)
