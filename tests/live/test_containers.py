# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers: made, changed, cloned and deleted, and seen, started and spoken to like every guest."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import canaries
from tests.support.inventories import read_inventory

from .world import NAME_PREFIX, World


@pytest.fixture
def vmid(run, new_container) -> int:
    run.once("pve_container", new_container)
    return int(new_container["vmid"])


@pytest.fixture
def running(run, vmid) -> int:
    run.once("pve_vm_power", {"vmid": vmid})
    return vmid


def need_snapshots(world: World, vmid: int) -> None:
    """Not every storage can snapshot the volumes of containers, a directory cannot."""
    if not world.api.data("GET", f"{world.path(vmid)}/feature", feature="snapshot")["hasFeature"]:
        pytest.skip(f"the storage {world.container_storage} has no snapshots of containers")


def card(world: World, **options: Any) -> dict[str, Any]:
    """A card whose address the node sets where it can, since a small template may not look after its network."""
    world.need("bridge")
    if tuple(int(part) for part in world.release().split(".")[:2]) >= (9, 1):
        options["host_managed"] = True
    return {"networks": [{"slot": "net0", "bridge": world.settings.bridge, **options}]}


# ---- made, changed, deleted


def test_a_container_is_made_of_a_template_and_deleted(world, run, new_container):
    run.changes("pve_container", {**new_container, "password": "correct horse", "cores": 1, "tags": ["cbl"]})
    vmid = new_container["vmid"]
    stored = world.config(vmid)
    assert (stored["hostname"], stored["memory"], stored["unprivileged"]) == (new_container["name"], 64, 1)
    assert stored["rootfs"].endswith("size=128M")
    run.changes("pve_container", {"vmid": vmid, "name": new_container["name"], "state": "absent"})
    assert world.node_of(vmid) is None


def test_two_containers_are_made_and_deleted_at_the_same_time(world, run, new_container):
    vmids = world.free_vmids(2)
    shared = {key: value for key, value in new_container.items() if key not in ("vmid", "name")}
    guests = [{"vmid": vmid, "name": f"{NAME_PREFIX}{vmid}"} for vmid in vmids]
    run.changes("pve_containers", {"defaults": shared, "guests": guests})
    assert [world.config(vmid)["memory"] for vmid in vmids] == [64, 64]
    run.changes("pve_containers", {"defaults": {"state": "absent"}, "guests": guests})
    assert [world.node_of(vmid) for vmid in vmids] == [None, None]


def test_a_running_container_is_deleted_only_by_force(world, run, running):
    run.refused("pve_container", {"vmid": running, "state": "absent"}, str(running), "force")
    run.changes("pve_container", {"vmid": running, "state": "absent", "force": True})
    assert world.node_of(running) is None


def test_another_name_is_not_touched(run, vmid):
    other = {"vmid": vmid, "name": f"{NAME_PREFIX}other"}
    run.refused("pve_container", {**other, "memory": 128}, other["name"])
    run.refused("pve_container", {**other, "state": "absent"}, other["name"])
    run.changes("pve_container", {**other, "rename": True})


def test_a_protected_container_is_not_deleted(run, vmid):
    run.changes("pve_container", {"vmid": vmid, "protection": True})
    run.refused("pve_container", {"vmid": vmid, "state": "absent", "force": True}, "protect")


def test_what_a_running_container_takes_at_once_and_what_waits(world, run, running):
    live = {
        "cores": 1,
        "cpulimit": 0.5,
        "memory": 96,
        "swap": 32,
        "description": "Größe",
        "tags": ["a"],
        "onboot": True,
    }
    run.changes("pve_container", {"vmid": running, **live})
    assert world.pending(running) == set()
    stored = world.config(running)
    assert (stored["memory"], stored["cpulimit"], stored["tags"]) == (96, "0.5", "a")
    waits = {"vmid": running, "features": {"nesting": True}, "timezone": "host", "tty": 1}
    found = run.changes("pve_container", waits)
    assert found["reboot_required"]
    assert world.pending(running) == {"features", "timezone", "tty"}
    run.changes("pve_container", {**waits, "apply_pending": "reboot"})
    assert world.pending(running) == set()
    assert (world.config(running)["features"], world.status(running)) == ("nesting=1", "running")


def test_settings_are_unset(world, run, vmid):
    settings = {"cores": 1, "description": "x", "nameservers": ["192.0.2.53"], "startup": {"order": 2}}
    run.changes("pve_container", {"vmid": vmid, **settings})
    run.changes("pve_container", {"vmid": vmid, "remove": ["cores", "nameserver"], "description": "", "startup": {}})
    assert {"cores", "nameserver", "description", "startup"}.isdisjoint(world.config(vmid))


def test_the_kind_of_a_container_stays(run, vmid):
    run.refused("pve_container", {"vmid": vmid, "unprivileged": False}, "unprivileged")


