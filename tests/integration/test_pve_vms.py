# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many virtual machines in one task: what each gets, what they share, and what comes of a failure."""

from __future__ import annotations

import concurrent.futures
from typing import Any

import pytest

CLONE = {"source": "debian-template"}
QEMU_FAILED = "clone failed: disk image is broken"


def names(pve) -> list[str]:
    return sorted(str(pve.config(vmid).get("name")) for vmid in pve.vmids())


def writes(pve) -> list[str]:
    return [line for line in pve.summary() if not line.startswith("GET")]


def overlap(pve, task_type: str) -> int:
    """How many tasks of the type ran at the same time at most, by the seconds in which they began and ended."""
    tasks = pve.tasks(task_type)
    return max(sum(other["starttime"] <= task["starttime"] < other["endtime"] for other in tasks) for task in tasks)


class TestTheListAsAWhole:
    def test_check_mode_run_and_second_run_agree(self, pve, run_module) -> None:
        arguments = {
            "defaults": {"clone": CLONE, "cores": 2, "tags": ["web"], "cloud_init": {"user": "admin"}},
            "guests": [{"name": "web1"}, {"name": "web2", "cores": 4}, {"vmid": 100, "cores": 4}],
        }
        check = run_module("pve_vms", arguments, check=True, diff=True)
        assert not check.failed, check.msg
        assert writes(pve) == []
        run = run_module("pve_vms", arguments, diff=True)
        assert not run.failed, run.msg
        assert check.changed
        assert run.changed
        assert check["diff"] == run["diff"]
        assert [result["guest"]["name"] for result in run["results"]] == ["web1", "web2", "web"]
        assert [int(pve.config(result["vmid"])["cores"]) for result in run["results"]] == [2, 4, 4]
        assert {pve.config(result["vmid"])["ciuser"] for result in run["results"]} == {"admin"}
        assert run["summary"] == "3 guests: 3 changed, 0 unchanged"
        again = run_module("pve_vms", arguments)
        assert (again.changed, again.failed) == (False, False)
        assert again["summary"] == "3 guests: 0 changed, 3 unchanged"
        assert again["diff"] == []

    def test_lists_of_the_defaults_and_of_a_guest(self, pve, run_module) -> None:
        arguments = {
            "defaults": {"disks": [{"slot": "scsi0", "storage": "local-lvm", "size": "1G"}]},
            "guests": [{"name": "one"}, {"name": "two", "networks": [{"slot": "net0", "bridge": "vmbr0"}]}],
        }
        made = run_module("pve_vms", arguments)
        assert not made.failed, made.msg
        one, two = (pve.config(result["vmid"]) for result in made["results"])
        assert (one["scsi0"].partition(",")[2], two["scsi0"].partition(",")[2]) == ("size=1G", "size=1G")
        assert ("net0" in one, "net0" in two) == (False, True)
        assert not run_module("pve_vms", arguments).changed

    def test_a_result_is_that_of_the_module_for_one(self, pve, run_module) -> None:
        guests = [{"vmid": 100, "cores": 2}, {"vmid": 555, "state": "absent"}]
        many = run_module("pve_vms", {"guests": guests})
        for result, options in zip(many["results"], guests, strict=True):
            one = run_module("pve_vm", options).result
            assert result == {key: value for key, value in one.items() if key != "invocation"}

    def test_the_diff_has_a_section_for_each_guest_that_differs(self, pve, run_module) -> None:
        result = run_module("pve_vms", {"guests": [{"vmid": 100, "cores": 2}, {"vmid": 101, "cores": 8}]}, diff=True)
        (section,) = result["diff"]
        assert section["before_header"] == section["after_header"] == "guest 101 (db)"
        assert section["after"] == {"cores": "8"}

    def test_the_cluster_is_read_once_and_each_guest_twice(self, pve, run_module) -> None:
        for number in range(20):
            pve.add_guest(300 + number, f"app{number}")
        result = run_module("pve_vms", {"guests": [{"name": f"app{number}", "cores": 2} for number in range(20)]})
        assert not result.failed, result.msg
        assert not result.changed
        assert pve.summary().count("GET /cluster/resources") == 1
        assert len(pve.summary()) == 1 + 2 * 20

    def test_a_password_is_shown_nowhere(self, pve, run_module) -> None:
        secret = "hunter2-hunter2"
        arguments = {
            "defaults": {"cloud_init": {"storage": "local-lvm", "password": secret}},
            "guests": [{"vmid": 100}],
        }
        result = run_module("pve_vms", arguments, diff=True)
        assert not result.failed, result.msg
        assert result.changed
        assert secret not in result.stdout


