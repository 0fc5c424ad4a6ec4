# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every option of pve_vm on a stopped and on a running guest, compared with what PVE itself says."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.vm.vm_request import vm_spec

from .cases import CASES, ELSEWHERE, filled


def merged(new_vm, disk, first):
    """A new guest with the usual disk beside those of the case."""
    given = {entry["slot"] for entry in first.get("disks", [])}
    disks = [*([] if disk["slot"] in given else [disk]), *first.get("disks", [])]
    return {**new_vm, **first, "disks": disks}


def names_of(world):
    return dataclasses.asdict(world.settings)


def check_expected(world, vmid, expected):
    desired = world.desired(vmid)
    for key, text in expected.items():
        if text is None:
            assert key not in desired
        else:
            assert text in str(desired.get(key, "")), f"{key} is {desired.get(key)!r}"


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_options_are_set_and_stay(world, run, new_vm, disk, case, running):
    if running and case.stopped_only:
        pytest.skip("the case is about a stopped guest")
    world.need(*case.needs)
    names = names_of(world)
    vmid = new_vm["vmid"]
    run.once("pve_vm", merged(new_vm, disk, filled(case.first, names)))
    if running:
        run.once("pve_vm_power", {"vmid": vmid})
    options = {"vmid": vmid, **filled(case.options, names)}
    run.changes("pve_vm", options)
    check_expected(world, vmid, filled(case.expected, names))
    if running:
        run.once("pve_vm_power", {"vmid": vmid, "state": "restarted", "stop_method": "stop"})
        assert world.status(vmid) == "running"
        assert world.pending(vmid) == set()
        run.changes_nothing("pve_vm", options)
        check_expected(world, vmid, filled(case.expected, names))


def test_every_option_has_a_case():
    used = {name for case in CASES for name in (*case.options, *case.first)}
    assert set(vm_spec()) - used - ELSEWHERE == set()
