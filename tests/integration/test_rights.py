# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of privileges in the README: all of it is enough, and none of it is too much."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.details import resolve_details
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.payload import Payload
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.privileges import needs
from benchmarks import bridge_cases
from tests.integration.guides import privileges
from tests.support.cloudstack import Extension, ManyCalls
from tests.support.embedded_pve import PveHandle, running_embedded_pve, standard_guests
from tests.support.web_server import qcow2, running_web_server

README = Path(__file__).parents[2] / "README.md"
SECRET = "5d1fdd72-5ab4-4a2d-9a09-e9e57b6b7cc0"
USER = "ansible@pve"
NEW = {"vmid": 300, "node": "pve1"}
WEB = {"vmid": 100}
CLONE = {"vmid": 300, "clone": {"source": "9000"}}
LVM = "/storage/local-lvm"
BRIDGE = "/sdn/zones/localnetwork/vmbr0"
# Without these PVE does not refuse anything: it hides what they show.
HIDING = {"VM.Audit", "Datastore.Audit", "Sys.Audit", "Pool.Audit"}

# What is asked for, the privilege without which PVE refuses it, and the path.
PVE_VM: list[tuple[dict[str, Any], str, str]] = [
    (NEW, "VM.Allocate", "/vms/300"),
    (CLONE, "VM.Allocate", "/vms/300"),
    ({**WEB, "state": "absent"}, "VM.Allocate", "/vms/100"),
    ({**WEB, "state": "template"}, "VM.Allocate", "/vms/100"),
    (CLONE, "VM.Clone", "/vms/9000"),
    ({**WEB, "cores": 4}, "VM.Config.CPU", "/vms/100"),
    ({**WEB, "config": {"cpulimit": 2}}, "VM.Config.CPU", "/vms/100"),
    ({**WEB, "memory": 4096}, "VM.Config.Memory", "/vms/100"),
    (NEW, "VM.Config.HWType", "/vms/300"),
    ({**WEB, "scsihw": "lsi"}, "VM.Config.HWType", "/vms/100"),
    ({**WEB, "serial_ports": {"serial1": "socket"}}, "VM.Config.HWType", "/vms/100"),
    ({**WEB, "usb": [{"slot": "usb0", "host": "spice"}]}, "VM.Config.HWType", "/vms/100"),
    ({**WEB, "description": "x"}, "VM.Config.Options", "/vms/100"),
    ({**WEB, "tags": ["blue"]}, "VM.Config.Options", "/vms/100"),
    ({**WEB, "startup": {"order": 2}}, "Sys.Modify", "/"),
    ({**NEW, "startup": {"order": 2}}, "Sys.Modify", "/"),
    ({**WEB, "tags": ["gold"]}, "Sys.Modify", "/"),
    ({**NEW, "tags": ["gold"]}, "Sys.Modify", "/"),
    ({**WEB, "boot": ["scsi0"]}, "VM.Config.Disk", "/vms/100"),
    ({**WEB, "disks": [{"slot": "scsi0", "ssd": True}]}, "VM.Config.Disk", "/vms/100"),
    ({**WEB, "disks": [{"slot": "ide2", "iso": "local:iso/debian-13.iso"}]}, "VM.Config.CDROM", "/vms/100"),
    ({**WEB, "networks": [{"slot": "net1", "bridge": "vmbr0"}]}, "VM.Config.Network", "/vms/100"),
    ({**WEB, "cloud_init": {"storage": "local-lvm"}}, "VM.Config.Cloudinit", "/vms/100"),
    ({**WEB, "disks": [{"slot": "scsi1", "storage": "local-lvm", "size": "1G"}]}, "Datastore.AllocateSpace", LVM),
    ({**WEB, "disks": [{"slot": "scsi0", "size": "64G"}]}, "Datastore.AllocateSpace", LVM),
    ({**NEW, "disks": [{"slot": "scsi0", "storage": "local-lvm", "size": "1G"}]}, "Datastore.AllocateSpace", LVM),
    (CLONE, "Datastore.AllocateSpace", LVM),
    ({**WEB, "networks": [{"slot": "net1", "bridge": "vmbr0"}]}, "SDN.Use", BRIDGE),
    ({**NEW, "networks": [{"slot": "net0", "bridge": "vmbr0", "vlan": 20}]}, "SDN.Use", BRIDGE + "/20"),
    (CLONE, "SDN.Use", BRIDGE),
    ({**WEB, "usb": [{"slot": "usb0", "mapping": "stick"}]}, "Mapping.Use", "/mapping/usb/stick"),
    ({**NEW, "hostpci": [{"slot": "hostpci0", "mapping": "card"}]}, "Mapping.Use", "/mapping/pci/card"),
    ({**WEB, "config": {"rng0": "source=/dev/hwrng"}}, "Mapping.Use", "/mapping/hwrng"),
    ({**NEW, "config": {"virtiofs0": "dirid=share"}}, "Mapping.Use", "/mapping/dir/share"),
    ({"vmid": 300, "clone": {"source": "9001"}}, "Mapping.Use", "/mapping/usb/stick"),
    ({**WEB, "pool": "prod"}, "Pool.Allocate", "/pool/prod"),
    ({**WEB, "pool": "prod"}, "VM.Allocate", "/vms/100"),
    ({"vmid": 101, "state": "absent", "force": True}, "VM.PowerMgmt", "/vms/101"),
]
ROOT_ONLY = {
    "affinity": "0-1",
    "amd-sev": "type=std",
    "arch": "x86_64",
    "args": "-nodefaults",
    "hookscript": "local:snippets/hook.sh",
    "hugepages": "2",
    "ivshmem": "size=32",
    "keephugepages": "1",
    "parallel0": "/dev/parport0",
    "spice_enhancements": "videostreaming=all",
    "vmgenid": "f2fde1dd-6b8c-4a43-8d3a-0a1f1b2c3d4e",
    "usb0": "host=1-2",
    "hostpci0": "host=0000:01:00.0",
    "serial1": "/dev/ttyS0",
}


