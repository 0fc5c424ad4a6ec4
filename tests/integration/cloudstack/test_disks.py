# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AttachDisk and DetachDisk: further disks, of the policy's storages and sizes."""

from __future__ import annotations

import pytest

from tests.support.cloudstack import payload

UUID = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
NOTES = f"CloudStack instance: i-2-45-VM\nCloudStack UUID: {UUID}\nCloudStack deployment: 0123456789abcdef"
MARK = {"tags": "cloudstack", "description": NOTES, "smbios1": f"uuid={UUID}"}
SECOND = "shared:105/vm-105-disk-1.qcow2"
BOTH = pytest.mark.parametrize("status", ["running", "stopped"])


@pytest.fixture
def ask(pve_cluster, calls):
    def call(action, host=None, flags=(), **parameters):
        data = payload("ListSnapshots", pve_cluster, parameters=parameters, host=host or {})
        return calls(action, {**data, "action": action}, flags=list(flags))

    return call


def put_guest(pve, status="running", **config):
    pve.add_guest(105, "i-2-45-VM", config={**MARK, **config}, status=status, storage="shared")


def writes(pve):
    return [line for line in pve.summary() if not line.startswith("GET ")]


class TestAttach:
    @BOTH
    def test_a_new_disk_on_the_bus_of_the_boot_disk(self, pve_cluster, ask, status):
        put_guest(pve_cluster, status)
        dry = ask("AttachDisk", flags=["--dry-run"], disk_size_gb=20, storage="local-lvm")
        assert (dry.ok, writes(pve_cluster)) == (True, [])
        answer = ask("AttachDisk", disk_size_gb=20, storage="local-lvm")
        assert answer["message"].startswith("scsi1 is attached: local-lvm:vm-105-disk-")
        assert answer["disk"] == "scsi1"
        assert pve_cluster.config(105)["scsi1"].endswith("size=20G")
        assert len(dry["steps"]) == len(writes(pve_cluster)) == 1
        assert ask("AttachDisk", disk_size_gb=1)["disk"] == "scsi2"
        assert pve_cluster.config(105)["scsi2"].startswith("shared:105/")

    def test_the_storage_of_the_details_and_its_options(self, pve_cluster, ask):
        put_guest(pve_cluster)
        host = {"storage": "gold", "storage_map": "gold=local-lvm", "disk_discard": "true", "disk_ssd": "true"}
        assert ask("AttachDisk", host, disk_size_gb=5).ok
        assert pve_cluster.config(105)["scsi1"].startswith("local-lvm:vm-105-disk-")
        assert {"discard=on", "ssd=1"} <= set(pve_cluster.config(105)["scsi1"].split(","))

    def test_a_bus_that_cannot_be_changed_while_it_runs(self, pve_cluster, ask):
        put_guest(pve_cluster, scsi0=None, ide0="shared:105/vm-105-disk-0.qcow2,size=8G", boot="order=ide0")
        answer = ask("AttachDisk", disk_size_gb=5)
        assert answer["disk"] == "sata0"
        assert answer["message"].endswith("; it takes effect when the instance is stopped and started")

    def test_another_writer_gets_a_slot_of_his_own(self, pve_cluster, ask):
        put_guest(pve_cluster)
        other = "shared:105/vm-105-disk-7.qcow2,size=3G"
        pve_cluster.before("POST", "/105/config$", lambda: pve_cluster.guest(105).config.update(scsi1=other))
        answer = ask("AttachDisk", disk_size_gb=20)
        assert answer["disk"] == "scsi2"
        assert pve_cluster.config(105)["scsi1"] == other
        assert pve_cluster.config(105)["scsi2"].endswith("size=20G")

    def test_a_lost_answer_makes_no_second_disk(self, pve_cluster, ask):
        put_guest(pve_cluster)
        pve_cluster.fault("POST", "/105/config$", "lose_answer")
        assert ask("AttachDisk", disk_size_gb=20).ok
        assert [key for key in pve_cluster.config(105) if key.startswith("scsi") and key != "scsihw"] == [
            "scsi0",
            "scsi1",
        ]

    @pytest.mark.parametrize(
        ("host", "parameters", "why"),
        [
            ({}, {}, "give disk_size_gb, for a new disk, or unused_disk"),
            ({}, {"disk_size_gb": 5, "unused_disk": "unused0"}, "give disk_size_gb, for a new disk, or unused_disk"),
            ({"allowed_storages": "shared"}, {"disk_size_gb": 5, "storage": "local-lvm"}, "does not allow the storage"),
            ({"max_disk_size_gb": "50"}, {"disk_size_gb": 51}, "51 is more than the 50 that the site policy allows"),
            ({"max_disks": "1"}, {"disk_size_gb": 5}, "has 1 disks, and the site policy allows 1"),
            ({}, {"disk_size_gb": 0}, "disk_size_gb must be from 1"),
            ({}, {"disk_size_gb": 5, "storage": "shared:9000/x"}, "storage cannot be"),
            ({}, {"unused_disk": "unused0"}, "has no detached disk unused0: it has none"),
            ({}, {"unused_disk": "scsi0"}, "unused_disk cannot be 'scsi0'"),
            ({}, {"unused_disk": "unused0", "storage": "shared"}, "storage is for new disks"),
        ],
    )
    def test_what_is_refused(self, pve_cluster, ask, host, parameters, why):
        put_guest(pve_cluster)
        answer = ask("AttachDisk", host, **parameters)
        assert (answer.exit_code, answer["kind"]) == (1, "invalid_request")
        assert why in answer.error
        assert writes(pve_cluster) == []

    def test_a_storage_that_pve_lacks_leaves_nothing(self, pve_cluster, ask):
        put_guest(pve_cluster)
        assert "'nowhere' does not exist" in ask("AttachDisk", disk_size_gb=5, storage="nowhere").error
        assert "scsi1" not in pve_cluster.config(105)


