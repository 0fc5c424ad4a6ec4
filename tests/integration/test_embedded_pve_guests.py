# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Configurations, disks, clones, power, snapshots and the agent of single guests."""

from __future__ import annotations

WEB = "/nodes/pve1/qemu/100"
DB = "/nodes/pve1/qemu/101"
TEMPLATE = "/nodes/pve1/qemu/9000"


def test_what_the_fixture_holds(pve):
    assert pve.vmids() == [100, 101, 200, 9000]
    assert (pve.status(100), pve.status(101), pve.status(200)) == ("stopped", "running", "stopped")
    assert pve.config(9000)["template"] == 1
    assert pve.volumes("local-lvm") == [
        "local-lvm:base-9000-disk-0",
        "local-lvm:vm-100-disk-0",
        "local-lvm:vm-101-disk-0",
        "local-lvm:vm-200-disk-0",
        "local-lvm:vm-9000-cloudinit",
    ]


def test_a_config_write_is_stored_as_pve_stores_it(pve, api):
    api.data("PUT", WEB + "/config", cores="4", tags="Web;prod,web", scsi1="local-lvm:4", net1="virtio,bridge=vmbr1")
    config = pve.config(100)
    assert config["cores"] == 4
    assert config["tags"] == "prod;web"
    assert config["scsi1"] == "local-lvm:vm-100-disk-1,size=4G"
    assert config["net1"].startswith("virtio=BC:24:11:")


def test_a_nic_without_mac_gets_a_new_one_at_every_write(pve, api):
    macs = set()
    for _poll in range(3):
        api.data("PUT", WEB + "/config", net0="virtio,bridge=vmbr0")
        macs.add(pve.config(100)["net0"])
    assert len(macs) == 3


def test_a_running_guest_takes_nics_and_disks_at_once_and_the_rest_later(pve, api):
    api.data(
        "PUT", DB + "/config", cores=4, memory=4096, net1="virtio,bridge=vmbr1", scsi1="local-lvm:1", description="x"
    )
    assert set(pve.pending(101)) == {"cores", "memory"}
    assert {"net1", "scsi1", "description"} <= set(pve.config(101))
    shown, live = api.data("GET", DB + "/config"), api.data("GET", DB + "/config", current=1)
    assert (shown["cores"], shown["memory"], live["cores"], live["memory"]) == (4, "4096", 2, "2048")
    api.data("PUT", DB + "/config", revert="cores")
    assert set(pve.pending(101)) == {"memory"}
    assert api.task("POST", DB + "/status/stop") == "OK"
    assert (pve.config(101)["memory"], pve.pending(101)) == ("4096", {})


def test_a_detached_disk_is_kept_until_its_unused_entry_goes(pve, api):
    api.data("PUT", WEB + "/config", delete="scsi0")
    assert pve.config(100)["unused0"] == "local-lvm:vm-100-disk-0"
    assert pve.config(100)["boot"] == "order=net0"
    api.data("PUT", WEB + "/config", delete="unused0")
    assert "local-lvm:vm-100-disk-0" not in pve.volumes("local-lvm")


def test_import_cloudinit_and_regeneration(pve, api):
    upid = api.data(
        "POST",
        "/nodes/pve1/qemu",
        vmid=120,
        name="ci",
        scsi0="local-lvm:0,import-from=local:import/debian-13.qcow2",
        ide2="local-lvm:cloudinit",
        ciuser="ops",
        cipassword="secret",
    )
    assert api.finish(upid) == "OK"
    shown = api.data("GET", "/nodes/pve1/qemu/120/config")
    assert shown["scsi0"] == "local-lvm:vm-120-disk-0,size=3G"
    assert shown["ide2"] == "local-lvm:vm-120-cloudinit,media=cdrom"
    assert shown["cipassword"] == "**********"
    assert api("PUT", "/nodes/pve1/qemu/120/cloudinit").status_code == 200


def test_resize_and_move(pve, api):
    assert api.task("PUT", WEB + "/resize", disk="scsi0", size="+2G") == "OK"
    assert pve.config(100)["scsi0"] == "local-lvm:vm-100-disk-0,size=10G"
    assert api.task("PUT", WEB + "/resize", disk="scsi0", size="4G") == "shrinking disks is not supported"
    assert api.task("POST", WEB + "/move_disk", disk="scsi0", storage="vmstore", delete=1) == "OK"
    assert pve.config(100)["scsi0"] == "vmstore:100/vm-100-disk-0.raw,size=10G"
    assert "local-lvm:vm-100-disk-0" not in pve.volumes("local-lvm")


def test_a_linked_clone_on_lvm_is_called_as_every_volume(pve, api):
    assert api.task("POST", TEMPLATE + "/clone", newid=102, name="copy") == "OK"
    assert pve.config(102)["scsi0"] == "local-lvm:vm-102-disk-0,size=8G"
    assert api.task("DELETE", TEMPLATE) == "OK"


