# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups, restores and proofs that break off at any request, are killed, or find no space: what is left of them."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support import modules

DAY = 86400
GUESTS = [100, 101, 200, 9000]
DISKS = ["local-lvm:vm-100-disk-0", "local-lvm:vm-101-disk-0"]
ALL = os.environ.get("CLOUDBRIDGE_TEST_EXAMPLES") == "search"


def disks(pve):
    return [name for name in pve.volumes("local-lvm") if "vm-10" in name]


def cuts(*chosen, requests):
    """Which requests are broken off, and how: these, or with CLOUDBRIDGE_TEST_EXAMPLES=search all of them."""
    every = [(number, kind) for number in range(requests) for kind in ("drop", "lose_answer")]
    return pytest.mark.parametrize(("number", "kind"), every if ALL else chosen)


@pytest.fixture
def twice(pve, run_module):
    """Run with one request broken off, and once more without; return what the second run answered."""

    def run(name, arguments, number, kind):
        pve.fault("*", ".", kind, after=number)
        run_module(name, arguments)
        pve.call(pve.server.faults.clear)
        again = run_module(name, arguments)
        assert not again.failed, again.msg
        return again

    return run


@pytest.fixture
def agents(pve):
    """The agent of each guest that is started answers."""
    pve.agents_answer_from_the_start()


class TestBrokenOff:
    """Whatever request is cut off, the run ends well, or the next one brings it to its end; nothing more is left."""

    @cuts((5, "lose_answer"), (10, "lose_answer"), requests=14)
    def test_a_backup(self, pve, twice, number, kind):
        old = pve.add_backup(100, age=9 * DAY)
        twice("pve_backup", {"vmid": 100, "storage": "local", "max_age": "1d", "keep_last": 1}, number, kind)
        (made,) = pve.backups()
        assert made != old

    @cuts((6, "lose_answer"), (8, "drop"), requests=13)
    def test_a_new_guest(self, pve, twice, number, kind):
        twice("pve_restore", {"backup": pve.add_backup(100), "name": "copy", "start": True}, number, kind)
        assert (pve.vmids(), disks(pve)) == ([100, 101, 102, 200, 9000], [*DISKS, "local-lvm:vm-102-disk-0"])

    @cuts((7, "lose_answer"), (9, "drop"), (14, "lose_answer"), requests=18)
    def test_over_a_guest(self, pve, twice, number, kind):
        held = pve.add_backup(100)
        pve.guest(100).config["cores"] = 7
        twice("pve_restore", {"backup": held, "vmid": 100, "name": "web", "force": True}, number, kind)
        made = pve.config(100)
        assert (pve.vmids(), disks(pve), made["cores"]) == (GUESTS, DISKS, pve.backup(held)["guest"]["cores"])
        assert made["description"] == f"Restored from {held}"

    @cuts((4, "lose_answer"), (9, "drop"), (14, "lose_answer"), requests=20)
    def test_a_proof(self, pve, twice, agents, number, kind):
        pve.guest(100).config["agent"] = "1"
        pve.add_backup(100)
        before = pve.config(100)
        assert twice("pve_backup_verify", {"vmid": 100}, number, kind)["report"]["result"] == "good"
        assert (pve.vmids(), disks(pve), pve.config(100)) == (GUESTS, DISKS, before)


# When the process that proves a backup is killed: the request before which, and the guest that is there then.
KILLED = {
    "while the restore runs": ("GET", "/tasks/[^/]+qmrestore[^/]+/status$", 0),
    "when the guest is restored": ("POST", "/qemu/102/status/start$", 0),
    "while it boots": ("GET", "/qemu/102/agent/info$", 0),
    "when it is stopped again": ("POST", "/qemu/102/status/stop$", 0),
}


class TestKilled:
    @pytest.mark.parametrize("when", KILLED)
    def test_a_proof_leaves_what_the_next_one_takes_away(self, pve, run_module, api, agents, tmp_path, when):
        method, path, after = KILLED[when]
        pve.guest(100).config["agent"] = "1"
        pve.add_backup(100)
        before = pve.config(100)
        pve.task_seconds["qmrestore"] = 600 if "restore runs" in when else 0
        arguments = {"vmid": 100, "vmids": "102-109", "boot_timeout": 600}
        process = modules.module_process("pve_backup_verify", home=tmp_path, connection=pve.environment)
        pve.before(method, path, process.kill, after=after)
        modules.begin(process, arguments)
        assert process.wait() == -signal.SIGKILL
        assert (102 in pve.vmids(), pve.config(100)) == (True, before)
        pve.task_seconds["qmrestore"] = 0
        if "restore runs" in when:
            # Nobody can tell whose it is: the run after its end takes away what it has left.
            again = run_module("pve_backup_verify", arguments)
            assert (again.failed, again.changed, 102 in pve.vmids()) == (False, False, True), again.msg
            (upid,) = [task["upid"] for task in pve.tasks("qmrestore") if task["id"] == "102"]
            api.data("DELETE", f"/nodes/pve1/tasks/{upid}")
            api.finish(upid)
        again = run_module("pve_backup_verify", arguments)
        assert (again.failed, again.changed, again["report"]["result"]) == (False, True, "good"), again.msg
        assert (pve.vmids(), disks(pve), pve.config(100)) == (GUESTS, DISKS, before)

    def test_a_restore_over_a_guest_goes_on_where_it_was(self, pve, run_module, tmp_path):
        """It is killed while PVE has deleted the disks of the guest, and not yet written those of the backup."""
        held = pve.add_backup(100)
        arguments = {"backup": held, "vmid": 100, "name": "web", "force": True}
        process = modules.module_process("pve_restore", home=tmp_path, connection=pve.environment)

        def kill():
            process.kill()
            pve.task_seconds["qmrestore"] = 1.0

        pve.before("POST", "/qemu$", kill, after=1)
        modules.begin(process, arguments)
        assert process.wait() == -signal.SIGKILL
        again = run_module("pve_restore", arguments)
        assert not again.failed, again.msg
        assert (pve.vmids(), disks(pve)) == (GUESTS, DISKS)
        assert pve.config(100)["description"] == f"Restored from {held}"


class TestAFullStorage:
    def test_of_disks_while_it_is_restored_over_a_guest(self, pve, run_module):
        """There was space for it beside the guest, and none is left when it comes to the guest itself."""
        held, before = pve.add_backup(100), pve.config(100)
        arguments = {"backup": held, "vmid": 100, "name": "web", "force": True}
        pve.fill_storage("local-lvm")
        result = run_module("pve_restore", arguments)
        assert "a storage is full: delete or prune backups on it, or name another storage" in result.msg
        assert "guest 100 (web) was not touched" in result.msg
        assert (pve.vmids(), disks(pve), pve.config(100)) == (GUESTS, DISKS, before)

    def test_between_the_two(self, pve, run_module):
        held = pve.add_backup(100)
        arguments = {"backup": held, "vmid": 100, "name": "web", "force": True}
        pve.before("POST", "/qemu$", lambda: pve.fill_storage("local-lvm", -1), after=1)
        result = run_module("pve_restore", arguments)
        assert "a storage is full" in result.msg
        assert "guest 100 (web) is incomplete: run this again, and what the backup holds is in guest 102" in result.msg
        assert pve.config(102)["name"] == "web-restore-check"
        pve.fill_storage("local-lvm", 1 << 50)
        again = run_module("pve_restore", arguments)
        assert (again.failed, pve.vmids(), disks(pve)) == (False, GUESTS, DISKS), again.msg
