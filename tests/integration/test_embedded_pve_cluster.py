# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several nodes: what /cluster/resources knows and when, migration, HA, pools, quorum."""

from __future__ import annotations

import time

import pytest

from tests.support.api_client import ApiClient
from tests.support.service import wait_until

GIB = 1024**3


@pytest.fixture
def api(pve_cluster):
    return ApiClient(pve_cluster)


def resource(api, vmid):
    return next(guest for guest in api.data("GET", "/cluster/resources", type="vm") if guest["vmid"] == vmid)


def test_resources_list_every_kind(pve_cluster, api):
    pve_cluster.set_node_facts("pve2", maxmem=64 * GIB, mem=8 * GIB)
    pve_cluster.set_storage_usage("pve3", "local-lvm", total=10 * GIB, used=9 * GIB)
    pve_cluster.add_pool("lab", 100)
    everything = {entry["id"]: entry for entry in api.data("GET", "/cluster/resources")}
    assert {"node/pve1", "node/pve2", "node/pve3", "qemu/100", "lxc/200", "/pool/lab"} <= set(everything)
    assert (everything["node/pve2"]["maxmem"], everything["node/pve2"]["mem"]) == (64 * GIB, 8 * GIB)
    assert everything["storage/pve3/local-lvm"]["disk"] == 9 * GIB
    assert everything["storage/pve1/shared"]["shared"] == 1
    assert everything["qemu/100"]["pool"] == "lab"
    assert api("GET", "/cluster/resources", type="guests").status_code == 400


def test_resources_lag_behind(pve_cluster, api):
    pve_cluster.resources_lag = 0.4
    assert api.task("POST", "/nodes/pve1/qemu/9000/clone", newid=102, name="fresh") == "OK"
    api.data("PUT", "/nodes/pve1/qemu/100/config", name="renamed")
    assert api.task("POST", "/nodes/pve1/qemu/100/status/start") == "OK"
    assert resource(api, 102) == {"id": "qemu/102", "type": "qemu", "node": "pve1", "vmid": 102, "status": "unknown"}
    assert (resource(api, 100)["name"], resource(api, 100)["status"]) == ("web", "stopped")
    assert "fresh" in [guest["name"] for guest in api.data("GET", "/nodes/pve1/qemu")]
    time.sleep(0.45)
    assert (resource(api, 102)["name"], resource(api, 100)["name"]) == ("fresh", "renamed")
    assert resource(api, 100)["status"] == "running"


def test_guests_live_on_one_node(pve_cluster, api):
    missing = "Configuration file 'nodes/pve1/qemu-server/101.conf' does not exist"
    assert api("GET", "/nodes/pve1/qemu/101/config").reason == missing
    assert api.data("GET", "/nodes/pve2/qemu/101/config")["name"] == "db"
    assert "hostname lookup 'pve9' failed" in api("GET", "/nodes/pve9/qemu").reason
    upid = api.data("POST", "/nodes/pve2/qemu/101/status/stop")
    answer = api("GET", f"/nodes/pve1/tasks/{upid}/status")
    assert answer.json()["errors"] == {"upid": "no such task"}


def test_a_guest_moves(pve_cluster, api):
    assert api.task("POST", "/nodes/pve1/qemu/100/migrate", target="pve3") == "OK"
    assert resource(api, 100)["node"] == "pve3"
    refused = "can't migrate running VM without --online"
    assert api("POST", "/nodes/pve2/qemu/101/migrate", target="pve1").reason == refused
    pve_cluster.move_guest(101, "pve1")
    assert resource(api, 101)["node"] == "pve1"


def test_a_clone_on_another_node_needs_shared_disks(pve_cluster, api):
    clone = "/nodes/pve1/qemu/{}/clone"
    refused = api("POST", clone.format(9001), newid=110, target="pve2")
    assert refused.reason == "can't clone VM to node 'pve2' (VM uses local storage)"
    assert api.task("POST", clone.format(9000), newid=110, target="pve2") == "OK"
    assert resource(api, 110)["node"] == "pve2"


