# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is only looked at: guests, tasks, snapshots, consoles and the inventory."""

from __future__ import annotations

import pytest

from tests.support.inventories import read_inventory


@pytest.fixture
def guest(run, new_vm, disk):
    """A guest with a display and a serial line, which runs."""
    options = {**new_vm, "disks": [disk], "serial_ports": {"serial0": "socket"}, "tags": ["cbl"]}
    run.once("pve_vm", options)
    run.once("pve_vm_power", {"vmid": new_vm["vmid"]})
    return new_vm


def test_a_guest_is_described(run, guest):
    found = run.once("pve_vm_info", {"vmid": guest["vmid"], "gather": ["config", "pending", "snapshots"]})
    (entry,) = found["guests"]
    assert (entry["name"], entry["status"], entry["node"]) == (guest["name"], "running", guest["node"])
    assert entry["pool"] == guest["pool"]


def test_the_task_that_made_it_is_found(run, guest):
    found = run.once("pve_task_info", {"vmid": guest["vmid"]})
    assert {"qmcreate", "qmstart"} <= {task["type"] for task in found["tasks"]}


def test_its_consoles_are_told(run, guest):
    found = run.once("pve_console_info", {"vmid": guest["vmid"]})
    assert found["console"]["available"]["vnc"]
    assert found["console"]["available"]["terminal"]


def test_the_inventory_lists_it(world, guest, tmp_path):
    text = f"filters: {{pools: [{guest['pool']}]}}"
    found = read_inventory(text, home=tmp_path, connection=world.connection)
    assert found.returncode == 0, found.stderr
    assert guest["name"] in found.data["_meta"]["hostvars"]
