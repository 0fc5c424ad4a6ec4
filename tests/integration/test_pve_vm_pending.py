# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pve_vm on running guests: what they take, what they refuse, and what is pending before or afterwards."""

from __future__ import annotations

from typing import Any

import pytest

DB = 101
CONFIG = f"/nodes/pve1/qemu/{DB}/config"


def more_disks(pve, run_module, **disk: Any) -> None:
    """Give the running guest a second disk, in effect, that it does not boot from."""
    disks = [{"slot": "scsi1", "storage": "vmstore", "size": "2G", **disk}]
    assert run_module("pve_vm", {"vmid": DB, "disks": disks}).changed
    pve.call(lambda: pve.server.apply_pending(pve.guest(DB)))


def in_effect(pve, api, **form: Any) -> None:
    """What somebody else writes by the API."""
    assert api("PUT", CONFIG, **form).status_code == 200


# ---- back to what is in effect


@pytest.mark.parametrize(
    ("there", "pending", "option"),
    [
        ({}, {"cpu": "host"}, {"cpu": "kvm64"}),
        ({}, {"bios": "ovmf"}, {"bios": "seabios"}),
        ({}, {"machine": "q35"}, {"machine": "pc"}),
        ({"cores": 2}, {"cores": 4}, {"cores": 2}),
        ({"agent": "1"}, {"agent": "0"}, {"agent": True}),
        ({}, {"boot": "order=net0"}, {"boot": ["scsi0", "net0"]}),
        ({}, {"delete": "agent"}, {"agent": True}),
    ],
)
def test_going_back_takes_the_pending_change_back(pve, api, run_module, there, pending, option) -> None:
    pve.guest(DB).config.update(there)
    in_effect(pve, api, **pending)
    assert pve.pending(DB)
    checked = run_module("pve_vm", {"vmid": DB, **option}, check=True, diff=True)
    result = run_module("pve_vm", {"vmid": DB, **option}, diff=True)
    assert (checked.changed, result.changed) == (True, True)
    assert checked.diff == result.diff
    assert pve.forms("PUT", "/config$")[-1].keys() == {"revert", "digest"}
    assert pve.pending(DB) == {}
    assert not result["reboot_required"]
    assert not run_module("pve_vm", {"vmid": DB, **option}).changed


def test_what_else_is_pending_in_the_same_value_stays(pve, api, run_module) -> None:
    in_effect(pve, api, agent="enabled=0,type=isa")
    assert run_module("pve_vm", {"vmid": DB, "agent": True}).changed
    assert pve.pending(DB) == {"agent": "1,type=isa"}


# ---- what is refused


@pytest.mark.parametrize("network", [{"slot": "net0", "bridge": "vmbr9"}, {"slot": "net5", "bridge": "vmbr9"}])
def test_a_refused_network_device_leaves_nothing(pve, run_module, network) -> None:
    before = pve.config(DB)
    result = run_module("pve_vm", {"vmid": DB, "networks": [network]})
    assert result.failed
    assert not result.changed
    assert "hotplug problem" in result.msg
    assert f"what PVE kept pending of it was taken back: {network['slot']}" in result.msg
    assert (pve.config(DB), pve.pending(DB)) == (before, {})


def test_what_was_applied_all_the_same_is_told(pve, run_module) -> None:
    options = {"description": "both", "cores": 4, "networks": [{"slot": "net5", "bridge": "vmbr9"}]}
    result = run_module("pve_vm", {"vmid": DB, **options})
    assert result.failed
    assert result.changed
    assert result["steps"] == ["set description of guest 101 (db)"]
    assert "what PVE kept pending of it was taken back: cores, net5" in result.msg
    assert result.msg.endswith("changed all the same: description")
    assert (pve.config(DB)["description"], pve.pending(DB)) == ("both", {})


def test_what_cannot_be_taken_back_is_told(pve, run_module) -> None:
    pve.before("POST", f"/{DB}/config$", lambda: pve.lock_guest(DB, "backup"))
    result = run_module("pve_vm", {"vmid": DB, "cores": 4, "networks": [{"slot": "net5", "bridge": "vmbr9"}]})
    assert result.changed
    assert result["steps"] == ["leave pending cores, net5 of guest 101 (db)"]
    assert "to take it back failed: " in result.msg
    assert "PVE keeps pending until the next start: cores, net5" in result.msg


