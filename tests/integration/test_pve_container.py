# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pve_container as a user runs it: create, clone, configure, move, grow, detach and delete."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.ssh_keys import ED25519
from tests.support.web_server import running_web_server

TEMPLATE = "local:vztmpl/debian-13-standard_13.0-1_amd64.tar.zst"
NEW: dict[str, Any] = {
    "name": "web1",
    "template": TEMPLATE,
    "memory": 1024,
    "cores": 2,
    "swap": 0,
    "password": "correct horse",
    "ssh_keys": [f"{ED25519} admin@example"],
    "tags": ["web", "prod"],
    "description": "made by a test",
    "features": {"nesting": True},
    "nameservers": ["192.0.2.53", "192.0.2.54"],
    "search_domains": ["example.org"],
    "rootfs": {"storage": "local-lvm", "size": "8G"},
    "mount_points": [
        {"slot": "mp0", "path": "/srv", "storage": "vmstore", "size": "100M", "mount_options": ["noatime"]}
    ],
    "networks": [{"slot": "net0", "bridge": "vmbr0", "vlan": 20, "ip": "192.0.2.10/24", "gateway": "192.0.2.1"}],
    "startup": {"order": 2},
}


def writes(pve) -> list[str]:
    return [line for line in pve.summary() if not line.startswith(("GET ", "POST /access/ticket"))]


def checked_then_real(pve, run_module, arguments: dict[str, Any]):
    """Run in check mode, for real, and again; the first two tell the same, the last one changes nothing."""
    before = len(writes(pve))
    checked = run_module("pve_container", arguments, check=True, diff=True)
    assert not checked.failed, checked.msg
    assert len(writes(pve)) == before
    real = run_module("pve_container", arguments, diff=True)
    assert not real.failed, real.msg
    assert checked.changed == real.changed
    assert sorted(checked.diff["after"]) == sorted(real.diff["after"])
    assert checked["steps"] == real["steps"] or not arguments.get("vmid")
    pve.reset_record()
    second = run_module("pve_container", arguments, diff=True)
    assert not second.failed, second.msg
    assert not second.changed, second["steps"]
    return real


def test_a_new_container_is_made_as_asked_for(pve, run_module) -> None:
    result = checked_then_real(pve, run_module, NEW)
    assert len(pve.summary()) == 3  # the second run
    config = pve.config(result["vmid"])
    assert result["guest"]["type"] == "lxc"
    assert (config["hostname"], str(config["memory"]), str(config["swap"])) == ("web1", "1024", "0")
    assert config["unprivileged"] == 1
    assert config["rootfs"].startswith("local-lvm:")
    assert config["mp0"].startswith("vmstore:")
    assert "mountoptions=noatime" in config["mp0"]
    assert "gw=192.0.2.1" in config["net0"]
    assert "name=eth0" in config["net0"]
    assert "correct horse" not in result.stdout


def test_a_container_is_changed(pve, run_module) -> None:
    vmid = run_module("pve_container", NEW)["vmid"]
    mac = pve.config(vmid)["net0"].partition("hwaddr=")[2][:17]
    changed = {
        "vmid": vmid,
        "memory": 2048,
        "rootfs": {"size": "10G"},
        "mount_points": [{"slot": "mp0", "size": "200M", "ro": True}],
        "networks": [{"slot": "net0", "ip": "dhcp", "vlan": 0}, {"slot": "net1", "bridge": "vmbr0"}],
        "remove": ["startup"],
        "search_domains": [],
    }
    result = checked_then_real(pve, run_module, changed)
    config = pve.config(vmid)
    assert "size=10G" in config["rootfs"]
    assert "size=200M" in config["mp0"]
    assert "ro=1" in config["mp0"]
    assert "mp=/srv" in config["mp0"]
    assert mac in config["net0"]
    assert "tag=" not in config["net0"]
    assert "gw=" not in config["net0"]
    assert "name=eth1" in config["net1"]
    assert not {"startup", "searchdomain"} & set(config)
    assert [task["type"] for task in result["tasks"]] == ["resize", "resize"]


