# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pve_restore against the embedded PVE: new guests, guests that are replaced, and what is left when it fails."""

from __future__ import annotations

import pytest

from tests.support.api_client import ApiClient, Target

DAY = 86400
MARK = "Restored from "


@pytest.fixture
def restore(run_module):
    def run(check=False, on=None, **arguments):
        return run_module("pve_restore", arguments, check=check, diff=True, on=on)

    return run


@pytest.fixture
def change(restore):
    """Run in check mode, for real, and again; return what the real run answered."""

    def run(**arguments):
        predicted = restore(check=True, **arguments)
        real = restore(**arguments)
        again = restore(**arguments)
        assert (predicted.failed, real.failed, again.failed) == (False, False, False), (predicted, real, again)
        assert (predicted.changed, real.changed, again.changed) == (True, True, False)
        assert predicted.diff == real.diff
        assert predicted["steps"] == real["steps"]
        assert (predicted.warnings, predicted["checked"]) == (real.warnings, real["checked"])
        return real

    return run


@pytest.fixture
def others(pve):
    """A client of somebody else."""
    secret = "11111111-2222-3333-4444-555555555555"
    pve.add_token("root@pam!other", secret)
    return ApiClient(Target(pve.url, "root@pam!other", secret, pve.cafile))


def writes(pve):
    return [line for line in pve.summary() if not line.startswith("GET")]


class TestANewGuest:
    def test_beside_the_one_that_was_backed_up(self, pve, change):
        pve.guest(100).config.update(description="notes", tags="prod", onboot=1)
        held = pve.add_backup(100)
        result = change(backup=held, name="copy", disconnected=True, onboot=False, tags=["check"])
        made, web = pve.config(result["vmid"]), pve.config(100)
        assert (result["guest"]["name"], result["guest"]["status"]) == ("copy", "stopped")
        assert (made["name"], made["description"]) == ("copy", f"notes\n{MARK}{held}")
        assert set(made["tags"].split(";")) == {"prod", "check"}
        assert (str(made["onboot"]), "link_down=1" in made["net0"]) == ("0", True)
        assert made["net0"].split(",")[0] != web["net0"].split(",")[0]
        assert made["scsi0"] == f"local-lvm:vm-{result['vmid']}-disk-0,size=8G"
        assert result.diff == {"before": {}, "after": {"name": "copy", "restored_from": held}}
        assert result["steps"] == [f"restore {held} to a new guest (copy) on node pve1"]
        assert (web["description"], result["checked"]) == ("notes", None)

    def test_a_guest_that_is_gone_gets_its_number_name_and_address_back(self, pve, change):
        before = pve.config(100)
        held = pve.add_backup(100)
        pve.remove_guest(100)
        result = change(backup=held)
        after = pve.config(100)
        assert (result["vmid"], after["net0"], after["name"]) == (100, before["net0"], "web")

    def test_networks_storage_pool_and_settings(self, pve, change):
        pve.add_pool("prod")
        held = pve.add_backup(100)
        networks = [{"slot": "net0", "bridge": "vmbr1", "vlan": 7, "link_down": True}]
        result = change(
            backup=held, vmid=300, networks=networks, storage="vmstore", pool="prod", config={"memory": 512}, start=True
        )
        made = pve.config(300)
        assert (made["memory"], made["scsi0"]) == ("512", "vmstore:300/vm-300-disk-0.qcow2,size=8G")
        assert ("bridge=vmbr1" in made["net0"], "tag=7" in made["net0"], "link_down=1" in made["net0"]) == (True,) * 3
        assert (pve.status(300), pve.guest(300).pool) == ("running", "prod")
        assert result["steps"][-1] == "start it"
        assert result.diff["after"]["power"] == "running"

    def test_a_container(self, pve, change):
        held = pve.add_backup(200)
        result = change(backup=held, name="ct-copy")
        made = pve.config(result["vmid"])
        assert (made["hostname"], made["rootfs"].split(":")[0]) == ("ct-copy", "local-lvm")
        assert MARK + held in made["description"]
        assert pve.forms("POST", "/lxc$")[0]["storage"] == "local-lvm"

    def test_the_node_that_has_the_backup_is_asked(self, pve_cluster, restore):
        held = pve_cluster.add_backup(555, kind="qemu", node="pve3", config={"name": "gone", "memory": "64"})
        assert restore(backup=held, on=pve_cluster)["node"] == "pve3"

    def test_the_node_that_is_named_must_have_it(self, pve_cluster, restore):
        held = pve_cluster.add_backup(555, kind="qemu", node="pve3", config={"name": "gone"})
        assert restore(backup=held, node="pve1", on=pve_cluster).msg.startswith(f"there is no backup {held} on pve1")

    def test_a_lost_answer_makes_no_second_one(self, pve, restore):
        held = pve.add_backup(100)
        pve.fault("POST", "/qemu$", "lose_answer")
        result = restore(backup=held, name="copy")
        assert (result.failed, len(pve.tasks("qmrestore")), pve.vmids()) == (False, 1, [100, 101, 102, 200, 9000])

    def test_a_number_that_somebody_else_takes_meanwhile(self, pve, restore):
        held = pve.add_backup(100)
        pve.before("POST", "/qemu$", lambda: pve.add_guest(102, "quicker"))
        result = restore(backup=held, name="copy")
        assert (result.failed, result["vmid"], pve.config(102)["name"]) == (False, 103, "quicker")