def test_bridges_differ_per_node(pve_cluster, api):
    pve_cluster.set_bridges("pve2", "vmbr0", "vmbr7")
    found = {
        node: [b["iface"] for b in api.data("GET", f"/nodes/{node}/network", type="any_bridge")]
        for node in ("pve1", "pve2")
    }
    assert found == {"pve1": ["vmbr0", "vmbr1"], "pve2": ["vmbr0", "vmbr7"]}


def test_ha_guests_are_started_by_their_manager(pve_cluster, api):
    pve_cluster.set_ha_state(100, "stopped")
    pve_cluster.knobs.ha_seconds = 0.2
    upid = api.data("POST", "/nodes/pve1/qemu/100/status/start")
    assert upid.split(":")[5] == "hastart"
    assert (api.finish(upid), pve_cluster.status(100)) == ("OK", "stopped")
    wait_until(lambda: (pve_cluster.status(100), resource(api, 100)["hastate"]) == ("running", "started"))
    assert api.task("POST", "/nodes/pve1/qemu/100/status/shutdown") == "OK"
    wait_until(lambda: (pve_cluster.status(100), resource(api, 100)["hastate"]) == ("stopped", "stopped"))
    refused = "unable to remove VM 100 - used in HA resources and purge parameter not set."
    assert api("DELETE", "/nodes/pve1/qemu/100").reason == refused
    assert api.task("DELETE", "/nodes/pve1/qemu/100", purge=1) == "OK"


def test_pools(pve_cluster, api):
    pve_cluster.add_pool("a", 100)
    pve_cluster.add_pool("b")
    refused = "update pools failed: VM 100 belongs already to pool 'a' and 'allow-move' is not set"
    assert api("PUT", "/pools", poolid="b", vms=100).reason == refused
    api.data("PUT", "/pools", poolid="b", vms=100, allow__move=1)
    assert resource(api, 100)["pool"] == "b"


def test_without_quorum(pve_cluster, api):
    pve_cluster.lose_quorum()
    assert api("POST", "/nodes/pve1/qemu", vmid=120).reason == "cluster not ready - no quorum?"
    assert api("PUT", "/nodes/pve1/qemu/100/config", cores=1).reason.endswith("Permission denied")
    assert api.task("POST", "/nodes/pve1/qemu/100/snapshot", snapname="aa").endswith("Permission denied")
    pve_cluster.regain_quorum()
    assert api.task("POST", "/nodes/pve1/qemu", vmid=120) == "OK"


def test_an_unreachable_node(pve_cluster, api):
    pve_cluster.set_node_offline("pve2")
    answer = api("GET", "/nodes/pve2/qemu/101/status/current")
    assert (answer.status_code, answer.reason, answer.text) == (595, "No route to host", "")
    assert resource(api, 101)["status"] == "unknown"


# ---- moves, as 96-ha-and-migrate.json has them

DISK_KEYS = {"cdrom", "drivename", "is_attached", "is_cloudinit", "is_tpmstate", "is_unused", "is_vmstate", "volid"}
MOVE = {"target": "pve2"}
LIVE = {**MOVE, "online": 1}
WITH_DISKS = {**LIVE, "with-local-disks": 1}


def test_the_preconditions_of_a_move(pve_cluster, api):
    pve_cluster.add_guest(110, "app")
    answer = api.data("GET", "/nodes/pve1/qemu/110/migrate", target="pve1")
    (disk,) = answer.pop("local_disks")
    assert {*DISK_KEYS, "replicate", "shared", "size"} == disk.keys()
    assert answer == {
        "allowed_nodes": ["pve2", "pve3"],
        "has-dbus-vmstate": 1,
        "local_resources": [],
        "mapped-resource-info": {},
        "mapped-resources": [],
        "not_allowed_nodes": {"pve2": {}, "pve3": {}},
        "running": 0,
    }
    pve_cluster.set_ha_state(110, "stopped")
    assert api.data("GET", "/nodes/pve1/qemu/110/migrate")["dependent-ha-resources"] == []
    assert api.data("GET", "/nodes/pve3/lxc/200/migrate") == {
        "allowed-nodes": ["pve1", "pve2"],
        "not-allowed-nodes": {},
        "running": 0,
    }
    pve_cluster.lock_guest(100, "backup")
    assert api("GET", "/nodes/pve1/qemu/100/migrate").reason == "VM is locked (backup)"