class TestWhatIsRefusedBeforeAnythingIsSent:
    @pytest.mark.parametrize(
        ("guests", "msg"),
        [
            ([{"name": "a"}, {"name": "a"}], "guests[0] (virtual machine named 'a') and guests[1] (virtual"),
            ([{"vmid": 100}, {"vmid": 100, "name": "web"}], "guests[0] (virtual machine 100) and guests[1] (virtual"),
            ([{"vmid": 101}, {"name": "a"}, {"name": "db"}], "guests[0] (virtual machine 101) and guests[2] (virtual"),
            ([{"name": "a"}, {"cores": 2}], "guests[1]: say which guest is meant by vmid or by name"),
            ([{"name": "a"}, {"name": "b", "timeout": 0}], "guests[1]: timeout must be more than 0 seconds, not 0"),
            ([{"name": "a", "clone": {"full": True}}], "guests[0]: missing required arguments: source found in clone"),
        ],
    )
    def test_a_list_that_cannot_be_meant(self, pve, run_module, guests: list[dict[str, Any]], msg: str) -> None:
        result = run_module("pve_vms", {"defaults": {"cores": 2}, "guests": guests})
        assert msg in result.msg
        assert result["error"]["kind"] == "invalid_request"
        assert writes(pve) == []

    @pytest.mark.parametrize("option", ["parallel", "per_node", "per_storage"])
    def test_a_limit_of_nothing(self, run_module, option: str) -> None:
        result = run_module("pve_vms", {"guests": [], option: 0})
        assert result.msg == f"{option} must be at least 1, not 0"

    def test_no_guests_are_no_change(self, run_module) -> None:
        result = run_module("pve_vms", {"guests": []})
        assert (result.changed, result["results"], result["summary"]) == (False, [], "0 guests: 0 changed, 0 unchanged")


class TestFailures:
    def test_one_fails_and_the_others_are_finished(self, pve, run_module) -> None:
        guests = [{"vmid": 300, "name": "a"}, {"vmid": 555, "name": "b", "clone": {"source": "nowhere"}}, {"vmid": 100}]
        result = run_module("pve_vms", {"defaults": {"cores": 4}, "guests": guests})
        assert result.failed
        assert result.msg.startswith("1 of 3 guests failed: virtual machine 555: there is no virtual machine named")
        assert result["summary"] == "3 guests: 2 changed, 0 unchanged, 1 failed"
        assert result.changed
        assert [entry.get("failed", False) for entry in result["results"]] == [False, True, False]
        assert result["results"][1]["error"]["kind"] == "not_found"
        assert {int(pve.config(vmid)["cores"]) for vmid in (300, 100)} == {4}

    def test_stop_leaves_what_was_not_begun(self, pve, run_module) -> None:
        pve.add_guest(103, "last")
        guests = [{"vmid": 100}, {"name": "b", "clone": {"source": "nowhere"}}, {"name": "c"}, {"vmid": 103}]
        arguments = {"defaults": {"cores": 4}, "guests": guests, "parallel": 1, "on_failure": "stop"}
        result = run_module("pve_vms", arguments)
        assert result.failed
        assert result.msg.endswith("; not begun: virtual machine named 'c', virtual machine 103")
        assert result["summary"] == "4 guests: 1 changed, 0 unchanged, 1 failed, 2 not begun"
        assert result["results"][3] == {
            "changed": False,
            "skipped": True,
            "msg": "virtual machine 103 was not begun, because another guest failed",
        }
        assert [int(pve.config(vmid)["cores"]) for vmid in (100, 103)] == [4, 2]
        assert "c" not in names(pve)

    def test_each_guest_has_its_own_time_inside_that_of_the_task(self, pve, run_module) -> None:
        pve.task_seconds["qmclone"] = 30
        guests = [{"name": "a", "clone": CLONE, "timeout": 1}, {"vmid": 101, "cores": 4}]
        result = run_module("pve_vms", {"guests": guests})
        assert result["results"][0]["error"]["kind"] == "timed_out"
        assert "the time of 1 s is over" in result.msg
        assert result["results"][1]["changed"]

    def test_the_time_of_the_task_ends_all(self, pve, run_module) -> None:
        pve.task_seconds["qmclone"] = 30
        guests = [{"name": name, "clone": CLONE} for name in ("a", "b", "c")]
        result = run_module("pve_vms", {"guests": guests, "parallel": 2, "timeout": 2})
        assert [entry["error"]["kind"] for entry in result["results"]] == ["timed_out"] * 3
        assert "the time of 2 s was over before it was begun" in result["results"][2]["msg"]

    def test_a_cluster_that_cannot_be_read_is_one_failure(self, pve, run_module) -> None:
        result = run_module("pve_vms", {"guests": [{"vmid": 100}]}, env={"PROXMOX_TOKEN_SECRET": "wrong"})
        assert result.failed
        assert "results" not in result.result