class TestWhenItFails:
    @pytest.mark.parametrize("damaged", ["body", "head"])
    def test_a_damaged_backup_leaves_nothing(self, pve, restore, damaged):
        held = pve.add_backup(100, damaged=damaged)
        result = restore(backup=held, name="copy")
        assert result.failed
        assert "the backup is damaged: restore an older one, and look at its storage" in result.msg
        assert "\n" not in result.msg
        assert pve.vmids() == [100, 101, 200, 9000]
        if damaged == "body":
            assert "guest 102, which it left, was removed" in result.msg

    def test_one_that_somebody_stops_leaves_nothing(self, pve, restore, api):
        held = pve.add_backup(100)
        pve.task_seconds["qmrestore"] = 60

        def stop():
            (task,) = pve.server.tasklog[-1:]
            pve.server.cancel_task(task["upid"])

        pve.before("GET", "/tasks/[^/]+/status$", stop)
        result = restore(backup=held, name="copy")
        assert "interrupted by signal" in result.msg
        assert pve.vmids() == [100, 101, 200, 9000]

    def test_a_full_storage(self, pve, restore):
        held = pve.add_backup(100)
        pve.fill_storage("local-lvm")
        result = restore(backup=held, vmid=300)
        assert "a storage is full: delete or prune backups on it, or name another storage" in result.msg
        assert pve.vmids() == [100, 101, 200, 9000]

    def test_what_an_earlier_try_has_left_is_removed_first(self, pve, restore, api):
        bad, good = pve.add_backup(100, damaged="body", age=60), pve.add_backup(100)
        api.data("POST", "/nodes/pve1/qemu", vmid=300, archive=bad)
        assert pve.config(300) == {"memory": "128"}
        result = restore(backup=good, vmid=300)
        assert (result.failed, pve.config(300)["name"]) == (False, "web"), result
        assert result["steps"][0] == "delete guest 300, which a restore that failed has left"

    def test_an_empty_guest_that_nobody_can_tell_of_is_not_touched(self, pve, restore):
        held = pve.add_backup(100)
        pve.add_guest(300, "x", config=dict.fromkeys(("name", "boot", "cores", "ostype", "scsihw", "scsi0", "net0")))
        pve.guest(300).config = {"memory": "128"}
        result = restore(backup=held, vmid=300)
        assert "guest 300 on node pve1 exists, and its notes do not name backup" in result.msg
        assert writes(pve) == []

    def test_another_user_s_restore_into_the_same_number_is_waited_for_and_left(self, pve, restore, others):
        good, bad = pve.add_backup(200, age=60), pve.add_backup(200, damaged="body")
        assert restore(backup=bad, vmid=300, name="newct").failed
        pve.task_seconds["vzrestore"] = 60
        others.data("POST", "/nodes/pve1/lxc", vmid=300, ostemplate=good, restore=1, storage="local-lvm")
        at_once = restore(backup=good, vmid=300, name="mine")
        assert (
            "guest 300 (CT300) is locked (create), held by the task vzrestore of 300 of root@pam!other" in at_once.msg
        )

        def end():
            pve.lock_guest(300, None)
            pve.guest(300).config["hostname"] = "theirs"

        pve.before("GET", "/300/status/current$", end)
        waited = restore(backup=good, vmid=300, name="mine", wait_for_lock=30)
        assert "guest 300 on node pve1 is named 'theirs', not 'mine': it was not touched" in waited.msg
        assert (pve.tasks("vzdestroy"), pve.config(300)["hostname"]) == ([], "theirs")

    def test_remains_that_another_user_restores_over_are_left(self, pve, restore, api, others):
        bad, good = pve.add_backup(100, damaged="body", age=60), pve.add_backup(100)
        api.data("POST", "/nodes/pve1/qemu", vmid=300, archive=bad)
        pve.task_seconds["qmrestore"] = 60
        others.data("POST", "/nodes/pve1/qemu", vmid=300, archive=good, force=1)
        pve.reset_record()
        result = restore(backup=good, vmid=300)
        assert "guest 300 on node pve1 exists, and its notes do not name backup" in result.msg
        assert writes(pve) == []

    def test_remains_are_looked_at_once_more_before_they_are_removed(self, pve, restore, api):
        bad, good = pve.add_backup(100, damaged="body", age=60), pve.add_backup(100)
        api.data("POST", "/nodes/pve1/qemu", vmid=300, archive=bad)
        pve.reset_record()
        pve.before("GET", "/300/config$", lambda: pve.guest(300).config.update(name="theirs"), after=1)
        result = restore(backup=good, vmid=300)
        assert "guest 300 on node pve1 is no longer what a failed restore left: it was not touched" in result.msg
        assert writes(pve) == []

    def test_the_removal_of_remains_waits_for_no_lock(self, pve, restore, api):
        bad, good = pve.add_backup(100, damaged="body", age=60), pve.add_backup(100)
        api.data("POST", "/nodes/pve1/qemu", vmid=300, archive=bad)
        pve.before("DELETE", "/300$", lambda: pve.lock_guest(300, "create"))
        pve.before("GET", "/300/status/current$", lambda: pve.lock_guest(300, None))
        result = restore(backup=good, vmid=300, wait_for_lock=60)
        assert (result.failed, "VM is locked (create)" in result.msg) == (True, True), result
        assert 300 in pve.vmids()

    def test_when_the_time_is_over_pve_goes_on_and_the_next_run_waits_for_it(self, pve, restore):
        held = pve.add_backup(100)
        pve.task_seconds["qmrestore"] = 5
        first = restore(backup=held, name="copy", timeout=2)
        assert first["error"]["kind"] == "timed_out"
        second = restore(backup=held, name="copy")
        assert (second.failed, second.changed, second["guest"]["name"]) == (False, False, "copy"), second
        assert len(pve.tasks("qmrestore")) == 1