def test_what_only_root_may_do_is_told_before_anything_is_sent(run, vmid):
    run.refused("pve_container", {"vmid": vmid, "cores": 1, "features": {"fuse": True}}, "root@pam")
    mount = {"slot": "mp0", "path": "/mnt", "host_path": "/srv"}
    run.refused("pve_container", {"vmid": vmid, "cores": 1, "mount_points": [mount]}, "root@pam")


@pytest.mark.parametrize("state", ["stopped", "running"])
def test_a_card_keeps_its_address(request, world, run, vmid, state):
    run.changes("pve_container", {"vmid": vmid, **card(world, ip="192.0.2.7/24")})
    mac = world.config(vmid)["net0"].partition("hwaddr=")[2][:17]
    if state == "running":
        run.once("pve_vm_power", {"vmid": vmid})
    run.changes("pve_container", {"vmid": vmid, "networks": [{"slot": "net0", "ip": "192.0.2.8/24", "firewall": True}]})
    stored = world.config(vmid)["net0"]
    assert mac in stored
    assert "ip=192.0.2.8/24" in stored
    assert world.pending(vmid) == set()
    run.changes("pve_container", {"vmid": vmid, "networks": [{"slot": "net0", "state": "absent"}]})
    assert "net0" not in world.config(vmid)


# ---- volumes


@pytest.mark.parametrize("state", ["stopped", "running"])
def test_a_root_file_system_grows_and_does_not_shrink(world, run, vmid, state):
    if state == "running":
        run.once("pve_vm_power", {"vmid": vmid})
    run.changes("pve_container", {"vmid": vmid, "rootfs": {"size": "160M"}})
    assert world.config(vmid)["rootfs"].endswith("size=160M")
    run.refused("pve_container", {"vmid": vmid, "rootfs": {"size": "128M"}}, "128M", "160M")


def test_a_mount_point_is_made_grown_moved_detached_and_deleted(world, run, vmid):
    world.need("other_storage")
    mount = {"slot": "mp0", "path": "/data", "storage": world.container_storage, "size": "32M", "backup": True}
    run.changes("pve_container", {"vmid": vmid, "mount_points": [mount]})
    assert "mp=/data,backup=1,size=32M" in world.config(vmid)["mp0"]
    run.changes(
        "pve_container", {"vmid": vmid, "mount_points": [{"slot": "mp0", "size": "48M", "mount_options": ["noatime"]}]}
    )
    other = next(
        name for name in (world.settings.storage, world.settings.other_storage) if name != world.container_storage
    )
    run.changes("pve_container", {"vmid": vmid, "mount_points": [{"slot": "mp0", "storage": other}]})
    stored = world.config(vmid)
    assert stored["mp0"].startswith(f"{other}:")
    assert "mountoptions=noatime,size=48M" in stored["mp0"]
    run.changes("pve_container", {"vmid": vmid, "mount_points": [{"slot": "mp0", "state": "detached"}]})
    assert world.config(vmid)["unused0"].startswith(f"{other}:")
    run.changes("pve_container", {"vmid": vmid, "mount_points": [{"slot": "unused0", "state": "absent"}]})
    assert {"mp0", "unused0"}.isdisjoint(world.config(vmid))


# ---- copies and snapshots


def test_a_container_becomes_a_template_and_is_cloned(world, run, vmid):
    run.changes("pve_container", {"vmid": vmid, "state": "template"})
    clone = world.free_vmid()
    options = {
        "vmid": clone,
        "name": f"{NAME_PREFIX}clone",
        "pool": world.settings.pool,
        "clone": {"source": str(vmid), "full": True},
        "cores": 1,
        "memory": 80,
    }
    run.changes("pve_container", options)
    stored = world.config(clone)
    assert (stored["hostname"], stored["cores"], stored["memory"]) == (options["name"], 1, 80)
    run.once("pve_container", {"vmid": clone, "state": "absent"})


def test_a_linked_clone_of_a_template(world, run, vmid):
    need_snapshots(world, vmid)
    run.once("pve_container", {"vmid": vmid, "state": "template"})
    clone = {"vmid": world.free_vmid(), "name": f"{NAME_PREFIX}linked", "pool": world.settings.pool}
    run.changes("pve_container", {**clone, "clone": {"source": str(vmid), "full": False}})
    assert f"vm-{clone['vmid']}-disk-0" in world.config(clone["vmid"])["rootfs"]
    run.once("pve_container", {"vmid": clone["vmid"], "state": "absent"})


def test_a_running_container_is_not_cloned(world, run, running):
    options = {"vmid": world.free_vmid(), "name": f"{NAME_PREFIX}clone", "pool": world.settings.pool}
    run.refused("pve_container", {**options, "clone": {"source": str(running)}}, "snapshot")


