# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pve_vm as a user runs it: create, clone, change and delete, each in check mode, for real, and again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.ssh_keys import ED25519

NEW_VM: dict[str, Any] = {
    "name": "installer",
    "memory": 4096,
    "cores": 2,
    "ostype": "l26",
    "scsihw": "virtio-scsi-single",
    "boot": ["scsi0", "ide2"],
    "agent": True,
    "bios": "ovmf",
    "machine": "q35",
    "tags": ["web", "prod"],
    "disks": [
        {"slot": "scsi0", "storage": "local-lvm", "size": "32G", "discard": True, "ssd": True},
        {"slot": "scsi1", "storage": "vmstore", "import_from": "local:import/debian-13.qcow2", "size": "10G"},
        {"slot": "ide2", "iso": "local:iso/debian-13.iso"},
    ],
    "networks": [{"slot": "net0", "bridge": "vmbr0", "vlan": 20, "firewall": True}],
    "efi_disk": {"storage": "local-lvm"},
    "tpm": {"storage": "local-lvm"},
    "config": {"cpulimit": 2, "rng0": "source=/dev/urandom"},
}
CLONE: dict[str, Any] = {
    "name": "app1",
    "clone": {"source": "debian-template"},
    "cores": 2,
    "memory": 2048,
    "tags": ["prod", "app"],
    "description": "made by a test",
    "disks": [{"slot": "scsi0", "size": "16G"}],
    "networks": [{"slot": "net0", "vlan": 20}],
    "cloud_init": {
        "user": "admin",
        "password": "correct horse",
        "ssh_keys": [f"{ED25519} admin@example"],
        "ipconfig": [{"slot": "net0", "ip": "192.0.2.10/24", "gateway": "192.0.2.1"}],
        "nameservers": ["192.0.2.53"],
        "search_domain": "example.org",
    },
}


def writes(pve) -> list[str]:
    return [line for line in pve.summary() if not line.startswith("GET ")]


def checked_then_real(pve, run_module, arguments: dict[str, Any], *, again: bool = True):
    """Run in check mode, for real, and again; the first two tell the same, the last one changes nothing."""
    before = len(writes(pve))
    checked = run_module("pve_vm", arguments, check=True, diff=True)
    assert not checked.failed, checked.msg
    assert len(writes(pve)) == before
    real = run_module("pve_vm", arguments, diff=True)
    assert not real.failed, real.msg
    assert checked.changed == real.changed
    assert sorted(checked.diff["after"]) == sorted(real.diff["after"])
    assert set(checked.result.get("guest", {})) == set(real.result.get("guest", {}))
    if again:
        pve.reset_record()
        second = run_module("pve_vm", arguments, diff=True)
        assert not second.failed, second.msg
        assert not second.changed
        assert second.diff == {"before": {}, "after": {}}
        assert pve.connection_count == 1
    return real


def test_a_new_guest_is_made_as_asked_for(pve, run_module) -> None:
    result = checked_then_real(pve, run_module, NEW_VM)
    config = pve.config(result["vmid"])
    assert result.changed
    assert result["guest"]["name"] == "installer"
    assert result["guest"]["status"] == "stopped"
    assert (config["cores"], config["memory"], config["tags"]) == (2, "4096", "prod;web")
    assert config["scsi0"].startswith("local-lvm:vm-")
    assert "size=32G" in config["scsi0"]
    assert "size=10G" in config["scsi1"]
    assert config["net0"].endswith("bridge=vmbr0,firewall=1,tag=20")
    assert len(pve.summary()) == 3  # the second run


def test_a_clone_is_made_and_configured_in_one_task(pve, run_module) -> None:
    result = checked_then_real(pve, run_module, CLONE)
    config = pve.config(result["vmid"])
    assert config["name"] == "app1"
    assert (config["cores"], config["memory"], config["description"]) == (2, "2048", "made by a test")
    assert "size=16G" in config["scsi0"]
    assert config["net0"].endswith(",tag=20")
    assert config["net0"] != pve.config(9000)["net0"]
    assert config["ipconfig0"] == "ip=192.0.2.10/24,gw=192.0.2.1" or "gw=192.0.2.1" in config["ipconfig0"]
    assert "correct horse" not in result.stdout
    assert [task["type"] for task in result["tasks"]] == ["qmclone", "resize"]
    assert result["diff"]["after"]["cipassword"] == "********"
    assert result["diff"]["after"]["sshkeys"] == CLONE["cloud_init"]["ssh_keys"][0]