def test_what_was_pending_before_is_not_taken_back(pve, api, run_module) -> None:
    in_effect(pve, api, memory=4096)
    result = run_module("pve_vm", {"vmid": DB, "memory": 4096, "networks": [{"slot": "net5", "bridge": "vmbr9"}]})
    assert result.failed
    assert pve.pending(DB) == {"memory": "4096"}


def test_the_boot_disk_is_not_deleted_either(pve, run_module) -> None:
    before = pve.config(DB)
    result = run_module("pve_vm", {"vmid": DB, "disks": [{"slot": "scsi0", "state": "absent"}]})
    assert "can't unplug bootdisk 'scsi0'" in result.msg
    assert "taken back: boot, scsi0" in result.msg
    assert not result.changed
    assert (pve.config(DB), pve.pending(DB)) == (before, {})


# ---- what goes at the next start is still there


def test_a_disk_that_goes_is_kept_by_a_task_that_wants_it(pve, api, run_module) -> None:
    more_disks(pve, run_module, slot="sata0")
    there = pve.config(DB)["sata0"]
    in_effect(pve, api, delete="sata0")
    disk = {"slot": "sata0", "storage": "vmstore", "size": "2G"}
    kept = run_module("pve_vm", {"vmid": DB, "disks": [disk]}, diff=True)
    assert kept.changed
    assert kept.diff == {"before": {}, "after": {"sata0": there}}
    assert (pve.config(DB)["sata0"], pve.pending(DB)) == (there, {})
    in_effect(pve, api, delete="sata0")
    run_module("pve_vm", {"vmid": DB, "disks": [{**disk, "ssd": True}]})
    assert pve.pending(DB) == {"sata0": f"{there},ssd=1"}


def test_a_disk_that_is_to_be_kept_is_not_deleted_for_good(pve, api, run_module) -> None:
    more_disks(pve, run_module, slot="sata0")
    in_effect(pve, api, delete="sata0", force=1)
    assert run_module("pve_vm", {"vmid": DB, "disks": [{"slot": "sata0", "state": "detached"}]}).changed
    assert not run_module("pve_vm", {"vmid": DB, "disks": [{"slot": "sata0", "state": "detached"}]}).changed
    pve.call(lambda: pve.server.halt_guest(pve.guest(DB)))
    assert pve.config(DB)["unused0"].startswith("vmstore:")


def test_a_network_device_that_goes_keeps_its_address(pve, api, run_module) -> None:
    address = pve.config(DB)["net0"].partition(",")[0]
    pve.guest(DB).config["hotplug"] = "disk"
    in_effect(pve, api, delete="net0")
    assert run_module("pve_vm", {"vmid": DB, "networks": [{"slot": "net0", "bridge": "vmbr0", "vlan": 5}]}).changed
    assert pve.config(DB)["net0"] == f"{address},bridge=vmbr0,tag=5"


def test_the_boot_order_comes_back_with_the_disk(pve, api, run_module) -> None:
    before = pve.config(DB)
    assert api("PUT", CONFIG, delete="scsi0").status_code == 400
    assert set(pve.pending(DB)) == {"boot", "scsi0"}
    assert run_module("pve_vm", {"vmid": DB, "disks": [{"slot": "scsi0", "size": "8G"}]}).changed
    assert (pve.config(DB), pve.pending(DB)) == (before, {})


# ---- disks that are not in effect yet, and sizes that are not written down


def test_a_disk_that_comes_with_the_next_start(pve, run_module) -> None:
    disk = {"slot": "sata0", "storage": "vmstore", "size": "2G"}
    assert run_module("pve_vm", {"vmid": DB, "disks": [disk]}).changed
    assert set(pve.pending(DB)) == {"sata0"}
    assert not run_module("pve_vm", {"vmid": DB, "disks": [disk]}).changed
    for refused in ({**disk, "size": "3G"}, {**disk, "storage": "local-lvm"}):
        result = run_module("pve_vm", {"vmid": DB, "disks": [refused]})
        assert "takes effect at the guest's next start" in result.msg
        assert not result.changed
    volumes = len(pve.server.storages["vmstore"]["volumes"])
    assert run_module("pve_vm", {"vmid": DB, "disks": [{"slot": "sata0", "state": "absent"}]}).changed
    assert len(pve.server.storages["vmstore"]["volumes"]) == volumes - 1
    assert pve.pending(DB) == {}
    assert not [key for key in pve.config(DB) if key.startswith("unused")]


