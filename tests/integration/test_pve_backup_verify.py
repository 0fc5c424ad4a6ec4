# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pve_backup_verify and pve_backups_verify against the embedded PVE: good and bad backups, and what is left of them."""

from __future__ import annotations

import time

import pytest

from tests.support.real_shell import RealShell

DAY = 86400
GUESTS = [100, 101, 200, 9000]
MADE = "Made to verify a backup, and deleted by the next run of pve_backup_verify with the same tag."


@pytest.fixture
def verify(pve, run_module):
    def run(check=False, **arguments):
        return run_module("pve_backup_verify", arguments, check=check)

    return run


@pytest.fixture
def agents(pve):
    """The agent of each guest that is started answers."""
    pve.agents_answer_from_the_start()


def restored(pve):
    """What the last restore was asked for."""
    return pve.forms("POST", "/(qemu|lxc)$")[-1]


class TestGood:
    def test_with_an_agent(self, pve, verify, agents):
        pve.guest(100).config.update(agent="1", onboot=1, protection=1, tags="prod", description="secret notes")
        pve.add_backup(100, age=2 * DAY)
        volid = pve.add_backup(100, age=DAY)
        predicted = verify(check=True, vmid=100)
        assert (predicted.failed, predicted["report"]["result"], predicted["report"]["backup"]) == (
            False,
            "not run",
            volid,
        )
        result = verify(vmid=100)
        assert (result.failed, result.changed, predicted.changed) == (False, False, False), result
        report = result["report"]
        assert (report["guest"], report["vmid"], report["backup"], report["size"]) == ("web", 100, volid, 36653)
        assert (report["result"], report["booted_by"], report["why"]) == ("good", "the guest agent", None)
        assert DAY <= report["age"] < DAY + 3600
        assert (report["restore_seconds"] >= 0, report["boot_seconds"] >= 0) == (True, True)
        assert pve.vmids() == GUESTS
        form = restored(pve)
        assert (form["onboot"], form["protection"], form["unique"], form["tags"]) == ("0", "0", "1", "verify-backup")
        assert ("link_down=1" in form["net0"], "macaddr" in form["net0"], "=BC" in form["net0"]) == (True, False, False)
        assert form["description"] == f"{MADE}\nRestored from {volid}"

    def test_with_a_login_on_the_console_and_checks_there(self, pve, verify):
        pve.guest(100).config["serial0"] = "socket"
        pve.add_backup(100)
        pve.before("POST", "/status/start$", lambda: pve.console(102).run(RealShell({"root": "correct horse"})))
        steps = [{"run": "true"}, {"run": "test -d /"}]
        login = {"user": "root", "password": "correct horse"}
        result = verify(vmid=100, login=login, console_steps=steps)
        assert not result.failed, result
        assert (result["report"]["booted_by"], result["report"]["checks"]) == ("a login prompt", 2)
        assert pve.vmids() == GUESTS

    def test_a_container(self, pve, verify):
        pve.add_backup(200)
        pve.before("POST", "/status/start$", lambda: pve.console(102).run(RealShell(None, "sh", "-i")))
        result = verify(vmid=200)
        assert (result.failed, result["report"]["booted_by"], pve.vmids()) == (False, "a shell", GUESTS), result

    def test_without_booting(self, pve, verify):
        pve.add_backup(100)
        result = verify(name="web", boot="none")
        assert (result["report"]["result"], result["report"]["boot_seconds"]) == ("good", None)
        assert "start" not in str(pve.summary())

    def test_a_guest_without_a_name(self, pve, verify):
        pve.add_guest(300, "VM 300", config={"name": None})
        pve.add_backup(300)
        result = verify(vmid=300, boot="none")
        assert (result.failed, restored(pve)["name"]) == (False, "guest-300-verify"), result

    def test_a_guest_that_is_gone(self, pve, verify):
        volid = pve.add_backup(100)
        pve.remove_guest(100)
        result = verify(backup=volid, boot="none")
        assert (result.failed, result["report"]["vmid"], pve.vmids()) == (False, 100, GUESTS[1:])
        assert result["report"]["guest"] == "web"

    def test_numbers_storage_and_pool_are_as_asked_for(self, pve, verify):
        pve.add_pool("tests")
        pve.add_guest(500, "taken")
        pve.add_backup(100)
        result = verify(
            vmid=100, boot="none", vmids="500-509", restore_storage="vmstore", pool="tests", config={"cores": 1}
        )
        assert not result.failed, result
        form = restored(pve)
        assert (form["vmid"], form["storage"], form["pool"], form["cores"]) == ("501", "vmstore", "tests", "1")

    def test_devices_of_the_node_are_taken_away_before_it_starts(self, pve, verify, agents):
        pve.guest(100).config.update(agent="1", hostpci0="mapping=card", usb0="mapping=stick")
        pve.add_backup(100)
        seen = []
        pve.before("POST", "/status/start$", lambda: seen.append(sorted(pve.config(102))))
        assert not verify(vmid=100).failed
        assert not {"hostpci0", "usb0"} & set(seen[0])
        assert "hostpci0" in pve.config(100)