IMAGE = {"storage": "local", "content": "import", "url": "https://cloud.example.com/debian.qcow2"}
OLD_IMAGE = {"storage": "local", "content": "iso", "file_name": "debian-13.iso"}

# The same of the other modules.
OTHERS: list[tuple[str, dict[str, Any], str, str]] = [
    ("pve_vm_power", WEB, "VM.PowerMgmt", "/vms/100"),
    ("pve_vm_power", {"vmid": 101, "state": "hibernated"}, "VM.PowerMgmt", "/vms/101"),
    ("pve_vm_power", {"vmid": 101, "state": "hibernated"}, "VM.Config.Disk", "/vms/101"),
    ("pve_vm_power", {"vmid": 101, "state": "hibernated"}, "Datastore.AllocateSpace", LVM),
    ("pve_vm_power", {**WEB, "wait_for": ["ip"]}, "VM.GuestAgent.Audit", "/vms/100"),
    ("pve_guest_agent_info", {"vmid": 101, "gather": ["os"]}, "VM.GuestAgent.Audit", "/vms/101"),
    ("pve_volume", IMAGE, "Datastore.AllocateTemplate", "/storage/local"),
    ("pve_volume", IMAGE, "Sys.AccessNetwork", "/nodes/pve1"),
    ("pve_volume", {**OLD_IMAGE, "state": "absent"}, "Datastore.Allocate", "/storage/local"),
    ("pve_backup", {**WEB, "storage": "local", "max_age": "1d"}, "Datastore.AllocateSpace", "/storage/local"),
    ("pve_backup", {**WEB, "storage": "local", "max_age": "1d"}, "VM.Backup", "/vms/100"),
    ("pve_backup", {**WEB, "storage": "local", "max_age": "1d", "bandwidth": 1000}, "Sys.Modify", "/"),
    ("pve_snapshot", {**WEB, "snapshot": "new"}, "VM.Snapshot", "/vms/100"),
    ("pve_snapshot", {**WEB, "snapshot": "clean", "state": "absent"}, "VM.Snapshot", "/vms/100"),
    (
        "pve_snapshot",
        {**WEB, "snapshot": "clean", "state": "rolled_back", "start_after": True},
        "VM.PowerMgmt",
        "/vms/100",
    ),
]


def rights(pve: PveHandle, *without: str, module: str = "pve_vm") -> dict[str, str]:
    """The options of a token with all that the README says of a module, but what is taken away."""
    token = f"{USER}!automation"
    pve.add_token(token, SECRET, privilege_separation=True)
    for purpose, names, path in privileges(README):
        if "all modules" in purpose or f"`{module}`" in purpose:
            for holder in (USER, token):
                pve.grant(holder, path, *(name for name in names if name not in without))
    return {"api_user": USER, "api_token_id": "automation", "api_token_secret": SECRET}


@pytest.fixture
def pve() -> Iterator[PveHandle]:
    with running_embedded_pve(guests=standard_guests) as handle, running_web_server() as web:
        web.add("debian.qcow2", qcow2())
        handle.knobs.web_servers["https://cloud.example.com/"] = web.url("")
        handle.add_pool("prod")
        handle.add_template(9001, "with-a-stick", config={"usb0": "mapping=stick"})
        handle.server.registered_tags = {"gold"}
        yield handle