def test_a_size_that_the_configuration_does_not_say(pve, run_module) -> None:
    """As after a restart with a pending entry of the size before: the volume is larger than what is written down."""
    volume = pve.config(100)["scsi0"].partition(",")[0].partition(":")[2]
    pve.server.storages["local-lvm"]["volumes"][volume]["size"] = 12 * 1024**3
    result = run_module("pve_vm", {"vmid": 100, "disks": [{"slot": "scsi0", "size": "12G"}]})
    assert not result.failed, result.msg
    assert "size=12G" in pve.config(100)["scsi0"]
    assert not run_module("pve_vm", {"vmid": 100, "disks": [{"slot": "scsi0", "size": "12G"}]}).changed


def test_the_options_that_somebody_else_has_left_pending_survive_a_move(pve, api, run_module) -> None:
    more_disks(pve, run_module)
    in_effect(pve, api, scsi1=pve.config(DB)["scsi1"] + ",discard=on")
    move = {"slot": "scsi1", "storage": "local-lvm", "ssd": True, "size": "3G"}
    checked = run_module("pve_vm", {"vmid": DB, "disks": [move]}, check=True, diff=True)
    result = run_module("pve_vm", {"vmid": DB, "disks": [move]}, diff=True)
    assert not result.failed, result.msg
    assert sorted(checked.diff["after"]) == sorted(result.diff["after"])
    assert checked["steps"] == result["steps"]
    assert [step.split()[0] for step in result["steps"]] == ["take", "move", "grow", "set"]
    there = pve.config(DB)["scsi1"]
    assert there.startswith("local-lvm:")
    assert pve.pending(DB) == {"scsi1": there.replace(",size=3G", ",discard=on,size=3G,ssd=1")}
    assert not run_module("pve_vm", {"vmid": DB, "disks": [move]}).changed


# ---- what takes longer than an answer may


@pytest.fixture
def slow(pve):
    """A guest that needs longer for each change than pveproxy waits for an answer."""
    pve.knobs.hotplug_seconds, pve.knobs.proxy_seconds = 1.0, 0.4
    return pve


def test_memory_is_taken_out_by_a_task(slow, run_module) -> None:
    slow.guest(DB).config.update(hotplug="network,disk,usb,memory", memory="4096")
    result = run_module("pve_vm", {"vmid": DB, "memory": 2048})
    assert not result.failed, result.msg
    assert [task["type"] for task in result["tasks"]] == ["qmconfig"]
    assert (slow.config(DB)["memory"], slow.pending(DB)) == ("2048", {})


def test_memory_that_the_guest_keeps_is_not_left_for_the_next_start(slow, run_module) -> None:
    slow.guest(DB).config.update(hotplug="network,disk,usb,memory", memory="4096")
    slow.guest(DB).refuses_unplug = ("memory",)
    result = run_module("pve_vm", {"vmid": DB, "memory": 2048})
    assert "error unplug memory module" in result.msg
    assert "taken back: memory" in result.msg
    assert not result.changed
    assert (slow.config(DB)["memory"], slow.pending(DB)) == ("4096", {})


def test_a_disk_is_deleted_by_a_task(slow, run_module) -> None:
    more_disks(slow, run_module)
    result = run_module("pve_vm", {"vmid": DB, "disks": [{"slot": "scsi1", "state": "absent"}]})
    assert not result.failed, result.msg
    (form,) = slow.forms("POST", "/config$")[1:]
    assert (form["delete"], form["force"]) == ("scsi1", "1")
    assert form["digest"]
    assert not [key for key in slow.config(DB) if key.startswith(("scsi1", "unused"))]


# ---- cloud-init


