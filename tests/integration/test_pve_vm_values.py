# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values of pve_vm: what PVE takes is met by the second run, and what it would refuse is refused by name before."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.ssh_keys import ED25519, RSA

UUID = "5d1fdd72-5ab4-4a2d-9a09-e9e57b6b7cc0"
AS_ROOT = {"PROXMOX_TOKEN_ID": None, "PROXMOX_TOKEN_SECRET": None, "PROXMOX_PASSWORD": "secret"}


def writes(pve) -> list[str]:
    return [line for line in pve.summary() if not line.startswith("GET ")]


def twice(pve, run_module, arguments: dict[str, Any], **options: Any):
    """Check, run, check and run again: the first two tell the same, the last two change nothing."""
    checked = run_module("pve_vm", arguments, check=True, diff=True, **options)
    assert not checked.failed, checked.msg
    real = run_module("pve_vm", arguments, diff=True, **options)
    assert not real.failed, real.msg
    assert checked.changed
    assert real.changed
    assert checked.diff["after"] == real.diff["after"]
    for check in (True, False):
        again = run_module("pve_vm", arguments, check=check, diff=True, **options)
        assert not again.failed, again.msg
        assert not again.changed, again.diff
    return real


@pytest.mark.parametrize(
    ("options", "config"),
    [
        ({"config": {"acpi": "no", "kvm": "off"}}, {"acpi": 0, "kvm": 0}),
        ({"config": {"cpulimit": 1.5, "cpuunits": 50000.0}}, {"cpulimit": 1.5, "cpuunits": 10000}),
        ({"config": {"smbios1": f"uuid={UUID}\n"}}, {"smbios1": f"uuid={UUID}"}),
        ({"config": {"searchdomain": ' "example.org" '}}, {"searchdomain": "example.org"}),
        ({"startup": {"order": 3, "down": 60}}, {"startup": "order=3,down=60"}),
        ({"tags": ["Web", "db"]}, {"tags": "db;web"}),
        (
            {"disks": [{"slot": "scsi0", "iops": 1_000_000, "mbps": 0.0000012, "serial": "50% x/y",
                        "wwn": "0x5000C500A0B1C2D3", "queues": 4,
                        "vendor": "ACME", "product": "a disk", "werror": "stop", "detect_zeroes": False}]},
            {},
        ),
        (
            {"disks": [{"slot": "scsi0", "mbps": 10, "mbps_max": 20, "bps_max_length": 3, "iops_rd": 5,
                        "iops_rd_max": 9, "iops_rd_max_length": 2, "bps_wr": 0}]},
            {},
        ),
        ({"disks": [{"slot": "scsi1", "storage": "vmstore", "size": "10485764K", "format": "qcow2"}]}, {}),
        ({"disks": [{"slot": "scsi1", "storage": "vmstore", "size": "1048576.3K", "format": "raw"}]}, {}),
        (
            {"cloud_init": {"user": "admin", "custom": {"vendor": "local:snippets/user.yaml"},
                            "ssh_keys": [f"# admins\n\n{ED25519} a\n", f'command="a  b" {RSA} b']}},
            {"ciuser": "admin"},
        ),
    ],
)  # fmt: skip
def test_what_is_taken_is_met_by_the_second_run(pve, run_module, options: dict[str, Any], config: dict[str, Any]):
    twice(pve, run_module, {"vmid": 100, **options})
    assert {key: pve.config(100)[key] for key in config} == config


def test_what_only_root_may_set_is_met_too(pve, run_module) -> None:
    options = {"config": {"args": " -no-hpet  -no-acpi\n", "vmgenid": 1}}
    twice(pve, run_module, {"vmid": 100, **options}, env=AS_ROOT)
    assert pve.config(100)["args"] == "-no-hpet  -no-acpi"
    assert len(pve.config(100)["vmgenid"]) == len(UUID)


