# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pve_vm_info as a process of its own, against the embedded PVE."""

from __future__ import annotations

import time

import pytest
import requests

MODULE = "pve_vm_info"
LIST = "GET /cluster/resources"
STATUS = "GET /nodes/pve1/qemu/101/status/current"


@pytest.fixture
def look(run_module):
    def run(check=False, **arguments):
        result = run_module(MODULE, arguments, check=check)
        assert result.changed is False
        return result

    return run


def vmids(result):
    return [guest["vmid"] for guest in result["guests"]]


def test_all_guests_take_one_request_on_one_connection(pve, look):
    result = look()
    assert vmids(result) == [100, 101, 200, 9000]
    assert pve.summary() == [LIST]
    assert pve.connection_count == 1
    web = result["guests"][0]
    assert (web["name"], web["node"], web["type"], web["status"]) == ("web", "pve1", "qemu", "stopped")
    assert (web["template"], web["lock"], web["tags"], web["pool"], web["ha_managed"]) == (False, None, [], None, False)
    assert [(guest["type"], guest["template"]) for guest in result["guests"][2:]] == [("lxc", False), ("qemu", True)]
    assert "steps" not in result.result
    assert "diff" not in result.result


def test_check_mode_looks_too(look):
    assert vmids(look(check=True)) == [100, 101, 200, 9000]


@pytest.mark.parametrize("conditions", [{}, {"status": "running"}, {"vmid": 101}])
def test_a_node_that_is_not_there(run_module, conditions):
    result = run_module("pve_vm_info", {"node": "pve9", **conditions})
    assert (result.msg, result["error"]["kind"]) == ("there is no node pve9: the cluster has pve1", "not_found")


def test_a_node_without_guests_that_fit(pve_cluster, run_module):
    assert run_module("pve_vm_info", {"node": "pve3", "tags": ["nobody"]})["guests"] == []


@pytest.mark.parametrize("selection", [{"vmid": 101}, {"name": "db"}, {"vmid": 101, "name": "db"}])
def test_one_guest_takes_two_requests_and_is_fresh(pve, look, selection):
    pve.call(lambda: setattr(pve.server.guest(101), "qmpstatus", "paused"))
    result = look(**selection)
    assert vmids(result) == [101]
    assert result["guests"][0]["status"] == "paused"
    assert pve.summary() == [LIST, STATUS]
    assert pve.connection_count == 1


@pytest.mark.parametrize(
    "selection", [{"vmid": 555}, {"name": "nobody"}, {"vmid": 101, "name": "web"}, {"vmid": 101, "guest_type": "lxc"}]
)
def test_a_guest_that_is_not_there_is_an_empty_list(look, selection):
    result = look(**selection)
    assert not result.failed
    assert result["guests"] == []


def test_a_guest_that_vanishes_meanwhile_is_an_empty_list(pve, look):
    pve.before("GET", "/status/current", lambda: pve.server.forget_guest(pve.server.guest(101)))
    assert look(vmid=101)["guests"] == []


def test_several_guests_of_one_name(pve, look):
    pve.add_guest(102, "db")
    result = look(name="db")
    assert result.msg == "2 guests are named 'db' (101 on pve1, 102 on pve1): say which one by vmid"
    assert result["error"]["kind"] == "ambiguous"


def test_the_kind_says_which_of_two_guests_of_one_name(pve, look):
    pve.add_container(201, "db")
    assert vmids(look(name="db", guest_type="lxc")) == [201]


