# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is in effect, what is pending, and what a refusal leaves behind: pve_vm on guests for which something waits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.plan import Outcome
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.vm.vm_request import vm_request
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest, PveError
from tests.support.api_client import ApiClient
from tests.support.clients import converge
from tests.support.embedded_pve import PveHandle, running_embedded_pve
from tests.support.vm_model import vm_parameters

VMID = 150
STORAGES = ("vmstore", "local-lvm")
CONFIG: dict[str, Any] = {
    "agent": "1",
    "boot": "order=scsi0;net0",
    "ciuser": "alice",
    "cores": 2,
    "cpu": "host",
    "memory": "2048",
    "scsihw": "virtio-scsi-pci",
    "scsi0": f"vmstore:{VMID}/vm-{VMID}-disk-0.qcow2,size=8G",
    "scsi1": f"vmstore:{VMID}/vm-{VMID}-disk-1.qcow2,size=4G",
    "sata0": f"vmstore:{VMID}/vm-{VMID}-disk-2.qcow2,size=2G",
    "ide2": f"local-lvm:vm-{VMID}-cloudinit,media=cdrom",
    "net1": "virtio=BC:24:11:00:15:01,bridge=vmbr0",
}
HELD = "held"
# To look for a smaller example takes longer than to read a large one.
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)


def drive(config: dict[str, Any], slot: str) -> str:
    return str(config[slot])


# What somebody else has done before, by a call of the API each; most of it stays pending, some is refused.
BEFORE = {
    "option": lambda call, config: call("PUT", scsi1=drive(config, "scsi1") + ",ssd=1"),
    "option of the boot disk": lambda call, config: call("PUT", scsi0=drive(config, "scsi0") + ",cache=writeback"),
    "option, then larger": lambda call, config: (
        call("PUT", scsi1=drive(config, "scsi1") + ",discard=on"),
        call("PUT", "resize", disk="scsi1", size="5G"),
    ),
    "option, then elsewhere": lambda call, config: (
        call("PUT", scsi1=drive(config, "scsi1") + ",aio=threads"),
        call("POST", "move_disk", disk="scsi1", storage="local-lvm", delete=1),
    ),
    "refused unplug": lambda call, _config: call("PUT", delete="scsi0"),
    "disk that goes": lambda call, _config: call("PUT", delete="sata0"),
    "disk that goes for good": lambda call, _config: call("PUT", delete="sata0", force=1),
    "disk that a snapshot holds": lambda call, _config: (
        call("POST", "snapshot", snapname=HELD),
        call("POST", delete="sata0", force=1),
    ),
    "new disk": lambda call, _config: call("POST", sata3="vmstore:1"),
    "refused bridge": lambda call, config: call("PUT", net1=config["net1"].replace("vmbr0", "vmbr77")),
    "another processor": lambda call, _config: call("PUT", cpu="kvm64", cores=3),
    "firmware": lambda call, _config: call("PUT", bios="ovmf", machine="q35"),
    "no agent": lambda call, _config: call("PUT", delete="agent"),
    "another boot order": lambda call, _config: call("PUT", boot="order=net0;scsi0"),
    "cloud-init": lambda call, _config: call("PUT", ciuser="bob", nameserver="192.0.2.1"),
}


def kept(slot: str, sizes: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    options: dict[str, st.SearchStrategy[Any]] = {
        "ssd": st.booleans(),
        "discard": st.booleans(),
        "cache": st.sampled_from(["none", "writeback"]),
        "mbps_rd": st.sampled_from([0, 50]),
        "size": st.sampled_from(sizes),
        "storage": st.sampled_from(STORAGES),
    }
    return st.fixed_dictionaries({"slot": st.just(slot)}, optional=options)


def gone(slot: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"slot": st.just(slot), "state": st.sampled_from(["detached", "absent"])})


def new(slot: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"slot": st.just(slot), "storage": st.sampled_from(STORAGES), "size": st.just("1G")},
        optional={"ssd": st.booleans()},
    )


DISKS = st.lists(
    st.one_of(
        kept("scsi0", ["8G", "9G"]),
        kept("scsi1", ["5G", "6G"]),
        kept("sata0", ["2G", "3G"]),
        gone("scsi0"),
        gone("scsi1"),
        gone("sata0"),
        gone("sata3"),
        new("scsi3"),
        new("sata3"),
    ),
    unique_by=lambda entry: entry["slot"],
    max_size=3,
)
WANTED = st.fixed_dictionaries(
    {},
    optional={
        "disks": DISKS,
        "cores": st.sampled_from([2, 3, 4]),
        "cpu": st.sampled_from(["host", "kvm64"]),
        "memory": st.sampled_from([1024, 2048]),
        "bios": st.sampled_from(["seabios", "ovmf"]),
        "machine": st.sampled_from(["pc", "q35"]),
        "agent": st.booleans(),
        "boot": st.sampled_from([["scsi0"], ["scsi0", "net0"]]),
        "description": st.sampled_from(["", "notes"]),
        "hotplug": st.sampled_from([["disk", "network", "usb"], [], ["disk", "memory"]]),
        "networks": st.sampled_from(
            [
                [{"slot": "net1", "bridge": "vmbr0", "vlan": 7}],
                [{"slot": "net1", "model": "e1000"}],
                [{"slot": "net1", "state": "absent"}],
                [{"slot": "net2", "bridge": "vmbr0"}],
                [{"slot": "net2", "bridge": "vmbr88"}],
            ]
        ),
        "cloud_init": st.sampled_from([{"user": "carol"}, {"user": "bob", "storage": "vmstore"}]),
    },
)