def test_a_clone_that_is_there_is_changed_and_not_cloned_again(pve, run_module) -> None:
    run_module("pve_vm", CLONE)
    vmids = pve.vmids()
    result = checked_then_real(pve, run_module, {**CLONE, "memory": 3072})
    assert result.changed
    assert pve.vmids() == vmids


@pytest.mark.parametrize(
    ("clone", "form"),
    [
        ({"source": "9000"}, {}),
        ({"source": "9000", "full": True}, {"full": "1"}),
        ({"source": "9000", "storage": "vmstore"}, {"full": "1", "storage": "vmstore"}),
        ({"source": "web"}, {}),
    ],
)
def test_clones_are_linked_or_full_as_pve_allows(pve, run_module, clone: dict[str, Any], form: dict[str, str]) -> None:
    result = run_module("pve_vm", {"vmid": 300, "name": "copy", "clone": clone})
    assert not result.failed, result.msg
    (sent,) = pve.forms("POST", "/clone$")
    assert sent == {"newid": "300", "name": "copy", **form}
    assert result["vmid"] == 300


def test_a_linked_clone_of_a_guest_that_is_no_template_is_refused(pve, run_module) -> None:
    result = run_module("pve_vm", {"vmid": 300, "clone": {"source": "web", "full": False}})
    assert result.msg == "clone: guest 100 (web) is no template, so a linked clone of it cannot be made: set full"
    assert writes(pve) == []


def test_a_clone_of_a_snapshot_has_what_the_snapshot_holds(pve, run_module) -> None:
    run_module("pve_snapshot", {"vmid": 100, "snapshot": "before"})
    run_module("pve_vm", {"vmid": 100, "cores": 4})
    result = run_module("pve_vm", {"vmid": 300, "clone": {"source": "100", "full": True, "snapshot": "before"}})
    assert not result.failed, result.msg
    assert pve.config(300)["cores"] != 4


def test_a_template_comes_before_guests_of_its_name(pve_cluster, run_module) -> None:
    """Any user of the cluster can call a guest so."""
    for vmid, node in ((301, "pve1"), (302, "pve2"), (303, "pve2")):
        pve_cluster.add_guest(vmid, "debian-template", node=node, storage="shared")
    result = run_module("pve_vm", {"name": "far", "node": "pve2", "clone": {"source": "debian-template"}})
    assert not result.failed, result.msg
    assert len(pve_cluster.forms("POST", "/qemu/9000/clone$")) == 1
    assert pve_cluster.guest(result["guest"]["vmid"]).node == "pve2"


def test_a_clone_can_go_to_another_node(pve_cluster, run_module) -> None:
    result = run_module("pve_vm", {"name": "far", "clone": {"source": "9000", "target_node": "pve2"}, "cores": 2})
    assert not result.failed, result.msg
    assert result["node"] == "pve2"
    assert pve_cluster.guest(result["vmid"]).node == "pve2"


def test_every_write_of_the_configuration_carries_the_digest(pve, run_module) -> None:
    run_module("pve_vm", {**CLONE, "vmid": 300})
    run_module("pve_vm", {"vmid": 100, "disks": [{"slot": "scsi0", "size": "64G", "cache": "writeback"}]})
    forms = [*pve.forms("PUT", "/config$"), *pve.forms("POST", "/config$"), *pve.forms("PUT", "/resize$")]
    assert len(forms) == 4
    assert all(len(form["digest"]) == 40 for form in forms)


