# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests that are to be on another node: live, offline, by restart, and all that PVE refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.embedded_pve import seed

GIB = 1024**3
ISO = {"ide2": "local:iso/debian-13.iso,media=cdrom"}


def moves(pve) -> list[dict[str, Any]]:
    """The forms of the moves that were asked for."""
    return [form for kind in ("qemu", "lxc") for form in pve.forms("POST", f"/nodes/[^/]+/{kind}/[0-9]+/migrate")]


def agree(run_module, arguments, *, diff=None):
    """Check mode foretells the run, and the second run finds nothing to do."""
    check = run_module("pve_migrate", arguments, check=True, diff=True)
    assert not check.failed, check.msg
    run = run_module("pve_migrate", arguments, diff=True)
    assert not run.failed, run.msg
    assert (check.changed, check["diff"], check["steps"]) == (run.changed, run["diff"], run["steps"])
    if diff is not None:
        assert run["diff"] == diff
    again = run_module("pve_migrate", arguments, diff=True)
    assert (again.failed, again.changed, again["diff"]) == (False, False, {"before": {}, "after": {}})
    return run


NODE_DIFF = {"before": {"node": "pve1"}, "after": {"node": "pve2"}}


class TestMoves:
    def test_offline(self, pve_cluster, run_module):
        run = agree(run_module, {"name": "web", "node": "pve2"}, diff=NODE_DIFF)
        assert (run["node"], run["guest"]["status"]) == ("pve2", "stopped")
        assert run["steps"] == ["move guest 100 (web) to node pve2"]
        assert [task["type"] for task in run["tasks"]] == ["qmigrate"]
        assert len(moves(pve_cluster)) == 1

    def test_live(self, pve_cluster, run_module):
        pve_cluster.add_guest(110, "app", storage="shared", status="running")
        run = agree(run_module, {"vmid": 110, "node": "pve2"}, diff=NODE_DIFF)
        assert (run["node"], run["guest"]["status"]) == ("pve2", "running")
        assert moves(pve_cluster) == [{"target": "pve2", "online": "1"}]

    def test_live_with_local_disks_to_another_storage(self, pve_cluster, run_module):
        pve_cluster.add_guest(110, "app", status="running")
        arguments = {"vmid": 110, "node": "pve2", "with_local_disks": True, "target_storage": "vmstore"}
        run = agree(run_module, {**arguments, "bandwidth": 1000})
        assert run["diff"]["before"] == {"node": "pve1", "scsi0.storage": "local-lvm"}
        assert run["diff"]["after"] == {"node": "pve2", "scsi0.storage": "vmstore"}
        assert pve_cluster.config(110)["scsi0"].startswith("vmstore:")
        (form,) = moves(pve_cluster)
        assert (form["with-local-disks"], form["targetstorage"], form["bwlimit"]) == ("1", "vmstore", "1000")

    def test_a_container_that_runs_is_restarted(self, pve_cluster, run_module):
        pve_cluster.add_container(210, "app", status="running")
        arguments = {"vmid": 210, "node": "pve2", "shutdown_timeout": 30, "target_storage": {"local-lvm": "vmstore"}}
        run = agree(run_module, arguments)
        assert (run["node"], run["guest"]["status"]) == ("pve2", "running")
        assert run["diff"]["after"] == {"node": "pve2", "rootfs.storage": "vmstore"}
        assert moves(pve_cluster) == [
            {"target": "pve2", "restart": "1", "timeout": "30", "target-storage": "local-lvm:vmstore"}
        ]

    def test_a_container_that_is_stopped(self, pve_cluster, run_module):
        assert agree(run_module, {"name": "ct", "node": "pve1"})["guest"]["status"] == "stopped"

    def test_a_container_of_pve_8_which_has_no_preconditions_of_containers(self, pve_cluster, run_module):
        pve_cluster.knobs.release = "8.4"
        agree(run_module, {"name": "ct", "node": "pve1"})
        container_storage(pve_cluster)
        result = run_module("pve_migrate", {"vmid": 110, "node": "pve2"}, check=True)
        assert "its storage local-lvm is not there" in result.msg

    def test_what_is_there_costs_two_requests(self, pve_cluster, run_module):
        result = run_module("pve_migrate", {"vmid": 100, "node": "pve1"})
        assert (result.failed, result.changed, result["node"]) == (False, False, "pve1")
        assert len(pve_cluster.summary()) == 2