def test_volumes_move_while_the_container_is_stopped(pve, run_module) -> None:
    vmid = run_module("pve_container", NEW)["vmid"]
    moved = {
        "vmid": vmid,
        "rootfs": {"storage": "vmstore"},
        "mount_points": [{"slot": "mp0", "storage": "local-lvm", "size": "200M", "backup": True}],
    }
    run_module("pve_vm_power", {"vmid": vmid, "state": "started"})
    refused = run_module("pve_container", moved)
    assert refused.msg == (
        f"rootfs of guest {vmid} (web1) is on local-lvm, and PVE moves no volume of a container that runs: "
        f"stop the guest first"
    )
    run_module("pve_vm_power", {"vmid": vmid, "state": "stopped"})
    result = checked_then_real(pve, run_module, moved)
    config = pve.config(vmid)
    assert config["rootfs"].startswith("vmstore:")
    assert config["mp0"].startswith("local-lvm:")
    assert {"mp=/srv", "mountoptions=noatime", "backup=1", "size=200M"} < set(config["mp0"].split(","))
    assert [task["type"] for task in result["tasks"]] == ["move_volume", "move_volume", "resize"]
    assert len([volume for volume in pve.volumes("local-lvm") if f"vm-{vmid}-" in volume]) == 1


CLONE: dict[str, Any] = {
    "name": "app1",
    "clone": {"source": "base", "storage": "vmstore"},
    "memory": 2048,
    "rootfs": {"size": "10G"},
    "tags": ["app"],
    "networks": [{"slot": "net0", "ip": "dhcp"}],
}


def test_a_clone_is_made_and_configured_in_one_task(pve, run_module) -> None:
    source = run_module("pve_container", {**NEW, "name": "base", "state": "template"})
    assert not source.failed, source.msg
    assert pve.config(source["vmid"])["template"] == 1
    result = checked_then_real(pve, run_module, CLONE)
    config = pve.config(result["vmid"])
    assert (config["hostname"], config["tags"]) == ("app1", "app")
    assert config["rootfs"].startswith("vmstore:")
    assert "size=10G" in config["rootfs"]
    assert "ip=dhcp" in config["net0"]
    assert "template" not in config
    assert [task["type"] for task in result["tasks"]] == ["vzclone", "resize"]


def test_several_containers_are_made_at_the_same_time(pve, run_module) -> None:
    defaults = {key: value for key, value in NEW.items() if key != "name"}
    arguments = {
        "defaults": defaults,
        "guests": [{"name": "web1"}, {"hostname": "web2", "memory": 2048}, {"vmid": 200, "memory": 256}],
    }
    checked = run_module("pve_containers", arguments, check=True, diff=True)
    assert not checked.failed, checked.msg
    assert writes(pve) == []
    real = run_module("pve_containers", arguments, diff=True)
    assert not real.failed, real.msg
    assert checked["diff"] == real["diff"]
    assert [str(pve.config(result["vmid"])["memory"]) for result in real["results"]] == ["1024", "2048", "256"]
    pve.reset_record()
    again = run_module("pve_containers", arguments)
    assert again["summary"] == "3 guests: 0 changed, 3 unchanged"
    assert len(pve.summary()) == 1 + 2 * 3


@pytest.mark.parametrize("way", ["src", "url", "template", "oci_reference"])
def test_a_template_is_fetched_once_for_all_containers(pve, run_module, tmp_path, way: str) -> None:
    name = "alpine-3.22_1_amd64.tar.xz"
    path = tmp_path / name
    path.write_bytes(b"a template")
    with running_web_server() as web:
        url = web.add(name, b"a template")
        pve.add_appliance(name, url, b"a template")
        reference = "docker.io/library/alpine:3.22"
        pve.server.oci_images[reference] = b"a template"
        value = {"src": str(path), "url": url, "template": name, "oci_reference": reference}[way]
        image = {"storage": "local", way: value}
        made = {"image": image, "rootfs": {"storage": "local-lvm", "size": "1G"}}
        result = checked_then_real(pve, run_module, {"vmid": 300, "name": "web1", **made})
        assert result["steps"][-1] == "create guest 300 (web1) on node pve1"
        assert len(result["steps"]) == 2
        file_name = "alpine_3.22.tar" if way == "oci_reference" else name
        assert pve.file_content("local", f"vztmpl/{file_name}") == b"a template"
        pve.reset_record()
        assert run_module("pve_container", {"vmid": 301, **made})["steps"] == ["create guest 301 on node pve1"]


