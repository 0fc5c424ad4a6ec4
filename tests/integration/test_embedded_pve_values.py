# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the embedded PVE refuses of a value and what it stores, as the real one does."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.support.embedded_pve.values import is_ssh_key, normal_tags, stored_value
from tests.support.ssh_keys import ECDSA, ED25519, RSA

CONFIG = "/nodes/pve1/qemu/100/config"
DISK = "local-lvm:vm-100-disk-0,size=8G"
UUID = "5d1fdd72-5ab4-4a2d-9a09-e9e57b6b7cc0"


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"scsi0": f"{DISK},iops=1e+06"}, "scsi0"),
        ({"scsi0": f"{DISK},serial=50% x/y"}, "scsi0"),
        ({"scsi0": f"{DISK},mbps=5,mbps_rd=5"}, "scsi0"),
        ({"scsi0": f"{DISK},mbps_max=5"}, "scsi0"),
        ({"virtio1": "none,media=cdrom"}, "virtio1"),
        ({"acpi": "no"}, "acpi"),
        ({"ipconfig0": "ip=10.0.0.1/255.255.255.0"}, "ipconfig0"),
        ({"ipconfig0": "ip=10.0.0.1/7"}, "ipconfig0"),
        ({"boot": "order="}, "boot"),
    ],
)
def test_values_that_are_refused_by_name(api, form: dict[str, Any], field: str) -> None:
    answer = api("PUT", CONFIG, **form)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"sshkeys": quote(f"# of the admins\n{ED25519}", safe="")}, "SSH public key validation error"),
        ({"keyboard": "de", "searchdomain": "a\nb"}, "property contains a line feed"),
    ],
)
def test_values_that_are_refused_without_a_name(api, form: dict[str, Any], message: str) -> None:
    answer = api("PUT", CONFIG, **form)
    assert answer.status_code == 500
    assert message in answer.json()["message"]


def test_what_is_stored_of_a_value(api) -> None:
    api.data("PUT", CONFIG, cdrom="none", ciuser='"admin" ', smbios1=f"uuid={UUID}\n", cpuunits=50000, description="0")
    config = api.data("GET", CONFIG)
    assert config["ide2"] == "none,media=cdrom"
    assert (config["ciuser"], config["smbios1"], config["cpuunits"]) == ("admin", f"uuid={UUID}", 10000)
    assert "description" not in config
    assert stored_value("scsi0", f"{DISK},bps=1500000,iops_rd_length=2") == (
        "local-lvm:vm-100-disk-0,iops_rd_max_length=2,mbps=1.431,size=8G"
    )


@pytest.mark.parametrize(
    ("style", "stored"),
    [("", "db;web"), ("case-sensitive=1", "Web;db"), ("ordering=config", "web;db"), ("shape=full", "db;web")],
)
def test_tags_are_stored_by_the_style_of_the_datacenter(pve, api, style: str, stored: str) -> None:
    pve.server.tag_style = style
    api.data("PUT", CONFIG, tags="Web;db")
    assert api.data("GET", CONFIG)["tags"] == stored == normal_tags("Web;db", style)
    assert ("tag-style" in api.data("GET", "/cluster/options")) is bool(style)


def test_an_efi_disk_with_keys_has_the_newest_certificates(api) -> None:
    assert api.task("POST", CONFIG, efidisk0="local-lvm:1,efitype=4m,pre-enrolled-keys=1") == "OK"
    made = api.data("GET", CONFIG)["efidisk0"]
    assert "ms-cert=2023k" in made
    api.data("PUT", CONFIG, efidisk0=made.replace("2023k", "2011"))
    assert "ms-cert=2011" in api.data("GET", CONFIG)["efidisk0"]
    api.data("PUT", CONFIG, efidisk0=made.replace("2023k", "2023"))
    assert "ms-cert=2023k" in api.data("GET", CONFIG)["efidisk0"]


@pytest.mark.parametrize("line", [ED25519, f"{RSA} a", f'command="a  b" {ECDSA} b'])
def test_keys_that_openssh_takes(line: str) -> None:
    assert is_ssh_key(line)


@pytest.mark.parametrize("line", ["# a", f"#{ED25519}", "nonsense", f"{ED25519[:-4]} a", f"ssh-rsa {ED25519[12:]}"])
def test_lines_that_openssh_does_not_take(line: str) -> None:
    assert not is_ssh_key(line)
