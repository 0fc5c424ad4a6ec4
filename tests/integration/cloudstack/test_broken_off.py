# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a deployment leaves that is cut off, two who delete at the same time, and guests that vanish in mid-action."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.cloudstack import payload
from tests.support.service import wait_until

from .conftest import THROUGH_SERVICE

UUID = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
MARK = f"CloudStack instance: i-2-45-VM\nCloudStack UUID: {UUID}\nCloudStack deployment: 0123456789abcdef"
OWN = {"tags": "cloudstack", "description": MARK, "smbios1": f"uuid={UUID}", "scsi0": "local-lvm:vm-105-disk-0,size=4G"}
STUB = {"description": " qmclone temporary file"}
BEFORE = [100, 101, 200, 9000]
UNLOCK = "type 'qm unlock 105' on pve1"


def deletes(pve):
    return [line for line in pve.summary() if line.startswith("DELETE")]


def running_tasks(pve):
    return [task for task in pve.tasks() if task["status"] == "running"]


def leave_stub(pve, lock="clone"):
    """A clone that was stopped twice in quick succession (97b-tasks-stop-twice.json)."""
    pve.add_guest(105, "VM 105", config={"name": None, **STUB}, lock=lock)
    pve.call(lambda: pve.server.guest(105).__setattr__("config", {**STUB, **({"lock": lock} if lock else {})}))
    pve.call(lambda: pve.server.allocate("local-lvm", 105, 4 << 30, "pve1"))


def own_volumes(pve):
    return [volume for volume in pve.volumes("local-lvm") if "-105-" in volume]


@pytest.mark.skipif(THROUGH_SERVICE, reason="the service takes the clone back")
class TestKilledInMidClone:
    """Without the service nobody takes the clone back, and PVE finishes it."""

    @pytest.fixture
    def cut_off(self, pve, bridge):
        pve.task_seconds["qmclone"] = 1.0
        process = bridge.start("create", payload("create_template", pve))
        wait_until(lambda: 105 in pve.vmids())
        process.kill()
        process.communicate()
        return pve

    @pytest.fixture
    def finished(self, cut_off):
        wait_until(lambda: not running_tasks(cut_off))
        return cut_off

    def test_it_is_off_and_not_started(self, finished, calls):
        assert calls("status", payload("status", finished))["power_state"] == "poweroff"
        answer = calls("start", payload("start", finished))
        assert "is what an interrupted deployment of i-2-45-VM has left: delete the instance" in answer.error
        assert finished.status(105) == "stopped"

    @pytest.mark.parametrize("ownership", ["adopt", "require"])
    def test_delete_removes_it(self, finished, calls, bridge, ownership):
        bridge.set_policy({"ownership": ownership})
        assert calls("delete", payload("delete", finished)).ok
        assert finished.vmids() == BEFORE
        assert not own_volumes(finished)

    def test_delete_waits_for_a_clone_that_still_runs(self, cut_off, calls):
        assert calls("delete", payload("delete", cut_off)).ok
        assert cut_off.vmids() == BEFORE
        assert not [line for line in deletes(cut_off) if "/tasks/" in line]

    def test_the_next_prepare_removes_it(self, finished, calls):
        assert calls("prepare", payload("prepare", finished, details={"proxmox_vmid": "105"})).ok
        assert finished.vmids() == BEFORE

    def test_another_instance_does_not(self, finished, calls):
        data = payload("delete", finished)
        data["virtualmachineid"] = data["cloudstack.vm.details"]["uuid"] = UUID.replace("6", "7")
        assert "it is marked as i-2-45-VM, so it was not touched" in calls("delete", data).error
        assert 105 in finished.vmids()


@pytest.mark.parametrize("ownership", ["adopt", "require"])
def test_an_operators_copy_of_the_instance_is_not_unfinished(pve, calls, bridge, ownership):
    bridge.set_policy({"ownership": ownership})
    pve.add_guest(105, "i-2-45-VM", config={**OWN, "smbios1": "uuid=00000000-1111-2222-3333-444444444444"})
    answer = calls("delete", payload("delete", pve))
    assert "it is a copy of the instance's guest, so it was not touched" in answer.error
    assert 105 in pve.vmids()