class TestChoice:
    def test_the_node_with_the_most_free_memory(self, pve_cluster, run_module):
        pve_cluster.set_node_facts("pve2", mem=30 * GIB)
        assert agree(run_module, {"vmid": 100, "nodes": ["pve2", "pve3"]})["node"] == "pve3"

    def test_one_of_them_is_enough(self, pve_cluster, run_module):
        result = run_module("pve_migrate", {"vmid": 100, "nodes": ["pve3", "pve1"]})
        assert (result.changed, result["node"]) == (False, "pve1")

    def test_what_a_node_lacks(self, pve_cluster, run_module):
        """pve3 has more memory, but neither the bridge nor a place among the nodes that are online."""
        pve_cluster.add_guest(110, "app", storage="shared", status="running", config={"net0": "virtio,bridge=vmbr7"})
        for node in ("pve1", "pve2"):
            pve_cluster.set_bridges(node, "vmbr0", "vmbr7")
        pve_cluster.set_node_facts("pve2", mem=20 * GIB)
        assert agree(run_module, {"vmid": 110, "nodes": ["pve2", "pve3"]})["node"] == "pve2"

    def test_no_node_has_what_it_needs(self, pve_cluster, run_module):
        pve_cluster.add_guest(110, "app", storage="shared", status="running", config={"memory": "8192"})
        pve_cluster.set_node_facts("pve2", mem=30 * GIB)
        pve_cluster.set_node_offline("pve3")
        result = run_module("pve_migrate", {"vmid": 110, "nodes": ["pve2", "pve3"]}, check=True)
        assert result.msg == (
            "guest 110 (app) cannot be moved from node pve1 to pve2: 2.0 GiB of memory is free, and it needs 8.0 GiB, "
            "to pve3: node pve3 is offline"
        )
        forced = {"vmid": 110, "nodes": ["pve2", "pve3"], "overcommit_memory": True}
        assert run_module("pve_migrate", forced)["node"] == "pve2"


# ---- what PVE refuses: foretold, and where nobody can foretell it, explained


def running(**options):
    def add(pve):
        pve.add_guest(110, "app", **{"storage": "shared", "status": "running", **options})

    return add


def with_snapshot(pve, status="running"):
    pve.add_guest(110, "app", status=status)
    pve.call(lambda: pve.server.vm(110).snapshots.__setitem__("one", dict(pve.server.vm(110).config)))


def with_snapshot_stopped(pve):
    with_snapshot(pve, "stopped")


def storage_elsewhere(pve):
    pve.add_guest(110, "app")
    pve.restrict_storage("local-lvm", "pve1")


def mapped(*nodes: str, live: bool = False) -> Callable[[Any], None]:
    def add(pve):
        running(config={"hostpci0": "mapping=gpu"})(pve)
        pve.add_mapping("gpu", *nodes, live=live)

    return add


def apart(pve):
    running(ha_state="started")(pve)
    pve.add_guest(111, "other", storage="shared", node="pve2", ha_state="started")
    pve.keep_apart("vm:110", "vm:111")


def at_home(pve):
    running(ha_state="started")(pve)
    pve.add_ha_rule("stay", "vm:110", nodes="pve1:2,pve2:1")


def in_a_group(pve):
    running(ha_state="started")(pve)
    pve.add_ha_group("stay", nodes="pve1:2,pve2:1")
    pve.call(lambda: setattr(pve.server.guest(110), "ha_group", "stay"))


def other_cpu(pve):
    running(config={"cpu": "host"})(pve)
    pve.set_cpu("pve2", "Another one")


def bound(pve):
    pve.add_container(110, "app", config={"mp0": "/srv/data,mp=/data"})


def container_storage(pve):
    pve.add_container(110, "app")
    pve.restrict_storage("local-lvm", "pve1")


def replicated(pve):
    running()(pve)
    pve.replicate(110, "pve3")


def full(pve):
    pve.add_guest(110, "app")
    pve.fill_storage("vmstore")


