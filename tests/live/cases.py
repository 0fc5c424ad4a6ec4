# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every option of pve_vm in some value, and what PVE's configuration says then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC38DhfpeGoKwux2QHXdduzEAmz37mI/3UQurlmNWJ06 a@example"


@dataclass(frozen=True)
class Case:
    """Options, and for each key of PVE's configuration a text that its value has then, or None for no key."""

    name: str
    options: Mapping[str, Any]
    expected: Mapping[str, str | None]
    # What the guest has before, beside what every guest of the suite has.
    first: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    # The options have no effect on a running guest before its next start, or are refused there.
    stopped_only: bool = False


def _disk(**options: Any) -> dict[str, Any]:
    return {"disks": [{"slot": "scsi0", **options}]}


CASES = (
    Case(
        "cpus",
        {"cores": 2, "vcpus": 1, "cpu": "qemu64", "numa": True},
        {"cores": "2", "vcpus": "1", "cpu": "qemu64", "numa": "1"},
    ),
    # A guest starts with as many processors as its node has, and no more: 2 at a time run everywhere.
    Case("sockets", {"sockets": 2}, {"sockets": "2"}),
    Case("memory", {"memory": 128, "balloon": 64}, {"memory": "128", "balloon": "64"}),
    Case(
        "machine",
        {"machine": "q35", "bios": "ovmf", "ostype": "l26", "scsihw": "virtio-scsi-single"},
        {"machine": "q35", "bios": "ovmf", "ostype": "l26", "scsihw": "virtio-scsi-single"},
    ),
    Case("back-to-defaults", {"bios": "seabios", "cores": 1}, {}, first={"bios": "ovmf", "cores": 2}),
    Case(
        "start",
        {"onboot": True, "startup": {"order": 5}, "protection": True, "hotplug": ["disk", "network"]},
        {"onboot": "1", "startup": "order=5,up=30", "protection": "1", "hotplug": "disk,network"},
        first={"startup": {"order": 1, "up": 30}},
    ),
    Case(
        "looks",
        {"description": "Größe: 100 %\n# zwei", "vga": "serial0", "serial_ports": {"serial0": "socket"}},
        {"description": "Größe: 100 %", "vga": "serial0", "serial0": "socket"},
    ),
    Case("agent-and-tablet", {"agent": True, "tablet": False}, {"agent": "1", "tablet": "0"}),
    Case("tags", {"tags": ["prod", "web"]}, {"tags": "prod;web"}, first={"tags": ["old"]}),
    Case("more-tags", {"tags": ["web"], "tags_mode": "add"}, {"tags": "old;web"}, first={"tags": ["old"]}),
    Case(
        "raw-keys",
        {"config": {"cpulimit": 1.5, "rng0": "source=/dev/urandom"}, "remove": ["balloon"]},
        {"cpulimit": "1.5", "rng0": "source=/dev/urandom", "balloon": None},
        first={"balloon": 32},
        stopped_only=True,
    ),
    Case(
        "disk-options",
        _disk(
            ssd=True,
            discard=True,
            backup=False,
            cache="writeback",
            aio="threads",
            replicate=False,
            serial="cbl1",
            iops=1000000,
            mbps=12.5,
        ),
        {"scsi0": "serial=cbl1"},
        needs=("storage",),
    ),
    Case("disk-limits", _disk(mbps_rd=1, mbps_wr=2, iops_rd=100, iops_wr=200), {"scsi0": "iops_wr=200"}),
    Case("disk-size", _disk(size="20M"), {"scsi0": "size=20M"}),
    Case("read-only-and-io-thread", _disk(iothread=True), {"scsi0": "iothread=1"}),
    Case(
        "boot-order",
        {"boot": ["net0", "scsi0"]},
        {"boot": "order=net0;scsi0"},
        first={"networks": [{"slot": "net0", "bridge": "{bridge}"}]},
        needs=("bridge",),
    ),
    Case(
        "network",
        {"networks": [{"slot": "net0", "model": "virtio", "firewall": True, "link_down": True}]},
        {"net0": "link_down=1"},
        first={"networks": [{"slot": "net0", "bridge": "{bridge}", "mac": "BC:24:11:00:00:01"}]},
        needs=("bridge",),
    ),
    # For an MTU PVE takes the card out of a running guest, and only the guest's system can let it go; for a VLAN the
    # bridge needs a network card of the node, for a rate the kernel a policer.
    Case(
        "network-card",
        {"networks": [{"slot": "net0", "model": "virtio", "mtu": 1400, "queues": 2, "vlan": 20, "rate": 12.5}]},
        {"net0": "tag=20"},
        first={"networks": [{"slot": "net0", "bridge": "{bridge}", "mac": "BC:24:11:00:00:01"}]},
        needs=("bridge",),
        stopped_only=True,
    ),
    Case(
        "network-gone",
        {"networks": [{"slot": "net0", "state": "absent"}]},
        {"net0": None},
        first={"networks": [{"slot": "net0", "bridge": "{bridge}"}]},
        needs=("bridge",),
        stopped_only=True,
    ),
    Case(
        "cloud-init",
        {
            "cloud_init": {
                "user": "admin",
                "password": "correct horse",
                "ssh_keys": [KEY],
                "ipconfig": [{"slot": "net0", "ip": "192.0.2.10/24", "gateway": "192.0.2.1", "ip6": "auto"}],
                "nameservers": ["192.0.2.53"],
                "search_domain": "example.org",
                "upgrade": False,
            }
        },
        {"ciuser": "admin", "ipconfig0": "ip=192.0.2.10/24", "searchdomain": "example.org", "ciupgrade": "0"},
        first={"cloud_init": {"storage": "{storage}"}},
    ),
    Case(
        "iso",
        {"disks": [{"slot": "ide0", "iso": "{iso}"}]},
        {"ide0": "media=cdrom"},
        needs=("iso",),
        stopped_only=True,
    ),
    Case(
        "import",
        {"disks": [{"slot": "scsi1", "storage": "{storage}", "import_from": "{import_image}"}]},
        {"scsi1": "{storage}:"},
        needs=("import_image",),
    ),
    Case(
        "efi-and-tpm",
        {
            "bios": "ovmf",
            "efi_disk": {"storage": "{storage}", "type": "4m", "pre_enrolled_keys": False},
            "tpm": {"storage": "{storage}", "version": "v2.0"},
        },
        {"efidisk0": "efitype=4m", "tpmstate0": "version=v2.0"},
        stopped_only=True,
    ),
    Case(
        "detached-disk",
        {"disks": [{"slot": "scsi1", "state": "detached"}]},
        {"scsi1": None, "unused0": "{storage}:"},
        first={"disks": [{"slot": "scsi1", "storage": "{storage}", "size": "16M"}]},
    ),
    Case(
        "deleted-disk",
        {"disks": [{"slot": "scsi1", "state": "absent"}]},
        {"scsi1": None, "unused0": None},
        first={"disks": [{"slot": "scsi1", "storage": "{storage}", "size": "16M"}]},
    ),
    Case(
        "moved-disk",
        {"disks": [{"slot": "scsi0", "storage": "{other_storage}"}]},
        {"scsi0": "{other_storage}:", "unused0": None},
        needs=("other_storage",),
    ),
    Case("usb", {"usb": [{"slot": "usb0", "host": "spice", "usb3": True}]}, {"usb0": "usb3=1"}, stopped_only=True),
)

# Options that no case can be about: what finds or makes the guest, and what needs a device or only root may set.
ELSEWHERE = {
    "migrate",
    "vmid",
    "name",
    "node",
    "pool",
    "state",
    "rename",
    "clone",
    "force",
    "purge",
    "destroy_unreferenced_disks",
    "shutdown_timeout",
    "apply_pending",
    "hostpci",
}


def filled(value: Any, names: Mapping[str, Any]) -> Any:
    """Put the names of a PVE into the place of {storage} and the like."""
    if isinstance(value, dict):
        return {key: filled(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, names) for item in value]
    return value.format(**names) if isinstance(value, str) and value.startswith("{") else value