def test_what_a_running_guest_cannot_take_live_is_pending(pve, run_module) -> None:
    arguments = {"vmid": 101, "memory": 4096, "description": "live", "networks": [{"slot": "net1", "bridge": "vmbr1"}]}
    result = checked_then_real(pve, run_module, arguments)
    assert result["reboot_required"]
    assert [item["key"] for item in result["pending"]] == ["memory"]
    assert result["pending"][0]["pending"] == "4096"
    assert "net1" in pve.config(101)
    assert pve.status(101) == "running"
    assert pve.tasks("qmreboot") == []


def test_pending_changes_are_applied_by_a_reboot_only_when_asked_for(pve, run_module) -> None:
    run_module("pve_vm", {"vmid": 101, "memory": 4096})
    result = checked_then_real(pve, run_module, {"vmid": 101, "memory": 4096, "apply_pending": "reboot"})
    assert result.changed
    assert result["pending"] == []
    assert not result["reboot_required"]
    assert pve.config(101)["memory"] == "4096"
    assert len(pve.tasks("qmreboot")) == 1
    stopped = run_module("pve_vm", {"vmid": 100, "memory": 4096, "apply_pending": "reboot"})
    assert stopped.changed
    assert pve.status(100) == "stopped"


def test_tags_are_set_or_added(pve, run_module) -> None:
    checked_then_real(pve, run_module, {"vmid": 100, "tags": ["b", "A"]})
    assert pve.config(100)["tags"] == "a;b"
    checked_then_real(pve, run_module, {"vmid": 100, "tags": ["c"], "tags_mode": "add"})
    assert pve.config(100)["tags"] == "a;b;c"
    checked_then_real(pve, run_module, {"vmid": 100, "tags": ["c"]})
    assert pve.config(100)["tags"] == "c"


def test_settings_are_removed_once(pve, run_module) -> None:
    run_module("pve_vm", {"vmid": 100, "description": "x", "config": {"cpulimit": 2}})
    result = checked_then_real(pve, run_module, {"vmid": 100, "remove": ["description", "cpulimit", "rng0"]})
    assert result["diff"]["before"] == {"description": "x", "cpulimit": "2"}
    assert result["diff"]["after"] == {}
    assert not {"description", "cpulimit"} & set(pve.config(100))


def test_a_network_device_keeps_its_address_when_other_things_change(pve, run_module) -> None:
    address = pve.config(100)["net0"].split(",")[0]
    for options in (
        {"bridge": "vmbr1"},
        {"vlan": 7},
        {"vlan": 0, "rate": 5.5},
        {"link_down": True},
        {"model": "e1000"},
    ):
        checked_then_real(pve, run_module, {"vmid": 100, "networks": [{"slot": "net0", **options}]})
        assert pve.config(100)["net0"].split(",")[0].split("=")[1] == address.split("=")[1]
    checked_then_real(pve, run_module, {"vmid": 100, "networks": [{"slot": "net0", "state": "absent"}]})
    assert "net0" not in pve.config(100)


def test_disks_grow_move_and_go_only_as_asked(pve, run_module) -> None:
    def disks(*entries: dict[str, Any]):
        return checked_then_real(pve, run_module, {"vmid": 100, "disks": list(entries)})

    volume = pve.config(100)["scsi0"].split(",")[0]
    disks({"slot": "scsi0", "size": "64G"})
    assert "size=64G" in pve.config(100)["scsi0"]
    disks({"slot": "scsi0", "size": "65536M", "ssd": True})
    assert pve.config(100)["scsi0"].startswith(volume)
    moved = disks({"slot": "scsi0", "storage": "vmstore", "format": "qcow2"})
    assert moved["diff"]["after"]["scsi0.storage"] == "vmstore"
    assert pve.config(100)["scsi0"].startswith("vmstore:100/")
    disks({"slot": "scsi1", "storage": "local-lvm", "size": 1})
    disks({"slot": "scsi1", "state": "detached"})
    assert "scsi1" not in pve.config(100)
    unused = pve.config(100)["unused0"]
    assert unused in pve.volumes("local-lvm")
    disks({"slot": "scsi2", "volume": unused})
    assert pve.config(100)["scsi2"].startswith(unused)
    disks({"slot": "scsi2", "state": "absent"})
    assert unused not in pve.volumes("local-lvm")
    disks({"slot": "ide2", "iso": "local:iso/debian-13.iso"})
    disks({"slot": "ide2", "iso": "none"})
    assert "media=cdrom" in pve.config(100)["ide2"]
    disks({"slot": "ide2", "state": "absent"})
    assert "ide2" not in pve.config(100)