class TestOverAGuest:
    @pytest.fixture
    def over(self, pve):
        pve.guest(100).config.update(description="now", cores=8)
        return {"backup": pve.add_backup(100, age=DAY), "vmid": 100, "name": "web", "force": True}

    def test_it_is_restored_beside_it_first(self, pve, change, over):
        result = change(**over)
        volid = over["backup"]
        assert result["steps"] == [
            f"restore {volid} beside guest 100 (web), to see that it can be restored",
            f"restore {volid} over guest 100 (web) on node pve1",
            "delete web-restore-check, which was made to check the backup of guest 100",
        ]
        assert (result["checked"], result.diff) == (
            "restored beside it",
            {"before": {}, "after": {"restored_from": volid}},
        )
        assert pve.vmids() == [100, 101, 200, 9000]
        assert [line for line in pve.volumes("local-lvm") if "vm-10" in line] == [
            "local-lvm:vm-100-disk-0",
            "local-lvm:vm-101-disk-0",
        ]
        assert pve.config(100)["description"] == f"now\n{MARK}{volid}"

    @pytest.mark.parametrize("damaged", ["body", "head"])
    def test_a_damaged_backup_does_not_cost_the_guest(self, pve, restore, over, damaged):
        before = pve.config(100)
        volid = pve.add_backup(100, damaged=damaged)
        result = restore(**{**over, "backup": volid})
        assert result.failed
        assert "the backup is damaged" in result.msg
        assert (pve.config(100), pve.vmids()) == (before, [100, 101, 200, 9000])
        if damaged == "body":
            assert "guest 100 (web) was not touched" in result.msg

    def test_nor_does_that_of_a_container(self, pve, restore):
        before = pve.config(200)
        volid = pve.add_backup(200, damaged="body")
        result = restore(backup=volid, name="ct", force=True)
        assert "guest 200 (ct) was not touched" in result.msg
        assert (pve.config(200), pve.vmids()) == (before, [100, 101, 200, 9000])

    def test_a_container(self, pve, change):
        result = change(backup=pve.add_backup(200, age=DAY), name="ct", force=True)
        assert (result["vmid"], result["checked"], pve.vmids()) == (200, "restored beside it", [100, 101, 200, 9000])

    def test_a_backup_that_was_verified_is_not_restored_twice(self, pve, change, over):
        volid = pve.add_backup(100, age=2 * DAY, verification={"state": "ok", "upid": "UPID:x"})
        result = change(**{**over, "backup": volid})
        assert (result["checked"], len(pve.tasks("qmrestore"))) == ("verified", 1)

    def test_what_fails_in_the_end_leaves_the_restored_one(self, pve, restore, over):
        pve.before("POST", "/qemu$", lambda: pve.next_task_fails("qmrestore", "disk failure"), after=1)
        result = restore(**over)
        assert result.failed
        assert "guest 100 (web) is incomplete: run this again, and what the backup holds is in guest 102" in result.msg
        assert pve.config(102)["name"] == "web-restore-check"
        again = restore(**over)
        assert (again.failed, pve.config(100)["name"], pve.vmids()) == (False, "web", [100, 101, 200, 9000]), again

    def test_a_run_that_was_killed_is_finished_by_the_next_one(self, pve, restore, over):
        """What it has made beside the guest is taken for the check, and goes in the end."""
        pve.fault("POST", "/qemu$", "595", after=1, times=None)
        result = restore(**over, timeout=4)
        assert result.failed
        assert pve.config(102)["name"] == "web-restore-check"
        pve.call(pve.server.faults.clear)
        again = restore(**over)
        assert (again.failed, pve.vmids(), len(pve.tasks("qmrestore"))) == (False, [100, 101, 200, 9000], 2), again

    def test_what_else_is_lost_is_said(self, pve, change, over):
        pve.guest(100).snapshots["clean"] = dict(pve.guest(100).config)
        pve.guest(100).config["scsi1"] = "local-lvm:vm-100-disk-1,size=1G"
        result = change(**over)
        assert result.warnings == [
            "guest 100 (web) has scsi1, which is not in the backup: it becomes an unused disk",
            "the snapshots of guest 100 (web) are deleted: clean",
        ]
        assert pve.config(100)["unused0"] == "local-lvm:vm-100-disk-1"

    def test_a_lock_is_waited_for_and_then_it_is_looked_at_once_more(self, pve, restore, over):
        pve.lock_guest(100, "backup")
        pve.before("GET", "/100/status/current$", lambda: pve.lock_guest(100, None), after=1)
        result = restore(**over, wait_for_lock=60)
        assert (result.failed, result.changed) == (False, True), result

    def test_so_is_one_that_comes_between(self, pve, restore, over):
        pve.before("POST", "/qemu$", lambda: pve.lock_guest(100, "backup"), after=1)
        pve.before("GET", "/100/status/current$", lambda: pve.lock_guest(100, None), after=2)
        result = restore(**over, wait_for_lock=60)
        assert not result.failed, result

    def test_a_guest_that_has_got_the_number_meanwhile_is_not_replaced(self, pve, restore, over):
        def swap():
            pve.remove_guest(100)
            pve.add_guest(100, "billing")

        pve.before("GET", "/tasks/[^/]+/status$", swap)
        result = restore(**over)
        words = "guest 100 (billing) on node pve1 is not the guest any more that it was before: look at it"
        assert f"{words}; guest 100 (web) was not touched" in result.msg
        assert (pve.config(100)["name"], pve.vmids()) == ("billing", [100, 101, 200, 9000])

    def test_nor_is_one_of_the_same_name(self, pve, restore, over):
        def swap():
            pve.guest(100).config["vmgenid"] = "other"

        pve.guest(100).config["vmgenid"] = "one"
        pve.before("GET", "/tasks/[^/]+/status$", swap)
        result = restore(**over)
        assert "is not the guest any more that it was before" in result.msg
        assert (len(pve.tasks("qmrestore")), pve.vmids()) == (1, [100, 101, 200, 9000])

    def test_a_guest_that_was_set_to_something_else_meanwhile_is_still_the_same(self, pve, restore, over):
        pve.guest(100).config["vmgenid"] = "one"
        pve.before("GET", "/tasks/[^/]+/status$", lambda: pve.guest(100).config.update(cores=2))
        assert not restore(**over).failed

    @pytest.mark.parametrize(
        ("what", "words"),
        [
            ("running", "guest 100 (web) on node pve1 runs: stop it first"),
            ("protected", "guest 100 (web) on node pve1 is protected against removal"),
            ("locked", "guest 100 (web) is locked (backup)"),
            ("gone", "guest 100 has left node pve1 meanwhile"),
        ],
    )
    def test_nor_one_that_is_not_ready_any_more(self, pve, restore, over, what, words):
        pve.guest(100).config["vmgenid"] = "one"
        become = {
            "running": lambda: running(pve),
            "protected": lambda: protected(pve),
            "locked": lambda: pve.lock_guest(100, "backup"),
            "gone": lambda: pve.remove_guest(100),
        }
        pve.before("GET", "/tasks/[^/]+/status$", become[what])
        result = restore(**over)
        assert (words in result.msg, "guest 100 (web) was not touched" in result.msg) == (True, True), result.msg
        assert (len(pve.tasks("qmrestore")), 102 in pve.vmids()) == (1, False)

    def test_a_guest_of_the_user_s_that_is_named_like_the_check_is_left(self, pve, restore, over):
        mine = restore(backup=over["backup"], name="web-restore-check", vmid=400)
        assert not mine.failed
        assert (restore(**over).failed, pve.vmids()) == (False, [100, 101, 200, 400, 9000])

    def test_so_is_the_check_for_another_guest(self, pve, restore, over):
        pve.guest(101).config["name"] = "web.a.example"
        pve.guest(101).status = "stopped"
        pve.before("POST", "/qemu$", lambda: pve.next_task_fails("qmrestore", "disk failure"), after=1)
        assert restore(**over).failed
        other = restore(backup=over["backup"], vmid=101, name="web.a.example", force=True)
        assert (other.failed, pve.config(102)["name"]) == (False, "web-restore-check"), other

    def test_a_guest_that_has_got_the_number_of_the_check_is_left(self, pve, restore, over):
        def swap():
            pve.remove_guest(102)
            pve.add_guest(102, "somebody-else")

        pve.before("POST", "/qemu$", swap, after=1)
        result = restore(**over)
        assert (result.failed, result.changed, pve.config(102)["name"]) == (False, True, "somebody-else"), result
        assert result.warnings == ["guest 102 is not the one any more that was made to check the backup: look at it"]


