# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Property strings and sizes: round trips, and when two of them mean the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.numbers import in_full, write_number
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.properties import PropertyFormat
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.sizes import (
    format_size,
    gibibytes,
    parse_size,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.vm_config import (
    DRIVE,
    NIC,
    join_ssh_keys,
    split_ssh_keys,
    value_type_of,
)

WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=8)
MACS = st.lists(st.integers(0, 255), min_size=5, max_size=5).map(
    lambda tail: ":".join(["BC", *(f"{byte:02X}" for byte in tail)])
)
NICS = st.fixed_dictionaries(
    {"model": st.sampled_from(sorted(NIC.models)), "bridge": WORDS},
    optional={
        "macaddr": MACS,
        "tag": st.integers(1, 4094).map(str),
        "firewall": st.sampled_from("01"),
        "rate": st.integers(1, 99).map(str),
        "trunks": st.lists(st.integers(1, 4094).map(str), min_size=1, unique=True).map(";".join),
    },
)
DRIVES = st.fixed_dictionaries(
    {"file": st.builds("{}:{}".format, WORDS, WORDS)},
    optional={
        "size": st.integers(1, 4096).map(lambda gib: f"{gib}G"),
        "ssd": st.sampled_from("01"),
        "cache": st.sampled_from(["none", "writeback"]),
        "discard": st.sampled_from(["on", "ignore"]),
    },
)


@given(NICS)
def test_network_devices_survive_a_round_trip(values: dict[str, str]) -> None:
    assert NIC.parse(NIC.write(values)) == values


@given(DRIVES)
def test_drives_survive_a_round_trip(values: dict[str, str]) -> None:
    assert DRIVE.parse(DRIVE.write(values)) == values


@given(NICS, st.randoms())
def test_the_order_and_spelling_of_a_network_device_do_not_matter(values: dict[str, str], random) -> None:
    parts = [f"{name}={value}" for name, value in values.items()]
    random.shuffle(parts)
    respelled = ",".join(parts).replace("firewall=1", "firewall=on").replace("BC:", "bc:")
    assert value_type_of("net0").same(NIC.write(values), respelled)


@given(NICS, NICS)
def test_network_devices_are_the_same_only_when_what_they_say_is(one: dict[str, str], other: dict[str, str]) -> None:
    def said(values: dict[str, str]) -> dict[str, str]:
        values = {name: value for name, value in values.items() if (name, value) != ("firewall", "0")}
        return {**values, "trunks": frozenset(values.get("trunks", "").split(";"))}

    assert value_type_of("net0").same(NIC.write(one), NIC.write(other)) == (said(one) == said(other))


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("net0", "virtio=bc:24:11:00:00:01,bridge=vmbr0", "model=virtio,macaddr=BC:24:11:00:00:01,bridge=vmbr0"),
        ("net0", "virtio,bridge=vmbr0,firewall=0,link_down=0", "bridge=vmbr0,model=virtio"),
        ("net0", "virtio,trunks=10;20", "virtio,trunks=20;10"),
        ("scsi0", "local-lvm:vm-1-disk-0,size=32G", "file=local-lvm:vm-1-disk-0,size=32768M"),
        ("scsi0", "volume=a:b,ssd=0,backup=1", "a:b"),
        ("ide2", "none,media=cdrom", "media=cdrom,file=none"),
        ("agent", "1", "enabled=1"),
        ("agent", "0", None),
        ("agent", "enabled=yes,type=virtio", "1"),
        ("cpu", "host", "cputype=host"),
        ("cpu", "host,flags=+aes;-pcid", "flags=-pcid;+aes,cputype=host"),
        ("boot", "order=scsi0;net0", "order=scsi0;net0"),
        ("cores", "1", None),
        ("memory", "512", None),
        ("memory", "current=2048", "2048"),
        ("onboot", "0", None),
        ("tablet", "1", None),
        ("tags", "prod;web", "Web prod"),
        ("tags", "", None),
        ("hotplug", "1", "usb,disk,network"),
        ("hotplug", "network,disk,usb", None),
        ("startup", "order=1,up=30", "1,up=30"),
        ("machine", "pc-q35-9.2+pve1", "q35"),
        ("machine", "pc-i440fx-9.2,viommu=virtio", "pc,viommu=virtio"),
        ("vga", "std", None),
        ("description", "notes\n", "notes"),
        ("nameserver", "192.0.2.1 192.0.2.2", "192.0.2.1,192.0.2.2"),
        ("ipconfig0", "gw=192.0.2.1,ip=192.0.2.9/24", "ip=192.0.2.9/24,gw=192.0.2.1"),
        ("sshkeys", "ssh-ed25519%20AAAA%20a%40b%0A", "%23%20admins%0A%0A%20ssh-ed25519%20AAAA%20a%40b"),
        ("args", " -no-hpet ", "-no-hpet"),
        ("args", '"-no-hpet"', "-no-hpet"),
        ("smbios1", "uuid=5d1fdd72-5ab4-4a2d-9a09-e9e57b6b7cc0", "uuid=5d1fdd72-5ab4-4a2d-9a09-e9e57b6b7cc0\n"),
        ("vmgenid", "5d1fdd72-5ab4-4a2d-9a09-e9e57b6b7cc0", "1"),
        ("vmgenid", "5d1fdd72-5ab4-4a2d-9a09-e9e57b6b7cc0", "5D1FDD72-5AB4-4A2D-9A09-E9E57B6B7CC0"),
        ("cpuunits", "10000", "262144"),
        ("scsi0", "a:b,serial=50%25%20x%2Fy", "a:b,serial=50%25%20x%2fy"),
        ("scsi0", "a:b,wwn=0x5000c500a0b1c2d3", "a:b,wwn=0x5000C500A0B1C2D3"),
        ("scsi0", "a:b,detect_zeroes=1,mbps=5.000,snapshot=no", "a:b,mbps=5"),
        ("scsi0", "a:b,iops=5,iops_max=9,iops_rd_length=2", "a:b,iops=5,iops_max=9,iops_rd_max_length=2"),
        ("usb0", "host=0627:0001", "0627:0001,usb3=0"),
        ("efidisk0", "a:b,efitype=4m,pre-enrolled-keys=0", "a:b,efitype=4m"),
    ],
)
def test_values_that_mean_the_same(key: str, one: str, other: str | None) -> None:
    assert value_type_of(key).same(one, other)


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0", "virtio,bridge=vmbr0"),
        ("net0", "virtio,bridge=vmbr0", "virtio,bridge=vmbr0,tag=1"),
        ("scsi0", "local-lvm:vm-1-disk-0,size=32G", "local-lvm:vm-1-disk-0,size=33G"),
        ("agent", "1", None),
        ("boot", "order=scsi0;net0", "order=net0;scsi0"),
        ("boot", " ", None),
        ("vmgenid", "0", "1"),
        ("vmgenid", None, "1"),
        ("cpuunits", "100", "262144"),
        ("args", "-name a  b", "-name a b"),
        ("cores", "2", None),
        ("tags", "prod", "prod;web"),
        ("hotplug", "0", None),
        ("machine", "pc-q35-9.2", "pc-q35-9.0"),
        ("machine", "q35", None),
        ("nameserver", "192.0.2.1 192.0.2.2", "192.0.2.2 192.0.2.1"),
        ("sshkeys", "ssh-ed25519%20AAAA", "ssh-ed25519%20BBBB"),
    ],
)
def test_values_that_differ(key: str, one: str, other: str | None) -> None:
    assert not value_type_of(key).same(one, other)