@pytest.fixture
def cloud(pve):
    """The running guest with a cloud-init drive."""
    drive = f"local-lvm:vm-{DB}-cloudinit,media=cdrom"
    pve.remove_guest(DB)
    config = {"agent": "1", "ide2": drive, "ciuser": "alice", "ipconfig0": "ip=dhcp"}
    pve.add_guest(DB, "db", status="running", config=config, agent={})
    return pve


def lacks(result) -> dict[str, tuple[Any, Any]]:
    return {item["key"]: (item["current"], item["pending"]) for item in result["pending"]}


def drives_made(pve) -> int:
    return len([line for line in pve.summary() if line.startswith("PUT") and line.endswith("/cloudinit")])


BOB = {"user": "bob", "ipconfig": [{"slot": "net0", "ip": "192.0.2.5/24"}], "password": "correct horse"}


@pytest.mark.parametrize("regenerate", ["on_change", "never"])
def test_what_a_running_guest_has_not_read_is_told(cloud, run_module, regenerate) -> None:
    options = {"vmid": DB, "cloud_init": {**BOB, "regenerate": regenerate}}
    checked = run_module("pve_vm", options, check=True, diff=True)
    result = run_module("pve_vm", options, diff=True)
    assert not result.failed, result.msg
    assert (checked.changed, result.changed) == (True, True)
    assert checked.diff == result.diff
    assert checked["steps"] == result["steps"]
    for told in (checked, result):
        assert lacks(told) == {
            "cipassword": (None, "********"),
            "ciuser": ("alice", "bob"),
            "ipconfig0": ("ip=dhcp", "ip=192.0.2.5/24"),
        }
        assert told["reboot_required"]
    assert drives_made(cloud) == (0 if regenerate == "never" else 1)
    cloud.reset_record()
    again = run_module("pve_vm", options)
    assert not again.changed
    # What PVE does not tell nobody knows any more: the address. Where nothing is to be made anew nobody asks.
    assert lacks(again) == ({"ciuser": ("alice", "bob")} if regenerate == "never" else {})
    assert len(cloud.summary()) == (4 if regenerate == "never" else 3)


def test_a_drive_that_somebody_else_left_behind_is_made_anew_when_asked_for(cloud, api, run_module) -> None:
    in_effect(cloud, api, ciuser="carol", nameserver="192.0.2.1")
    options = {"vmid": DB, "cloud_init": {"user": "carol"}}
    assert not run_module("pve_vm", options).changed
    options["cloud_init"]["regenerate"] = "always"
    result = run_module("pve_vm", options)
    assert result.changed
    assert result["steps"] == ["make the cloud-init drive of guest 101 (db) anew with ciuser, nameserver"]
    assert lacks(result) == {"ciuser": ("alice", "carol"), "nameserver": (None, "192.0.2.1")}
    assert not run_module("pve_vm", options).changed


def test_a_guest_that_is_rebooted_gets_its_drive_by_that(cloud, api, run_module) -> None:
    in_effect(cloud, api, ciuser="carol")
    options = {"vmid": DB, "apply_pending": "reboot"}
    checked = run_module("pve_vm", options, check=True, diff=True)
    result = run_module("pve_vm", options, diff=True)
    assert (checked.changed, result.changed) == (True, True)
    assert checked.diff == result.diff
    assert [task["type"] for task in result["tasks"]] == ["qmreboot"]
    assert (drives_made(cloud), result["pending"], result["reboot_required"]) == (0, [], False)
    assert not run_module("pve_vm", options).changed


def test_pve_may_make_the_drive_anew_by_itself(cloud, run_module) -> None:
    cloud.guest(DB).config["hotplug"] = "network,disk,usb,cloudinit"
    result = run_module("pve_vm", {"vmid": DB, "cloud_init": {"user": "bob"}})
    assert drives_made(cloud) == 0
    assert lacks(result) == {"ciuser": ("alice", "bob")}


@pytest.mark.parametrize("vmid", [100, DB])
def test_a_guest_without_a_drive_and_a_stopped_one_lack_nothing(pve, run_module, vmid) -> None:
    result = run_module("pve_vm", {"vmid": vmid, "cloud_init": {"user": "bob", "regenerate": "always"}})
    assert result.changed
    assert result["pending"] == []
    assert drives_made(pve) == 0
