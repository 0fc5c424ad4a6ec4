# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Apply the plan, plan again: nothing is left, nothing is lost, nothing else is touched."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.change_plan import plan_changes
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.state import GuestState, Origin
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.volumes import VolumeProgress
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.plan import PlanStep
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.vm.vm_request import VmRequest, vm_request
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import QEMU, Guest
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.vm_config import DRIVE, DRIVE_KEY, NIC
from tests.support.ssh_keys import ED25519, RSA
from tests.support.vm_model import VmModel, vm_parameters

MOST_STEPS = 30
STORAGES = st.sampled_from(["local-lvm", "ceph"])
GIBIBYTES = st.integers(1, 64)
DISK_SLOTS = st.sampled_from(["scsi0", "scsi1", "ide0", "sata1"])
NETWORK_SLOTS = st.sampled_from(["net0", "net1", "net2"])
BRIDGES = st.sampled_from(["vmbr0", "vmbr1"])


def unique(entries: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(entries, max_size=3, unique_by=lambda entry: entry["slot"])


NEW_DISKS = st.fixed_dictionaries(
    {
        "slot": DISK_SLOTS,
        "storage": STORAGES,
        "size": st.one_of(
            GIBIBYTES.map(lambda number: f"{number}G"),
            st.integers(2**20, 2**26).map(lambda number: f"{number}K"),
            st.sampled_from(["1048576.3K", "1.7G"]),
        ),
    },
    optional={
        "cache": st.sampled_from(["none", "writeback"]),
        "discard": st.booleans(),
        "backup": st.booleans(),
        "serial": st.sampled_from(["A1", "50% x/y", ""]),
        "mbps": st.sampled_from([0.0, 10.0, 1234.567]),
        "iops": st.sampled_from([0, 1_000_000]),
        "wwn": st.sampled_from(["0x5000C500A0B1C2D3", ""]),
        "werror": st.sampled_from(["stop", "enospc"]),
        "detect_zeroes": st.booleans(),
    },
)
NETWORKS = st.fixed_dictionaries(
    {"slot": NETWORK_SLOTS, "bridge": BRIDGES},
    optional={
        "model": st.sampled_from(["virtio", "e1000"]),
        "mac": st.sampled_from(["bc:24:11:00:00:01", "BC:24:11:00:00:02"]),
        "vlan": st.integers(0, 4094),
        "firewall": st.booleans(),
        "link_down": st.booleans(),
        "mtu": st.sampled_from([0, 1, 9000]),
        "rate": st.sampled_from([0.0, 5.0, 12.5]),
        "queues": st.integers(0, 8),
        "trunks": st.sampled_from([[], ["10", "20-30"], ["20-30", "10"]]),
    },
)
SETTINGS = {
    "cores": st.integers(1, 8),
    "sockets": st.integers(1, 4),
    "vcpus": st.integers(1, 8),
    "cpu": st.sampled_from(["host", "kvm64", "x86-64-v2-AES,flags=+aes;-pcid"]),
    "memory": st.integers(16, 8192),
    "balloon": st.integers(0, 512),
    "numa": st.booleans(),
    "machine": st.sampled_from(["pc", "q35"]),
    "bios": st.sampled_from(["seabios", "ovmf"]),
    "ostype": st.sampled_from(["l26", "win11", "other"]),
    "scsihw": st.sampled_from(["lsi", "virtio-scsi-single"]),
    "boot": st.sampled_from([[], ["scsi0"], ["scsi0", "net0"], ["net0", "scsi0"]]),
    "onboot": st.booleans(),
    "startup": st.sampled_from([{}, {"order": 1}, {"order": 2, "up": 30}, {"down": 5}]),
    "protection": st.booleans(),
    "agent": st.booleans(),
    "vga": st.sampled_from(["std", "serial0", "virtio,memory=64"]),
    "tablet": st.booleans(),
    "description": st.sampled_from(["", "notes", "two\nlines\n"]),
    "hotplug": st.sampled_from([[], ["network"], ["usb", "disk", "network"]]),
    "tags": st.lists(st.sampled_from(["web", "Prod", "db"]), unique=True),
    "tags_mode": st.sampled_from(["set", "add"]),
    "serial_ports": st.sampled_from([{}, {"serial0": "socket"}]),
    "config": st.sampled_from(
        [
            {},
            {"cpulimit": 2.0, "kvm": "no", "vmgenid": 1, "args": " -no-hpet\n"},
            {"smbios1": "uuid=5d1fdd72-5ab4-4a2d-9a09-e9e57b6b7cc0"},
        ]
    ),
    "efi_disk": st.sampled_from(
        [{"storage": "local-lvm"}, {"storage": "ceph", "type": "4m", "pre_enrolled_keys": True, "ms_cert": "2023k"}]
    ),
    "tpm": st.just({"storage": "local-lvm"}),
    "cloud_init": st.fixed_dictionaries(
        {},
        optional={
            "storage": STORAGES,
            "user": st.sampled_from(["", "admin", "root"]),
            "password": st.just("correct horse"),
            "ssh_keys": st.sampled_from([[], [f"{ED25519} a@b", f"# of the admins\n\n{RSA} c\n"]]),
            "nameservers": st.sampled_from([[], ["192.0.2.1", "2001:db8::1"]]),
            "custom": st.sampled_from([{}, {"user": "local:snippets/u"}, {"vendor": "local:snippets/v", "user": ""}]),
            "search_domain": st.sampled_from(["", "example.org"]),
            "upgrade": st.booleans(),
            "ipconfig": st.sampled_from(
                [[], [{"slot": "net0", "ip": "dhcp"}], [{"slot": "net0", "ip": "192.0.2.9/24", "gateway": "192.0.2.1"}]]
            ),
        },
    ),
    "pool": st.sampled_from(["", "lab"]),
    "networks": unique(NETWORKS),
    "disks": unique(NEW_DISKS),
}
PARAMETERS = st.fixed_dictionaries({"vmid": st.just(100)}, optional=SETTINGS)
# What somebody else may have made of the guest before.
EXISTING = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("old"),
        "cores": st.sampled_from(["1", "4"]),
        "memory": st.sampled_from(["512", "current=2048"]),
        "agent": st.sampled_from(["1", "enabled=1,fstrim_cloned_disks=1", "0"]),
        "tags": st.sampled_from(["other", "web;zoo"]),
        "onboot": st.sampled_from(["0", "1"]),
        "startup": st.just("order=1,up=30,down=60"),
        "boot": st.sampled_from([" ", "order=net7"]),
        "cicustom": st.just("user=local:snippets/old"),
        "vmgenid": st.sampled_from(["0", "5D1FDD72-5ab4-4a2d-9a09-e9e57b6b7cc0"]),
        "efidisk0": st.just("local-lvm:vm-100-disk-95,efitype=4m,pre-enrolled-keys=1,size=528K"),
        "tpmstate0": st.just("local-lvm:vm-100-disk-96,size=4M,version=v1.2"),
        "net0": st.sampled_from(
            ["virtio=BC:24:11:AA:00:01,bridge=vmbr0", "e1000=BC:24:11:AA:00:02,bridge=vmbr1,firewall=1,tag=7"]
        ),
        "net7": st.just("virtio=BC:24:11:AA:00:07,bridge=vmbr9"),
        "scsi0": st.sampled_from(
            ["local-lvm:vm-100-disk-90,size=1G,ssd=1", "ceph:vm-100-disk-91,cache=writeback,size=512M"]
        ),
        "virtio7": st.just("local-lvm:vm-100-disk-97,size=4G"),
        "ide2": st.just("local-lvm:vm-100-cloudinit,media=cdrom"),
        "cipassword": st.just("**********"),
        "description": st.just("by hand"),
        "args": st.just("-no-hpet"),
    },
)