@pytest.mark.parametrize(
    ("arguments", "privilege", "path"), PVE_VM, ids=lambda value: value if isinstance(value, str) else None
)
def test_each_privilege_of_pve_vm_is_needed_and_all_are_enough(pve, run_module, arguments, privilege, path):
    credentials = rights(pve, privilege)
    refused = run_module("pve_vm", {**arguments, **credentials})
    assert refused.failed, refused.result
    assert refused["error"]["kind"] == "permission", refused.msg
    assert privilege in refused["error"]["privilege"].split("|"), refused.msg
    assert refused["error"]["path"] == path, refused.msg
    assert f"{privilege} on {path}" in refused.msg
    assert "ansible@pve!automation" in refused.msg
    assert not refused.changed
    done = run_module("pve_vm", {**arguments, **rights(pve)})
    assert not done.failed, done.msg
    assert done.changed


@pytest.mark.parametrize(("module", "arguments", "privilege", "path"), OTHERS)
def test_each_privilege_of_another_module_is_needed_and_all_are_enough(
    pve, run_module, module, arguments, privilege, path
):
    pve.call(lambda: pve.server.guest(100).config.update(agent="1"))
    address = {"ip-address": "192.0.2.7", "prefix": 24}
    pve.set_agent_interfaces(100, [{"name": "eth0", "ip-addresses": [address]}])
    assert not run_module("pve_snapshot", {**WEB, "snapshot": "clean"}).failed
    refused = run_module(module, {**arguments, **rights(pve, privilege, module=module)})
    assert refused.failed, refused.result
    assert privilege in refused["error"]["privilege"].split("|"), refused.msg
    assert refused["error"]["path"] == path, refused.msg
    done = run_module(module, {**arguments, **rights(pve, module=module)})
    assert not done.failed, done.msg


def test_who_may_only_roll_back(pve, run_module):
    assert not run_module("pve_snapshot", {**WEB, "snapshot": "clean"}).failed
    token = f"{USER}!automation"
    pve.add_token(token, SECRET, privilege_separation=True)
    for holder in (USER, token):
        pve.grant(holder, "/vms/100", "VM.Audit", "VM.Snapshot.Rollback")
    arguments = {**WEB, "snapshot": "clean", "api_user": USER, "api_token_id": "automation", "api_token_secret": SECRET}
    back = run_module("pve_snapshot", {**arguments, "state": "rolled_back"})
    assert not back.failed, back.msg
    gone = run_module("pve_snapshot", {**arguments, "state": "absent"})
    assert gone["error"]["privilege"] == "VM.Snapshot"


def test_what_the_doctor_asks_for_is_enough_for_the_bridge(pve, tmp_path):
    """A token with the needs of these details, and no more, carries out every action."""
    pve.remove_guest(9001)
    details = resolve_details(Payload(), {"node": "pve1"})
    wanted = needs(details, 9, ["vmbr0"], ["local-lvm", "local", "shared", "vmstore"], raw_console=True)
    for need in wanted:
        path = "/vms" if need.path.startswith("/vms/") else need.path
        pve.grant("cloud@pve", path, *(name.partition("|")[0] for name in need.privileges))
    pve.add_token("cloud@pve!bridge", SECRET)
    for path in ("/sdn/zones/localnetwork/vmbr0", "/storage/local"):
        assert any(need.path == path for need in wanted)
    pve.token_id, pve.token_secret = "cloud@pve!bridge", SECRET
    call = ManyCalls(Extension(tmp_path))
    for case in (*bridge_cases.QUICK, *bridge_cases.OURS_ALONE):
        case.set_up(pve)
        answer = call(case.action, case.data(pve))
        text = answer.output.decode()
        verdict = bridge_cases.verdict(case, pve, answer.exit_code, answer.document, text)
        assert verdict == "ok", f"{case.name}: {text}"


def test_every_privilege_in_the_readme_of_pve_vm_is_tried():
    listed = {name for purpose, names, _path in privileges(README) if "`pve_vm`" in purpose for name in names}
    assert listed - HIDING == {privilege for _arguments, privilege, _path in PVE_VM}


@pytest.mark.parametrize("guest", [WEB, NEW], ids=["changed", "new"])
@pytest.mark.parametrize("key", ROOT_ONLY)
def test_what_only_root_may_set_is_told_as_that(pve, run_module, guest, key):
    result = run_module("pve_vm", {**guest, "config": {key: ROOT_ONLY[key]}})
    assert result["error"]["kind"] == "permission", result.msg
    assert key in result.msg
    assert "takes root@pam with a password" in result.msg
    assert not result.changed


