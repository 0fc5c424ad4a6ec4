# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long tasks run, how they end, and what is seen of a guest meanwhile."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.support.api_client import ApiClient

WEB = "/nodes/pve1/qemu/100"
TEMPLATE = "/nodes/pve1/qemu/9000"
GONE = "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist"


def test_a_clone_takes_its_seconds_and_is_locked_meanwhile(pve, api):
    pve.task_seconds["qmclone"] = 0.3
    upid = api.data("POST", TEMPLATE + "/clone", newid=102, name="copy")
    assert api.status_of(upid)["status"] == "running"
    assert api.data("GET", "/nodes/pve1/qemu/102/status/current")["lock"] == "clone"
    assert api("POST", TEMPLATE + "/clone", newid=102).reason.endswith("config file already exists")
    assert api.finish(upid) == "OK"
    assert "lock" not in api.data("GET", "/nodes/pve1/qemu/102/config")


def test_a_task_outlives_its_client(pve, api):
    pve.task_seconds["qmcreate"] = 0.3
    pve.fault("POST", "/qemu$", "delay", seconds=0.2)
    with pytest.raises(requests.Timeout):
        api.session.post(f"{api.base}/nodes/pve1/qemu", data={"vmid": 120}, timeout=0.1)
    deadline = time.monotonic() + 5
    while not any(task.get("exitstatus") for task in pve.tasks("qmcreate")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [task["exitstatus"] for task in pve.tasks("qmcreate")] == ["OK"]


@pytest.mark.parametrize(
    ("task_type", "method", "path", "lock"),
    [
        ("qmsnapshot", "POST", "/snapshot", "snapshot"),
        ("qmrollback", "POST", "/snapshot/old/rollback", "rollback"),
        ("qmdelsnapshot", "DELETE", "/snapshot/old", "snapshot-delete"),
    ],
)
def test_snapshot_tasks_lock_the_guest(pve, api, task_type, method, path, lock):
    assert api.task("POST", WEB + "/snapshot", snapname="old") == "OK"
    pve.task_seconds[task_type] = 0.2
    form = {"snapname": "new"} if path == "/snapshot" else {}
    upid = api.data(method, WEB + path, **form)
    assert api.data("GET", WEB + "/config")["lock"] == lock
    assert api.finish(upid) == "OK"
    assert "lock" not in api.data("GET", WEB + "/config")


def test_a_second_task_waits_for_the_first(pve, api):
    pve.task_seconds["qmstart"] = 0.2
    first = api.data("POST", WEB + "/status/start")
    second = api.data("POST", WEB + "/status/stop")
    assert (api.finish(first), api.finish(second)) == ("OK", "OK")
    assert pve.status(100) == "stopped"


def test_the_lock_file_may_be_held(pve, api):
    text = "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"
    pve.lock_timeouts(100, times=3)
    assert api.task("POST", WEB + "/status/start") == text
    assert api("PUT", WEB + "/config", cores=1).reason == text
    assert api("POST", WEB + "/clone", newid=102).reason == text
    assert api.task("POST", WEB + "/status/start") == "OK"


def test_warnings_are_a_success_with_lines(pve, api):
    pve.next_task_warns("qmstart", "no efidisk configured! Using temporary efivars disk.")
    upid = api.data("POST", WEB + "/status/start")
    assert api.finish(upid) == "WARNINGS: 1"
    assert api.log_of(upid) == ["WARN: no efidisk configured! Using temporary efivars disk.", "TASK WARNINGS: 1"]
    assert pve.status(100) == "running"


def test_a_planted_failure_leaves_no_half_made_guest(pve, api):
    pve.next_task_fails("qmclone", "clone failed: no space", log=["create full clone of drive scsi0"])
    upid = api.data("POST", TEMPLATE + "/clone", newid=102)
    assert api.finish(upid) == "clone failed: no space"
    assert api.log_of(upid)[-2:] == ["create full clone of drive scsi0", "TASK ERROR: clone failed: no space"]
    assert 102 not in pve.vmids()


def test_stopping_a_task(pve, api):
    pve.task_seconds["qmstart"] = 30
    upid = api.data("POST", WEB + "/status/start")
    api.data("DELETE", f"/nodes/pve1/tasks/{upid}")
    assert api.finish(upid) == "received interrupt"
    assert pve.status(100) == "stopped"


def test_lists_are_filtered(pve, api):
    for action in ("start", "stop"):
        api.task("POST", WEB + f"/status/{action}")
    api.task("POST", "/nodes/pve1/qemu/101/status/start")
    tasks = "/nodes/pve1/tasks"
    assert [task["type"] for task in api.data("GET", tasks)] == ["qmstart", "qmstop", "qmstart"]
    assert [task["type"] for task in api.data("GET", tasks, vmid=100)] == ["qmstop", "qmstart"]
    assert [task["id"] for task in api.data("GET", tasks, typefilter="qmstart")] == ["101", "100"]
    assert [task["status"] for task in api.data("GET", tasks, errors=1)] == ["VM 101 already running"]
    assert len(api.data("GET", tasks, limit=1)) == 1
    assert api.data("GET", tasks, since=int(time.time()) + 100) == []
    assert api.data("GET", tasks, userfilter="nobody@pam") == []
    entry = api.data("GET", "/cluster/tasks")[0]
    assert (entry["user"], entry["tokenid"], entry["status"]) == ("root@pam", "ansible", "VM 101 already running")
    pve.task_seconds["qmstart"] = 0.2
    upid = api.data("POST", WEB + "/status/start")
    assert [task["upid"] for task in api.data("GET", tasks, source="active")] == [upid]
    assert api.finish(upid) == "OK"


def test_a_guest_that_vanishes_before_its_start(pve, api):
    pve.before("POST", "/status/start$", lambda: pve.remove_guest(100))
    assert api.task("POST", WEB + "/status/start") == GONE


def stub_of(api, vmid):
    return {key: value for key, value in api.data("GET", f"/nodes/pve1/qemu/{vmid}/config").items() if key != "digest"}


def stop_at_once(pve, upid, *pauses):
    """DELETE the task after each of these pauses, whether the one before was answered or not."""
    with ThreadPoolExecutor() as pool:
        for pause in pauses:
            time.sleep(pause)
            pool.submit(ApiClient(pve).data, "DELETE", f"/nodes/pve1/tasks/{upid}")


class TestStopping:
    """97-tasks-stop.json and 97b-tasks-stop-twice.json."""

    @pytest.fixture
    def clone(self, pve, api):
        pve.task_seconds["qmclone"] = 30
        upid = api.data("POST", TEMPLATE + "/clone", newid=102, full=1)
        assert stub_of(api, 102) == {"lock": "clone", "description": " qmclone temporary file"}
        return upid

    def test_one_delete_cleans_up_and_answers_after_its_first_look(self, pve, api, clone):
        began = time.monotonic()
        assert api.data("DELETE", f"/nodes/pve1/tasks/{clone}") is None
        assert time.monotonic() - began >= 1.0
        assert api.status_of(clone)["exitstatus"] == "received interrupt"
        assert 102 not in pve.vmids()
        assert not [volume for volume in pve.volumes("local-lvm") if "-102-" in volume]
        assert api.data("DELETE", f"/nodes/pve1/tasks/{clone}") is None

    @pytest.mark.parametrize("pause", [0.0, 0.3])
    def test_two_soon_after_one_another_leave_a_locked_stub(self, pve, api, clone, pause):
        stop_at_once(pve, clone, 0, pause)
        assert api.status_of(clone)["exitstatus"] == "received interrupt"
        assert stub_of(api, 102) == {"lock": "clone", "description": " qmclone temporary file"}
        assert [volume for volume in pve.volumes("local-lvm") if "-102-" in volume]
        assert api.finish(api.data("DELETE", "/nodes/pve1/qemu/102")) == "VM is locked (clone)"

    def test_two_with_a_pause_are_clean(self, pve, api, clone):
        stop_at_once(pve, clone, 0, 0.9)
        assert 102 not in pve.vmids()

    def test_a_term_that_is_lost_is_followed_by_a_kill(self, pve, api, clone):
        pve.knobs.lost_terms = 1
        pve.knobs.stop_look_seconds = 0.05
        api.data("DELETE", f"/nodes/pve1/tasks/{clone}")
        assert api.status_of(clone)["exitstatus"] == "unexpected status"
        assert stub_of(api, 102)["lock"] == "clone"