def test_what_a_running_container_cannot_take_is_pending(pve, run_module) -> None:
    pve.add_container(201, "runs", status="running", config={"features": "fuse=1"})
    options = {
        "vmid": 201,
        "memory": 256,
        "features": {"nesting": True},
        "nameservers": ["192.0.2.53"],
        "networks": [{"slot": "net1", "bridge": "vmbr0"}],
    }
    result = checked_then_real(pve, run_module, options)
    assert result["reboot_required"]
    assert {item["key"]: item["pending"] for item in result["pending"]} == {
        "features": "fuse=1,nesting=1",
        "nameserver": "192.0.2.53",
    }
    assert pve.config(201)["memory"] == 256
    # A deletion of what is only pending does nothing in PVE.
    taken_back = checked_then_real(pve, run_module, {"vmid": 201, "remove": ["nameserver"]})
    assert [item["key"] for item in taken_back["pending"]] == ["features"]
    rebooted = checked_then_real(pve, run_module, {"vmid": 201, "apply_pending": "reboot"})
    assert rebooted["pending"] == []
    assert pve.config(201)["features"] == "fuse=1,nesting=1"


def test_what_is_pending_does_not_undo_a_deletion(pve, run_module) -> None:
    """PVE deletes a key at the next start, and sets it again when something else was pending for it."""
    pve.add_container(201, "runs", status="running", config={"nameserver": "192.0.2.1", "mp0": "vmstore:1,mp=/srv"})
    changed = {"vmid": 201, "nameservers": ["192.0.2.2"], "mount_points": [{"slot": "mp0", "ro": True}]}
    assert len(checked_then_real(pve, run_module, changed)["pending"]) == 2
    taken = {"vmid": 201, "nameservers": [], "mount_points": [{"slot": "mp0", "state": "detached"}]}
    result = checked_then_real(pve, run_module, taken)
    assert result["steps"] == [
        "take back what is pending for mp0, nameserver of guest 201 (runs)",
        "unset mp0, nameserver of guest 201 (runs)",
    ]
    checked_then_real(pve, run_module, {"vmid": 201, "apply_pending": "reboot"})
    assert not {"mp0", "nameserver"} & set(pve.config(201))


def test_mount_points_are_detached_and_deleted_only_when_asked(pve, run_module) -> None:
    vmid = run_module("pve_container", NEW)["vmid"]
    volume = pve.config(vmid)["mp0"].partition(",")[0]
    detached = {"vmid": vmid, "mount_points": [{"slot": "mp0", "state": "detached"}]}
    checked_then_real(pve, run_module, detached)
    assert pve.config(vmid)["unused0"] == volume
    again = {"vmid": vmid, "mount_points": [{"slot": "mp1", "path": "/data", "volume": volume}]}
    checked_then_real(pve, run_module, again)
    assert pve.config(vmid)["mp1"].startswith(volume)
    assert "unused0" not in pve.config(vmid)


def test_a_mount_point_is_deleted_with_its_volume(pve, run_module) -> None:
    vmid = run_module("pve_container", NEW)["vmid"]
    result = checked_then_real(pve, run_module, {"vmid": vmid, "mount_points": [{"slot": "mp0", "state": "absent"}]})
    assert result["steps"] == [
        f"delete the disks mp0 of guest {vmid} (web1)",
        f"delete the disks unused0 of guest {vmid} (web1)",
    ]
    assert not {"mp0", "unused0"} & set(pve.config(vmid))


def test_a_running_container_does_not_lose_a_device_to_a_bridge_that_is_not_there(pve, run_module) -> None:
    """PVE takes the old device out before it looks for the new bridge."""
    network = {"slot": "net0", "bridge": "vmbr0"}
    run_module("pve_container", {"vmid": 200, "networks": [network]})
    run_module("pve_vm_power", {"vmid": 200})
    device = pve.config(200)["net0"]
    options = {"vmid": 200, "networks": [{**network, "bridge": "vmbr9", "mac": "BC:24:11:00:00:02"}]}
    for check in (True, False):
        assert "has no bridge vmbr9" in run_module("pve_container", options, check=check).msg
    assert pve.config(200)["net0"] == device
    pve.reset_record()
    # What keeps its bridge is not looked up.
    run_module("pve_container", {"vmid": 200, "networks": [{**network, "mac": "BC:24:11:00:00:02"}]})
    assert [line for line in pve.summary() if line.endswith("/network")] == []


