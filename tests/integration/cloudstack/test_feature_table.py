# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What operators of CloudStack ask of a Proxmox VE extension, row by row, and the tests that hold for it.

Most are here, named after their row; the others are named in ELSEWHERE.
"""

from __future__ import annotations

import ast
import json
from urllib.parse import quote

import pytest

from tests.support.cloudstack import payload
from tests.support.collection_tree import REPOSITORY
from tests.support.ssh_keys import ED25519

UUID = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
NOTES = f"CloudStack instance: i-2-45-VM\nCloudStack UUID: {UUID}\nCloudStack deployment: 0123456789abcdef"
MARK = {"tags": "cloudstack", "description": NOTES, "smbios1": f"uuid={UUID}"}
BEFORE = [100, 101, 200, 9000]
TESTS = REPOSITORY / "tests"
ELSEWHERE = {
    "one clean JSON answer, standard error silent, whatever comes in": "integration/cloudstack/test_hostile.py",
    "answers of less than a pipe holds": "integration/cloudstack/test_actions.py::test_more_than_a_pipe_can_hold",
    "Proxmox's text where only the status line has it": "unit/pve/test_errors.py",
    "errors of fields": "integration/cloudstack/test_contract.py::test_errors_of_fields_are_passed_on",
    "clean-up before the kill": "integration/cloudstack/test_lifecycle.py::test_what_was_made_is_gone_when_it_comes",
    "retry on a lock": "integration/cloudstack/test_contract.py::test_a_lock_that_is_held_for_a_moment",
    "retry on a reset": "integration/cloudstack/test_contract.py::test_every_request_of_every_action_may_fail_once",
    "every spelling of the url": "integration/cloudstack/test_contract.py::test_every_spelling",
    "an IPv6 url": "integration/cloudstack/test_contract.py::test_an_ipv6_literal",
    "several endpoints": "integration/cloudstack/test_contract.py::test_several_of_them",
    "TLS is verified by default": "integration/cloudstack/test_contract.py::test_it_is_verified_unless_told_otherwise",
    "TLS by fingerprint, per host or extension": (
        "integration/cloudstack/test_contract.py::test_by_fingerprint_on_the_host_or_the_extension"
    ),
    "the secret in no argument": (
        "integration/cloudstack/test_contract.py::test_it_is_in_no_log_no_answer_and_no_argument"
    ),
    "a file for the secret": "integration/cloudstack/test_contract.py::test_it_may_be_in_a_file",
    "no injection": "integration/cloudstack/test_hostile.py::test_a_tenant_gets_nowhere",
    "one number for two deployments": "integration/cloudstack/test_contract.py::test_one_number_for_two",
    "old guests are adopted": (
        "integration/cloudstack/test_lifecycle.py::test_an_old_guest_of_the_instances_name_is_adopted"
    ),
    "a map of templates by node": "integration/cloudstack/test_lifecycle.py::test_a_local_template_of_another_node",
    "every bus with every option": "unit/cloudstack/test_translation.py::test_the_bus_of_the_disk",
    "HA: groups of PVE 8": "integration/cloudstack/test_lifecycle.py::test_a_group_of_pve_8",
    "HA: rules of PVE 9": ("integration/cloudstack/test_lifecycle.py::test_the_rule_that_a_group_became_in_pve_9"),
    "a reset where a reboot has no effect": (
        "integration/cloudstack/test_lifecycle.py::test_one_that_does_not_react_is_reset"
    ),
    "paused and HA states": "integration/cloudstack/test_lifecycle.py::test_one_that_ha_takes_care_of",
    "statuses all or nothing": "integration/cloudstack/test_status.py::test_it_answers_for_all_or_fails",
    "no state without a server": "integration/cloudstack/test_status.py::test_no_server_no_state",
    "names of snapshots": "integration/cloudstack/test_actions.py::test_names_that_pve_would_refuse",
    "a dry run": "integration/cloudstack/test_dry_run.py",
    "a log outside of the directory": "integration/cloudstack/test_contract.py::test_a_line_for_each_call",
    "no writes beside the executable": (
        "integration/role/test_extension_role.py::test_calls_write_nothing_beside_the_executable_nor_into_the_code"
    ),
    "the management server's own Python": "integration/role/test_other_account.py",
    "unit tests": "unit/cloudstack",
}
ALL_ACTIONS = ("prepare", "start", "stop", "reboot", "delete", "status", "statuses")


@pytest.mark.parametrize("name", ELSEWHERE.values(), ids=ELSEWHERE)
def test_the_tests_elsewhere_are_there(name):
    file, _colons, test = name.partition("::")
    path = TESTS / file
    assert path.exists()
    if test:
        tree = ast.parse(path.read_text("utf-8"))
        assert test in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def created(pve, calls, **changes):
    answer = calls("create", payload("create_template", pve, **changes))
    assert answer.ok, answer.output
    return pve.config(105)


def test_one_clean_json_answer(pve, calls):
    for action in ALL_ACTIONS:
        answer = calls(action, payload(action, pve))
        assert json.loads(answer.output)["status"] == ("success" if answer.exit_code == 0 else "error")


def test_proxmox_error_text_passed_on(pve, calls):
    pve.next_task_fails("qmclone", "clone failed: no space left on device", log=["create full clone of drive scsi0"])
    answer = calls("create", payload("create_template", pve))
    assert answer.error.startswith("clone failed: no space left on device")
    assert "create full clone of drive scsi0" in answer.error


def test_one_deadline_for_the_run_below_the_third_argument(pve, calls):
    pve.task_seconds.update(qmclone=2, qmstart=60)
    answer = calls("create", payload("create_template", pve), wait=10)
    assert answer["kind"] == "timed_out"
    assert answer.seconds < 10
    assert pve.vmids() == BEFORE


def test_http_timeouts_and_retries(pve, calls):
    pve.add_guest(105, "i-2-45-VM", config=MARK, status="running")
    pve.fault("GET", "/status/current$", "delay", seconds=3.0)
    pve.fault("GET", "/config$", "596")
    answer = calls("status", payload("status", pve, host={"api_timeout": "1"}))
    assert answer["power_state"] == "poweron"


def test_secret_not_in_arguments_or_logs(pve, calls, bridge):
    created(pve, calls)
    assert pve.token_secret not in bridge.log()


def test_vmid_by_range_or_offset(pve, calls):
    data = payload("prepare", pve, extension={"vmid_range": "5000-5010"})
    assert 5000 <= int(calls("prepare", data)["details"]["proxmox_vmid"]) <= 5010
    data = payload("prepare", pve, extension={"vmid_offset": "7000"})
    assert calls("prepare", data)["details"]["proxmox_vmid"] == "7045"


def test_ownership_mark_on_create_and_check_before_each_action(pve, calls):
    config = created(pve, calls)
    assert (config["tags"], config["smbios1"]) == ("cloudstack", f"uuid={UUID}")
    assert "CloudStack instance: i-2-45-VM" in config["description"]
    for action in ("start", "stop", "reboot", "delete"):
        answer = calls(action, payload(action, pve, details={"proxmox_vmid": "101"}))
        assert answer["kind"] == "permission"
    assert pve.status(101) == "running"


def test_follow_high_availability_and_migration(pve_cluster, calls):
    pve_cluster.add_guest(105, "i-2-45-VM", config=MARK, status="running", storage="shared")
    pve_cluster.move_guest(105, "pve3")
    assert calls("status", payload("status", pve_cluster))["power_state"] == "poweron"
    assert calls("stop", payload("stop", pve_cluster)).ok


def test_cluster_wide_fail_safe_absence_test(pve_cluster, calls):
    assert calls("delete", payload("delete", pve_cluster)).ok
    pve_cluster.set_node_offline("pve3")
    assert not calls("delete", payload("delete", pve_cluster)).ok


def test_absence_is_not_believed_without_quorum(pve_cluster, calls):
    pve_cluster.set_node_offline("pve2")
    pve_cluster.set_node_offline("pve3")
    pve_cluster.lose_quorum()
    assert not calls("stop", payload("stop", pve_cluster)).ok


def test_storage_choice_and_linked_or_full_decided_automatically(pve, calls):
    for wanted, full in (({}, "0"), ({"storage": "local-lvm"}, "0"), ({"storage": "vmstore"}, "1")):
        pve.reset_record()
        created(pve, calls, virtualmachine=wanted)
        form = pve.forms("POST", "/clone$")[0]
        assert form["full"] == full
        assert form.get("storage") == ("vmstore" if full == "1" else None)
        assert calls("delete", payload("delete", pve)).ok


def test_the_format_of_the_image(pve, calls, bridge):
    bridge.set_policy({"disk_format": "qcow2"})
    created(pve, calls, virtualmachine={"storage": "vmstore"})
    assert pve.forms("POST", "/clone$")[0]["format"] == "qcow2"


def test_template_on_another_node(pve_cluster, calls):
    created(pve_cluster, calls, host={"node": "pve3"}, virtualmachine={"template_id": "debian-template"})
    assert pve_cluster.guest(105).node == "pve3"


def test_disk_size_and_options(pve, calls, bridge):
    bridge.set_policy({"disk_ssd": True, "disk_iothread": True})
    config = created(pve, calls, virtualmachine={"disk_size_gb": "32"})
    assert {"size=32G", "iothread=1", "ssd=1"} <= set(config["scsi0"].split(","))
    bridge.set_policy({"disk_cache": "writeback", "disk_discard": True})
    iso = {"iso_path": "local:iso/debian-13.iso", "disk_size_gb": "12", "disk_bus": "virtio"}
    assert calls("create", payload("create_iso", pve, virtualmachine=iso)).ok
    config = pve.config(106)
    assert {"size=12G", "iothread=1", "cache=writeback", "discard=on"} <= set(config["virtio0"].split(","))
    assert config["boot"].startswith("order=virtio0;ide2")


def test_cpus_memory_and_balloon(pve, calls, bridge):
    bridge.set_policy({"cpu_type": "host", "cpu_mhz": 2000})
    vm = {"cpus": 4, "maxRam": 4 * 1024**3, "minRam": 1024**3, "limitCpuUse": True, "maxSpeed": 1000}
    config = created(pve, calls, vm=vm)
    assert {key: str(config[key]) for key in ("cores", "memory", "balloon", "cpulimit", "cpu")} == {
        "cores": "4",
        "memory": "4096",
        "balloon": "1024",
        "cpulimit": "2",
        "cpu": "host",
    }
    assert str(config.get("sockets", 1)) == "1"


def test_nics_by_device_id(pve, calls, bridge):
    bridge.set_policy({"bridge_map": {"Public": "vmbr1"}, "vnet_map": {"5001": "vmbr1"}, "nic_firewall": True})
    nics = payload("create_template")["cloudstack.vm.details"]["nics"]
    nics = [
        {**nics[1], "deviceId": 3, "type": "Public"},
        {
            **nics[0],
            "deviceId": 1,
            "broadcastUri": "vxlan://5001",
            "mtu": 1450,
            "networkRateMbps": 80,
            "enabled": False,
        },
    ]
    config = created(pve, calls, nics=nics)
    assert calls("delete", payload("delete", pve)).ok
    other = created(pve, calls, nics=nics[:1], virtualmachine={"nic_model": "e1000"})
    assert other["net3"].startswith("e1000=")
    assert {key: value for key, value in config.items() if key.startswith("net")} == {
        "net1": "virtio=02:01:00:CB:00:05,bridge=vmbr1,firewall=1,link_down=1,mtu=1450,rate=10",
        "net3": "virtio=1E:00:87:00:00:2C,bridge=vmbr1,firewall=1,link_down=0,rate=25",
    }


def test_nics_reconciled_at_each_start(pve, calls):
    created(pve, calls)
    assert calls("stop", payload("stop", pve)).ok
    data = payload("start", pve)
    data["cloudstack.vm.details"]["nics"][0]["broadcastUri"] = "vlan://1600"
    assert calls("start", data).ok
    assert "tag=1600" in pve.config(105)["net0"]


def test_cloud_init(pve, calls, bridge):
    bridge.set_policy({"ci_network": "static", "ci_search_domain": "example.net"})
    config = created(pve, calls, virtualmachine={"ci_user": "ops", "ci_ssh_keys": f"{ED25519} ops"})
    assert config["ipconfig0"] == "gw=10.1.1.1,ip=10.1.1.57/24"
    assert (config["ciuser"], config["searchdomain"]) == ("ops", "example.net")
    assert config["nameserver"] == "10.1.1.1 8.8.8.8"
    # The name of the guest is the host's, for cloud-init.
    assert (config["name"], config["sshkeys"]) == ("i-2-45-VM", quote(f"{ED25519} ops", safe=""))


def test_uefi_secure_boot_tpm_machine_and_ostype(pve, calls):
    wanted = {"machine": "q35", "os_type": "win11", "tpm": "v2.0", "agent": "true"}
    vm = {"bootType": "UEFI", "bootMode": "SECURE"}
    config = created(pve, calls, vm=vm, virtualmachine=wanted)
    assert (config["bios"], config["ostype"], config["agent"]) == ("ovmf", "win11", "1")
    assert (config["machine"], config["boot"]) == ("q35", "order=scsi0;ide2;net0")
    assert "pre-enrolled-keys=1" in config["efidisk0"]
    assert "version=v2.0" in config["tpmstate0"]


def test_tags_notes_pool_ha_group_onboot_and_protection(pve, calls, bridge):
    pve.add_pool("cs")
    pve.add_ha_rule("big")
    bridge.set_policy({"tags": ["a", "b"], "pool": "cs", "ha_group": "big", "onboot": True, "protection": True})
    config = created(pve, calls)
    assert config["tags"] == "a;b;cloudstack"
    assert (str(config["onboot"]), str(config["protection"])) == ("1", "1")
    assert pve.guest(105).pool == "cs"
    assert pve.ha_rule("big") == ["vm:105"]


def test_start_stop_reboot_and_delete_idempotent(pve, calls):
    created(pve, calls)
    for action in ("start", "start", "stop", "stop", "reboot", "reboot", "delete", "delete", "stop"):
        assert calls(action, payload(action, pve)).ok, action


def test_graceful_stop_with_time_limit_then_hard_stop(pve, calls, bridge):
    bridge.set_policy({"stop_method": "shutdown_then_stop", "shutdown_timeout": 5})
    pve.add_guest(105, "i-2-45-VM", config=MARK, status="running").acpi = False
    assert calls("stop", payload("stop", pve)).ok
    assert pve.forms("POST", "/status/shutdown$") == [{"timeout": "5", "forceStop": "1"}]


def test_delete_stops_purges_and_waits(pve, calls):
    created(pve, calls)
    assert calls("delete", payload("delete", pve)).ok
    assert pve.vmids() == BEFORE
    assert not [volume for volume in pve.volumes("local-lvm") if "105" in volume]


def test_create_failure_leaves_nothing_and_touches_no_other(pve, calls):
    pve.next_task_fails("qmstart", "start failed")
    assert not calls("create", payload("create_template", pve)).ok
    assert pve.vmids() == BEFORE
    pve.add_guest(105, "somebody")
    assert not calls("create", payload("create_template", pve)).ok
    assert 105 in pve.vmids()


def test_task_warnings_accepted(pve, calls):
    for task in ("qmclone", "qmstart", "qmstop", "qmdestroy"):
        pve.next_task_warns(task, "something odd")
    created(pve, calls)
    assert calls("delete", payload("delete", pve)).ok


def test_status_from_live_state(pve, calls):
    pve.resources_lag = 60
    created(pve, calls)
    assert calls("status", payload("status", pve))["power_state"] == "poweron"


def test_statuses_keyed_by_instance_name(pve, calls):
    created(pve, calls, virtualmachine={"vm_name": "shop"})
    assert calls("statuses", payload("statuses", pve))["power_state"] == {"i-2-45-VM": "poweron"}


def test_no_writes_beside_itself(pve, bridge):
    assert bridge.call("statuses", payload("statuses", pve)).ok
    assert bridge.files() == ["cloudbridge-proxmox.py"]


def test_every_input_validated_and_no_injection(pve, calls):
    pve.add_guest(105, "i-2-45-VM", config=MARK)
    for parameters in ({"snap_name": "a&vmstate=1"}, {"snap_name": "../../101/snapshot/a"}, {"snap_name": ["a"]}):
        answer = calls("CreateSnapshot", payload("CreateSnapshot", pve, parameters=parameters))
        assert answer["kind"] == "invalid_request"
    assert pve.exchanges == []


def test_unknown_action_refused_before_config_and_case_insensitive_names(pve, calls, bridge):
    assert calls("LISTSNAPSHOTS", payload("ListSnapshots", pve))["kind"] == "not_found"
    bridge.policy_file.write_text("no policy")
    assert calls("CreateStoragePoolCommand", bridge.root).error.startswith("unknown action")


def test_console_on_the_right_node_with_a_generated_password_or_direct(pve_cluster, calls):
    pve_cluster.add_guest(105, "i-2-45-VM", config=MARK, status="running", node="pve3")
    pve_cluster.knobs.local_node = "pve2"
    console = calls("getconsole", payload("getconsole", pve_cluster))["console"]
    assert console["host"] == pve_cluster.server.address_of("pve2")
    assert len(console["password"]) == 8
    direct = {"console_mode": "direct", "console_url": "https://console.example.net/{vmid}"}
    console = calls("getconsole", payload("getconsole", pve_cluster, host=direct))["console"]
    assert console == {"url": "https://console.example.net/105", "protocol": "direct"}


def test_four_snapshot_actions(pve, calls):
    pve.add_guest(105, "i-2-45-VM", config=MARK)
    for action in ("CreateSnapshot", "RestoreSnapshot", "ListSnapshots"):
        answer = calls(action, payload(action, pve))
        assert answer.ok, answer.output
    (row,) = answer["message"]
    assert row["name"] == "before-upgrade"
    assert row["snaptime"].endswith("Z")
    assert pve.status(105) == "stopped"
    assert calls("DeleteSnapshot", payload("DeleteSnapshot", pve)).ok
    assert pve.snapshots(105) == {}


def test_extra_custom_actions(pve_cluster, calls):
    config = {**MARK, "ide2": "none,media=cdrom"}
    pve_cluster.add_guest(105, "i-2-45-VM", config=config, status="running", storage="shared")
    parameters = {
        "disk_size_gb": 20,
        "iso_path": "local:iso/debian-13.iso",
        "target_node": "pve2",
        "storage": "local",
    }
    actions = "Suspend Resume Reset ResizeDisk AttachISO DetachISO SyncNetworks Backup Migrate GuestInfo Shutdown"
    for action in actions.split():
        base = "start" if action == "SyncNetworks" else "ListSnapshots"
        answer = calls(action, payload(base, pve_cluster, parameters=parameters, host={"allowed_nodes": "pve*"}))
        assert answer.ok, (action, answer.output)
    assert (pve_cluster.guest(105).node, pve_cluster.status(105)) == ("pve2", "stopped")


def test_doctor_dry_run_and_debug_log(pve, calls, bridge):
    assert calls("doctor", payload("statuses", pve)).ok
    answer = calls("doctor", payload("statuses", pve, host={"network_bridge": "vmbr9"}))
    assert answer.exit_code == 1
    assert "bridge vmbr9: not on node pve1" in answer.error
    pve.reset_record()
    assert calls("create", payload("create_template", pve), flags=["--dry-run"])["dry_run"] is True
    assert not [line for line in pve.summary() if not line.startswith("GET ")]
    assert bridge.call("statuses", payload("statuses", pve), env={"CLOUDBRIDGE_DEBUG": "1"}).ok
    assert 'request="GET /nodes/pve1/qemu"' in bridge.log()
    assert pve.token_secret not in bridge.log()