@pytest.mark.parametrize(
    ("there", "options", "gone"),
    [
        ({"boot": "order=scsi0"}, {"boot": []}, "boot"),
        ({"boot": " "}, {"boot": []}, "boot"),
        ({"startup": "order=1,up=5"}, {"startup": {}}, "startup"),
        ({"ciuser": "admin"}, {"cloud_init": {"user": ""}}, "ciuser"),
        ({"cipassword": "x"}, {"cloud_init": {"password": ""}}, "cipassword"),
        ({"cicustom": "user=local:snippets/user.yaml"}, {"cloud_init": {"custom": {"user": ""}}}, "cicustom"),
        ({"tags": "a"}, {"tags": []}, "tags"),
        ({"description": "notes"}, {"description": ""}, "description"),
    ],
)
def test_an_empty_value_unsets(pve, run_module, there: dict[str, str], options: dict[str, Any], gone: str) -> None:
    pve.add_guest(110, "there", config=there)
    twice(pve, run_module, {"vmid": 110, **options})
    assert gone not in pve.config(110)


@pytest.mark.parametrize(("style", "requests"), [("", 3), ("case-sensitive=1", 3)])
def test_the_datacenter_is_asked_only_when_tags_differ_by_case_alone(
    pve, run_module, style: str, requests: int
) -> None:
    pve.server.tag_style = style
    pve.add_guest(110, "there", config={"tags": "web"})
    result = run_module("pve_vm", {"vmid": 110, "tags": ["Web"]})
    assert result.changed is bool(style)
    assert pve.config(110)["tags"] == ("Web" if style else "web")
    assert "GET /cluster/options" in pve.summary()
    pve.reset_record()
    assert not run_module("pve_vm", {"vmid": 110, "tags": ["Web" if style else "web"]}).changed
    assert "GET /cluster/options" not in pve.summary()


def test_a_key_that_is_wrong_is_named_before_the_guest_is_made(pve, run_module) -> None:
    keys = [f"{ED25519} a@b", f"# old ones\n{RSA} a@b\n{ED25519[:-1]} c@d\n"]
    options = {"name": "new", "clone": {"source": "debian-template"}, "cloud_init": {"ssh_keys": keys}}
    result = run_module("pve_vm", options)
    assert result.msg == (
        "cloud_init: ssh_keys[1], line 3, is damaged: what follows ssh-ed25519 is not a whole key in base64"
    )
    assert pve.summary() == []


@pytest.mark.parametrize(
    ("brought", "own"),
    [
        ({"vmid": 100, "disks": [{"disk": "scsi3", "state": "absent"}]}, {"vmid": 100}),
        (
            {"vmid": 100, "disks": [{"disk": "scsi1", "target_storage": "vmstore", "size": "1G"}]},
            {"vmid": 100, "disks": [{"slot": "scsi1", "storage": "vmstore", "size": "1G"}]},
        ),
        (
            {"vmid": 100, "disks": [{"disk": "ide2", "iso_image": "local:iso/debian-13.iso"}]},
            {"vmid": 100, "disks": [{"slot": "ide2", "iso": "local:iso/debian-13.iso"}]},
        ),
        (
            {"vmid": 100, "networks": [{"interface": "net1", "bridge": "vmbr0", "tag": 30}]},
            {"vmid": 100, "networks": [{"slot": "net1", "bridge": "vmbr0", "vlan": 30}]},
        ),
        ({"vmid": 100, "networks": [{"interface": "net5", "state": "absent"}]}, {"vmid": 100}),
        ({"vmid": 100, "numa_enabled": True, "serial": {"serial0": "socket"}}, {"vmid": 100, "numa": True}),
        ({"vmid": 100, "cloud_init": {"ciuser": "a", "ciupgrade": False}}, {"vmid": 100, "cloud_init": {"user": "a"}}),
        ({"vmid": 100, "delete": "ostype"}, {"vmid": 100, "remove": ["ostype"]}),
        (
            {"vmid": 100, "efidisk0": {"storage": "vmstore", "efitype": "2m"}, "tpmstate0": {"storage": "vmstore"}},
            {"vmid": 100, "efi_disk": {"type": "2m"}, "tpm": {"version": "v2.0"}},
        ),
    ],
)
def test_names_that_people_bring_along_mean_the_same(pve, run_module, brought: dict[str, Any], own: dict[str, Any]):
    result = run_module("pve_vm", brought)
    assert not result.failed, result.msg
    again = run_module("pve_vm", own)
    assert not again.failed, again.msg
    assert not again.changed