def state_of(model: VmModel, origin: Origin) -> GuestState:
    return GuestState(Guest(100, "pve1", QEMU, "old", pool=model.pool), dict(model.values), origin=origin)


def converge(request: VmRequest, model: VmModel) -> list[PlanStep]:
    """Take the first step of the plan, plan again, until there is none; return the steps taken."""
    taken: list[PlanStep] = []
    origin, progress = Origin.FOUND, VolumeProgress()
    while True:
        plan = plan_changes(request, state_of(model, origin), progress=progress)
        if not plan.steps:
            return taken
        step = plan.steps[0]
        origin = step.origin_after(origin)
        step.note(progress)
        model.run(step.command.method, step.command.tail, step.command.form)
        taken.append(step)
        assert len(taken) < MOST_STEPS, [item.title for item in taken]


def asked_for(parameters: dict[str, Any]) -> VmRequest:
    return vm_request(vm_parameters(**parameters))


@given(PARAMETERS)
def test_a_new_guest_needs_nothing_more(parameters: dict[str, Any]) -> None:
    request, model = asked_for(parameters), VmModel()
    converge(request, model)
    assert not plan_changes(request, state_of(model, Origin.FOUND)).changed


@given(PARAMETERS, EXISTING)
def test_a_second_run_changes_nothing(parameters: dict[str, Any], existing: dict[str, str]) -> None:
    request, model = asked_for(parameters), VmModel(existing)
    converge(request, model)
    assert not plan_changes(request, state_of(model, Origin.FOUND)).changed


