# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the user is left with when PVE, the network or other people get in pve_vm's way."""

from __future__ import annotations

import concurrent.futures
import itertools
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import modules

PARALLEL = 8


def guests_named(pve, name: str) -> list[int]:
    return [vmid for vmid in pve.vmids() if pve.config(vmid).get("name") == name]


def kill_in_mid_task(pve, tmp_path: Path, arguments: dict[str, Any], task_type: str) -> None:
    """Start pve_vm and kill -9 it while PVE's task runs."""
    process = modules.module_process("pve_vm", home=tmp_path, connection=pve.environment)
    modules.begin(process, arguments)
    deadline = time.monotonic() + 20
    while not any(task["status"] == "running" for task in pve.tasks(task_type)):
        assert time.monotonic() < deadline, "the task did not start"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)


def test_parallel_runs_without_vmid_make_one_guest_each(pve, run_module) -> None:
    pve.knobs.default_task_seconds = 0.3
    names = [f"node{number}" for number in range(PARALLEL)]
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        results = list(pool.map(lambda name: run_module("pve_vm", {"name": name, "cores": 2}), names))
    assert [result.msg for result in results] == [""] * PARALLEL
    assert all(result.changed for result in results)
    assert len({result["vmid"] for result in results}) == PARALLEL
    assert [guests_named(pve, name) for name in names] == [[result["vmid"]] for result in results]


def test_parallel_clones_without_vmid_make_one_guest_each(pve, run_module) -> None:
    pve.task_seconds["qmclone"] = 0.3
    names = [f"copy{number}" for number in range(PARALLEL)]
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        arguments = {"clone": {"source": "9000"}, "cores": 2}
        results = list(pool.map(lambda name: run_module("pve_vm", {"name": name, **arguments}), names))
    assert [result.msg for result in results] == [""] * PARALLEL
    assert [guests_named(pve, name) for name in names] == [[result["vmid"]] for result in results]
    assert all(pve.config(result["vmid"])["cores"] == 2 for result in results)


@pytest.mark.parametrize(
    ("arguments", "task_type"),
    [
        ({"name": "app1", "clone": {"source": "9000"}, "cores": 2}, "qmclone"),
        ({"name": "app1", "cores": 2, "disks": [{"slot": "scsi0", "storage": "local-lvm", "size": "1G"}]}, "qmcreate"),
    ],
)
def test_an_interrupted_run_is_completed_by_the_next(
    pve, run_module, tmp_path: Path, arguments: dict[str, Any], task_type: str
) -> None:
    pve.task_seconds[task_type] = 1.0
    kill_in_mid_task(pve, tmp_path, arguments, task_type)
    result = run_module("pve_vm", arguments)
    assert not result.failed, result.msg
    assert guests_named(pve, "app1") == [result["vmid"]]
    assert pve.config(result["vmid"])["cores"] == 2
    assert len(pve.tasks(task_type)) == 1
    assert "lock" not in pve.config(result["vmid"])
    assert not run_module("pve_vm", arguments).changed


def test_an_interrupted_run_whose_task_fails_is_begun_again(pve, run_module, tmp_path: Path) -> None:
    arguments = {"vmid": 300, "name": "app1", "clone": {"source": "9000"}, "cores": 2}
    pve.task_seconds["qmclone"] = 1.0
    pve.next_task_fails("qmclone", "clone failed: no space left")
    kill_in_mid_task(pve, tmp_path, arguments, "qmclone")
    result = run_module("pve_vm", arguments)
    assert not result.failed, result.msg
    assert pve.config(300)["cores"] == 2


def test_somebody_elses_change_leads_to_one_new_plan(pve, run_module) -> None:
    pve.before("PUT", "/100/config$", lambda: pve.guest(100).config.update(description="by hand"))
    result = run_module("pve_vm", {"vmid": 100, "cores": 4}, diff=True)
    assert not result.failed, result.msg
    assert (pve.config(100)["cores"], pve.config(100)["description"]) == (4, "by hand")
    assert len(pve.forms("PUT", "/config$")) == 2


def test_somebody_who_changes_the_guest_again_and_again_is_outlasted(pve, run_module) -> None:
    texts = iter("abcde")
    pve.before("PUT", "/100/config$", lambda: pve.guest(100).config.update(description=next(texts)), times=5)
    result = run_module("pve_vm", {"vmid": 100, "cores": 4})
    assert not result.failed, result.msg
    assert (pve.config(100)["cores"], pve.config(100)["description"]) == (4, "e")
    assert len(pve.forms("PUT", "/config$")) == 6


def test_a_conflict_that_does_not_end_is_told_at_the_deadline(pve, run_module) -> None:
    numbers = itertools.count(1)
    pve.before("PUT", "/100/config$", lambda: pve.guest(100).config.update(cpuunits=next(numbers)), times=None)
    result = run_module("pve_vm", {"vmid": 100, "cores": 4, "timeout": 3})
    assert "checksum mismatch (file change by other user?)" in result.msg
    assert result["error"]["kind"] == "conflict"
    assert not result.changed
    assert len(pve.forms("PUT", "/config$")) > 2


