# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The queries by which Ansible Automation Platform counts managed nodes find the guests of each module's result."""

from __future__ import annotations

import jq
import pytest
import yaml

from tests.support.collection_tree import REPOSITORY

QUERIES = yaml.safe_load((REPOSITORY / "extensions/audit/event_query.yml").read_text(encoding="utf-8"))
MODULES = {path.stem for path in (REPOSITORY / "plugins/modules").glob("*.py")}
GUESTS = {"guests": [{"vmid": 101}]}
DAILY = {"storage": "local", "max_age": "1d"}
ARGUMENTS = {
    "pve_migrate": {"vmid": 101, "node": "pve1"},
    "pve_migrations": {**GUESTS, "defaults": {"node": "pve1"}},
    "pve_snapshot": {"vmid": 101, "snapshot": "one"},
    "pve_vm_info": {},
    "pve_vms": GUESTS,
    "pve_vms_power": GUESTS,
    "pve_snapshots": {**GUESTS, "defaults": {"snapshot": "one"}},
    "pve_backup": {"vmid": 101, **DAILY},
    "pve_backups": {**GUESTS, "defaults": DAILY},
    "pve_backup_verify": {"vmid": 101, "boot": "none"},
    "pve_backups_verify": {**GUESTS, "defaults": {"boot": "none"}},
    "pve_container": {"vmid": 200},
    "pve_containers": {"guests": [{"vmid": 200}]},
    "pve_guest_exec": {"vmid": 101, "argv": ["true"]},
    "pve_guests_exec": {**GUESTS, "defaults": {"argv": ["true"]}},
}
CONTAINER, MACHINE = (200, "ct", "lxc"), (101, "db", "qemu")
# These are about tasks, consoles, backups, storages and machines that guests run on, which are no managed nodes.
NOT_COUNTED = {
    "pve_node_maintenance",
    "pve_backup_info",
    "pve_backup_job",
    "pve_backup_job_info",
    "pve_task_info",
    "pve_console_info",
    "pve_console_script",
    "pve_volume",
    "pve_volume_info",
    "pve_storage_info",
}


def test_each_module_is_counted_or_is_meant_not_to_be():
    assert {name.rpartition(".")[2] for name in QUERIES} == MODULES - NOT_COUNTED


@pytest.mark.parametrize("module", sorted(MODULES - NOT_COUNTED))
def test_a_result_tells_its_guests(pve, run_module, module, tmp_path):
    pve.run_agent(101, tmp_path).add_users(root="!")
    vmid, name, kind = CONTAINER if module.startswith("pve_container") else MACHINE
    volid = pve.add_backup(101)
    pve.guest(101).config["description"] = f"Restored from {volid}"
    file = {"vmid": 101, "path": str(tmp_path / "made"), "content": "one"}
    password = {"vmid": 101, "user": "root", "password": "long enough"}
    arguments = {"pve_restore": {"backup": volid}, "pve_guest_file": file, "pve_guest_password": password, **ARGUMENTS}
    result = run_module(module, arguments.get(module, {"vmid": 101}))
    assert not result.failed, result.msg
    found = jq.compile(QUERIES[f"cloudbridge.proxmox.{module}"]["query"]).input_value(result.result).all()
    (counted,) = [entry for entry in found if entry["canonical_facts"]["vmid"] == vmid]
    facts = counted["canonical_facts"]
    assert (counted["name"], facts["node"], counted["facts"]["device_type"]) == (name, "pve1", kind)


def test_a_task_that_found_no_guest_counts_none(run_module):
    result = run_module("pve_vm", {"vmid": 4711, "state": "absent"})
    query = QUERIES["cloudbridge.proxmox.pve_vm"]["query"]
    assert jq.compile(query).input_value(result.result).all() == []
