# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wrong requests are refused with one sentence that names the option; right ones become what PVE wants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.change_plan import plan_changes
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.state import GuestState, Origin
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.plan import PlanStep
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.vm.vm_request import vm_request
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import QEMU, Guest
from tests.support.ssh_keys import ED25519, RSA
from tests.support.vm_model import vm_parameters

GUEST = Guest(100, "pve1", QEMU, "web")


def network(**options: Any) -> dict[str, Any]:
    return {"networks": [{"slot": "net0", **options}]}


def disk(**options: Any) -> dict[str, Any]:
    return {"disks": [{"slot": "scsi0", **options}]}


def cloud_init(**options: Any) -> dict[str, Any]:
    return {"cloud_init": options}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vmid": 99}, "vmid must be from 100 to 999999999, not 99"),
        ({"vmid": 1_000_000_000}, "vmid must be from 100 to 999999999, not 1000000000"),
        ({"vmid": None}, "say which guest is meant by vmid or by name"),
        ({"name": "my vm"}, "name 'my vm' is not a DNS name"),
        ({"name": "-web"}, "name '-web' is not a DNS name"),
        ({"name": "a" * 254}, "is not a DNS name"),
        ({"rename": True}, "rename needs both vmid, the guest that is meant, and name"),
        ({"shutdown_timeout": 0}, "shutdown_timeout must be more than 0 seconds, not 0"),
        ({"cores": 0}, "cores must be 1 or more, not 0"),
        ({"memory": 8}, "memory must be 16 or more, not 8"),
        ({"tags": ["two words"]}, "tags: 'two words' is no tag"),
        ({"tags": ["Ünicode"]}, "tags: 'Ünicode' is no tag"),
        ({"serial_ports": {"serial4": "socket"}}, "serial_ports: 'serial4' is no serial port"),
        ({"serial_ports": {"serial0": "tcp"}}, "serial_ports: serial0 must be socket or a device"),
        ({"config": {"digest": "x"}}, "config: 'digest' is no setting"),
        ({"config": {"Bad Key": 1}}, "config: 'Bad Key' is no setting"),
        ({"config": {"scsi0": "local-lvm:4"}}, "config: scsi0 is a disk: use disks"),
        ({"config": {"net0": "virtio"}}, "config: net0 is a network device: use networks"),
        ({"config": {"cipassword": "x"}}, "config: cipassword has an option of its own"),
        ({"config": {"cores": 2}, "cores": 2}, "config: cores is given by an option of its own, too"),
        ({"config": {"args": None}}, "config: args has no value: name it in remove"),
        ({"config": {"args": ""}}, "config: args has no value: name it in remove"),
        ({"config": {"acpi": "maybe"}}, "config: acpi must be a boolean, not 'maybe'"),
        ({"config": {"cpulimit": "much"}}, "config: cpulimit must be a number, not 'much'"),
        ({"config": {"numa0": {"cpus": "0-1"}}}, "config: numa0 must be a text, a number or a boolean"),
        ({"config": {"args": "-a\n-b"}}, "config: args has several lines, and PVE stores one"),
        ({"config": {"cdrom": "none"}}, "config: cdrom is PVE's other name of the drive ide2: use disks"),
        ({"config": {"smp": 2}}, "config: smp is PVE's old name of sockets: use sockets and cores"),
        ({"remove": ["cdrom"]}, "remove: cdrom is PVE's other name of the drive ide2: use disks"),
        ({"remove": ["smp"]}, "remove: smp is PVE's old name of sockets"),
        ({"description": "0\n"}, "description: PVE does not store the text '0'"),
        ({"config": {"description": 0}}, "description: PVE does not store the text '0'"),
        ({"startup": {"order": -1}}, "startup.order must be 0 or more, not -1"),
        ({"remove": ["scsi0"]}, "remove: scsi0 is a disk: set its state"),
        ({"remove": ["name"]}, "remove: a guest keeps its name"),
        ({"remove": ["no such"]}, "remove: 'no such' is no setting"),
        ({"remove": ["memory"], "memory": 512}, "remove: memory is to be set by another option"),
        ({"remove": ["net0"], **network(bridge="vmbr0")}, "remove: net0 is to be set by another option"),
        ({"networks": [{"slot": "net32"}]}, "networks: 'net32' is not a slot"),
        ({"networks": [{"slot": "eth0"}]}, "networks: 'eth0' is not a slot"),
        ({"networks": [{"slot": "net0"}, {"slot": "net0"}]}, "networks names net0 twice"),
        (network(vlan=5000), "networks: net0: vlan must be from 0 to 4094, not 5000"),
        (network(mac="01:00:00:00:00:00"), "networks: net0: mac '01:00:00:00:00:00' is not a unicast address"),
        (network(mac="nonsense"), "networks: net0: mac 'nonsense' is not a unicast address"),
        (network(bridge="vmbr0,tag=1"), "networks: net0: bridge 'vmbr0,tag=1' is not the name of a bridge"),
        (network(trunks=["10-20-30"]), "networks: net0: trunks '10-20-30' is neither a VLAN nor a range"),
        (network(trunks=["5000"]), "networks: net0: trunks must be from 1 to 4094, not 5000"),
        (network(rate=-1.0), "networks: net0: rate must be 0 or more, not -1"),
        (network(state="absent", bridge="vmbr0"), "networks: net0 is absent, so bridge cannot be set"),
        ({"disks": [{"slot": "scsi31"}]}, "disks: 'scsi31' is not a slot"),
        ({"disks": [{"slot": "nvme0"}]}, "disks: 'nvme0' is not a slot"),
        ({"disks": [{"slot": "ide0"}, {"slot": "ide0"}]}, "disks names ide0 twice"),
        (disk(size="large"), "disks: scsi0: size 'large' is not a size"),
        (disk(size="0"), "disks: scsi0: size must be more than 0"),
        (disk(storage="no such"), "disks: scsi0: storage 'no such' is not the name of a storage"),
        (disk(iso="local:iso/a.iso", volume="a:b"), "disks: scsi0: volume and iso exclude each other"),
        (disk(iso="local:iso/a.iso", size="1G"), "disks: scsi0: iso makes a CD-ROM drive"),
        (disk(volume="a:b", storage="c1"), "disks: scsi0: volume names the whole disk"),
        (disk(iso="local:iso/a.iso,media=disk"), "disks: scsi0: iso 'local:iso/a.iso,media=disk' is no volume"),
        (disk(import_from="image.qcow2"), "disks: scsi0: import_from 'image.qcow2' is no volume"),
        (disk(import_from="/mnt/a,b.qcow2"), "disks: scsi0: import_from '/mnt/a,b.qcow2' is no volume"),
        (disk(iso="/var/lib/vz/template/iso/a.iso"), "disks: scsi0: iso '/var/lib/vz/template/iso/a.iso' is no volume"),
        (disk(volume="/etc/passwd"), "disks: scsi0: volume '/etc/passwd' is no volume"),
        ({"disks": [{"slot": "virtio0", "iso": "none"}]}, "disks: virtio0: iso needs an ide, sata or scsi slot"),
        ({"disks": [{"slot": "unused0"}]}, "disks: unused0 can only be detached or absent here: give its volume"),
        ({"disks": [{"slot": "unused0", "state": "detached"}]}, "disks: unused0 is detached already"),
        ({"disks": [{"slot": "unused256", "state": "absent"}]}, "disks: 'unused256' is not a slot"),
        ({"disks": [{"slot": "efidisk0"}]}, "disks: efidisk0 can only be detached or absent here: efi_disk makes it"),
        (
            {"disks": [{"slot": "tpmstate0", "state": "absent"}], "tpm": {"storage": "a1"}},
            "disks: tpmstate0 is taken away, and tpm wants it: give one",
        ),
        (disk(wwn="5000c500a0b1c2d3"), "disks: scsi0: wwn '5000c500a0b1c2d3' is not a name as in 0x"),
        (disk(vendor="too long a name"), "disks: scsi0: vendor 'too long a name' is not up to 8 letters"),
        (disk(serial="x" * 61), "disks: scsi0: serial is longer than the 20 bytes"),
        (disk(queues=1), "disks: scsi0: queues must be 2 or more, not 1"),
        (disk(iops=-1), "disks: scsi0: iops must be 0 or more, not -1"),
        (disk(mbps=float("nan")), "disks: scsi0: mbps must be a number, not nan"),
        (disk(bps=1, mbps=1.0), "disks: scsi0: mbps is the same limit in other units: give one of them"),
        ({"disks": [{"slot": "sata0", "queues": 4}]}, "disks: sata0: queues is only for scsi disks"),
        (disk(state="absent", size="1G"), "disks: scsi0 has the state absent, so size cannot be set"),
        ({"disks": [{"slot": "ide0", "iothread": True}]}, "disks: ide0: iothread is only for scsi and virtio disks"),
        ({"disks": [{"slot": "virtio0", "ssd": True}]}, "disks: virtio0: ssd is only for ide and sata and scsi disks"),
        (cloud_init(slot="net0"), "cloud_init: slot 'net0' is no ide, sata or scsi slot"),
        (cloud_init(nameservers=["ns1"]), "cloud_init: nameservers: 'ns1' is not an address"),
        (cloud_init(ipconfig=[{"slot": "net32", "ip": "dhcp"}]), "ipconfig: 'net32' is no network device"),
        (cloud_init(ipconfig=[{"slot": "net0", "ip": "192.0.2.1"}]), "'192.0.2.1' is neither dhcp nor an address"),
        *(
            (cloud_init(ipconfig=[{"slot": "net0", **wrong}]), f"cloud_init: ipconfig: net0: {message}")
            for wrong, message in (
                ({"ip": "10.0.0.1/255.255.255.0"}, "ip '10.0.0.1/255.255.255.0' needs the length of its prefix, a num"),
                ({"ip": "10.0.0.1/7"}, "ip '10.0.0.1/7' needs the length of its prefix, a number from 8 to 32"),
                ({"ip": "10.0.0.1/33"}, "ip '10.0.0.1/33' needs the length of its prefix"),
                ({"ip": "2001:db8::1/64"}, "ip '2001:db8::1/64' is neither dhcp nor an address as in 192.0.2.10/24"),
                ({"ip6": "192.0.2.1/24"}, "ip6 '192.0.2.1/24' is neither dhcp nor auto nor an address as in 2001:"),
                ({"ip6": "fe80::1%1/64"}, "ip6 'fe80::1%1/64' is neither"),
                ({"ip6": "2001:db8::1/129"}, "ip6 '2001:db8::1/129' needs the length of its prefix, a number from 8"),
                ({"ip": "10.0.0.1/24", "gateway": "2001:db8::1"}, "gateway: '2001:db8::1' is not an IPv4 address"),
            )
        ),
        (cloud_init(ssh_keys=["ssh-ed25519 AAAA"]), "cloud_init: ssh_keys[0] is damaged"),
        (
            cloud_init(ssh_keys=[f"{ED25519} a@b", f"# of the admins\n{RSA} a@b\nssh-rsa {ED25519[12:]}\n"]),
            "cloud_init: ssh_keys[1], line 3, is damaged: it is called ssh-rsa, and what follows is another type",
        ),
        (
            cloud_init(ipconfig=[{"slot": "net0", "ip": "dhcp", "gateway": "192.0.2.1"}]),
            "ipconfig: net0: gateway needs an address in ip",
        ),
        (cloud_init(custom={"user": "a:b,vendor=c:d"}), "cloud_init: custom: user 'a:b,vendor=c:d' is no volume"),
        ({"usb": [{"slot": "usb14", "host": "spice"}]}, "usb: 'usb14' is not a slot"),
        ({"usb": [{"slot": "usb0", "host": "1-1", "mapping": "m"}]}, "usb: usb0: host and mapping exclude each other"),
        ({"hostpci": [{"slot": "pci0", "host": "01:00"}]}, "hostpci: 'pci0' is not a slot"),
        ({"clone": {"source": "5"}}, "clone.source must be from 100"),
        ({"clone": {"source": "a b"}}, "clone.source 'a b' is not a DNS name"),
        (
            {"clone": {"source": "9000", "full": False, "storage": "s1"}},
            "clone: storage and format are only for full",
        ),
        ({"clone": {"source": "9000", "target_node": "pve2"}, "node": "pve1"}, "node is pve1 and clone.target_node is"),
    ],
)
def test_a_wrong_request_is_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        vm_request(vm_parameters(**{"vmid": 100, **options}))
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def plan(values: dict[str, str], origin: Origin = Origin.FOUND, **options: Any) -> list[PlanStep]:
    request = vm_request(vm_parameters(vmid=100, **options))
    steps = plan_changes(request, GuestState(GUEST, values, origin=origin, digest="d" * 40)).steps
    return [step for step in steps if isinstance(step, PlanStep)]


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ({"scsi0": "a:vm-100-disk-0,size=8G"}, disk(size="4G"), "disks: scsi0: size 4G is less than the 8G that guest"),
        (
            {},
            disk(storage="a1"),
            "scsi0 is not there yet: give storage together with size, image or import_from",
        ),
        ({}, disk(size="4G"), "scsi0 is not there yet: give storage together with size, image or import_from"),
        ({"scsi0": "none,media=cdrom"}, disk(size="4G"), "disks: scsi0 of guest 100 (web) is a CD-ROM drive"),
        ({"scsi0": "a:b,size=1G"}, disk(iso="none"), "disks: scsi0 of guest 100 (web) is a disk"),
        ({"scsi0": "a1:b,size=1G"}, disk(volume="a1:c"), "disks: scsi0 of guest 100 (web) holds the volume a1:b"),
        (
            {"ide2": "a:b,size=1G"},
            cloud_init(storage="a1"),
            "the slot ide2 of guest 100 (web) is taken by a:b",
        ),
        ({"efidisk0": "a:b,efitype=2m"}, {"efi_disk": {"type": "4m"}}, "efi_disk of guest 100 (web) has efitype 2m"),
        ({"tpmstate0": "a:b"}, {"tpm": {"version": "v2.0"}}, "tpm of guest 100 (web) has version v1.2, not v2.0"),
        ({}, {"tpm": {"version": "v2.0"}}, "tpm of guest 100 (web) is not there yet: give its storage"),
        (
            {"efidisk0": "a:b,efitype=4m,size=528K"},
            {"efi_disk": {"ms_cert": "2023k"}},
            "efi_disk of guest 100 (web) has no enrolled keys, so ms_cert cannot be set",
        ),
        ({"scsi0": "a:b,mbps=5,size=1G"}, disk(mbps_rd=5.0), "disks: scsi0: mbps and mbps_rd exclude each other"),
        ({"scsi0": "a:b,size=1G"}, disk(mbps_max=5.0), "disks: scsi0: mbps_max needs mbps"),
        ({"scsi0": "a:b,iops=5,size=1G"}, disk(iops_max_length=5), "disks: scsi0: iops_max_length needs iops_max"),
        ({}, {"usb": [{"slot": "usb0", "usb3": True}]}, "usb0 is not there yet: say which device"),
    ],
)
def test_what_does_not_fit_the_guest_is_refused_before_anything_is_sent(
    values: dict[str, str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        plan(values, **options)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("values", "options", "form"),
    [
        ({}, network(bridge="vmbr0"), {"net0": "virtio,bridge=vmbr0"}),
        (
            {"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=5,firewall=1"},
            network(vlan=0),
            {"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1"},
        ),
        ({"net0": "virtio=BC:24:11:00:00:01"}, network(state="absent"), {"delete": "net0"}),
        ({}, disk(storage="local", size="1.5G", format="qcow2"), {"scsi0": "local:1.5,format=qcow2"}),
        ({}, disk(storage="lvm", size="32"), {"scsi0": "lvm:32"}),
        ({}, disk(storage="lvm", size="10485764K"), {"scsi0": "lvm:10.000003814697265625"}),
        ({}, disk(storage="lvm", size="1048575.1K"), {"scsi0": "lvm:1"}),
        (
            {"scsi0": "lvm:vm-100-disk-0,size=1G"},
            disk(iops=1_000_000, mbps=1234.567, serial="50% x/y", bps_rd=0, wwn=""),
            {"scsi0": "lvm:vm-100-disk-0,iops=1000000,mbps=1234.567,serial=50%25%20x%2Fy,size=1G"},
        ),
        (
            {"scsi0": "lvm:vm-100-disk-0,mbps_rd=5,size=1G,wwn=0x5000c500a0b1c2d3"},
            disk(bps_wr=1_500_000, mbps_rd=0.0, wwn="", vendor="ACME", product="DISK 1", queues=4, werror="stop"),
            {"scsi0": "lvm:vm-100-disk-0,mbps_wr=1.431,product=DISK 1,queues=4,size=1G,vendor=ACME,werror=stop"},
        ),
        ({}, disk(storage="lvm", import_from="/mnt/a b.qcow2"), {"scsi0": "lvm:0,import-from=/mnt/a b.qcow2"}),
        ({}, disk(iso="local:iso/a name with blanks.iso"), {"scsi0": "local:iso/a name with blanks.iso,media=cdrom"}),
        ({"efidisk0": "a:b,size=528K"}, {"disks": [{"slot": "efidisk0", "state": "detached"}]}, {"delete": "efidisk0"}),
        ({"startup": "order=1,up=30,down=60"}, {"startup": {"order": 5}}, {"startup": "order=5,down=60,up=30"}),
        ({"startup": "order=1"}, {"startup": {}}, {"delete": "startup"}),
        ({"boot": "order=scsi0"}, {"boot": []}, {"delete": "boot"}),
        ({"tags": "a"}, {"tags": []}, {"delete": "tags"}),
        ({"vga": "serial0"}, {"vga": ""}, {"delete": "vga"}),
        (
            {},
            {"config": {"cpulimit": 1e3, "acpi": "no", "args": " -a ", "vmgenid": 1}},
            {"cpulimit": "1000", "acpi": "0", "args": "-a", "vmgenid": "1"},
        ),
        (
            {"cicustom": "user=a:u,vendor=a:v"},
            cloud_init(custom={"vendor": "a:w", "meta": "a:m"}),
            {"cicustom": "meta=a:m,user=a:u,vendor=a:w"},
        ),
        ({"cicustom": "user=a:u,vendor=a:v"}, cloud_init(custom={"user": ""}), {"cicustom": "vendor=a:v"}),
        ({"cicustom": "user=a:u"}, cloud_init(custom={}), {"delete": "cicustom"}),
        (
            {"ciuser": "admin", "cipassword": "**********"},
            cloud_init(user="", password=""),
            {"delete": "ciuser,cipassword"},
        ),
        (
            {"efidisk0": "a:b,efitype=4m,pre-enrolled-keys=1,size=528K"},
            {"efi_disk": {"ms_cert": "2023k"}},
            {"efidisk0": "a:b,efitype=4m,ms-cert=2023k,pre-enrolled-keys=1,size=528K"},
        ),
        ({}, {"efi_disk": {"storage": "lvm"}}, {"efidisk0": "lvm:1,efitype=4m,pre-enrolled-keys=0"}),
        (
            {},
            disk(storage="lvm", import_from="local:import/a.qcow2", size="8G"),
            {"scsi0": "lvm:0,import-from=local:import/a.qcow2"},
        ),
        (
            {"scsi0": "local:iso/a.iso,media=cdrom,size=17M"},
            disk(iso="local:iso/b.iso"),
            {"scsi0": "local:iso/b.iso,media=cdrom"},
        ),
        ({"scsi0": "a:b,size=1G"}, disk(state="detached"), {"delete": "scsi0"}),
        ({"agent": "1,fstrim_cloned_disks=1"}, {"agent": False}, {"agent": "0,fstrim_cloned_disks=1"}),
        ({"tags": "a;b"}, {"tags": ["C"], "tags_mode": "add"}, {"tags": "C;a;b"}),
        ({"tags": "a;b"}, {"tags": ["c"]}, {"tags": "c"}),
        ({"description": "x"}, {"remove": ["description", "args"]}, {"delete": "description"}),
        ({}, cloud_init(custom={"user": "a:b"}), {"cicustom": "user=a:b"}),
        ({"nameserver": "192.0.2.1"}, cloud_init(nameservers=[]), {"delete": "nameserver"}),
        ({}, {"config": {"kvm": False}}, {"kvm": "0"}),
        ({"usb0": "host=1-1"}, {"usb": [{"slot": "usb0", "mapping": "m1"}]}, {"usb0": "mapping=m1"}),
    ],
)
def test_one_write_says_what_differs_and_carries_the_digest(
    values: dict[str, str], options: dict[str, Any], form: dict[str, str]
) -> None:
    (step,) = plan(values, **options)[:1]
    assert dict(step.command.form) == {**form, "digest": "d" * 40}


def test_a_write_that_makes_disks_is_a_task_and_another_one_is_not() -> None:
    assert plan({}, cores=2)[0].command.method == "PUT"
    assert plan({}, **disk(storage="lvm", size="1G"))[0].command.method == "POST"


@pytest.mark.parametrize(
    ("origin", "values", "update", "is_written"),
    [
        (Origin.FOUND, {}, "on_create", True),
        (Origin.FOUND, {"cipassword": "**********"}, "on_create", False),
        (Origin.FOUND, {"cipassword": "**********"}, "always", True),
        (Origin.CLONED, {"cipassword": "**********"}, "on_create", True),
        (Origin.WRITTEN, {"cipassword": "**********"}, "always", False),
    ],
)
def test_a_password_is_written_when_it_is_due_and_never_shown(
    origin: Origin, values: dict[str, str], update: str, is_written: bool
) -> None:
    steps = plan(values, origin, **cloud_init(password="correct horse", update_password=update))
    assert [step.command.form.get("cipassword") for step in steps] == (["correct horse"] if is_written else [])
    assert "correct horse" not in repr([step.changes for step in steps])
    assert "correct horse" not in repr([step.title for step in steps])


def test_steps_come_in_the_order_that_pve_can_take_them() -> None:
    values = {"scsi0": "lvm:vm-100-disk-0,size=1G", "scsi1": "lvm:vm-100-disk-1,size=1G"}
    steps = plan(
        values,
        state="template",
        cores=2,
        pool="lab",
        disks=[{"slot": "scsi0", "storage": "ceph", "size": "2G"}, {"slot": "scsi1", "state": "absent"}],
    )
    assert [step.command.tail[-1] for step in steps] == ["move_disk", "resize", "config", "config", "pools", "template"]
    assert [bool(step.command.form.get("digest")) for step in steps] == [True, False, False, False, False, False]


def test_a_disk_that_its_storage_has_rounded_up_is_as_large_as_asked_for() -> None:
    assert plan({"scsi0": "lvm:vm-100-disk-0,size=1028M"}, **disk(size="1026M")) == []


def test_a_running_guest_does_not_become_a_template() -> None:
    from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.facts import parse_status

    status = parse_status({"status": "running", "qmpstatus": "running"})
    request = vm_request(vm_parameters(vmid=100, state="template"))
    with pytest.raises(InvalidRequest, match="runs, and a template cannot: stop it first"):
        plan_changes(request, GuestState(GUEST, {}, status))


@pytest.mark.parametrize(
    ("options", "before", "coming", "current", "done"),
    [
        ({"memory": 1024}, {"memory": "2048"}, {"memory": "1024"}, {"memory": "2048"}, False),
        ({"memory": 1024}, {"memory": "2048"}, {"memory": "1024"}, {"memory": "1024"}, True),
        ({"cores": 2}, {"cores": "4"}, {"cores": "2"}, {"cores": "4"}, True),
        ({"disks": [{"slot": "scsi1", "state": "absent"}]}, {"scsi1": "a:b"}, {}, {"scsi1": "a:b"}, False),
        ({"disks": [{"slot": "scsi1", "state": "absent"}]}, {"scsi1": "a:b"}, {}, {}, True),
        ({"disks": [{"slot": "sata1", "state": "absent"}]}, {"sata1": "a:b"}, {}, {"sata1": "a:b"}, True),
        (disk(storage="lvm"), {"scsi0": "a:b,size=1G"}, {"scsi0": "a:b,size=1G,ssd=1"}, {"scsi0": "lvm:c"}, True),
        (disk(size="2G"), {"scsi0": "a:b,size=1G"}, {"scsi0": "a:b,size=1G,ssd=1"}, {"scsi0": "a:b,size=2G"}, True),
    ],
)
def test_a_change_whose_answer_was_lost_is_judged_by_what_the_running_guest_has(
    options: dict[str, Any], before: dict[str, str], coming: dict[str, str], current: dict[str, str], done: bool
) -> None:
    from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.facts import parse_status

    status = parse_status({"status": "running", "qmpstatus": "running"})
    values = {"hotplug": "disk,memory", **before}

    def read_config(**query: Any) -> dict[str, str]:
        return current if query == {"current": 1} else coming

    plan_of = plan_changes(
        vm_request(vm_parameters(vmid=100, **options)), GuestState(GUEST, values, status), read_config
    )
    assert plan_of.steps[0].command.done() is done


@pytest.mark.parametrize(
    ("key", "option"),
    [("unused0", "disks"), ("efidisk0", "disks"), ("tpmstate0", "disks"), ("scsi0", "disks")],
)
def test_a_disk_that_is_absent_is_deleted_with_its_volume(key: str, option: str) -> None:
    (step,) = plan({key: "local:vm-100-disk-0,size=4M"}, **{option: [{"slot": key, "state": "absent"}]})
    form = {"delete": key, "force": 1, "digest": "d" * 40}
    assert (step.command.method, step.command.tail[-1], dict(step.command.form)) == ("POST", "config", form)
    assert plan({}, **{option: [{"slot": key, "state": "absent"}]}) == []


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ({"efidisk0": "a:b,efitype=4m,pre-enrolled-keys=1,size=528K"}, {"efi_disk": {"storage": "lvm"}}),
        ({"tpmstate0": "a:b,size=4M,version=v1.2"}, {"tpm": {"storage": "lvm"}}),
    ],
)
def test_a_firmware_disk_is_moved_as_it_is(values: dict[str, str], options: dict[str, Any]) -> None:
    (step,) = plan(values, **options)
    assert (step.command.tail[-1], step.command.form["storage"]) == ("move_disk", "lvm")