def test_a_container_is_restored_and_configured_in_one_task(pve, run_module) -> None:
    made = run_module("pve_container", NEW)
    before = pve.config(made["vmid"])
    backup = run_module("pve_backup", {"vmid": made["vmid"], "storage": "local", "max_age": "0"})
    assert not backup.failed, backup.msg
    (volume,) = (name for name in pve.server._volumes("local") if name.startswith("backup/"))
    run_module("pve_container", {"vmid": made["vmid"], "state": "absent"})
    restored = {
        "name": "web2",
        "restore": {"backup": f"local:{volume}", "storage": "vmstore"},
        "memory": 2048,
        "rootfs": {"size": "10G"},
        "unprivileged": True,
    }
    result = checked_then_real(pve, run_module, restored)
    config = pve.config(result["vmid"])
    assert (config["hostname"], str(config["memory"])) == ("web2", "2048")
    assert config["description"] == before["description"]
    assert {"size=10G"} < set(config["rootfs"].split(","))
    assert config["rootfs"].startswith("vmstore:")
    assert config["mp0"].startswith("vmstore:")
    assert [task["type"] for task in result["tasks"]] == ["vzrestore", "resize"]
    assert config["net0"] != before["net0"]


@pytest.mark.parametrize(
    ("restore", "message"),
    [
        (
            {"backup": "local:vztmpl/x.tar.zst"},
            "restore: backup 'local:vztmpl/x.tar.zst' is no volume",
        ),
        (
            {"backup": "local:backup/vzdump-lxc-1-2026_11_27-04_00_00.tar.zst"},
            "restore: give storage, where",
        ),
        (
            {"backup": "local:backup/vzdump-lxc-1-2026_11_27-04_00_00.tar.zst", "storage": "vmstore"},
            "volume 'local:backup/vzdump-lxc-1-2026_11_27-04_00_00.tar.zst' does not exist",
        ),
    ],
)
def test_what_cannot_be_restored(pve, run_module, restore: dict[str, Any], message: str) -> None:
    result = run_module("pve_container", {"name": "web2", "restore": restore})
    assert message in result.msg
    assert writes(pve) == []


def test_what_is_for_root_is_done_by_root(pve, run_module) -> None:
    root = {"api_user": "root@pam", "api_password": "secret", "api_token_id": "", "api_token_secret": ""}
    options = {
        "vmid": 200,
        "features": {"keyctl": True, "mount": ["nfs", "cifs"]},
        "mount_points": [{"slot": "mp3", "path": "/srv", "host_path": "/tank/data", "shared": True}],
        "devices": [{"slot": "dev0", "path": "/dev/ttyS0", "mode": "0660", "gid": 20}],
        **root,
    }
    checked_then_real(pve, run_module, options)
    config = pve.config(200)
    assert config["mp3"] == "/tank/data,mp=/srv,shared=1"
    assert config["dev0"] == "/dev/ttyS0,gid=20,mode=0660"
    # Whoever may not set them may leave them as they are.
    del options["api_user"], options["api_password"], options["api_token_id"], options["api_token_secret"]
    assert not run_module("pve_container", options).changed
    taken = {
        "vmid": 200,
        "mount_points": [{"slot": "mp3", "state": "absent"}],
        "devices": [{"slot": "dev0", "state": "absent"}],
        "features": {"keyctl": False},
        **root,
    }
    checked_then_real(pve, run_module, taken)
    assert not {"mp3", "dev0"} & set(pve.config(200))
    assert pve.config(200)["features"] == "mount=nfs;cifs"


def test_a_new_container_must_be_made_of_something(pve, run_module) -> None:
    result = run_module("pve_container", {"name": "web1", "rootfs": {"storage": "local-lvm", "size": "8G"}})
    assert result.msg.startswith("there is no container named 'web1': say by template, image, clone or restore what")
    result = run_module("pve_container", {"name": "web1", "template": TEMPLATE})
    assert result.msg == "rootfs is not there yet: give storage and size"
    assert writes(pve) == []
    result = run_module("pve_container", {**NEW, "template": "local:vztmpl/other.tar.zst"})
    assert result.msg == "template: there is no local:vztmpl/other.tar.zst on node pve1"
    volume = {"slot": "mp0", "path": "/srv", "volume": "local-lvm:vm-200-disk-7"}
    result = run_module("pve_container", {"vmid": 200, "mount_points": [volume]})
    assert result.msg == "mount_points: mp0: there is no local-lvm:vm-200-disk-7 on node pve1"
    assert writes(pve) == []