def test_several_writers_at_once_all_converge(pve, run_module) -> None:
    wanted = [{"cores": 4}, {"memory": 4096}, {"description": "by C"}, {"tags": ["d"]}, {"onboot": True}]
    with concurrent.futures.ThreadPoolExecutor(len(wanted)) as pool:
        results = list(pool.map(lambda options: run_module("pve_vm", {"vmid": 100, **options}), wanted))
    assert [result.msg for result in results if result.failed] == []
    config = pve.config(100)
    assert (config["cores"], config["memory"], config["description"]) == (4, "4096", "by C")
    assert (config["tags"], config["onboot"]) == ("d", 1)


@pytest.mark.parametrize("kind", ["drop", "lose_answer", "596"])
@pytest.mark.parametrize(
    ("arguments", "method", "path"),
    [
        ({"name": "app1", "cores": 2}, "POST", "/qemu$"),
        ({"name": "app1", "clone": {"source": "9000"}, "cores": 2}, "POST", "/clone$"),
        ({"name": "app1", "clone": {"source": "9000"}, "cores": 2}, "PUT", "/config$"),
        (
            {"name": "app1", "clone": {"source": "9000"}, "cores": 2, "disks": [{"slot": "scsi0", "size": "16G"}]},
            "PUT",
            "/resize$",
        ),
        (
            {
                "name": "app1",
                "clone": {"source": "9000"},
                "cores": 2,
                "disks": [{"slot": "scsi1", "storage": "local-lvm", "size": "1G"}],
            },
            "POST",
            "/config$",
        ),
    ],
    ids=["create", "clone", "configure", "resize", "add-disk"],
)
def test_a_lost_answer_changes_nothing_for_the_user(
    pve, run_module, kind: str, arguments: dict[str, Any], method: str, path: str
) -> None:
    pve.knobs.default_task_seconds = 0.2
    pve.fault(method, path, kind)
    result = run_module("pve_vm", arguments)
    assert not result.failed, result.msg
    assert guests_named(pve, "app1") == [result["vmid"]]
    assert pve.config(result["vmid"])["cores"] == 2
    carried_out = 1 if kind != "drop" else 2
    assert len(pve.forms(method, path)) == carried_out
    assert pve.volumes("local-lvm") == sorted(set(pve.volumes("local-lvm")))
    assert not run_module("pve_vm", arguments).changed


@pytest.mark.parametrize("kind", ["lose_answer", "596"])
def test_a_lost_answer_to_a_delete_is_looked_up(pve, run_module, kind: str) -> None:
    pve.fault("DELETE", "/qemu/100$", kind)
    result = run_module("pve_vm", {"vmid": 100, "state": "absent"})
    assert not result.failed, result.msg
    assert 100 not in pve.vmids()
    assert pve.summary().count("DELETE /nodes/pve1/qemu/100") == 1


def test_a_number_taken_meanwhile_is_not_touched(pve, run_module) -> None:
    pve.before("POST", "/qemu$", lambda: pve.add_guest(300, "theirs"))
    result = run_module("pve_vm", {"vmid": 300, "name": "mine", "node": "pve1", "cores": 2})
    assert result.msg == (
        "guest 300 exists: it was made in the meantime, or root@pam!ansible lacks VM.Audit to see it; "
        "nothing was changed"
    )
    assert not result.changed
    assert pve.config(300)["name"] == "theirs"
    assert 300 in pve.vmids()


def test_a_number_from_pve_that_is_taken_meanwhile_is_replaced(pve, run_module) -> None:
    pve.before("POST", "/clone$", lambda: pve.add_guest(102, "theirs"))
    result = run_module("pve_vm", {"name": "mine", "clone": {"source": "9000"}})
    assert not result.failed, result.msg
    assert result["vmid"] == 103
    assert pve.config(102)["name"] == "theirs"


def test_a_number_taken_while_the_answer_is_lost_is_not_ours(pve, run_module) -> None:
    pve.fault("POST", "/qemu$", "drop")
    pve.before("POST", "/qemu$", lambda: pve.add_guest(102, "theirs"))
    result = run_module("pve_vm", {"name": "mine", "node": "pve1", "cores": 7})
    assert not result.failed, result.msg
    assert result["vmid"] != 102
    assert pve.config(102)["name"] == "theirs"
    assert pve.config(102).get("cores") != 7


def test_a_guest_that_ha_moves_between_two_calls_is_followed(pve_cluster, run_module) -> None:
    pve = pve_cluster
    pve.before("GET", "/100/pending$", lambda: pve.move_guest(100, "pve3"))
    result = run_module("pve_vm", {"vmid": 100, "cores": 4})
    assert not result.failed, result.msg
    assert result["node"] == "pve3"
    pve.before("PUT", "/100/config$", lambda: pve.move_guest(100, "pve2"))
    result = run_module("pve_vm", {"vmid": 100, "cores": 6})
    assert not result.failed, result.msg
    assert result["node"] == "pve2"
    assert pve.config(100)["cores"] == 6