def test_tags_that_differ_by_case_are_the_same_unless_the_datacenter_tells_case() -> None:
    desired = vm_request(vm_parameters(vmid=100, tags=["Web", "db"])).tags
    assert desired is not None
    assert desired.setting("db;web", 100).is_met_by("db;web")
    assert desired.differs_by_case_alone("db;web", 100)
    assert not desired.differs_by_case_alone("db;web;old", 100)
    assert not desired.differs_by_case_alone("Web;db", 100)
    strict = replace(desired, case_sensitive=True).setting("db;web", 100)
    assert not strict.is_met_by("db;web")
    assert strict.target("db;web") == "Web;db"


def test_the_tag_of_a_maintenance_stays_as_long_as_it_is_the_guests_own() -> None:
    desired = vm_request(vm_parameters(vmid=100, tags=["web"])).tags
    assert desired is not None
    own = "evacuated-pve1-100;halted-pve-2-100"
    assert desired.setting(f"db;{own};evacuated-pve1-101;evacuated-people", 100).target("") == f"{own};web"
    assert desired.setting(f"{own};web", 100).is_met_by(f"{own};web")


def test_a_title_says_what_is_set_and_what_is_unset() -> None:
    (step,) = plan({"description": "x", "startup": "order=1"}, cores=2, startup={}, remove=["description"])
    assert step.title == "set cores and unset description, startup of guest 100 (web)"
    (step,) = plan({"description": "x"}, remove=["description"])
    assert step.title == "unset description of guest 100 (web)"
