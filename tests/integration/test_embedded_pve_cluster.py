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