class TestAStub:
    @pytest.mark.parametrize("action", ["delete", "stop", "start"])
    def test_an_administrator_is_told_what_to_type(self, pve, calls, action):
        leave_stub(pve)
        answer = calls(action, payload(action, pve))
        assert UNLOCK in answer.error
        assert not deletes(pve)

    def test_once_it_is_unlocked_delete_removes_it_and_its_volumes(self, pve, calls):
        leave_stub(pve, lock=None)
        assert calls("delete", payload("delete", pve)).ok
        assert pve.vmids() == BEFORE
        assert not own_volumes(pve)

    @pytest.mark.parametrize(
        "changes", [{"details": {"proxmox_vmid": "105"}}, {"extension": {"vmid_offset": "100"}, "vm": {"id": 5}}]
    )
    def test_and_so_does_prepare(self, pve, calls, changes):
        leave_stub(pve, lock=None)
        assert calls("prepare", payload("prepare", pve, **changes)).ok
        assert pve.vmids() == BEFORE
        assert not own_volumes(pve)

    def test_a_guest_that_holds_anything_is_none(self, pve, calls, bridge):
        bridge.set_policy({"ownership": "require"})
        leave_stub(pve, lock=None)
        pve.call(lambda: pve.server.guest(105).config.update(scsi0="local-lvm:vm-105-disk-0,size=4G"))
        assert calls("delete", payload("delete", pve)).exit_code == 1
        assert calls("prepare", payload("prepare", pve, details={"proxmox_vmid": "105"})).ok
        assert 105 in pve.vmids()


class TestGone:
    @pytest.mark.parametrize("status", ["running", "stopped"])
    @pytest.mark.parametrize("seconds", [{"qmstop": 0.3}, {"qmdestroy": 0.5}])
    def test_two_deletes_at_the_same_time(self, pve, bridge, status, seconds):
        pve.add_guest(105, "i-2-45-VM", status=status, config=OWN)
        pve.task_seconds.update(seconds)
        pve.knobs.destroyed_seconds = 0.5
        with ThreadPoolExecutor() as pool:
            data = payload("delete", pve)
            answers = list(pool.map(lambda _number: bridge.call("delete", data), range(3)))
        assert [answer.output for answer in answers if not answer.ok] == []
        assert pve.vmids() == BEFORE

    @pytest.mark.parametrize("action", ["delete", "stop"])
    @pytest.mark.parametrize("step", range(7))
    def test_a_guest_that_vanishes(self, pve, calls, action, step):
        pve.add_guest(105, "i-2-45-VM", status="running", config=OWN)
        pve.task_seconds["qmstop"] = 0.2

        def vanish():
            if pve.guest(105) is not None:
                pve.remove_guest(105)

        pve.before("*", "", vanish, after=step)
        assert calls(action, payload(action, pve)).ok

    @pytest.mark.parametrize("action", ["start", "reboot"])
    def test_for_others_that_is_a_failure(self, pve, calls, action):
        pve.add_guest(105, "i-2-45-VM", status="running" if action == "reboot" else "stopped", config=OWN)
        pve.before("POST", f"/status/{action}$", lambda: pve.remove_guest(105))
        assert calls(action, payload(action, pve)).exit_code == 1


class TestUnknown:
    """Where PVE shows no task of what was asked for, nobody says that it was removed."""

    CASES = (("CreateSnapshot", "/snapshot$", "the snapshot"), ("Backup", "/vzdump$", "the backup"))

    @pytest.fixture
    def own(self, pve, bridge):
        bridge.set_policy({"backup_storage": "local", "allowed_storages": ["*"]})
        pve.add_guest(105, "i-2-45-VM", config=OWN)
        return pve

    @pytest.mark.parametrize(("action", "path", "what"), CASES)
    def test_a_request_that_was_lost(self, own, calls, action, path, what):
        own.fault("POST", path, "drop", times=None)
        data = payload("CreateSnapshot", own, parameters={"snap_name": "one"})
        answer = calls(action, data, wait=10)
        assert answer.exit_code == 1
        assert f"{what} may still come into being" in answer.error
        assert "removed" not in answer.error
        assert "stopped" not in answer.error

    @pytest.mark.parametrize("ahead", [-40, 40])
    @pytest.mark.parametrize(("action", "path", "what"), CASES)
    def test_clocks_that_differ(self, own, calls, action, path, what, ahead):
        """An older task of the same kind is not taken for the one that was lost, and that one is found."""
        own.knobs.clock_ahead["pve1"] = ahead
        task = "qmsnapshot" if action == "CreateSnapshot" else "vzdump"
        assert calls(action, payload("CreateSnapshot", own, parameters={"snap_name": "old"})).ok
        own.task_seconds[task] = 30
        own.fault("POST", path, "lose_answer")
        answer = calls(action, payload("CreateSnapshot", own, parameters={"snap_name": "one"}), wait=10)
        assert "too short" in answer.error, answer.error
        assert not running_tasks(own)
        assert list(own.snapshots(105)) == (["old"] if action == "CreateSnapshot" else [])