def full_for_the_second_disk(pve):
    full(pve)

    def add() -> None:
        pve.server.guest(110).config.update(scsi1="local-lvm:vm-110-disk-1,size=4G")
        seed.allocate_volumes(pve.server, pve.server.guest(110))
        first = pve.server.storages["local-lvm"]["volumes"]["vm-110-disk-0"]
        pve.server.storages["vmstore"]["avail"] = first["size"]

    pve.call(add)


def full_while_it_runs(pve):
    full(pve)
    pve.call(lambda: setattr(pve.server.guest(110), "status", "running"))


def full_for_a_container(pve):
    pve.add_container(110, "app", status="running")
    pve.fill_storage("vmstore")


def offline(pve):
    running()(pve)
    pve.set_node_offline("pve2")


def no_quorum(pve):
    running()(pve)
    pve.lose_quorum()


def in_ha_error(pve):
    running(ha_state="error")(pve)


# What is refused, the options beside the node, what the sentence has, and whether check mode foretells it.
REFUSALS = [
    (running(storage="local-lvm"), {}, ["this node only (local-lvm:vm-110-disk-0)", "with_local_disks"], True),
    (running(config=ISO), {}, ["local:iso/debian-13.iso in its drive", "detach it first"], True),
    (running(config={"hostpci0": "0000:01:00"}), {}, ["devices of this node (hostpci0)", "map them"], True),
    (mapped("pve1"), {}, ["the mapping of its devices (hostpci0) has none of node pve2", "add that node"], True),
    (mapped("pve1", "pve2"), {}, ["mapped devices that cannot move while it runs (hostpci0 (gpu))", "stop it"], True),
    (with_snapshot, {"with_local_disks": True}, ["have snapshots (one)", "delete those, or stop it first"], True),
    (with_snapshot_stopped, {}, ["non-migratable snapshot exists", "delete its snapshots", "is on node pve1"], False),
    (storage_elsewhere, {}, ["its storage local-lvm is not there", "target_storage"], True),
    (container_storage, {}, ["its storage local-lvm is not there", "target_storage"], True),
    (running(), {"target_storage": "nowhere"}, ["storage 'nowhere' does not exist", "another storage"], False),
    (full, {"target_storage": "vmstore"}, ["No space left on device", "make room there", "is on node pve1"], False),
    (
        full_for_the_second_disk,
        {"target_storage": "vmstore"},
        ["No space left on device", "make room there", "is on node pve1 and stopped"],
        False,
    ),
    (
        full_while_it_runs,
        {"target_storage": "vmstore", "with_local_disks": True},
        ["No space left on device", "make room there", "is on node pve1 and running"],
        False,
    ),
    (
        full_for_a_container,
        {"target_storage": "vmstore"},
        ["No space left on device", "make room there", "is on node pve1 and running"],
        False,
    ),
    (bound, {}, ["mp0 binds a directory of this node", "mark it as shared"], True),
    (apart, {}, ["an HA rule keeps it apart from vm:111", "choose another node"], True),
    (at_home, {}, ["HA brings it back, as the HA rule stay prefers pve1", "node-maintenance"], True),
    (in_a_group, {}, ["HA brings it back, as the HA group stay prefers pve1", "node-maintenance"], True),
    (in_ha_error, {}, ["is in the HA state error", "ha-manager status"], False),
    (other_cpu, {}, ["it has the CPU type host, and node pve2 has another processor", "check_cpu"], True),
    (replicated, {}, ["not a replication target", "replicate it to that node, or stop it first"], False),
    (offline, {}, ["node pve2 is offline"], True),
    (no_quorum, {}, ["no quorum", "pvecm status"], True),
    (running(lock="backup"), {}, ["is locked (backup), and was not moved", "set wait_for_lock"], True),
    (running(status="stopped", lock="suspended"), {}, ["it is hibernated", "resume it first"], True),
]


