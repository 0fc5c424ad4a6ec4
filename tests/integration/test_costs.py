# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ours asks of PVE, exactly: a change that asks more fails here, and one that asks less is to be written down.

The cases are those of benchmarks/, which measures the same beside the peers; `make bench` runs them all.
"""

from __future__ import annotations

import pytest

from benchmarks import bridge_cases, inventory_cases, module_cases
from tests.support.cloudstack import Extension, ManyCalls
from tests.support.embedded_pve import running_embedded_pve, standard_guests
from tests.support.web_server import qcow2, running_web_server, sha256

# Requests and connections.
BRIDGE = {
    "prepare": (2, 1),
    "create, full clone": (6, 1),
    "create, linked clone (default)": (6, 1),
    "create, from an ISO image": (4, 1),
    "start": (7, 1),
    "stop": (5, 1),
    "reboot": (5, 1),
    "delete": (4, 1),
    "status": (2, 1),
    "statuses": (1, 1),
    "getconsole": (4, 1),
    "ListSnapshots": (3, 1),
    "CreateSnapshot": (5, 1),
    "RestoreSnapshot": (12, 1),
    "DeleteSnapshot": (5, 1),
    "a start that fails": (7, 1),
    "a create whose start fails": (14, 1),
    "Shutdown": (5, 1),
    "Suspend": (5, 1),
    "Resume": (5, 1),
    "Reset": (5, 1),
    "ResizeDisk": (5, 1),
    "AttachISO": (5, 1),
    "DetachISO": (2, 1),
    "Backup": (8, 1),
    "SyncNetworks": (4, 1),
    "GuestInfo": (3, 1),
    "doctor": (12, 1),
}
MODULES = {
    "create": (4, 1),
    "create, it is there": (3, 1),
    "clone": (5, 1),
    "clone, it is there": (3, 1),
    "update the cores": (5, 1),
    "update the cores, nothing differs": (3, 1),
    "update the cores, check mode": (3, 1),
    "start": (6, 1),
    "start, it runs": (2, 1),
    "shut down": (6, 1),
    "restart": (6, 1),
    "take a snapshot": (7, 1),
    "take a snapshot, it is there": (2, 1),
    "roll back": (7, 1),
    "delete a snapshot": (7, 1),
    "read one guest": (2, 1),
    "delete": (5, 1),
    "delete, it is gone": (1, 1),
    "deploy: clone, configure, start": (13, 2),
    "a start that fails": (5, 1),
}
# 100 guests that are as asked for: a request for all, one or two for each, and eight connections beside the first.
MANY = {
    "pve_vms": (201, 9),
    "pve_vms_power": (101, 9),
    "pve_snapshots": (101, 9),
    "pve_migrations": (101, 9),
    "pve_backups": (301, 9),
}
ASKED_OF_MANY = {
    "pve_vms": {"cores": 2},
    "pve_vms_power": {"state": "stopped"},
    "pve_snapshots": {"state": "absent", "snapshot": "gone"},
    "pve_migrations": {"node": "pve1"},
    "pve_backups": {"storage": "local", "max_age": "1d"},
}
BACKUPS = {
    "a backup": (11, 1),
    "a backup, a young one is there": (4, 1),
    "a backup, and older ones are pruned": (15, 1),
    "a restore beside the guest": (6, 1),
    "a restore, it is there": (2, 1),
    "a restore over the guest": (18, 1),
    "a proof without booting": (11, 2),
    "a proof with a guest agent": (20, 2),
}
# What these leave is what was there.
SAME_AFTER = {
    "a backup, a young one is there",
    "a restore, it is there",
    "a proof without booting",
    "a proof with a guest agent",
}
# Images that are there already, and guests that were made of them.
IMAGES = {
    "an image, by its checksum": (4, 1),
    "an image, by its size": (3, 1),
    "an image on two nodes, by its checksum": (7, 1),
    "a guest with an image": (3, 1),
}
INVENTORY = {
    "30 guests, names and groups": (1, 1),
    "30 guests, addresses of the agents, 20 ms per response": (31, 7),
}


MODULE_CASES = (*module_cases.CASES, module_cases.FAILING)


class Costs:
    """What the cases of one table cost, beside what the table says."""

    def __init__(self, table):
        self.table = table
        self.found = {}
        self.asked = {}

    def note(self, name, pve):
        self.found[name] = (len(pve.exchanges), pve.connection_count)
        self.asked[name] = "".join(f"\n    {line}" for line in pve.summary())

    def check(self):
        differing = [name for name, cost in self.found.items() if cost != self.table.get(name)]
        lines = [f'"{name}": {self.found[name]}, not {self.table.get(name)}:{self.asked[name]}' for name in differing]
        assert not lines, "\n".join(lines)
        assert self.found.keys() == self.table.keys()


def test_the_actions_of_the_bridge(pve, tmp_path):
    call, costs = ManyCalls(Extension(tmp_path)), Costs(BRIDGE)
    for case in (*bridge_cases.QUICK, *bridge_cases.OURS_ALONE):
        case.set_up(pve)
        data = case.data(pve)
        pve.reset_record()
        answer = call(case.action, data)
        costs.note(case.name, pve)
        text = answer.output.decode()
        assert bridge_cases.verdict(case, pve, answer.exit_code, answer.document, text) == "ok", case.name
    costs.check()


@pytest.mark.parametrize("case", MODULE_CASES, ids=lambda case: case.name)
def test_the_modules(pve, run_module, case):
    costs = Costs({case.name: MODULES[case.name]})
    case.prepare(pve)
    pve.reset_record()
    results = []
    for module, options in case.ours:
        done = run_module(module.rpartition(".")[2], options, check=case.check_mode)
        results.append({"outcome": "failed" if done.failed else "ok", "result": done.result})
    costs.note(case.name, pve)
    assert module_cases.verdict(case, pve, results) == "ok"
    costs.check()


def test_no_module_is_left_over():
    assert [case.name for case in MODULE_CASES] == list(MODULES)


@pytest.mark.parametrize("module", sorted(MANY))
def test_many_guests_that_are_left_alone(pve, run_module, module):
    costs = Costs({module: MANY[module]})
    for number in range(100):
        pve.add_guest(300 + number, f"app{number}")
        pve.add_backup(300 + number)
    pve.reset_record()
    guests = [{"name": f"app{number}"} for number in range(100)]
    done = run_module(module, {"guests": guests, "defaults": ASKED_OF_MANY[module]})
    costs.note(module, pve)
    assert (done.failed, done.changed) == (False, False), done.msg
    assert done["summary"] == "100 guests: 0 changed, 100 unchanged"
    costs.check()


def test_images_that_are_there(run_module):
    costs = Costs(IMAGES)
    with running_embedded_pve(standard_guests, nodes=("pve1", "pve2")) as pve, running_web_server() as web:
        image = {"storage": "local", "url": web.add("debian.qcow2", qcow2())}
        checksum = {"checksum": sha256(qcow2())}
        files = {**image, "content": "import", "nodes": "pve1"}
        disk = {"slot": "scsi0", "storage": "local-lvm", "image": {**image, **checksum}}
        cases = {
            "an image, by its checksum": ("pve_volume", {**files, **checksum}),
            "an image, by its size": ("pve_volume", files),
            "an image on two nodes, by its checksum": ("pve_volume", {**files, **checksum, "nodes": "all"}),
            "a guest with an image": ("pve_vm", {"name": "app", "node": "pve1", "disks": [disk]}),
        }
        for name, (module, arguments) in cases.items():
            assert not run_module(module, arguments, on=pve).failed
            pve.reset_record()
            again = run_module(module, arguments, on=pve)
            costs.note(name, pve)
            assert (again.failed, again.changed) == (False, False), again.msg
    costs.check()


def test_backups(pve, run_module):
    costs, week, held = Costs(BACKUPS), 7 * 86400, []

    def old():
        pve.call(pve.server.storages["local"]["volumes"].clear)
        held[:] = [pve.add_backup(100, age=2 * week), pve.add_backup(100, age=week)]

    def agents():
        pve.guest(100).config["agent"] = "1"
        pve.add_backup(100)
        pve.before("POST", "/status/start$", lambda: setattr(pve.server.vms[-1], "agent", {}))

    daily = {"vmid": 100, "storage": "local", "max_age": "1d"}
    beside = {"vmid": 300, "name": "copy"}
    cases = {
        "a backup": ("pve_backup", daily, old),
        "a backup, a young one is there": ("pve_backup", daily, None),
        "a backup, and older ones are pruned": ("pve_backup", {**daily, "keep_last": 1}, old),
        "a restore beside the guest": ("pve_restore", beside, old),
        "a restore, it is there": ("pve_restore", beside, None),
        "a restore over the guest": ("pve_restore", {"vmid": 100, "name": "web", "force": True}, None),
        "a proof without booting": ("pve_backup_verify", {"vmid": 100, "boot": "none"}, None),
        "a proof with a guest agent": ("pve_backup_verify", {"vmid": 100}, agents),
    }
    for name, (module, arguments, set_up) in cases.items():
        if set_up is not None:
            set_up()
        pve.reset_record()
        done = run_module(module, {**({"backup": held[1]} if module == "pve_restore" else {}), **arguments})
        costs.note(name, pve)
        assert (done.failed, done.changed) == (False, name not in SAME_AFTER), (name, done.msg)
    costs.check()


def test_the_inventory(inventory):
    costs = Costs(INVENTORY)
    with running_embedded_pve(inventory_cases.guests(30), inventory_cases.NODES) as pve:
        for case in inventory_cases.GATED:
            pve.server.faults.clear()
            if case.latency:
                pve.fault("GET", "", "delay", times=None, seconds=case.latency)
            pve.reset_record()
            done = inventory(case.kind.ours, on=pve)
            costs.note(case.name, pve)
            assert inventory_cases.verdict(case, done.returncode, done.stdout, done.stderr) == "ok", case.name
    costs.check()