@pytest.fixture(scope="module")
def pve() -> Iterator[PveHandle]:
    with running_embedded_pve() as handle:
        yield handle


def make_guest(pve: PveHandle, status: str, before: list[str]) -> None:
    """The guest, each of whose volumes knows the slot that it was made for."""
    if pve.guest(VMID) is not None:
        pve.call(lambda: pve.server.discard(pve.guest(VMID), pve.server._own_volumes(pve.guest(VMID), True)))
    pve.add_guest(VMID, "pending", status=status, config=CONFIG, storage="vmstore")
    for slot in ("scsi0", "scsi1", "sata0"):
        storage, _colon, name = CONFIG[slot].partition(",")[0].partition(":")
        pve.server.storages[storage]["volumes"][name]["content_of"] = slot
    api = ApiClient(pve)

    def call(method: str, what: str = "config", **form: Any) -> None:
        api(method, f"/nodes/pve1/qemu/{VMID}/{what}", **form)

    for name in before:
        BEFORE[name](call, CONFIG)


def contents(pve: PveHandle) -> set[str]:
    """The slots whose data is still somewhere that the guest's configuration names."""
    names = {str(value).partition(",")[0] for value in pve.config(VMID).values()}
    return {
        volume["content_of"]
        for storage, store in pve.server.storages.items()
        for name, volume in store.get("volumes", {}).items()
        if "content_of" in volume and f"{storage}:{name}" in names
    }


def is_held(pve: PveHandle, slot: str) -> bool:
    """A snapshot has the disk: PVE takes its deletion from a guest that cannot unplug it, and never carries it out."""
    volume = str(pve.config(VMID).get(slot, "")).partition(",")[0]
    return pve.call(lambda: pve.server.held_by_snapshot(pve.guest(VMID), volume))


def restart(pve: PveHandle) -> None:
    def act() -> None:
        guest = pve.guest(VMID)
        pve.server.halt_guest(guest)
        assert pve.server.start_problem(guest) is None
        pve.server.run_guest(guest)

    pve.call(act)


def named(options: dict[str, Any]) -> set[str]:
    """The keys that the options are about; the boot order goes along with the disks."""
    entries = [*options.get("disks", ()), *options.get("networks", ())]
    keys = {entry["slot"] for entry in entries} | set(options) | {"boot"}
    return keys | {"ciuser", "ide2"} if "cloud_init" in options else keys


@settings(max_examples=max(40, settings().max_examples), phases=NO_SHRINKING)
@given(
    status=st.sampled_from(["running", "stopped"]),
    before=st.lists(st.sampled_from(sorted(BEFORE)), unique=True, max_size=3),
    options=WANTED,
)
def test_converge_restart_converge(pve: PveHandle, status: str, before: list[str], options: dict[str, Any]) -> None:
    make_guest(pve, status, before)
    waiting, known = pve.pending(VMID), contents(pve)
    foreign = {key: value for key, value in waiting.items() if key not in named(options)}
    destroyed = {entry["slot"] for entry in options.get("disks", ()) if entry.get("state") == "absent"}
    destroyed |= set(pve.guest(VMID).forced) - named(options) if hasattr(pve.guest(VMID), "forced") else set()
    applier, result = converge(pve, vm_request(vm_parameters(vmid=VMID, **options)), 30)
    assert known - destroyed <= contents(pve)
    if isinstance(result, PveError):
        assert "PVE accepted to" not in str(result)
        if isinstance(result, InvalidRequest):
            assert applier.done == []
        # A refusal leaves nothing pending but what was pending before, or was written by a step that went well.
        left = {key for key, value in pve.pending(VMID).items() if waiting.get(key, ...) != value}
        assert left <= (named(options) if applier.done else set())
        return
    assert {key: value for key, value in pve.pending(VMID).items() if key not in named(options)} == foreign
    # What somebody else has left pending for a device that the options do not name keeps the guest from starting.
    assume("option, then elsewhere" not in before or "scsi1" in named(options))
    # Nor does a bridge that is not there, which only the start finds out where the guest cannot plug.
    assume(not {"vmbr77", "vmbr88"} & set(re.findall(r"vmbr\d+", f"{pve.config(VMID)} {pve.pending(VMID)}")))
    restart(pve)
    assert known - destroyed <= contents(pve)
    _applier, again = converge(pve, vm_request(vm_parameters(vmid=VMID, **options)), 30)
    assert isinstance(again, Outcome), again
    assert again.steps == ()
    assert {key for key in pve.pending(VMID) if key in named(options) and not is_held(pve, key)} == set()
