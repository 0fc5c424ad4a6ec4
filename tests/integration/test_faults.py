# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small playbooks that once failed on a real PVE; the first line of each says what should come of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.guides import role_privileges
from tests.support.embedded_pve import PveHandle, seed
from tests.support.playbooks import TaskResult

FAULTS = Path(__file__).parent / "faults"
FIRST_VM = Path(__file__).parents[2] / "docs" / "first-vm.md"


def test_a_guest_in_a_pool_with_the_role_of_the_guide(pve, play):
    (role,) = role_privileges(FIRST_VM)
    pve.add_pool("fpool")
    pve.add_token("ansible@pve!automation", "00000000-0000-0000-0000-000000000000")
    pve.grant("ansible@pve", "/", *role)
    token = {
        "PROXMOX_USER": "ansible@pve",
        "PROXMOX_TOKEN_ID": "automation",
        "PROXMOX_TOKEN_SECRET": "00000000-0000-0000-0000-000000000000",
    }
    result = play(FAULTS / "06-pool-with-the-guide-s-role.yml", env=token, extra_vars={"ansible_connection": "local"})
    assert not result.failed, result.stdout
    assert result.changed == [True, False, True]


@pytest.fixture
def run(pve, play):
    """Run a playbook of this directory, on a node whose storage `local` takes everything, and return its tasks."""
    pve.server.storages["local"]["content"] += ",images"

    def _run(name: str) -> list[TaskResult]:
        result = play(FAULTS / name, "-c", "local", diff=True)
        assert not result.failed, result.stdout
        return result.tasks

    return _run


def test_what_a_task_does_not_name_stays(pve, run) -> None:
    _made, changed, _deleted = run("08-what-a-task-does-not-name-stays.yml")
    config = changed.result["config"]
    assert config["startup"] == "order=5,down=60,up=30"
    assert config["cicustom"] == "user=local:snippets/user.yaml,vendor=local:snippets/vendor.yaml"
    assert set(changed.diff["after"]) == {"startup", "cicustom"}


def test_a_clone_of_an_uefi_template_is_moved_with_its_keys(pve: PveHandle, run, play) -> None:
    firmware = {
        "bios": "ovmf",
        "efidisk0": "vmstore:9002/base-9002-disk-1.qcow2,efitype=4m,pre-enrolled-keys=1,size=528K",
        "tpmstate0": "vmstore:9002/base-9002-disk-2.raw,size=4M,version=v1.2",
    }
    pve.call(lambda: seed.add_template(pve.server, 9002, "uefi-template", storage="vmstore", config=firmware))
    name = "09-clone-of-an-uefi-template-made-by-hand.yml"
    (made,) = run(name)
    config = made.result["config"]
    assert config["efidisk0"].startswith("local-lvm:")
    assert "efitype=4m,pre-enrolled-keys=1" in config["efidisk0"].replace("ms-cert=2023k,", "")
    assert config["tpmstate0"].startswith("local-lvm:")
    assert config["tpmstate0"].endswith("version=v1.2")
    (again,) = run(name)
    assert not again.changed


def test_values_are_taken_or_refused_with_the_option_s_name(pve, run) -> None:
    pve.call(lambda: pve.server.store_file("local", "a name with blanks.iso", 1024**2))
    made, again, raw, cdrom, keys, mask, iso, _deleted = run("10-values.yml")
    assert "iops=1000000,mbps=1234.567,serial=50%25%20x%2Fy,size=10485764K" in made.result["config"]["scsi0"]
    assert not again.changed
    assert raw.result["config"]["smbios1"] == "uuid=11111111-2222-4333-8444-555555555555"
    assert raw.result["config"]["acpi"] == "0"
    assert cdrom.msg == "config: cdrom is PVE's other name of the drive ide2: use disks"
    assert keys.result["config"]["sshkeys"].startswith("ssh-ed25519%20")
    assert mask.msg.startswith("cloud_init: ipconfig: net0: ip '10.0.0.1/255.255.255.0' needs the length of its prefix")
    assert iso.result["config"]["ide2"].startswith("local:iso/a name with blanks.iso,media=cdrom")