def test_what_only_root_may_set_is_told_of_a_task_as_well(pve, run_module):
    """With a disk it is a task that sets it, and of a device of the node only the task looks at the value."""
    disk = {"slot": "scsi1", "storage": "local-lvm", "size": "1G"}
    result = run_module("pve_vm", {**WEB, "disks": [disk], "serial_ports": {"serial1": "/dev/ttyS0"}})
    assert result["error"]["kind"] == "permission", result.msg
    assert result["error"]["upid"].startswith("UPID:")
    assert "only root can modify 'serial1' config for real devices" in result.msg
    assert "takes root@pam with a password" in result.msg


def test_a_right_that_a_task_finds_missing_is_told_as_any_other(pve, run_module):
    disk = {**WEB, "disks": [{"slot": "scsi0", "size": "64G"}]}
    result = run_module("pve_vm", {**disk, **rights(pve, "Datastore.AllocateSpace")})
    error = result["error"]
    assert (error["kind"], error["privilege"], error["path"]) == ("permission", "Datastore.AllocateSpace", LVM)
    assert error["upid"].startswith("UPID:")
    assert error["message"] == f"403 Permission check failed ({LVM}, Datastore.AllocateSpace)"
    assert result.msg == (
        f"ansible@pve!automation lacks the privilege Datastore.AllocateSpace on {LVM} for task resize of 100 on node "
        f"pve1: grant it with a role on that path"
    )


def test_a_right_that_the_task_of_a_create_finds_missing_is_told_as_well(pve, run_module):
    tags = run_module("pve_vm", {**NEW, "tags": ["gold"], **rights(pve, "Sys.Modify")})
    assert "Sys.Modify on / for modifying tag 'gold', and so for task qmcreate of 300" in tags.msg
    assert 300 not in pve.vmids()


def test_the_readme_lists_what_only_root_may_set():
    listed = README.read_text(encoding="utf-8").partition("only takes from `root@pam`")[2].partition("\n\n")[0]
    names = {key.rstrip("0123456789") for key in ROOT_ONLY}
    assert {name for name in names if f"`{name}`" not in listed and f"`{name}N`" not in listed} == set()


def test_a_guest_in_a_pool_that_the_list_does_not_show_is_left_alone(pve, run_module):
    """A token without Pool.Audit sees the guest without its pool; its members can still be asked for."""
    credentials = rights(pve, "Pool.Audit")
    arguments = {**NEW, "pool": "prod", **credentials}
    first, again, checked = (run_module("pve_vm", arguments, check=check) for check in (False, False, True))
    assert not first.failed, first.msg
    assert not again.failed, again.msg
    assert (first.changed, again.changed, checked.changed) == (True, False, False)
    assert again["guest"]["pool"] == "prod"
    assert len(pve.forms("PUT", "/pools")) == 0


@pytest.mark.parametrize("without", [(), ("Pool.Audit",)], ids=["all rights", "without Pool.Audit"])
def test_a_guest_is_moved_to_a_pool_once(pve, run_module, without):
    arguments = {**WEB, "pool": "prod", **rights(pve, *without)}
    checked, first, again = (run_module("pve_vm", arguments, check=check) for check in (True, False, False))
    assert not first.failed, first.msg
    assert (checked.changed, first.changed, again.changed) == (True, True, False)
    assert len(pve.forms("PUT", "/pools")) == 1


def test_a_pool_that_is_not_there_is_told_before_anything_is_changed(pve, run_module):
    result = run_module("pve_vm", {**WEB, "pool": "nope", "cores": 4}, check=True)
    assert "pool 'nope' does not exist" in result.msg
    assert not result.changed


@pytest.mark.parametrize("arguments", [NEW, CLONE], ids=["new", "clone"])
def test_a_guest_is_made_in_a_pool_with_the_rights_of_the_pool(pve, run_module, arguments):
    """VM.Allocate on the pool is enough for a new guest, and so are the other rights there."""
    token = f"{USER}!automation"
    pve.add_token(token, SECRET, privilege_separation=True)
    for holder in (USER, token):
        pve.grant(holder, "/pool/prod", "VM.Allocate", "VM.Audit", "VM.Config.HWType", "Pool.Audit")
        pve.grant(holder, "/vms/9000", "VM.Audit", "VM.Clone")
        pve.grant(holder, "/storage", "Datastore.AllocateSpace")
        pve.grant(holder, "/sdn", "SDN.Use")
    credentials = {"api_user": USER, "api_token_id": "automation", "api_token_secret": SECRET}
    refused = run_module("pve_vm", {**arguments, **credentials})
    assert "VM.Allocate on /vms/300" in refused.msg
    first, again = (run_module("pve_vm", {**arguments, "pool": "prod", **credentials}) for _run in range(2))
    assert not first.failed, first.msg
    assert not again.failed, again.msg
    assert (first.changed, again.changed) == (True, False)