@pytest.mark.parametrize(("prepare", "options", "words", "foretold"), REFUSALS)
def test_each_refusal_is_one_sentence_that_says_what_to_do(pve_cluster, run_module, prepare, options, words, foretold):
    prepare(pve_cluster)
    before, config, volumes = pve_cluster.guest(110).lock, pve_cluster.config(110), held(pve_cluster)
    arguments = {"vmid": 110, "node": "pve2", **options}
    check = run_module("pve_migrate", arguments, check=True)
    assert check.failed == foretold, check.msg
    run = run_module("pve_migrate", arguments)
    assert run.failed
    assert not run.changed
    assert [word for word in words if word not in run.msg] == [], run.msg
    assert not foretold or check.msg == run.msg
    assert "\n" not in run.msg
    assert (pve_cluster.guest(110).node, pve_cluster.guest(110).lock) == ("pve1", before)
    assert (pve_cluster.config(110), held(pve_cluster)) == (config, volumes)


def held(pve):
    """The disks of the guest, wherever they are."""
    return [name for storage in ("local-lvm", "vmstore", "shared") for name in pve.volumes(storage) if "-110-" in name]


def test_a_node_that_the_cluster_does_not_have(pve_cluster, run_module):
    result = run_module("pve_migrate", {"vmid": 100, "node": "pve9"}, check=True)
    assert result.msg == "there is no node pve9: the cluster has pve1, pve2, pve3"


def test_a_container_cannot_be_moved_live(pve_cluster, run_module):
    pve_cluster.add_container(210, "app", status="running")
    result = run_module("pve_migrate", {"vmid": 210, "node": "pve2", "online": "always"}, check=True)
    assert "PVE moves a container only by restarting it: set online to auto" in result.msg
    assert not run_module("pve_migrate", {"vmid": 210, "node": "pve2", "online": "auto"}).failed


# ---- rights


class TestRights:
    @pytest.fixture
    def limited(self, pve_cluster):
        """A token that may move guests, and see nothing of nodes, storages and HA."""
        secret = "8d7c1f5e-4f0b-4a55-9c3e-0d1b7c8e9f10"
        pve_cluster.add_token("mover@pve!moves", secret, privilege_separation=True)
        for identity in ("mover@pve", "mover@pve!moves"):
            pve_cluster.grant(identity, "/vms", "VM.Audit", "VM.Migrate")
        pve_cluster.add_guest(110, "app", storage="shared", status="running", config={"cpu": "host"})
        return {"PROXMOX_USER": "mover@pve", "PROXMOX_TOKEN_ID": "moves", "PROXMOX_TOKEN_SECRET": secret}

    def test_a_move_takes_no_more_than_the_one_privilege(self, limited, run_module):
        run = run_module("pve_migrate", {"vmid": 110, "node": "pve2"}, env=limited)
        assert not run.failed, run.msg
        assert run["node"] == "pve2"

    def test_to_choose_a_node_takes_the_sight_of_its_memory(self, limited, run_module):
        result = run_module("pve_migrate", {"vmid": 110, "nodes": ["pve2", "pve3"]}, env=limited)
        assert "grant Sys.Audit on /nodes to see it, or set overcommit_memory" in result.msg
        forced = {"vmid": 110, "nodes": ["pve2", "pve3"], "overcommit_memory": True}
        assert run_module("pve_migrate", forced, env=limited)["node"] == "pve2"

    def test_without_it_pve_says_which_one_is_missing(self, pve_cluster, limited, run_module):
        pve_cluster.call(pve_cluster.server.acl.clear)
        for identity in ("mover@pve", "mover@pve!moves"):
            pve_cluster.grant(identity, "/vms", "VM.Audit")
        result = run_module("pve_migrate", {"vmid": 110, "node": "pve2"}, env=limited)
        assert "lacks the privilege VM.Migrate on /vms/110" in result.msg


# ---- many guests


