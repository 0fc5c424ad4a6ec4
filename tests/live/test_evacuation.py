# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node that the suite's own guests leave and come back to: running and stopped ones, a container, and one of HA."""

from __future__ import annotations

import signal
import time

import pytest

from tests.support import modules, playbooks
from tests.support.collection_tree import REPOSITORY
from tests.support.embedded_pve import PveHandle

from .conftest import MODULE_SECONDS
from .test_migration import leave_ha
from .world import IS_LIVE, NAME_PREFIX

OWN_TAG = "cbl-maintenance"
ROLE = "cloudbridge.proxmox.node_maintenance"


@pytest.fixture
def guests(world, run, new_vm, new_container, disk):
    """Two that run and one that does not, with disks of their node, a container that runs, and a guest of HA."""
    world.need("other_node", "shared_storage")
    ha, container, *vmids = world.free_vmids(5)
    common = {key: value for key, value in new_vm.items() if key not in ("vmid", "name")}
    machines = [{"vmid": vmid, "name": f"{NAME_PREFIX}{vmid}", "disks": [disk]} for vmid in vmids]
    on_shared = {**disk, "storage": world.settings.shared_storage}
    machines.append({"vmid": ha, "name": f"{NAME_PREFIX}ha", "disks": [on_shared]})
    run.once("pve_vms", {"guests": machines, "defaults": {**common, "tags": [OWN_TAG]}})
    name = f"{NAME_PREFIX}{container}"
    run.once("pve_container", {**new_container, "vmid": container, "name": name, "tags": [OWN_TAG]})
    run.once("pve_vms_power", {"guests": [{"vmid": vmid} for vmid in (ha, container, *vmids[:2])]})
    world.api.data("POST", "/cluster/ha/resources", sid=f"vm:{ha}", state="started")
    try:
        yield sorted((ha, container, *vmids))
    finally:
        leave_ha(world, ha)


@pytest.fixture
def maintain(world, run, tmp_path):
    """Run the playbook on a real PVE; on the embedded one, where other tests have the playbook, the module."""

    def maintain(state, *, check=False):
        options = {"node": world.settings.node, "with_local_disks": True, "parallel": 2, "state": state}
        if not IS_LIVE:
            select = {"tags": [OWN_TAG], "pool": world.settings.pool}
            done = run.module("pve_node_maintenance", {**options, "select": select}, check=check)
            assert not done.failed, done.msg
            return done.changed, done["table"]
        del options["state"]
        options.update(tagged=OWN_TAG, pool=world.settings.pool)
        words = [word for key, value in options.items() for word in ("-e", f"{key}={value}")]
        path = REPOSITORY / "playbooks" / {"evacuated": "evacuate_node.yml", "returned": "return_guests.yml"}[state]
        done = playbooks.play(
            path, *words, home=tmp_path, connection=world.connection, check=check, timeout=3 * MODULE_SECONDS
        )
        assert not done.failed, done.stdout
        return done.task(f"{ROLE} : Move the guests").changed, done.task(f"{ROLE} : Show the plan").result["msg"]

    return maintain


def killed_in_the_middle(world, state, vmids, home):
    """Begin it, and kill the process when it has moved one guest and not yet all."""
    select = {"tags": [OWN_TAG], "pool": world.settings.pool}
    arguments = {"node": world.settings.node, "state": state, "select": select, "with_local_disks": True, "parallel": 1}
    before = {vmid: world.node_of(vmid) for vmid in vmids}
    process = modules.module_process("pve_node_maintenance", home=home, connection=world.connection)
    if isinstance(world.target, PveHandle):
        world.target.before("POST", "/migrate$", process.kill, after=2)
    modules.begin(process, arguments)
    while process.poll() is None:
        if IS_LIVE and any(world.node_of(vmid) != node for vmid, node in before.items()):
            process.kill()
        time.sleep(0.1)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.timeout(3600 if IS_LIVE else 120)
def test_own_guests_leave_a_node_and_come_back(world, guests, maintain, tmp_path):
    here, there = world.settings.node, world.settings.other_node
    statuses = {vmid: world.status(vmid) for vmid in guests}
    others = {guest["vmid"]: guest["node"] for guest in world.guests() if guest["vmid"] not in guests}
    changed, table = maintain("evacuated", check=True)
    assert changed
    assert sorted(line.split()[0] for line in table) == [*map(str, guests), "guest"]
    assert {world.node_of(vmid) for vmid in guests} == {here}

    for state, node in (("evacuated", there), ("returned", here)):
        killed_in_the_middle(world, state, guests, tmp_path)
        assert maintain(state)[0]
        assert {world.node_of(vmid) for vmid in guests} == {node}
        assert {vmid: world.status(vmid) for vmid in guests} == statuses
        assert {"lock" in world.config(vmid) for vmid in guests} == {False}
        assert not maintain(state)[0]
    assert {world.config(vmid)["tags"] for vmid in guests} == {OWN_TAG}
    now = {guest["vmid"]: guest["node"] for guest in world.guests()}
    assert {vmid: node for vmid, node in now.items() if vmid in others} == {
        vmid: node for vmid, node in others.items() if vmid in now
    }