def paused(pve):
    running(pve)
    pve.guest(100).qmpstatus = "paused"


def running(pve):
    pve.call(lambda: pve.server.run_guest(pve.server.guest(100)))


def protected(pve):
    pve.guest(100).config["protection"] = 1


NOT_REPLACED = (
    ({"name": None, "force": False}, "exists, and its notes do not name backup", None),
    ({"name": "other"}, "guest 100 on node pve1 is named 'web', not 'other': it was not touched", None),
    ({}, "guest 100 (web) on node pve1 runs: stop it first", running),
    ({}, "guest 100 (web) on node pve1 is paused: stop it first", paused),
    ({}, "guest 100 (web) on node pve1 is protected against removal: set protection to false first", protected),
    (
        {},
        "guest 100 (web) is locked (backup): wait for what is being done to it, or set wait_for_lock",
        lambda pve: pve.lock_guest(100, "backup"),
    ),
    ({"vmid": 200, "name": "ct"}, "guest 200 (ct) is a container, and the backup is of a virtual machine", None),
)


@pytest.mark.parametrize(("changes", "words", "prepare"), NOT_REPLACED)
def test_a_guest_that_is_not_meant_or_not_ready_is_not_touched(pve, restore, changes, words, prepare):
    held = pve.add_backup(100)
    if prepare:
        prepare(pve)
    options = {"vmid": 100, "name": "web", "force": True, **changes}
    for check in (True, False):
        result = restore(
            check=check, backup=held, **{key: value for key, value in options.items() if value is not None}
        )
        assert words in result.msg
    assert writes(pve) == []