def test_a_clone_with_the_names_that_people_bring_along(pve, run_module) -> None:
    assert not run_module("pve_snapshot", {"hostname": "web", "snapname": "before"}).failed
    clone = {"source": "web", "full": True, "snapname": "before", "target": "pve1"}
    result = run_module("pve_vm", {"vmid": 300, "name": "copy", "clone": clone})
    assert not result.failed, result.msg
    assert (result["vmid"], pve.config(300)["name"]) == (300, "copy")


IMAGE = {"slot": "scsi1", "storage": "vmstore", "import_from": "local:import/debian-13.qcow2"}


@pytest.mark.parametrize(
    "guest", [{"vmid": 100}, {"vmid": 300, "name": "new"}, {"vmid": 300, "clone": {"source": "web"}}]
)
def test_an_image_that_is_larger_than_its_disk_is_refused_before_anything_is_made(pve, run_module, guest) -> None:
    for check in (True, False):
        result = run_module("pve_vm", {**guest, "disks": [{**IMAGE, "size": "2G"}]}, check=check)
        assert result.msg == (
            "disks: scsi1: size 2G is less than the 3G of local:import/debian-13.qcow2: PVE cannot shrink a disk"
        )
        assert writes(pve) == []


@pytest.mark.parametrize(
    "guest", [{"vmid": 100}, {"vmid": 300, "name": "new"}, {"vmid": 300, "clone": {"source": "web"}}]
)
@pytest.mark.parametrize(("size", "grows"), [("10G", True), ("3G", False)])
def test_an_image_and_its_growth_are_one_plan(pve, run_module, guest, size: str, grows: bool) -> None:
    result = twice(pve, run_module, {**guest, "disks": [{**IMAGE, "size": size}]})
    assert any(step.startswith("grow scsi1") for step in result["steps"]) is grows
    # Of a new guest there is nothing before.
    assert result.diff["before"].get("scsi1.size") == ("3G" if grows and guest["vmid"] == 100 else None)
    assert result.diff["after"].get("scsi1.size") == ("10G" if grows else None)
    assert f"size={size}" in pve.config(guest["vmid"])["scsi1"]


def test_root_may_import_a_file_of_the_node_and_a_token_may_not(pve, run_module) -> None:
    pve.server.host_files["/mnt/images/a disk.qcow2"] = 1024**3
    options = {"vmid": 100, "disks": [{**IMAGE, "import_from": "/mnt/images/a disk.qcow2", "size": "2G"}]}
    refused = run_module("pve_vm", options)
    assert "Only root can pass arbitrary filesystem paths" in refused.msg
    twice_as_root = [run_module("pve_vm", options, env=AS_ROOT) for _run in range(2)]
    assert [result.changed for result in twice_as_root] == [True, False], twice_as_root[0].msg
    assert "size=2G" in pve.config(100)["scsi1"]


def test_an_image_that_is_missing_is_named_and_nothing_is_changed(pve, run_module) -> None:
    pve.server.storages["local"]["volumes"].pop("import/debian-13.qcow2")
    result = run_module("pve_vm", {"vmid": 100, "disks": [{**IMAGE, "size": "10G"}]})
    assert result.msg == "disks: scsi1: there is no local:import/debian-13.qcow2 on node pve1"
    assert "scsi1" not in pve.config(100)