def test_a_locked_guest_is_left_alone_and_the_reason_told(pve, run_module) -> None:
    pve.lock_guest(100, "backup")
    result = run_module("pve_vm", {"vmid": 100, "cores": 4})
    assert "VM is locked (backup)" in result.msg
    assert result["error"]["kind"] == "locked"
    assert not result.changed
    assert not run_module("pve_vm", {"vmid": 100, "tags": []}).changed


def test_a_failed_task_is_told_with_its_log(pve, run_module) -> None:
    pve.next_task_fails("qmcreate", "unable to create VM 300 - out of space", log=["creating volume", "no space left"])
    result = run_module("pve_vm", {"vmid": 300, "node": "pve1"})
    assert "unable to create VM 300 - out of space" in result.msg
    assert "no space left" in result.msg
    assert result["error"]["kind"] == "task_failed"
    assert result["error"]["upid"].startswith("UPID:pve1:")
    assert result["error"]["log_tail"][-1] == "no space left"
    assert not result.changed


def test_a_full_storage_is_told_and_what_was_done_before_too(pve, run_module) -> None:
    run_module("pve_vm", {"vmid": 100, "disks": [{"slot": "scsi1", "storage": "vmstore", "size": "1G"}]})
    pve.fill_storage("local-lvm")
    disks = [{"slot": "scsi1", "size": "2G"}, {"slot": "scsi0", "size": "64G"}]
    result = run_module("pve_vm", {"vmid": 100, "cores": 4, "disks": disks})
    assert result["error"]["kind"] == "task_failed"
    assert result.changed
    assert result["steps"] == ["grow scsi1 of guest 100 (web) to 2G"]
    assert "size=2G" in pve.config(100)["scsi1"]


def test_what_was_made_before_a_storage_was_full_is_not_left_behind(pve, run_module) -> None:
    pve.fill_storage("local-lvm")
    disks = [
        {"slot": "scsi1", "storage": "vmstore", "size": "1G"},
        {"slot": "scsi2", "storage": "local-lvm", "size": "1G"},
    ]
    before = pve.config(100)
    result = run_module("pve_vm", {"vmid": 100, "disks": disks})
    assert "insufficient free space" in result.msg
    assert "what PVE kept pending of it was taken back: scsi1" in result.msg
    assert not result.changed
    assert (pve.config(100), pve.pending(100)) == (before, {})
    assert not pve.call(lambda: [name for name in pve.server.storages["vmstore"]["volumes"] if name.startswith("100/")])


def test_warnings_of_a_task_are_shown(pve, run_module) -> None:
    pve.next_task_warns("qmcreate", "no efidisk configured! Using temporary efivars disk.")
    result = run_module("pve_vm", {"vmid": 300, "node": "pve1", "bios": "ovmf"})
    assert result.changed
    assert any("no efidisk configured" in warning for warning in result.warnings)
    assert result["tasks"][0]["warnings"]


def test_a_missing_privilege_is_named_with_its_path(pve, run_module) -> None:
    pve.add_token("ops@pve!limited", "5d1fdd72-5ab4-4a2d-9a09-e9e57b6b7cc0", privilege_separation=True)
    for holder in ("ops@pve", "ops@pve!limited"):
        pve.grant(holder, "/vms/100", "VM.Audit")
    credentials = {
        "api_user": "ops@pve",
        "api_token_id": "limited",
        "api_token_secret": "5d1fdd72-5ab4-4a2d-9a09-e9e57b6b7cc0",
    }
    result = run_module("pve_vm", {"vmid": 100, "cores": 4, **credentials})
    assert result["error"]["kind"] == "permission"
    assert result["error"]["path"] == "/vms/100"
    assert "VM.Config.CPU" in result["error"]["privilege"]
    assert "ops@pve!limited" in result.msg
    assert "/vms/100" in result.msg
    assert not result.changed


def test_a_device_that_the_guest_does_not_let_go_of_is_told(pve, run_module) -> None:
    run_module("pve_vm", {"vmid": 101, "disks": [{"slot": "scsi1", "storage": "local-lvm", "size": "1G"}]})
    pve.guest(101).refuses_unplug = True
    result = run_module("pve_vm", {"vmid": 101, "disks": [{"slot": "scsi1", "state": "detached"}]})
    assert "error on hot-unplugging device" in result.msg
    assert "what PVE kept pending of it was taken back: scsi1" in result.msg
    assert not result.changed
    assert "scsi1" in pve.config(101)
    assert pve.pending(101) == {}


def test_secrets_stay_out_of_all_that_is_printed(pve, run_module) -> None:
    secret = "correct-horse-battery"
    for fault in (None, "status"):
        if fault:
            pve.fault("POST", "/qemu$", fault, status=500, message=f"nothing here repeats {len(secret)}")
        result = run_module("pve_vm", {"vmid": 300, "node": "pve1", "cloud_init": {"password": secret}}, diff=True)
        output = result.stdout + result.stderr
        assert secret not in json.dumps({key: value for key, value in result.result.items() if key != "invocation"})
        assert pve.token_secret not in output