@given(PARAMETERS, EXISTING)
def test_what_is_not_mentioned_stays(parameters: dict[str, Any], existing: dict[str, str]) -> None:
    request, model = asked_for(parameters), VmModel(existing)
    mentioned = {change.key.partition(".")[0] for step in converge(request, model) for change in step.changes}
    untouched = set(existing) - mentioned
    assert {key: model.values[key] for key in untouched} == {key: existing[key] for key in untouched}
    assert {"net7", "virtio7", "args"} & set(existing) <= untouched


@given(PARAMETERS, EXISTING)
def test_no_disk_and_no_address_is_lost(parameters: dict[str, Any], existing: dict[str, str]) -> None:
    request, model = asked_for(parameters), VmModel(existing)
    before = {key for key in existing if DRIVE_KEY.fullmatch(key)}
    steps = converge(request, model)
    assert before <= set(model.values)
    moved = any("move" in step.title for step in steps)
    assert moved or VmModel(existing).volumes <= model.volumes
    if "net0" in existing and "mac" not in _entry(parameters, "networks", "net0"):
        assert NIC.parse(model.values["net0"])["macaddr"] == NIC.parse(existing["net0"])["macaddr"]


@given(PARAMETERS, EXISTING)
def test_the_same_plan_comes_from_the_same_state(parameters: dict[str, Any], existing: dict[str, str]) -> None:
    state = state_of(VmModel(existing), Origin.FOUND)
    plans = [plan_changes(asked_for(parameters), state) for _run in range(2)]
    assert [step.title for step in plans[0].steps] == [step.title for step in plans[1].steps]
    assert all(step.changes for step in plans[0].steps)


@given(PARAMETERS, EXISTING)
def test_a_detached_disk_is_kept_and_an_absent_one_goes(parameters: dict[str, Any], existing: dict[str, str]) -> None:
    for state, kept in (("detached", True), ("absent", False)):
        model = VmModel(existing)
        converge(asked_for({"vmid": 100, "disks": [{"slot": "virtio7", "state": state}]}), model)
        assert "virtio7" not in model.values
        if "virtio7" in existing:
            assert (DRIVE.parse(existing["virtio7"])["file"] in model.volumes) is kept


def _entry(parameters: dict[str, Any], option: str, slot: str) -> dict[str, Any]:
    return next((entry for entry in parameters.get(option, []) if entry["slot"] == slot), {})
