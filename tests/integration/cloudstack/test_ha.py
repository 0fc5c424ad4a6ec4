# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Instances that HA takes care of, which loses what it is told while it starts or moves them (96b-ha.json, 96d)."""

from __future__ import annotations

import time

import pytest

from tests.support.api_client import ApiClient
from tests.support.cloudstack import payload

UUID = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
NOTES = f"CloudStack instance: i-2-45-VM\nCloudStack UUID: {UUID}\nCloudStack deployment: 0123456789abcdef"
MARK = {"tags": "cloudstack", "description": NOTES, "smbios1": f"uuid={UUID}"}
ROUND = 0.6


@pytest.fixture
def world(pve_cluster, bridge):
    """A cluster whose HA takes a while for each step."""
    bridge.set_policy({"ha": True, "allowed_nodes": ["pve*"]})
    pve_cluster.knobs.ha_seconds = ROUND
    return pve_cluster


def add_own(pve, **options):
    return pve.add_guest(105, "i-2-45-VM", storage="shared", config=MARK, **options)


def move(pve, calls):
    return calls("Migrate", payload("CreateSnapshot", pve, parameters={"target_node": "pve2"}))


def stays_stopped(pve):
    """HA does not start it again, whatever it was at."""
    time.sleep(4 * ROUND)
    requested = pve.call(lambda: pve.server._requested(pve.server.guest(105)))
    return (pve.status(105), requested) == ("stopped", "stopped")


def test_a_stop_right_after_create(world, calls):
    assert calls("create", payload("create_template", world)).ok
    answer = calls("stop", payload("stop", world))
    assert answer.ok, answer.output
    assert stays_stopped(world)
    assert "PUT /cluster/ha/resources/vm:105" in world.summary()


def test_a_delete_right_after_create(world, calls):
    assert calls("create", payload("create_template", world)).ok
    answer = calls("delete", payload("delete", world))
    assert answer.ok, answer.output
    assert 105 not in world.vmids()


@pytest.mark.parametrize("action", ["stop", "delete"])
def test_right_after_a_move(world, calls, action):
    add_own(world, status="running", ha_state="started")
    assert move(world, calls).ok
    answer = calls(action, payload(action, world))
    assert answer.ok, answer.output
    assert 105 not in world.vmids() if action == "delete" else stays_stopped(world)


def test_a_stop_right_after_a_start(world, calls):
    """It is stopped, and HA is about to start it."""
    add_own(world, ha_state="stopped")
    ApiClient(world).data("POST", "/nodes/pve1/qemu/105/status/start")
    assert world.status(105) == "stopped"
    assert calls("stop", payload("stop", world)).ok
    assert stays_stopped(world)


def test_a_settled_one_is_stopped_as_the_operator_chose(world, calls):
    add_own(world, status="running", ha_state="started")
    assert calls("stop", payload("stop", world)).ok
    assert stays_stopped(world)
    assert not [line for line in world.summary() if line.startswith("PUT ")]


def test_one_that_is_stopped_is_left_alone(world, calls):
    add_own(world, ha_state="stopped")
    assert calls("stop", payload("stop", world)).ok
    assert [line.split()[0] for line in world.summary()] == ["GET"] * 3


def test_a_move_right_after_create(world, calls):
    assert calls("create", payload("create_template", world)).ok
    answer = move(world, calls)
    assert answer.ok, answer.output
    assert world.guest(105).node == "pve2"