@pytest.mark.parametrize("state", ["stopped", "running"])
def test_a_snapshot_is_taken_rolled_back_and_deleted(world, run, vmid, state):
    need_snapshots(world, vmid)
    if state == "running":
        run.once("pve_vm_power", {"vmid": vmid})
    run.changes("pve_snapshot", {"vmid": vmid, "snapshot": "one", "description": "first"})
    run.once("pve_container", {"vmid": vmid, "memory": 96})
    run.once("pve_snapshot", {"vmid": vmid, "snapshot": "one", "state": "rolled_back"})
    assert (world.config(vmid)["memory"], world.status(vmid)) == (64, "stopped")
    found = run.once("pve_snapshot_info", {"vmid": vmid})
    assert [(entry["name"], entry["description"]) for entry in found["snapshots"]] == [("one", "first")]
    run.changes("pve_snapshot", {"vmid": vmid, "snapshot": "one", "state": "absent"})
    assert world.snapshots(vmid) == set()


def test_a_storage_without_snapshots_says_so(world, run, vmid):
    if world.api.data("GET", f"{world.path(vmid)}/feature", feature="snapshot")["hasFeature"]:
        pytest.skip(f"the storage {world.container_storage} has snapshots of containers")
    run.refused("pve_snapshot", {"vmid": vmid, "snapshot": "one"}, "snapshot feature is not available")


# ---- like every guest


def test_each_way_from_one_power_state_to_another(world, run, vmid):
    run.changes("pve_vm_power", {"vmid": vmid})
    run.once("pve_vm_power", {"vmid": vmid, "state": "restarted"})
    assert world.status(vmid) == "running"
    run.changes("pve_vm_power", {"vmid": vmid, "state": "stopped"})
    run.changes("pve_vm_power", {"vmid": vmid})
    run.changes("pve_vm_power", {"vmid": vmid, "state": "stopped", "stop_method": "stop"})
    run.refused("pve_vm_power", {"vmid": vmid, "state": "paused"}, "container")
    run.refused("pve_vm_power", {"vmid": vmid, "state": "hibernated"}, "container")


def test_a_container_is_waited_for_until_it_has_its_address(world, run, vmid):
    run.once("pve_container", {"vmid": vmid, **card(world, ip="192.0.2.7/24")})
    found = run.once("pve_vm_power", {"vmid": vmid, "wait_for": ["ip"]})
    assert found["addresses"]["ipv4"] == ["192.0.2.7"]
    described = run.once("pve_vm_info", {"vmid": vmid, "gather": ["config", "pending", "snapshots", "agent"]})
    (entry,) = described["guests"]
    assert (entry["type"], entry["status"], entry["pool"]) == ("lxc", "running", world.settings.pool)
    assert entry["addresses"]["ipv4"] == ["192.0.2.7"]
    assert entry["config"]["hostname"] == entry["name"]


def test_the_inventory_lists_a_container_with_its_card(world, run, running, tmp_path):
    run.once("pve_container", {"vmid": running, **card(world, ip="192.0.2.7/24")})
    text = f"filters: {{pools: [{world.settings.pool}], types: [lxc]}}\ngather: [config, status, snapshots, agent]"
    found = read_inventory(text, home=tmp_path, connection=world.connection)
    assert found.returncode == 0, found.stderr
    host = found.data["_meta"]["hostvars"][f"{NAME_PREFIX}{running}"]
    assert (host["pve_type"], host["pve_vmid"], host["pve_pool"]) == ("lxc", running, world.settings.pool)
    (network,) = host["pve_networks"]
    assert (network["slot"], network["bridge"], network["ip"]) == ("net0", world.settings.bridge, "192.0.2.7/24")


def test_the_tasks_that_made_and_started_it_are_found(run, running):
    found = run.once("pve_task_info", {"vmid": running})
    assert {"vzcreate", "vzstart"} <= {task["type"] for task in found["tasks"]}


def test_its_consoles_are_told(run, running):
    found = run.once("pve_console_info", {"vmid": running})
    assert found["console"]["available"]["terminal"]


@pytest.mark.shows_secrets(canaries.CONSOLE)
def test_commands_run_in_a_container(world, run, running):
    """PVE's API cannot do that; its console can."""
    with world.shell(running):
        steps = [{"run": "echo $((20 + 3)) > /tmp/cbl"}, {"run": "cat /tmp/cbl"}]
        options = {"vmid": running, "unless": "test -e /tmp/cbl", "steps": steps}
        found = run.once("pve_console_script", options)
        assert (found.changed, found["answers"][1]["output"]) == (True, "23\n")
        assert not run.once("pve_console_script", options).changed
        run.once("pve_console_script", {"vmid": running, "steps": [{"run": "rm /tmp/cbl"}]})