def test_a_disk_is_not_shrunk(pve, run_module) -> None:
    run_module("pve_vm", {"vmid": 100, "disks": [{"slot": "scsi0", "size": "64G"}]})
    pve.reset_record()
    result = run_module("pve_vm", {"vmid": 100, "cores": 4, "disks": [{"slot": "scsi0", "size": "63G"}]})
    assert result.msg == (
        "disks: scsi0: size 63G is less than the 64G that guest 100 (web) has: PVE cannot shrink a disk"
    )
    assert writes(pve) == []


def test_the_pool_is_changed_and_left(pve, run_module) -> None:
    pve.add_pool("lab")
    pve.add_pool("prod")
    for pool in ("lab", "prod", ""):
        result = checked_then_real(pve, run_module, {"vmid": 100, "pool": pool})
        assert result["guest"]["pool"] == (pool or None)
    created = checked_then_real(pve, run_module, {"name": "new", "pool": "lab"})
    assert created["guest"]["pool"] == "lab"


def test_a_guest_becomes_a_template_once(pve, run_module) -> None:
    result = checked_then_real(pve, run_module, {"vmid": 100, "cores": 2, "state": "template"})
    assert result["guest"]["template"]
    assert [task["type"] for task in result["tasks"]] == ["qmtemplate"]
    running = run_module("pve_vm", {"vmid": 101, "state": "template"})
    assert running.msg == "guest 101 (db) runs, and a template cannot: stop it first"
    born = checked_then_real(pve, run_module, {"name": "golden", "state": "template", "cores": 2})
    assert str(pve.config(born["vmid"])["template"]) == "1"


def test_a_guest_is_deleted_once(pve, run_module) -> None:
    result = checked_then_real(pve, run_module, {"vmid": 100, "name": "web", "state": "absent"})
    assert result.changed
    assert result["guest"]["vmid"] == 100
    assert 100 not in pve.vmids()
    assert pve.forms("DELETE", "/qemu/100$") in ([{}], [])


def test_a_running_guest_is_deleted_only_by_force(pve, run_module) -> None:
    result = run_module("pve_vm", {"vmid": 101, "state": "absent"})
    assert result.msg == "guest 101 (db) on node pve1 is running: stop it first, or set force to power it off"
    assert not result.changed
    assert checked_then_real(pve, run_module, {"vmid": 101, "state": "absent", "force": True}).changed
    assert 101 not in pve.vmids()


def test_the_wrong_guest_is_never_deleted_nor_changed(pve, run_module) -> None:
    for state in ("absent", "present", "template"):
        result = run_module("pve_vm", {"vmid": 100, "name": "db", "state": state, "cores": 4})
        assert result.msg == "guest 100 on node pve1 is named 'web', not 'db': nothing was changed"
    pve.add_guest(102, "web")
    twins = run_module("pve_vm", {"name": "web", "state": "absent"})
    assert twins.msg == "2 guests are named 'web' (100 on pve1, 102 on pve1): say which one by vmid"
    assert run_module("pve_vm", {"vmid": 200, "state": "absent"}).msg == (
        "guest 200 is a container, not a virtual machine: nothing was changed"
    )
    assert writes(pve) == []


def test_protection_and_ha_have_to_be_lifted_first(pve, run_module) -> None:
    run_module("pve_vm", {"vmid": 100, "protection": True})
    result = run_module("pve_vm", {"vmid": 100, "state": "absent", "force": True, "purge": True})
    assert "is protected against removal: set protection to false first" in result.msg
    run_module("pve_vm", {"vmid": 100, "protection": False})
    pve.set_ha_state(100, "stopped")
    result = run_module("pve_vm", {"vmid": 100, "state": "absent"})
    assert "is an HA resource: set purge to remove it from HA, too" in result.msg
    pve.reset_record()
    result = run_module("pve_vm", {"vmid": 100, "state": "absent", "purge": True, "destroy_unreferenced_disks": True})
    assert not result.failed, result.msg
    (exchange,) = [exchange for exchange in pve.exchanges if exchange.method == "DELETE"]
    assert exchange.query == {"purge": "1", "destroy-unreferenced-disks": "1"}
    assert not exchange.raw_body