class TestAtTheSameTime:
    def test_clones_of_a_template_run_side_by_side(self, pve, run_module) -> None:
        pve.task_seconds["qmclone"] = 2.0
        arguments = {"defaults": {"clone": CLONE}, "guests": [{"name": f"app{number}"} for number in range(8)]}
        result = run_module("pve_vms", arguments)
        assert not result.failed, result.msg
        assert len({entry["vmid"] for entry in result["results"]}) == 8
        assert len(pve.tasks("qmclone")) == 8
        assert overlap(pve, "qmclone") > 1

    def test_numbers_are_given_out_once(self, pve, run_module) -> None:
        pve.task_seconds["qmcreate"] = 0.5
        guests = [{"name": f"app{number}", "memory": 64} for number in range(12)]
        result = run_module("pve_vms", {"guests": guests, "parallel": 12})
        assert not result.failed, result.msg
        assert sorted(entry["vmid"] for entry in result["results"]) == [*range(102, 114)]
        assert len([line for line in writes(pve) if line == "POST /nodes/pve1/qemu"]) == 12

    def test_clones_of_a_guest_that_runs_wait_for_each_other(self, pve, run_module) -> None:
        pve.task_seconds["qmclone"] = 1.5
        arguments = {
            "defaults": {"clone": {"source": "db", "full": True}, "timeout": 4},
            "guests": [{"name": f"copy{number}"} for number in range(4)],
        }
        result = run_module("pve_vms", arguments)
        assert not result.failed, result.msg
        # None of the tasks has met the lock of another one.
        assert [task["exitstatus"] for task in pve.tasks("qmclone")] == ["OK"] * 4

    @pytest.mark.parametrize("limit", ["per_node", "per_storage"])
    def test_a_limit_holds(self, pve, run_module, limit: str) -> None:
        pve.task_seconds["qmclone"] = 1.0
        most, running = [0], []

        def count() -> None:
            running.append(sum(task["status"] == "running" for task in pve.server.tasklog if task["type"] == "qmclone"))
            most[0] = max(most[0], running[-1] + 1)

        pve.before("POST", "/clone$", count, times=None)
        arguments = {"defaults": {"clone": CLONE}, "guests": [{"name": f"a{number}"} for number in range(4)], limit: 2}
        result = run_module("pve_vms", arguments)
        assert not result.failed, result.msg
        assert len(running) == 4
        assert most == [2]

    def test_busy_locks_are_waited_for(self, pve, run_module) -> None:
        pve.add_guest(103, "last")
        pve.lock_timeouts(103, 2)
        pve.lock_timeouts(100, 1)
        result = run_module("pve_vms", {"defaults": {"cores": 4}, "guests": [{"vmid": 100}, {"vmid": 103}]})
        assert not result.failed, result.msg
        assert {int(pve.config(vmid)["cores"]) for vmid in (100, 103)} == {4}

    def test_two_plays_with_one_list_make_each_guest_once(self, pve, run_module) -> None:
        pve.task_seconds["qmclone"] = 0.3
        arguments = {"defaults": {"clone": CLONE}, "guests": [{"name": f"app{number}"} for number in range(6)]}
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            results = list(pool.map(lambda _number: run_module("pve_vms", arguments), range(2)))
        assert [name for name in names(pve) if name.startswith("app")] == [f"app{number}" for number in range(6)]
        for result in results:
            for entry in result["results"]:
                assert "failed" not in entry or entry["error"]["kind"] == "ambiguous", entry["msg"]
        again = run_module("pve_vms", arguments)
        assert (again.failed, again.changed) == (False, False)

    def test_two_plays_with_lists_of_their_own_do_not_disturb_each_other(self, pve, run_module) -> None:
        pve.task_seconds["qmclone"] = 0.3

        def run(name: str) -> Any:
            guests = [{"name": f"{name}{number}"} for number in range(5)]
            return run_module("pve_vms", {"defaults": {"clone": CLONE}, "guests": guests})

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            results = list(pool.map(run, ("a", "b")))
        assert [result.msg for result in results if result.failed] == []
        assert len({entry["vmid"] for result in results for entry in result["results"]}) == 10