@pytest.mark.parametrize("value", ["a,b", "a\nb", "a\rb", "a\0b"])
def test_a_value_cannot_bring_in_another_one(value: str) -> None:
    with pytest.raises(InvalidRequest, match="bridge cannot be"):
        NIC.write({"model": "virtio", "bridge": value})


def test_merging_leaves_what_is_not_named() -> None:
    current = "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=5"
    assert NIC.merge(current, {"bridge": "vmbr1", "tag": None}) == "virtio=BC:24:11:00:00:01,bridge=vmbr1,firewall=1"


def test_the_default_key_stands_first_and_bare() -> None:
    form = PropertyFormat(default_key="file")
    assert form.write({"media": "cdrom", "file": "none"}) == "none,media=cdrom"


@given(st.integers(1, 2**50))
def test_sizes_survive_a_round_trip(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(1, 2**40))
def test_an_allocation_is_as_large_as_was_asked_for(kibibytes: int) -> None:
    assert round(float(gibibytes(kibibytes * 1024)) * 1024**2) == kibibytes


@pytest.mark.parametrize(
    ("text", "size"), [("32G", 32 * 2**30), ("32768M", 32 * 2**30), ("0.5T", 2**39), ("528K", 528 * 1024), ("7", 7)]
)
def test_sizes_are_read_in_powers_of_1024(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "large", "-1G", "1X", "1 G B", "+5G"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a size"):
        parse_size(text)


def test_ssh_keys_are_kept_url_encoded_one_a_line() -> None:
    text = join_ssh_keys(["# of the admins\n\nssh-ed25519 AAAA a@b\n", "  ssh-rsa B+/= c"])
    assert text == "ssh-ed25519%20AAAA%20a%40b%0Assh-rsa%20B%2B%2F%3D%20c"
    assert split_ssh_keys(text) == ("ssh-ed25519 AAAA a@b", "ssh-rsa B+/= c")


@given(st.one_of(st.integers(-(10**30), 10**30), st.floats(-1e30, 1e30).filter(lambda value: abs(value) > 1e-4)))
def test_a_number_is_written_in_full(value: float) -> None:
    text = in_full(value)
    assert re.fullmatch(r"-?\d+(\.\d+)?", text)
    assert float(text) == pytest.approx(float(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [(1_000_000, "1000000"), (1e6, "1000000"), (1e22, "1" + 22 * "0"), (1234.567, "1234.567"), (1.2e-06, "0.0000012")],
)
def test_numbers_have_no_exponents(value: float, text: str) -> None:
    assert write_number(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_written(value: float) -> None:
    with pytest.raises(InvalidRequest, match="is not a number that PVE can store"):
        write_number(value)