class TestBad:
    @pytest.mark.parametrize("damaged", ["body", "head"])
    def test_one_whose_disk_is_damaged(self, pve, verify, damaged):
        volid = pve.add_backup(100, damaged=damaged)
        result = verify(vmid=100)
        assert result.failed
        assert result["error"]["kind"] == "bad_backup"
        assert f"backup {volid} of guest 100 (web) is not proved: " in result.msg
        assert "the backup is damaged: restore an older one, and look at its storage" in result.msg
        report = result["error"]["report"]
        assert (report["result"], report["backup"], report["size"]) == ("bad", volid, 36653)
        assert pve.vmids() == GUESTS

    def test_one_that_does_not_boot(self, pve, verify):
        pve.guest(100).config["agent"] = "1"
        pve.add_backup(100)
        result = verify(vmid=100, boot_timeout=1)
        assert "it was restored, and does not boot: an answer of the guest agent" in result.msg
        assert pve.vmids() == GUESTS

    def test_one_that_fails_to_start(self, pve, verify):
        pve.guest(100).config["agent"] = "1"
        pve.add_backup(100)
        pve.next_task_fails("qmstart", "start failed: QEMU exited with code 1")
        assert "does not boot: task qmstart of 102 on node pve1 failed: start failed" in verify(vmid=100).msg
        assert pve.vmids() == GUESTS

    def test_one_whose_console_stays_silent_shows_what_was_seen(self, pve, verify):
        pve.guest(100).config["serial0"] = "socket"
        pve.add_backup(100)

        async def panic(terminal):
            while await terminal.read():
                await terminal.write("Kernel panic - not syncing: VFS: Unable to mount root fs\r\n")

        pve.before("POST", "/status/start$", lambda: pve.console(102).run(panic))
        result = verify(vmid=100, boot_timeout=4)
        assert "it was restored, and does not boot" in result.msg
        assert "Kernel panic - not syncing: VFS: Unable to mount root fs" in result["error"]["report"]["evidence"]

    def test_one_that_fails_a_check(self, pve, verify):
        pve.guest(100).config["serial0"] = "socket"
        pve.add_backup(100)
        pve.before("POST", "/status/start$", lambda: pve.console(102).run(RealShell(None, "sh", "-i")))
        result = verify(vmid=100, console_steps=[{"run": "false", "name": "the database runs"}])
        assert "it boots, and a check fails: " in result.msg
        assert pve.vmids() == GUESTS

    def test_one_that_is_too_old_or_not_there(self, pve, verify):
        assert verify(vmid=101).msg.startswith("the backup of guest 101 (db) is not proved: guest 101 has no backup")
        pve.add_backup(100, age=3 * DAY)
        result = verify(vmid=100, max_age="2d")
        assert "seconds old, and max_age allows 172800: make a new one" in result.msg
        assert "POST" not in str(pve.summary())

    def test_one_that_a_verification_has_found_damaged(self, pve, verify):
        pve.add_backup(100, verification={"state": "failed", "upid": "UPID:x"})
        assert "its verification by Proxmox Backup Server has failed" in verify(vmid=100).msg

    def test_one_that_nobody_can_tell_of(self, pve, verify):
        pve.add_backup(100)
        assert (
            "it has neither a guest agent nor a serial line by which to see that it has booted" in verify(vmid=100).msg
        )
        assert pve.vmids() == GUESTS

    def test_one_of_a_guest_that_had_the_number_before(self, pve, verify):
        volid = pve.add_backup(100, age=3600)
        pve.remove_guest(100)
        pve.add_guest(100, "billing", config={"meta": f"creation-qemu=10.2.2,ctime={int(time.time())}"})
        result = verify(vmid=100, boot="none")
        assert "it is older than the guest itself, so it is one of another guest that had the number 100" in result.msg
        assert result["error"]["report"]["result"] == "not proved"
        assert "POST" not in str(pve.summary())
        assert not verify(backup=volid, boot="none").failed

    @pytest.mark.parametrize(
        ("vmid", "settings", "words"),
        [
            (100, {"args": "-netdev user,id=n1", "ivshmem": "size=32"}, "it has args, ivshmem, by which"),
            (100, {"serial0": "/dev/ttyS0", "parallel0": "/dev/parport0"}, "it has parallel0, serial0, by which"),
            (200, {"mp0": "/srv/data,mp=/data", "dev0": "/dev/ttyUSB0"}, "it has dev0, mp0, by which"),
            (9000, {}, "it is a template, which PVE does not start: set boot to none"),
        ],
    )
    @pytest.mark.parametrize("check", [True, False])
    def test_one_that_must_not_or_cannot_start_is_not_even_restored(self, pve, verify, vmid, settings, words, check):
        pve.guest(vmid).config.update(settings)
        pve.add_backup(vmid)
        result = verify(check=check, vmid=vmid)
        assert words in result.msg
        assert result["error"]["report"]["result"] == "not proved"
        assert "POST" not in str(pve.summary())

    def test_one_that_must_not_start_is_restored_where_that_is_all(self, pve, verify):
        pve.guest(100).config["args"] = "-no-reboot"
        pve.add_backup(100)
        assert not verify(vmid=100, boot="none").failed
        pve.add_backup(9000)
        assert not verify(vmid=9000, boot="none").failed
        assert pve.vmids() == GUESTS

    def test_the_time_of_all_that_is_over_while_it_is_restored(self, pve, verify):
        volid = pve.add_backup(100)
        pve.task_seconds["qmrestore"] = 600
        result = verify(vmid=100, boot="none", timeout=2)
        assert "guest 102 is left, and the first run with the tag verify-backup after that deletes it" in result.msg
        assert "is not proved: it was not restored in time: task qmrestore of 102 still runs" in result.msg
        assert result["error"]["report"]["result"] == "not proved"
        assert (result.changed, result["steps"]) == (True, [f"restore {volid}, which PVE goes on with"])
        assert 102 in pve.vmids()

    def test_one_with_a_hook_script_is_not_even_restored(self, pve, verify):
        pve.guest(100).config["hookscript"] = "local:snippets/hook.pl"
        pve.add_backup(100)
        assert "it has a hookscript, which would run on the node" in verify(vmid=100).msg
        assert "POST" not in str(pve.summary())

    def test_a_full_storage(self, pve, verify):
        pve.add_backup(100)
        pve.fill_storage("local-lvm")
        result = verify(vmid=100)
        assert "a storage is full" in result.msg
        assert result["error"]["report"]["result"] == "not proved"
        assert pve.vmids() == GUESTS

    def test_the_evidence_is_kept_when_that_is_asked_for_and_no_run_deletes_it(self, pve, verify):
        pve.guest(100).config["agent"] = "1"
        pve.add_backup(100)
        result = verify(vmid=100, boot_timeout=1, keep_failed=True)
        assert result["error"]["report"]["kept"] == 102
        assert (pve.status(102), pve.config(102)["tags"]) == ("running", "verify-backup-kept")
        assert not verify(vmid=100, boot="none").failed
        assert pve.vmids() == [100, 101, 102, 200, 9000]

    def test_a_job_that_backs_the_restored_one_up_is_waited_for(self, pve, verify):
        pve.add_backup(100)
        pve.before("DELETE", "/qemu/102$", lambda: pve.lock_guest(102, "backup"))
        pve.before("GET", "/102/status/current$", lambda: pve.lock_guest(102, None), after=2)
        assert not verify(vmid=100, boot="none").failed
        assert pve.vmids() == GUESTS

    def test_one_that_is_another_guest_by_then_is_not_deleted(self, pve, verify):
        pve.add_backup(100)
        pve.before("GET", "/102/config$", lambda: pve.guest(102).config.update(tags="prod"))
        result = verify(vmid=100, boot="none")
        assert "could not be deleted (its tags or notes are no longer those that it was given): delete it" in result.msg
        assert 102 in pve.vmids()

    def test_what_cannot_be_deleted_is_named(self, pve, verify):
        pve.add_backup(100)
        pve.next_task_fails("qmdestroy", "disk is busy")
        result = verify(vmid=100, boot="none")
        assert "guest 102, which was made to verify it, could not be deleted" in result.msg
        assert "delete it, or run this again" in result.msg
        again = verify(vmid=100, boot="none")
        assert (again.failed, again.changed, pve.vmids()) == (False, True, GUESTS)
        assert again["steps"] == ["delete guest 102 (web-verify), which a run that was broken off has left"]