def test_a_guest_is_renamed_only_when_the_task_says_so(pve, run_module) -> None:
    result = checked_then_real(pve, run_module, {"vmid": 100, "name": "shop", "rename": True})
    assert result["guest"]["name"] == "shop"
    assert result["diff"] == {"before": {"name": "web"}, "after": {"name": "shop"}}


def test_new_and_renamed_guests_are_found_while_the_lists_are_stale(pve, run_module) -> None:
    pve.resources_lag = 30.0
    first = run_module("pve_vm", {"name": "fresh", "cores": 2})
    again = run_module("pve_vm", {"name": "fresh", "cores": 2})
    assert (first.changed, again.changed) == (True, False)
    assert again["vmid"] == first["vmid"]
    run_module("pve_vm", {"vmid": 100, "name": "shop", "rename": True})
    renamed = run_module("pve_vm", {"name": "shop", "cores": 4})
    assert renamed["vmid"] == 100
    old = run_module("pve_vm", {"name": "web", "state": "absent"})
    assert not old.changed
    assert 100 in pve.vmids()


def test_a_new_guest_goes_where_there_is_room_and_all_it_needs(pve_cluster, run_module) -> None:
    pve = pve_cluster
    pve.set_node_facts("pve1", mem=8 << 30)
    pve.set_node_facts("pve2", mem=4 << 30)
    pve.set_node_facts("pve3", mem=2 << 30)
    disk = {"disks": [{"slot": "scsi0", "storage": "local-lvm", "size": "1G"}]}
    network = {"networks": [{"slot": "net0", "bridge": "vmbr7"}]}
    assert run_module("pve_vm", {"name": "one", **disk})["node"] == "pve3"
    pve.set_bridges("pve2", "vmbr0", "vmbr7")
    assert run_module("pve_vm", {"name": "two", **disk, **network})["node"] == "pve2"
    pve.set_node_offline("pve3")
    assert run_module("pve_vm", {"vmid": 400, **disk})["node"] == "pve2"
    result = run_module("pve_vm", {"vmid": 401, "networks": [{"slot": "net0", "bridge": "vmbr99"}], **disk})
    assert result.msg == (
        "no online node has all that the guest needs: pve2 lacks bridge vmbr99; pve1 lacks bridge vmbr99"
    )
    result = run_module("pve_vm", {"vmid": 401, "disks": [{"slot": "scsi0", "storage": "tape", "size": "1G"}]})
    assert "pve2 lacks storage tape for images" in result.msg


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vmid": 99}, "vmid must be from 100 to 999999999, not 99"),
        ({"name": "no name"}, "name 'no name' is not a DNS name"),
        ({"vmid": 100, "disks": [{"slot": "hda", "size": "1G"}]}, "disks: 'hda' is not a slot"),
        ({"vmid": 100, "networks": [{"slot": "net0", "vlan": 5000}]}, "vlan must be from 0 to 4094, not 5000"),
        (
            {"vmid": 100, "disks": [{"slot": "ide2", "iso": "local:iso/a.iso", "volume": "a:b"}]},
            "disks: ide2: volume and iso exclude each other",
        ),
        ({"vmid": 100, "timeout": 0}, "timeout must be more than 0 seconds, not 0"),
        ({}, "say which guest is meant by vmid or by name"),
    ],
)
def test_bad_input_sends_nothing(pve, run_module, arguments: dict[str, Any], message: str) -> None:
    result = run_module("pve_vm", arguments)
    assert result.failed
    assert message in result.msg
    assert "\n" not in result.msg
    assert result["error"]["kind"] == "invalid_request"
    assert pve.connection_count == 0