def test_a_name_that_has_gone_to_another_guest_is_found_there(pve, look):
    pve.knobs.resources_lag = 30

    for vmid, name in ((101, "old"), (100, "db")):
        headers = {"Authorization": f"PVEAPIToken={pve.token_id}={pve.token_secret}"}
        url = f"{pve.url}/api2/json/nodes/pve1/qemu/{vmid}/config"
        assert requests.put(url, headers=headers, data={"name": name}, verify=pve.cafile, timeout=10).ok
    result = look(name="db")
    assert vmids(result) == [100]
    assert result["guests"][0]["name"] == "db"


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"guest_type": "lxc"}, [200]),
        ({"guest_type": "qemu"}, [100, 101, 9000]),
        ({"status": "running"}, [101]),
        ({"status": "stopped"}, [100, 200, 9000]),
        ({"status": "hibernated"}, []),
        ({"template": True}, [9000]),
        ({"template": False, "status": "stopped"}, [100, 200]),
        ({"pool": "lab"}, [100]),
        ({"pool": "none"}, []),
        ({"node": "pve1"}, [100, 101, 200, 9000]),
        ({"tags": ["prod"]}, [100, 101]),
        ({"tags": ["Prod", "web"]}, [100]),
        ({"tags": ["prod"], "status": "running"}, [101]),
        ({"vmid": 101, "status": "running"}, [101]),
        ({"vmid": 101, "status": "stopped"}, []),
    ],
)
def test_conditions(pve, look, conditions, expected):
    pve.add_pool("lab", 100)
    pve.call(lambda: pve.server.guest(100).config.update(tags="prod;web"))
    pve.call(lambda: pve.server.guest(101).config.update(tags="db;prod"))
    result = look(**conditions)
    assert not result.failed, result
    assert vmids(result) == expected


def test_a_cluster(pve_cluster, look):
    assert [(guest["vmid"], guest["node"]) for guest in look(status="running")["guests"]] == [(101, "pve2")]
    assert vmids(look(node="pve3")) == [200]


def test_what_the_list_does_not_know_yet_is_null(pve, look):
    pve.knobs.resources_lag = 30
    pve.add_guest(150, "new", status="running")

    pve.call(lambda: setattr(pve.server.guest(150), "born_at", time.monotonic()))
    new = next(guest for guest in look()["guests"] if guest["vmid"] == 150)
    assert (new["name"], new["status"], new["template"], new["uptime"]) == (None, None, None, None)
    assert look(vmid=150)["guests"][0]["status"] == "running"
    result = look(status="running")
    assert vmids(result) == [101]
    assert result.warnings == ["guest 150 was left out: PVE does not know its status now"]
    assert look(status="running", node="pve2").warnings == []


def test_gather_everything(pve, look, run_module):
    address = {"ip-address": "192.0.2.7", "ip-address-type": "ipv4", "prefix": 24}
    pve.set_agent_interfaces(101, [{"name": "eth0", "ip-addresses": [address]}])
    assert run_module("pve_snapshot", {"vmid": 101, "snapshot": "clean"}).changed
    pve.reset_record()
    guest = look(vmid=101, gather=["agent", "config", "pending", "snapshots"])["guests"][0]
    assert guest["config"]["memory"] == "2048"
    assert guest["pending"] == []
    assert [entry["name"] for entry in guest["snapshots"]] == ["clean"]
    assert guest["addresses"] == {"ipv4": ["192.0.2.7"], "ipv6": []}
    assert len(pve.summary()) == 6
    assert pve.connection_count == 1


@pytest.mark.parametrize("forgotten", [False, True])
def test_the_guests_of_a_lost_node_are_listed_without_more(pve_cluster, look, forgotten: bool):
    pve_cluster.add_guest(102, "other", node="pve2")
    pve_cluster.set_node_offline("pve2", forgotten=forgotten)
    result = look(gather=["config", "snapshots", "agent"])
    assert not result.failed, result.msg
    configs = {guest["vmid"]: guest["config"] for guest in result["guests"]}
    assert [vmid for vmid, config in configs.items() if config is None] == [101, 102]
    assert configs[100]["name"] == "web"
    lost = next(guest for guest in result["guests"] if guest["vmid"] == 101)
    assert (lost["status"], lost["snapshots"], lost["addresses"]) == (None, None, None)
    assert result.warnings == [
        "node pve2 is offline: 2 guests there were returned without config, snapshots, addresses"
    ]
    assert not any("/nodes/pve2" in line for line in pve_cluster.summary())


def test_a_node_that_stops_to_answer_is_asked_once(pve_cluster, look):
    pve_cluster.add_guest(102, "other", node="pve2")
    pve_cluster.before("GET", "/nodes/pve2/qemu/101/config$", lambda: pve_cluster.set_node_offline("pve2"))
    result = look(gather=["config"])
    assert not result.failed, result.msg
    assert [guest["vmid"] for guest in result["guests"] if guest["config"] is None] == [101, 102]
    (warning,) = result.warnings
    assert "node pve2 is offline: 2 guests there were returned without config" in warning
    assert len([line for line in pve_cluster.summary() if "/nodes/pve2" in line]) == 1