@pytest.mark.parametrize(
    ("form", "status", "reason"),
    [
        ({"target": "pve1"}, 400, "Parameter verification failed."),
        ({"target": "pve9"}, 500, "no such cluster node 'pve9'"),
        (MOVE, 500, "can't migrate running VM without --online"),
        ({**WITH_DISKS, "targetstorage": "nope"}, 500, "storage 'nope' does not exist"),
        ({**LIVE, "migration_network": "10.99.0.0/24"}, 400, "Parameter verification failed."),
    ],
)
def test_a_move_that_is_refused_at_once(pve_cluster, api, form, status, reason):
    pve_cluster.add_guest(110, "app", status="running")
    answer = api("POST", "/nodes/pve1/qemu/110/migrate", **form)
    assert (answer.status_code, answer.reason) == (status, reason)


ISO = {"ide2": "local:iso/debian-13.iso,media=cdrom"}


@pytest.mark.parametrize(
    ("form", "status", "config", "snapshot", "why"),
    [
        (LIVE, "running", {}, False, "can't live migrate attached local disks without with-local-disks option"),
        (WITH_DISKS, "running", {}, True, "online storage migration not possible if non-replicated snapshot exists"),
        (WITH_DISKS, "running", ISO, False, "local cdrom image"),
        (MOVE, "stopped", ISO, False, "local cdrom image"),
    ],
)
def test_a_move_that_is_aborted_says_why_in_its_log_alone(pve_cluster, api, form, status, config, snapshot, why):
    pve_cluster.add_guest(110, "app", status=status, config=config)
    if snapshot:
        guest = pve_cluster.guest(110)
        pve_cluster.call(lambda: guest.snapshots.__setitem__("s1", dict(guest.config)))
    assert api.task("POST", "/nodes/pve1/qemu/110/migrate", **form) == "migration aborted"
    log = pve_cluster.tasks("qmigrate")[0]["log"]
    assert any(line.endswith(f"': {why}") for line in log), log
    assert log[-2].endswith("Problem found while scanning volumes - can't migrate VM - check log")
    assert log[-1] == "TASK ERROR: migration aborted"
    assert pve_cluster.guest(110).node == "pve1"


def test_a_live_move_of_a_local_disk_writes_its_format(pve_cluster, api):
    pve_cluster.add_guest(110, "app", status="running", storage="vmstore")
    assert api.task("POST", "/nodes/pve1/qemu/110/migrate", **WITH_DISKS) == "OK"
    assert "format=qcow2" in pve_cluster.config(110)["scsi0"]


def test_moves_of_containers(pve_cluster, api):
    pve_cluster.add_container(210, "app", status="running")
    path = "/nodes/pve1/lxc/210/migrate"
    refused = "can't migrate running container without --online or --restart"
    assert api("POST", path, target="pve2").reason == refused
    assert api.task("POST", path, target="pve2", online=1) == "migration aborted"
    assert api.task("POST", path, target="pve2", restart=1) == "OK"
    assert (pve_cluster.guest(210).node, pve_cluster.status(210)) == ("pve2", "running")
    back = {"target": "pve1", "restart": 1, "target-storage": "shared"}
    assert api.task("POST", "/nodes/pve2/lxc/210/migrate", **back) == "OK"
    assert pve_cluster.config(210)["rootfs"].startswith("shared:")