class TestLeftOvers:
    def test_only_what_the_tag_and_the_notes_say_is_made_here_is_deleted(self, pve, verify):
        for vmid, tags, description in (
            (300, "verify-backup", f"{MADE}\nRestored from x"),
            (301, "verify-backup", "somebody's own"),
            (302, "other", MADE),
        ):
            pve.add_guest(vmid, f"g{vmid}", status="running", config={"tags": tags, "description": description})
        pve.add_backup(100)
        result = verify(vmid=100, boot="none")
        assert (result.failed, result.changed) == (False, True), result
        assert pve.vmids() == [100, 101, 200, 301, 302, 9000]

    def test_what_a_restore_has_left_that_failed(self, pve, verify, api):
        volid = pve.add_backup(100, damaged="body")
        api.task("POST", "/nodes/pve1/qemu", vmid=500, archive=volid)
        pve.add_backup(101)
        result = verify(vmid=101, boot="none")
        assert (result.failed, result["steps"]) == (False, ["delete guest 500, which a restore that failed has left"])
        assert pve.vmids() == GUESTS

    @pytest.mark.parametrize(
        ("vmid", "kind", "source", "more"),
        [(100, "qemu", "archive", {}), (200, "lxc", "ostemplate", {"restore": 1, "storage": "local-lvm"})],
    )
    def test_a_restore_over_what_a_failed_one_has_left_is_let_alone(self, pve, verify, api, vmid, kind, source, more):
        good, bad = pve.add_backup(vmid, age=DAY), pve.add_backup(vmid, damaged="body")
        api.task("POST", f"/nodes/pve1/{kind}", vmid=300, **{source: bad}, **more)
        pve.task_seconds["qmrestore"] = pve.task_seconds["vzrestore"] = 600
        force = {"force": 1} if 300 in pve.vmids() else {}
        api.data("POST", f"/nodes/pve1/{kind}", vmid=300, **{source: good}, **more, **force)
        pve.add_backup(101)
        pve.task_seconds["qmrestore"] = 0
        result = verify(vmid=101, boot="none")
        assert (result.failed, result.changed, result["steps"]) == (False, False, []), result
        assert pve.vmids() == [100, 101, 200, 300, 9000]
        assert not [task for task in pve.tasks() if task["type"] in ("qmdestroy", "vzdestroy") and task["id"] == "300"]

    def test_a_restore_in_the_range_that_still_runs_is_nobody_s_that_can_be_told(self, pve, verify, api):
        volid = pve.add_backup(100)
        pve.task_seconds["qmrestore"] = 600
        upid = api.data("POST", "/nodes/pve1/qemu", vmid=500, archive=volid)
        pve.task_seconds["qmrestore"] = 0
        result = verify(vmid=100, boot="none", vmids="500-509")
        assert (result.failed, result["steps"], restored(pve)["vmid"]) == (False, [], "501")
        assert "guest 500 is empty or being made, and no restore of root@pam!ansible is known to have left it" in str(
            result.warnings
        )
        assert api.data("GET", f"/nodes/pve1/tasks/{upid}/status")["status"] == "running"

    def test_one_that_becomes_somebody_s_before_it_is_deleted(self, pve, verify, api):
        volid = pve.add_backup(100, damaged="body")
        api.task("POST", "/nodes/pve1/qemu", vmid=500, archive=volid)
        pve.add_backup(101)
        pve.before("GET", "/500/status/current$", lambda: pve.guest(500).config.update(name="theirs"))
        result = verify(vmid=101, boot="none")
        assert (result.failed, result["steps"]) == (False, []), result
        assert "guest 500" in str(result.warnings)
        assert pve.config(500)["name"] == "theirs"

    def test_one_that_becomes_somebody_s_while_its_deletion_waits(self, pve, verify):
        pve.add_guest(300, "left", config={"tags": "verify-backup", "description": MADE})
        pve.add_backup(100)
        pve.next_task_fails(
            "qmdestroy", "can't lock file '/var/lock/qemu-server/lock-300.conf' - got timeout", vmid=300
        )
        pve.before("DELETE", "/300$", lambda: pve.guest(300).config.update(description="mine now"))
        result = verify(vmid=100, boot="none")
        assert (result.failed, result["steps"]) == (False, []), result
        assert "guest 300 (left) was changed while it was to be deleted" in str(result.warnings)
        assert 300 in pve.vmids()

    def test_one_that_is_locked_is_left_to_the_next_run(self, pve, verify):
        pve.add_guest(300, "left", config={"tags": "verify-backup", "description": MADE})
        pve.lock_guest(300, "backup")
        pve.add_backup(100)
        result = verify(vmid=100, boot="none")
        assert (result.failed, result.changed) == (False, False), result
        assert "guest 300 (left) was made to verify a backup, and is locked (backup): the next run deletes it" in str(
            result.warnings
        )
        assert 300 in pve.vmids()

    def test_check_mode_says_what_is_deleted_and_a_run_that_fails_as_well(self, pve, verify):
        pve.add_guest(300, "left", config={"tags": "verify-backup", "description": MADE})
        steps = ["delete guest 300 (left), which a run that was broken off has left"]
        predicted = verify(check=True, vmid=101)
        assert predicted.failed
        pve.add_backup(100)
        predicted = verify(check=True, vmid=100)
        assert (predicted.failed, predicted.changed, predicted["steps"], 300 in pve.vmids()) == (
            False,
            True,
            steps,
            True,
        )
        failed = verify(vmid=101, boot="none")
        assert (failed.failed, failed.changed, failed["steps"]) == (True, True, steps)
        assert pve.vmids() == GUESTS