def test_guests_of_a_lost_node_that_may_fit_are_one_warning(pve_cluster, look):
    pve_cluster.add_guest(102, "other", node="pve2")
    pve_cluster.set_node_offline("pve2")
    result = look(status="running")
    assert vmids(result) == []
    assert result.warnings == [
        "node pve2 is offline: 2 guests there were left out, because PVE does not know the status now"
    ]


def test_what_is_not_gathered_is_not_returned(look):
    assert {"config", "pending", "snapshots", "addresses"}.isdisjoint(look(vmid=101)["guests"][0])


def test_agents_that_do_not_answer_are_warnings(pve, look):
    pve.add_guest(110, "noagent", status="running")
    pve.call(lambda: setattr(pve.server.guest(101), "agent", None))
    result = look(gather=["agent"], guest_type="qemu")
    assert not result.failed
    assert [guest["addresses"] for guest in result["guests"]] == [None] * 4
    assert result.warnings == [
        "the addresses of guest 101 (db) on node pve1 are not known: QEMU guest agent is not running",
        "the addresses of guest 110 (noagent) on node pve1 are not known: No QEMU guest agent configured",
    ]


def test_a_container_s_addresses(pve, look):
    pve.call(lambda: setattr(pve.server.guest(200), "status", "running"))
    result = look(vmid=200, gather=["agent", "config"])
    assert not result.failed
    assert set(result["guests"][0]["addresses"]) == {"ipv4", "ipv6"}
    assert result["guests"][0]["config"]["hostname"] == "ct"


def test_a_guest_that_vanishes_while_it_is_gathered_is_left_out(pve, look):
    pve.before("GET", "/qemu/101/config", lambda: pve.server.forget_guest(pve.server.guest(101)))
    assert vmids(look(gather=["config"])) == [100, 200, 9000]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vmid": 99}, "vmid must be from 100 to 999999999, not 99"),
        ({"timeout": 0}, "timeout must be more than 0 seconds, not 0"),
    ],
)
def test_bad_input(pve, look, arguments, message):
    result = look(**arguments)
    assert (result.failed, result.msg) == (True, message)
    assert pve.summary() == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"error": {"class": "CommandNotFound", "desc": "The command has not been found"}}, "has not been found"),
        (["unsupported"], "its answer makes no sense: unsupported"),
    ],
)
def test_an_agent_that_answers_with_an_error_is_a_warning(pve, run_module, answer, words):
    pve.call(lambda: pve.server.guest(101).config.update(agent="1"))
    pve.set_agent_interfaces(101, answer)
    result = run_module("pve_vm_info", {"vmid": 101, "gather": ["agent"]})
    assert not result.failed, result.msg
    assert (result["guests"][0]["addresses"], result["guests"][0]["interfaces"]) == (None, None)
    assert len(result.warnings) == 1
    assert "the addresses of guest 101 (db) on node pve1 are not known" in result.warnings[0]
    assert words in result.warnings[0]


def test_the_addresses_of_the_guests_own_devices(pve, run_module):
    docker = {
        "name": "docker0",
        "hardware-address": "02:42:ac:11:00:01",
        "ip-addresses": [{"ip-address": "172.17.0.1"}],
    }
    own = {"name": "eth0", "hardware-address": "bc:24:11:00:00:65", "ip-addresses": [{"ip-address": "192.0.2.7"}]}
    pve.call(lambda: pve.server.guest(101).config.update(agent="1"))
    pve.set_agent_interfaces(101, [docker, own])
    both = run_module("pve_vm_info", {"vmid": 101, "gather": ["agent"]})["guests"][0]
    assert both["addresses"]["ipv4"] == ["172.17.0.1", "192.0.2.7"]
    guest = run_module("pve_vm_info", {"vmid": 101, "gather": ["agent", "config"]})["guests"][0]
    assert guest["addresses"] == {"ipv4": ["192.0.2.7"], "ipv6": []}
    assert [item["mac"] for item in guest["interfaces"]] == ["02:42:AC:11:00:01", "BC:24:11:00:00:65"]