def test_a_linked_clone_on_zfs_holds_its_template(pve, api):
    pve.call(lambda: pve.server.storages["local-lvm"].update(type="zfspool"))
    assert api.task("POST", TEMPLATE + "/clone", newid=102, name="copy") == "OK"
    config = pve.config(102)
    assert config["scsi0"] == "local-lvm:base-9000-disk-0/vm-102-disk-0,size=8G"
    assert config["ide2"].startswith("local-lvm:vm-102-cloudinit,media=cdrom")
    assert config["net0"] != pve.config(9000)["net0"]
    held = "base volume 'local-lvm:base-9000-disk-0' is still in use by linked cloned"
    assert api.task("DELETE", TEMPLATE) == held
    assert api.task("DELETE", "/nodes/pve1/qemu/102", purge=1) == "OK"
    assert "local-lvm:base-9000-disk-0" in pve.volumes("local-lvm")
    assert api.task("DELETE", TEMPLATE) == "OK"


def test_a_full_clone_elsewhere(pve, api):
    assert api.task("POST", TEMPLATE + "/clone", newid=102, full=1, storage="vmstore", format="qcow2") == "OK"
    assert pve.config(102)["scsi0"] == "vmstore:102/vm-102-disk-0.qcow2,size=8G"


def test_a_full_storage_fails_the_task_and_leaves_nothing(pve, api):
    before = pve.volumes("local-lvm")
    pve.fill_storage("local-lvm", available=1024**3)
    full = 'lvcreate error: Volume group "pve" has insufficient free space'
    assert api.task("POST", "/nodes/pve1/qemu", vmid=120, scsi0="local-lvm:4").endswith(full)
    assert api.task("POST", TEMPLATE + "/clone", newid=121, full=1) == f"clone failed: {full}"
    assert "lvextend" in api.task("PUT", WEB + "/resize", disk="scsi0", size="+2G")
    assert api("PUT", WEB + "/config", scsi1="local-lvm:4").reason == full
    assert (pve.vmids(), pve.volumes("local-lvm")) == ([100, 101, 200, 9000], before)


def test_rollback_follows_the_ram(pve, api):
    for name, options in (("plain", {}), ("ram", {"vmstate": 1})):
        assert api.task("POST", DB + "/snapshot", snapname=name, **options) == "OK"
    assert api.task("POST", DB + "/snapshot/plain/rollback") == "OK"
    assert pve.status(101) == "stopped"
    assert api.task("POST", DB + "/snapshot/ram/rollback") == "OK"
    assert pve.status(101) == "running"
    assert pve.snapshots(101)["ram"]["vmstate"] == "local-lvm:vm-101-state-ram"


def test_a_missing_bridge_shows_at_start(pve, api):
    pve.set_bridges("pve1", "vmbr1")
    assert api.task("POST", WEB + "/status/start") == "bridge 'vmbr0' does not exist"
    bridges = api.data("GET", "/nodes/pve1/network", type="any_bridge")
    assert [bridge["iface"] for bridge in bridges] == ["vmbr1"]


def test_the_agent(pve, api):
    path = "/agent/network-get-interfaces"
    assert api("GET", WEB + path).reason == "No QEMU guest agent configured"
    pve.set_agent_interfaces(101, [{"name": "eth0", "ip-addresses": [{"ip-address": "192.0.2.44"}]}])
    result = api.data("GET", DB + path)["result"]
    assert result[0]["ip-addresses"][0]["ip-address"] == "192.0.2.44"
    pve.silence_agent(101)
    assert api("GET", DB + path).reason == "QEMU guest agent is not running"


def test_a_deaf_guest_is_killed_only_by_force(pve, api):
    pve.guest(101).acpi = False
    assert api.task("POST", DB + "/status/shutdown", timeout=1) == "VM quit/powerdown failed - got timeout"
    assert api.task("POST", DB + "/status/shutdown", timeout=1, forceStop=1) == "OK"
    assert pve.status(101) == "stopped"


def test_protection_and_locks(pve, api):
    api.data("PUT", WEB + "/config", protection=1)
    assert api("DELETE", WEB).reason == "can't remove VM 100 - protection mode enabled"
    pve.lock_guest(101, "backup")
    assert api("PUT", DB + "/config", cores=1).reason == "VM is locked (backup)"
    assert api.task("POST", DB + "/status/stop") == "VM is locked (backup)"
    assert api.data("GET", DB + "/status/current")["lock"] == "backup"


def test_containers(pve, api):
    ct = "/nodes/pve1/lxc/200"
    assert api.task("POST", ct + "/status/start") == "OK"
    assert pve.status(200) == "running"
    assert api.task("POST", ct + "/snapshot", snapname="before") == "OK"
    assert api.task("POST", ct + "/snapshot/before/rollback") == "OK"
    assert api.task("DELETE", ct + "/snapshot/before") == "OK"
    if pve.status(200) == "running":
        assert api.task("POST", ct + "/status/shutdown") == "OK"
    pve.lock_timeouts(200)
    assert api.task("POST", ct + "/status/start").endswith("got timeout")