WRONG = (
    ({}, "say which guest is meant by vmid or by name"),
    ({"vmid": 100, "vmids": "1-2-3"}, "vmids '1-2-3' is no range of numbers as in 9000-9099"),
    ({"vmid": 100, "vmids": "1-300"}, "vmids must be from 100"),
    ({"vmid": 100, "tag": "A B"}, "tag 'A B' is none that PVE takes as it is"),
    ({"vmid": 100, "boot": "console", "commands": ["true"]}, "commands are run by the guest agent"),
    ({"vmid": 100, "boot": "none", "console_steps": [{"run": "true"}]}, "console_steps need a guest that runs"),
    ({"vmid": 100, "login": {"user": "a", "password": "correct horse"}}, "login only goes with console_steps"),
    ({"vmid": 100, "boot_timeout": 0}, "boot_timeout must be more than 0 seconds, not 0"),
    (
        {"vmid": 101, "backup": "local:backup/vzdump-qemu-100-2026_01_31-03_00_00.vma"},
        "is one of guest 100, not of guest 101",
    ),
)


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_what_is_wrong_in_the_options_is_said_before_anything_is_sent(pve, verify, arguments, words):
    result = verify(**arguments)
    assert words in result.msg
    assert (result["error"]["kind"], pve.summary()) == ("invalid_request", [])


def test_many_guests(pve, run_module):
    pve.add_backup(100)
    bad = pve.add_backup(101, damaged="body")
    pve.add_backup(200)
    pve.add_guest(300, "left", config={"tags": "verify-backup", "description": MADE})
    arguments = {"select": {"names": ["*"]}, "defaults": {"boot": "none"}, "parallel": 2}
    result = run_module("pve_backups_verify", arguments)
    assert result.failed
    assert "1 of 4 guests failed" not in result.msg
    assert f"backup {bad} of guest 101 (db) is not proved" in result.msg
    reports = [one.get("report") or one["error"]["report"] for one in result["results"]]
    assert [(one["vmid"], one["result"]) for one in reports][:3] == [(100, "good"), (101, "bad"), (200, "good")]
    assert pve.vmids() == GUESTS