def test_unused_firmware_and_tpm_disks_can_be_deleted(pve, run) -> None:
    _made, detached, unused, efi, _deleted = run("11-unused-firmware-and-tpm-disks.yml")
    assert "unused0" in detached.result["config"]
    assert "unused0" not in unused.result["config"]
    assert "efidisk0" not in efi.result["config"]
    assert efi.changed


def test_an_option_and_a_move_of_a_running_disk(pve, run) -> None:
    seen = {}
    pve.before("DELETE", "/qemu/7101$", lambda: seen.update(pve.config(7101), running=pve.status(7101)))
    pve.before("POST", "/7101/status/stop$", lambda: seen.setdefault("starts", len(pve.tasks("qmstart"))))
    tasks = run("01-option-and-move-of-a-running-disk.yml")
    assert [task.changed for task in tasks] == [True, True, True, False, True, False, True]
    both, again = tasks[2].result, tasks[5].result
    assert [item["key"] for item in both["pending"]] == ["scsi0", "scsi1"]
    assert again["pending"] == []
    assert [task["exitstatus"] for task in pve.tasks("qmstart")] == ["OK", "OK"]
    assert seen["scsi0"] == "local:7101/vm-7101-disk-0.qcow2,size=12M,ssd=1"
    assert (seen["scsi1"].partition(":")[0], seen["scsi1"].partition(",")[2]) == ("local-lvm", "size=10M,ssd=1")
    assert not [key for key in seen if key.startswith("unused")]


def test_a_refused_unplug(pve, run) -> None:
    seen = {}
    pve.before("POST", "/7102/status/stop$", lambda: seen.setdefault("pending", pve.pending(7102)))
    tasks = run("02-refused-unplug.yml")
    refused = tasks[2]
    assert refused.failed
    assert not refused.changed
    assert "can't unplug bootdisk 'scsi0'" in refused.msg
    assert "what PVE kept pending of it was taken back: boot, scsi0" in refused.msg
    assert seen["pending"] == {}
    kept = tasks[4]
    assert not kept.changed
    assert kept.result["config"]["boot"] == "order=scsi0"
    assert kept.result["config"]["scsi0"].startswith("local:7102/vm-7102-disk-0.qcow2")


def test_an_unlink_of_a_disk_in_a_snapshot(pve, run) -> None:
    tasks = run("03-unlink-of-a-disk-in-a-snapshot.yml")
    refused, kept = tasks[2:4]
    assert refused.failed
    assert not refused.changed
    assert "volume is still in use (snapshot?)" in refused.msg
    assert "taken back: scsi1" in refused.msg
    assert not kept.changed
    assert kept.result["pending"] == []
    assert kept.result["config"]["scsi1"] == "local:7103/vm-7103-disk-1.qcow2,size=10M"


def test_cloud_init_of_a_running_guest(pve, run) -> None:
    seen = {}
    pve.before("POST", "/7104/status/reboot$", lambda: seen.update(pve.server._shown(pve.guest(7104).cloudinit_old)))
    tasks = run("04-cloud-init-of-a-running-guest.yml")
    told, rebooted = tasks[2].result, tasks[3].result
    lacks = {item["key"]: (item["current"], item["pending"]) for item in told["pending"]}
    assert lacks == {"ciuser": ("alice", "bob"), "ipconfig0": ("ip=192.0.2.10/24", "ip=192.0.2.11/24")}
    assert told["reboot_required"]
    assert told["steps"][-1] == "make the cloud-init drive of guest 7104 (f-ci) anew with ciuser, ipconfig0"
    assert [task["type"] for task in rebooted["tasks"]] == ["qmreboot"]
    assert seen == {"ciuser": "bob"}
    assert rebooted["pending"] == []
    assert not rebooted["reboot_required"]