class TestMany:
    @pytest.fixture
    def cluster(self, pve_cluster):
        """Six guests of 4 GiB on pve1; pve2 has 20 GiB free, pve3 12 GiB."""
        for vmid in range(110, 116):
            options = {"status": "running", "storage": "shared", "config": {"memory": "4096", "tags": "app"}}
            pve_cluster.add_guest(vmid, f"app{vmid}", **options)
        pve_cluster.set_node_facts("pve2", mem=12 * GIB)
        pve_cluster.set_node_facts("pve3", mem=20 * GIB)
        return pve_cluster

    def test_they_are_spread_by_one_plan(self, cluster, run_module):
        arguments = {"select": {"tags": ["app"]}, "defaults": {"nodes": ["pve2", "pve3"]}, "parallel": 2}
        check = run_module("pve_migrations", arguments, check=True, diff=True)
        run = run_module("pve_migrations", arguments, diff=True)
        assert not run.failed, run.msg
        assert (check["diff"], check["summary"]) == (run["diff"], run["summary"])
        nodes = [cluster.guest(vmid).node for vmid in range(110, 116)]
        assert sorted(nodes) == ["pve2"] * 4 + ["pve3"] * 2
        assert nodes == [section["after"]["node"] for section in check["diff"]]
        again = run_module("pve_migrations", arguments)
        assert (again.failed, again.changed) == (False, False)

    def test_what_does_not_fit_stays_and_is_named(self, cluster, run_module):
        cluster.set_node_facts("pve2", mem=26 * GIB)
        cluster.set_node_facts("pve3", mem=26 * GIB)
        result = run_module("pve_migrations", {"select": {"tags": ["app"]}, "defaults": {"nodes": ["pve2", "pve3"]}})
        assert result.failed
        assert result.msg.startswith("4 of 6 guests failed: guest 112: guest 112 (app112) cannot be moved")
        assert "to pve2: 2.0 GiB of memory is free, and it needs 4.0 GiB" in result.msg
        assert sorted(cluster.guest(vmid).node for vmid in range(110, 116)) == ["pve1"] * 4 + ["pve2", "pve3"]

    def test_one_that_cannot_be_moved_does_not_keep_the_others(self, cluster, run_module):
        cluster.call(lambda: cluster.server.vm(112).config.update(ISO))
        guests = [{"vmid": vmid, "node": "pve2"} for vmid in range(110, 114)]
        result = run_module("pve_migrations", {"guests": guests})
        assert result.msg.startswith("1 of 4 guests failed: guest 112: ")
        assert [cluster.guest(vmid).node for vmid in range(110, 114)] == ["pve2", "pve2", "pve1", "pve2"]


# ---- pve_vm and pve_container with another node than the guest's


class TestNodeOfAnotherModule:
    def test_it_stays_and_a_warning_points_here(self, pve_cluster, run_module):
        run = run_module("pve_vm", {"vmid": 100, "node": "pve2", "cores": 3})
        assert (run.failed, run["node"], run["config"]["cores"]) == (False, "pve1", "3")
        words = "guest 100 (web) is on node pve1, not on pve2, and stays there: move it with pve_migrate"
        assert words in str(run["warnings"])
        assert "warnings" not in run_module("pve_vm", {"vmid": 100, "node": "pve1"}).result

    @pytest.mark.parametrize(
        ("module", "arguments", "status"),
        [
            ("pve_vm", {"vmid": 110, "cores": 3}, "running"),
            ("pve_vm", {"vmid": 100, "cores": 3}, "stopped"),
            ("pve_container", {"vmid": 210, "cores": 3}, "running"),
        ],
    )
    def test_it_is_moved_when_that_is_asked_for(self, pve_cluster, run_module, module, arguments, status):
        pve_cluster.add_guest(110, "app", storage="shared", status="running")
        pve_cluster.add_container(210, "box", status="running")
        arguments = {**arguments, "node": "pve2", "migrate": True}
        check = run_module(module, arguments, check=True, diff=True)
        run = run_module(module, arguments, diff=True)
        assert not run.failed, run.msg
        assert (check.changed, check["diff"], check["steps"]) == (run.changed, run["diff"], run["steps"])
        assert (run["node"], run["guest"]["status"]) == ("pve2", status)
        assert run["diff"]["after"]["node"] == "pve2"
        assert not run_module(module, arguments).changed

    def test_what_stands_in_the_way_is_said(self, pve_cluster, run_module):
        pve_cluster.add_guest(110, "app", status="running")
        result = run_module("pve_vm", {"vmid": 110, "node": "pve2", "migrate": True, "cores": 3}, check=True)
        assert "let them be copied by with_local_disks" in result.msg
        assert result.msg.endswith("pve_migrate has further options for this")
        assert "node" in run_module("pve_vm", {"vmid": 110, "migrate": True}).msg
