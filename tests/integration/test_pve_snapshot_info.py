# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pve_snapshot_info as a process of its own, against the embedded PVE."""

from __future__ import annotations

import pytest

MODULE = "pve_snapshot_info"


@pytest.mark.parametrize("selection", [{"vmid": 101}, {"name": "db"}])
def test_the_snapshots_of_a_guest_take_two_requests(pve, run_module, selection):
    run_module("pve_snapshot", {"vmid": 101, "snapshot": "first", "description": "text"})
    run_module("pve_snapshot", {"vmid": 101, "snapshot": "second", "vmstate": True})
    pve.reset_record()
    result = run_module(MODULE, selection)
    assert result.changed is False
    assert [(entry["name"], entry["parent"], entry["vmstate"]) for entry in result["snapshots"]] == [
        ("first", None, False),
        ("second", "first", True),
    ]
    assert result["snapshots"][0]["description"] == "text"
    assert result["snapshots"][0]["created"] > 1_600_000_000
    assert result["current"] == {"parent": "second"}
    assert (result["vmid"], result["node"], result["guest"]["status"]) == (101, "pve1", "running")
    assert pve.summary() == ["GET /cluster/resources", "GET /nodes/pve1/qemu/101/snapshot"]
    assert pve.connection_count == 1


@pytest.mark.parametrize("vmid", [100, 200])
def test_a_guest_without_snapshots(run_module, vmid):
    result = run_module(MODULE, {"vmid": vmid}, check=True)
    assert (result["snapshots"], result["current"]) == ([], {"parent": None})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vmid": 555}, "there is no guest 555 that "),
        ({"name": "nobody"}, "there is no guest named 'nobody' that "),
        ({"vmid": 100, "name": "db"}, "guest 100 on node pve1 is named 'web', not 'db'"),
        ({"vmid": 100, "guest_type": "lxc"}, "guest 100 is a virtual machine, not a container"),
        ({}, "say which guest is meant by vmid or by name"),
    ],
)
def test_failures(run_module, arguments, message):
    result = run_module(MODULE, arguments)
    assert result.failed
    assert result.msg.startswith(message)