class TestDetach:
    @BOTH
    def test_the_data_stays_and_can_be_attached_again(self, pve_cluster, ask, status):
        put_guest(pve_cluster, status, scsi1=f"{SECOND},size=4G")
        dry = ask("DetachDisk", flags=["--dry-run"], disk="scsi1")
        assert (dry.ok, writes(pve_cluster)) == (True, [])
        answer = ask("DetachDisk", disk="scsi1")
        assert (answer["message"], answer["unused_disk"]) == (
            "scsi1 is detached: it is kept as unused0",
            "unused0",
        )
        assert "scsi1" not in pve_cluster.config(105)
        assert len(dry["steps"]) == len(writes(pve_cluster)) == 1
        rows = {row["item"]: row["value"] for row in ask("GuestInfo")["message"]}
        assert rows["disk unused0"] == "detached, on shared"
        answer = ask("AttachDisk", unused_disk="unused0")
        assert answer["message"].startswith(f"scsi1 is attached: {SECOND}")
        assert pve_cluster.config(105)["scsi1"].startswith(SECOND)
        assert "unused0" not in pve_cluster.config(105)

    @BOTH
    def test_the_data_goes_when_it_is_wanted(self, pve_cluster, ask, status):
        put_guest(pve_cluster, status, scsi1=f"{SECOND},size=4G")
        assert ask("DetachDisk", disk="scsi1", delete_data=True)["message"] == "scsi1 is deleted"
        assert SECOND not in pve_cluster.volumes("shared")
        assert not {"scsi1", "unused0"} & set(pve_cluster.config(105))

    @pytest.mark.parametrize(
        ("disk", "why"),
        [
            (None, "the parameter disk is missing"),
            ("scsi0", "scsi0 is the disk that guest 105 boots from"),
            ("scsi5", "has no disk scsi5: it has scsi0, scsi1"),
            ("ide2", "has no disk ide2"),
            ("unused0", "disk cannot be 'unused0'"),
            ("efidisk0", "disk cannot be 'efidisk0'"),
        ],
    )
    def test_what_is_refused(self, pve_cluster, ask, disk, why):
        put_guest(pve_cluster, scsi1=f"{SECOND},size=4G", ide2="none,media=cdrom")
        answer = ask("DetachDisk", disk=disk)
        assert (answer.exit_code, answer["kind"]) == (1, "invalid_request")
        assert why in answer.error
        assert writes(pve_cluster) == []


def test_the_disks_go_with_the_instance(pve_cluster, ask, calls):
    put_guest(pve_cluster, scsi1=f"{SECOND},size=4G")
    assert ask("DetachDisk", disk="scsi1").ok
    assert ask("AttachDisk", disk_size_gb=5).ok
    assert calls("delete", payload("delete", pve_cluster)).ok
    assert [volume for volume in pve_cluster.volumes("shared") if "vm-105-" in volume] == []
