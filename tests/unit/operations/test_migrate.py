# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands against moving a guest, and what is sent when nothing does."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.facts import Status
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.migration.moving import (
    MigrationRequest,
    Preconditions,
    plan_migration,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import Guest

GUEST = Guest(105, "pve1", "qemu", name="web")
TO_PVE2 = MigrationRequest("pve2")
FREE = Preconditions(nodes={"pve1": "online", "pve2": "online"})


def status(condition="running", **changes):
    plain = Status(
        condition=condition, name="web", template=False, lock="", ha_managed=False, ha_state="", uptime=0, tags=()
    )
    return plain._replace(**changes)


def step(request=TO_PVE2, condition="running", conditions=FREE, **changes):
    (only,) = plan_migration(request, GUEST, status(condition, **changes), conditions).steps
    return only


@pytest.mark.parametrize(("condition", "online"), [("running", 1), ("paused", 1), ("stopped", None)])
def test_it_is_moved_online_when_it_is_up(condition, online):
    command = step(condition=condition).command
    assert command.path("pve1") == ("nodes", "pve1", "qemu", 105, "migrate")
    assert (command.form["target"], command.form["online"]) == ("pve2", online)


@pytest.mark.parametrize(("managed", "state", "task"), [(True, "started", "hamigrate"), (True, "ignored", "qmigrate")])
def test_ha_is_asked_where_it_takes_care(managed, state, task):
    made = step(ha_managed=managed, ha_state=state)
    assert made.command.task_type == task
    assert made.through_ha == (task == "hamigrate")


@pytest.mark.parametrize(("condition", "copied"), [("running", 1), ("stopped", None)])
def test_local_disks_are_copied_when_that_is_asked_for(condition, copied):
    conditions = dataclasses.replace(FREE, local_disks=("local-lvm:vm-105-disk-0",))
    form = step(MigrationRequest("pve2", with_local_disks=True), condition, conditions).command.form
    assert form["with-local-disks"] == copied


@pytest.mark.parametrize(
    ("conditions", "condition", "words"),
    [
        ({"nodes": {"pve1": "online", "pve2": "offline"}}, "running", "node pve2 is offline"),
        ({"not_allowed": {"pve2": {"unavailable_storages": ["ceph"]}}}, "stopped", "its storage ceph is not there"),
        ({"not_allowed": {"pve2": {"blocking-ha-resources": [{"sid": "vm:106"}]}}}, "running", "PVE does not allow it"),
        ({"local_isos": ("local:iso/a.iso",)}, "stopped", "local:iso/a.iso in its drive"),
        ({"local_devices": ("hostpci0",)}, "running", "uses devices of this node (hostpci0)"),
        ({"local_disks": ("a:b",)}, "running", "its disks are on this node only (a:b)"),
        ({}, "hibernated", "it is hibernated"),
    ],
)
def test_the_reason_is_given(conditions, condition, words):
    with pytest.raises(InvalidRequest) as raised:
        step(condition=condition, conditions=dataclasses.replace(FREE, **conditions))
    assert words in str(raised.value)
    assert str(raised.value).startswith("guest 105 (web) cannot be moved from node pve1 to pve2: ")


@pytest.mark.parametrize("empty", [{}, {"unavailable_storages": [], "blocking-ha-resources": []}])
def test_what_is_empty_bars_nothing(empty):
    assert step(conditions=dataclasses.replace(FREE, not_allowed={"pve2": empty}))