REFUSED = (
    ({"storage": "local"}, "name a storage for disks by storage, or allow them in its configuration"),
    ({"storage": "nope"}, "name a storage that the node has"),
    ({"pool": "nope"}, "name a pool that there is, and grant Pool.Audit on it"),
    ({"networks": [{"slot": "net3"}]}, "networks: the backup has no net3: leave it out, and add it afterwards"),
)


@pytest.mark.parametrize(("arguments", "words"), REFUSED)
def test_each_refusal_says_what_to_do_and_leaves_nothing(pve, restore, arguments, words):
    result = restore(backup=pve.add_backup(100), vmid=300, **arguments)
    assert words in result.msg
    assert "\n" not in result.msg
    assert pve.vmids() == [100, 101, 200, 9000]


SNAPSHOT = "pbs:backup/vm/100/2026-01-31T03:00:00Z"
FILE = "local:backup/vzdump-qemu-100-2026_01_31-03_00_00.vma.zst"
WRONG = (
    ({"backup": "local:iso/a.iso"}, "backup 'local:iso/a.iso' is not the name of a backup"),
    ({"backup": FILE, "force": True}, "force needs the name of the guest that is restored over"),
    ({"backup": FILE, "live_restore": True}, "live_restore is only for backups of virtual machines on Proxmox Backup"),
    ({"backup": FILE, "vmid": 7}, "vmid must be from 100"),
    ({"backup": FILE, "name": "a b"}, "name 'a b' is not a DNS name"),
    ({"backup": FILE, "bandwidth": -1}, "bandwidth must not be negative, but is -1"),
    ({"backup": FILE, "storage": "a b"}, "storage 'a b' is not the name of a storage"),
    ({"backup": FILE, "networks": [{"slot": "eth0"}]}, "networks: slot 'eth0' is not the name of a network device"),
    ({"backup": FILE, "config": {"scsi0": "x"}}, "config: scsi0 is a disk, which PVE restores as it was"),
    ({"backup": FILE, "config": {"name": "x"}}, "config: name has an option of its own"),
)


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_what_is_wrong_in_the_options_is_said_before_anything_is_sent(pve, restore, arguments, words):
    result = restore(**arguments)
    assert words in result.msg
    assert (result["error"]["kind"], pve.summary()) == ("invalid_request", [])


def test_what_is_not_there(pve, restore):
    assert restore(backup=SNAPSHOT, vmid=300).msg == "there is no storage pbs, or no right to see it (Datastore.Audit)"
    assert (
        restore(backup=FILE, vmid=300).msg == f"there is no backup {FILE} on pve1: pve_backup_info lists what there is"
    )
    assert pve.vmids() == [100, 101, 200, 9000]
