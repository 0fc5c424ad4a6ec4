# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An instance from its first to its last day, and everything that can get in its way."""

from __future__ import annotations

import re
import signal

import pytest

from tests.support.cloudstack import payload
from tests.support.service import wait_until

UUID = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
NOTES = f"CloudStack instance: i-2-45-VM\nCloudStack UUID: {UUID}\nCloudStack deployment: 0123456789abcdef"
OTHER_UUID = UUID.replace("6", "7")
MARK = {"tags": "cloudstack", "description": NOTES, "smbios1": f"uuid={UUID}"}
NOT_MARKED = {"tags": None, "description": None, "smbios1": "uuid=00000000-1111-2222-3333-444444444444"}
ISO = {"iso_path": "local:iso/debian-13.iso"}
BEFORE = [100, 101, 200, 9000]


def add_own(pve, vmid=105, name="i-2-45-VM", config=None, **options):
    """The instance's guest as create leaves it."""
    return pve.add_guest(vmid, name, config={**MARK, **(config or {})}, **options)


def tasks_of(pve):
    return [task["type"] for task in pve.tasks()]


class TestPrepare:
    def test_it_chooses_a_free_number(self, pve, bridge):
        answer = bridge.call("prepare", payload("prepare", pve))
        assert answer.ok
        assert 100_000 <= int(answer["details"]["proxmox_vmid"]) <= 999_999

    def test_the_number_can_be_that_of_cloudstack(self, pve, bridge):
        data = payload("prepare", pve, host={"vmid_offset": "50000"})
        assert bridge.call("prepare", data)["details"] == {"proxmox_vmid": "50045"}
        pve.add_guest(50045, "somebody")
        answer = bridge.call("prepare", data)
        assert answer.exit_code == 1
        assert "50045" in answer.error

    def test_a_range_that_is_full_is_a_failure(self, pve, bridge):
        answer = bridge.call("prepare", payload("prepare", pve, extension={"vmid_range": "100-101"}))
        assert answer.exit_code == 1
        assert "vmid_range" in answer.error
        assert "details" not in answer.document

    def test_a_wrong_secret_is_a_failure(self, pve, bridge):
        answer = bridge.call("prepare", payload("prepare", pve, host={"secret": "wrong-secret"}))
        assert answer.exit_code == 1
        assert answer["kind"] == "authentication"
        assert "wrong-secret" not in answer.output.decode() + bridge.log()


class TestCreateFromTemplate:
    def test_six_requests_on_one_connection(self, pve, bridge):
        answer = bridge.call("create", payload("create_template", pve))
        assert answer.ok
        upid = re.compile(r"UPID[^/]*")
        assert [upid.sub("UPID", line) for line in pve.summary()] == [
            "GET /nodes/pve1/qemu/9000/config",
            "POST /nodes/pve1/qemu/9000/clone",
            "GET /nodes/pve1/tasks/UPID/status",
            "PUT /nodes/pve1/qemu/105/config",
            "POST /nodes/pve1/qemu/105/status/start",
            "GET /nodes/pve1/tasks/UPID/status",
        ]
        assert pve.connection_count == 1
        assert pve.status(105) == "running"
        config = pve.config(105)
        assert config["smbios1"] == f"uuid={UUID}"
        assert config["tags"] == "cloudstack"
        assert config["description"].startswith(NOTES.rsplit("\n", 1)[0])
        assert config["net0"].startswith("virtio=02:01:00:CB:00:05,bridge=vmbr0,")
        assert "tag=1577" in config["net0"]
        assert "tag=" not in config["net1"]

    def test_the_payload_as_cloudstack_writes_it_word_for_word(self, pve, bridge):
        data = payload("create_template.wire", pve)
        assert bridge.call("create", data).ok

    def test_credentials_of_the_extension(self, pve, bridge):
        data = payload("create_template_shared_credentials", pve)
        login = {name: data["externaldetails"]["host"].pop(name) for name in ("url", "user", "token", "secret")}
        data["externaldetails"]["extension"] = login
        assert bridge.call("create", data).ok

    def test_uefi_with_secure_boot(self, pve, bridge):
        assert bridge.call("create", payload("create_template_uefi", pve)).ok
        config = pve.config(105)
        assert config["bios"] == "ovmf"
        assert "pre-enrolled-keys=1" in config["efidisk0"]

    def test_a_full_clone_on_another_storage_that_grows(self, pve, bridge):
        wanted = {"storage": "vmstore", "disk_size_gb": "20"}
        assert bridge.call("create", payload("create_template", pve, virtualmachine=wanted)).ok
        assert pve.config(105)["scsi0"].startswith("vmstore:105/")
        assert "size=20G" in pve.config(105)["scsi0"]

    def test_options_of_the_disk(self, pve, bridge):
        bridge.set_policy({"disk_discard": True, "disk_cache": "writeback"})
        assert bridge.call("create", payload("create_template", pve)).ok
        assert "cache=writeback,discard=on" in pve.config(105)["scsi0"]
        assert "vm-105-disk-0" in pve.config(105)["scsi0"]

    def test_a_template_by_name(self, pve, bridge):
        data = payload("create_template", pve, virtualmachine={"template_id": "debian-template"})
        assert bridge.call("create", data).ok
        assert pve.forms("POST", "/qemu/9000/clone$")

    def test_a_name_of_its_own(self, pve, bridge):
        assert bridge.call("create", payload("create_template", pve, virtualmachine={"vm_name": "shop"})).ok
        assert pve.config(105)["name"] == "shop"
        assert "CloudStack instance: i-2-45-VM" in pve.config(105)["description"]

    def test_cards_of_the_template_that_the_instance_lacks_are_removed(self, pve, bridge):
        pve.call(lambda: pve.server.guest(9000).config.update(net3="virtio=BC:24:11:90:00:03,bridge=vmbr1"))
        data = payload("create_template", pve)
        data["cloudstack.vm.details"]["nics"] = data["cloudstack.vm.details"]["nics"][1:]
        assert bridge.call("create", data).ok
        assert [key for key in pve.config(105) if key.startswith("net")] == ["net1"]

    def test_pool_high_availability_and_tags(self, pve, bridge):
        pve.add_pool("cs")
        bridge.set_policy({"pool": "cs", "ha": True, "tags": ["prod"], "onboot": True})
        assert bridge.call("create", payload("create_template", pve)).ok
        assert pve.guest(105).pool == "cs"
        assert pve.config(105)["tags"] == "cloudstack;prod"
        assert pve.forms("POST", "/cluster/ha/resources$") == [{"sid": "vm:105", "state": "started"}]

    @pytest.mark.parametrize("rule", ["big", "ha-group-big"])
    def test_the_rule_that_a_group_became_in_pve_9(self, pve, calls, rule):
        pve.add_guest(106, "other", ha_state="started")
        pve.add_ha_rule(rule, "vm:106")
        data = payload("create_template", pve, host={"ha_group": "big"})
        # Somebody else adds his guest at the same time.
        pve.before("PUT", "/cluster/ha/rules/", lambda: pve.server.ha_rules[rule]["resources"].append("vm:106"))
        assert calls("create", data).ok
        assert (pve.ha_rule(rule)[-1], pve.guest(105).ha_state) == ("vm:105", "started")
        assert calls("stop", payload("stop", pve)).ok
        assert calls("delete", payload("delete", pve)).ok
        assert "vm:105" not in pve.ha_rule(rule)

    def test_a_group_of_pve_8(self, pve, calls):
        pve.add_ha_group("big")
        assert calls("create", payload("create_template", pve, host={"ha_group": "big"})).ok
        assert pve.forms("POST", "/cluster/ha/resources$") == [{"sid": "vm:105", "state": "started", "group": "big"}]

    def test_a_group_or_rule_that_is_not_there(self, pve, calls):
        pve.add_ha_rule("small")
        data = payload("create_template", pve, host={"ha_group": "big"})
        answer = calls("create", data)
        assert "there is no node affinity rule big (there is small)" in answer.error
        assert "ha-manager rules add node-affinity big" in answer.error
        assert "rules add node-affinity" in calls("doctor", payload("statuses", pve, host={"ha_group": "big"})).error
        pve.add_ha_group("small")
        assert "there is no HA group big: there is small" in calls("create", data).error
        assert not [line for line in pve.summary() if not line.startswith("GET ")]

    def test_a_rule_that_cannot_be_changed_leaves_nothing(self, pve, calls):
        pve.add_ha_rule("big", "vm:999")
        answer = calls("create", payload("create_template", pve, host={"ha_group": "big"}))
        assert answer.error.startswith("update HA rules failed: cannot use unmanaged resource(s) vm:999.")
        assert 105 not in pve.vmids()

    def test_warnings_are_no_failure(self, pve, bridge):
        pve.next_task_warns("qmclone", "something odd")
        pve.next_task_warns("qmstart", "something odd")
        assert bridge.call("create", payload("create_template", pve)).ok


class TestCreateOnACluster:
    def test_a_shared_template_of_another_node(self, pve_cluster, bridge):
        data = payload("create_template", pve_cluster, host={"node": "pve2"})
        assert bridge.call("create", data).ok
        assert pve_cluster.guest(105).node == "pve2"
        assert pve_cluster.status(105) == "running"

    def test_a_local_template_of_another_node(self, pve_cluster, bridge):
        wanted = {"template_id": "9001"}
        data = payload("create_template", pve_cluster, host={"node": "pve2"}, virtualmachine=wanted)
        answer = bridge.call("create", data)
        assert answer.exit_code == 1
        assert "template_map" in answer.error
        assert "local storage" in answer.error
        pve_cluster.call(lambda: None)
        bridge.set_policy({"template_map": {"9001@pve2": "9000"}})
        assert bridge.call("create", data).ok
        assert pve_cluster.forms("POST", "/qemu/9000/clone$")

    def test_a_template_by_name_on_this_node_first(self, pve_cluster, bridge):
        from tests.support.embedded_pve import seed

        pve_cluster.call(lambda: seed.add_template(pve_cluster.server, 9002, "local-template", node="pve2"))
        data = payload(
            "create_template", pve_cluster, host={"node": "pve2"}, virtualmachine={"template_id": "local-template"}
        )
        assert bridge.call("create", data).ok
        assert pve_cluster.forms("POST", "/qemu/9002/clone$")


class TestCreateFromIso:
    def test_four_requests(self, pve, bridge):
        data = payload("create_iso", pve, virtualmachine=ISO)
        assert bridge.call("create", data).ok
        assert len(pve.exchanges) == 4
        config = pve.config(106)
        assert config["ide2"].startswith("local:iso/debian-13.iso,media=cdrom")
        assert config["smbios1"] == f"uuid={UUID}"
        assert pve.status(106) == "running"

    def test_a_missing_image_leaves_nothing(self, pve, bridge):
        answer = bridge.call("create", payload("create_iso", pve, virtualmachine={"iso_path": "local:iso/none.iso"}))
        assert answer.exit_code == 1
        assert pve.vmids() == BEFORE


class TestAFailedCreate:
    @pytest.mark.parametrize(
        "plant",
        [
            lambda pve: pve.next_task_fails("qmclone", "clone failed: no space left"),
            lambda pve: pve.next_task_fails("qmstart", "start failed: QEMU exited with code 1"),
            lambda pve: pve.fault("PUT", "/qemu/105/config$", "status", status=500, message="no such thing"),
            lambda pve: pve.set_bridges("pve1", "vmbr1"),
            lambda pve: pve.fault("POST", "/status/start$", "status", status=403, message="Permission check failed"),
        ],
        ids=["clone", "start", "configuration", "bridge", "permission"],
    )
    def test_nothing_is_left(self, pve, bridge, plant):
        volumes = pve.volumes("local-lvm")
        plant(pve)
        answer = bridge.call("create", payload("create_template", pve))
        assert answer.exit_code == 1
        assert answer.document["status"] == "error"
        assert pve.vmids() == BEFORE
        assert pve.volumes("local-lvm") == volumes

    def test_what_cannot_be_removed_is_said(self, pve, bridge):
        pve.next_task_fails("qmstart", "start failed")
        pve.next_task_fails("qmdestroy", "storage is not online")
        answer = bridge.call("create", payload("create_template", pve))
        assert answer.error.startswith("start failed")
        assert "guest 105 on node pve1 could not be removed" in answer.error
        assert "storage is not online" in answer.error

    def test_pves_own_words_and_the_log_come_first(self, pve, bridge):
        pve.next_task_fails("qmstart", "start failed: QEMU exited with code 1", log=["kvm: no such device"])
        answer = bridge.call("create", payload("create_template", pve))
        assert answer.error.startswith("start failed: QEMU exited with code 1 (task qmstart of 105 on node pve1 failed")
        assert "kvm: no such device" in answer.error

    @pytest.mark.parametrize("status", ["stopped", "running"])
    @pytest.mark.parametrize("action", ["create_template", "create_iso"])
    def test_a_number_that_is_taken_is_never_touched(self, pve, bridge, status, action):
        pve.add_guest(105, "somebody-else", status=status)
        pve.add_guest(106, "somebody-else", status=status)
        before = pve.config(105), pve.config(106)
        answer = bridge.call("create", payload(action, pve, virtualmachine=ISO))
        assert answer.exit_code == 1
        assert "exists" in answer.error
        assert (pve.config(105), pve.config(106)) == before
        assert pve.status(105) == pve.status(106) == status
        assert not [line for line in pve.summary() if line.startswith("DELETE")]

    def test_neither_is_the_instances_own_guest_when_create_is_called_twice(self, pve, bridge):
        data = payload("create_template", pve)
        assert bridge.call("create", data).ok
        answer = bridge.call("create", data)
        assert answer.exit_code == 1
        assert pve.status(105) == "running"

    def test_nor_is_one_that_took_the_number_while_the_answer_was_lost(self, pve, bridge):
        pve.before("POST", "/clone$", lambda: pve.add_guest(105, "i-2-45-VM"))
        pve.fault("POST", "/clone$", "drop")
        answer = bridge.call("create", payload("create_template", pve))
        assert answer.exit_code == 1
        assert 105 in pve.vmids()
        assert not [line for line in pve.summary() if line.startswith(("DELETE", "PUT"))]

    @pytest.mark.parametrize("kind", ["lose_answer", "drop", "596"])
    def test_a_lost_answer_is_looked_for(self, pve, bridge, kind):
        pve.task_seconds["qmclone"] = 0.5
        pve.fault("POST", "/clone$", kind)
        assert bridge.call("create", payload("create_template", pve)).ok
        assert tasks_of(pve) == ["qmclone", "qmstart"]

    @pytest.mark.parametrize("pattern", ["/config$", "/tasks/", "/status/start$"])
    def test_a_moment_without_answers_is_waited_out(self, pve, bridge, pattern):
        pve.fault("*", pattern, "596", times=1)
        assert bridge.call("create", payload("create_template", pve)).ok
        assert pve.status(105) == "running"

    def test_a_network_that_cannot_be_is_refused_before_anything_is_made(self, pve, bridge):
        data = payload("create_template", pve)
        data["cloudstack.vm.details"]["nics"][1]["broadcastUri"] = "vxlan://5001"
        answer = bridge.call("create", data)
        assert answer.exit_code == 1
        assert "vnet_map" in answer.error
        assert [line for line in pve.summary() if not line.startswith("GET")] == []


class TestTheDeadline:
    @pytest.mark.parametrize("wait", [1, 2, 3, 8])
    @pytest.mark.parametrize("slow", ["qmclone", "qmstart"])
    def test_what_was_made_is_gone_when_it_comes(self, pve, bridge, wait, slow):
        volumes = pve.volumes("local-lvm")
        pve.task_seconds[slow] = 60
        answer = bridge.call("create", payload("create_template", pve), wait=wait)
        assert answer.exit_code == 1
        assert answer["kind"] == "timed_out"
        # PVE needs a second and more to stop a task: of so short a wait there is not enough left to see the end.
        if 105 in pve.vmids():
            assert wait < 8
            assert "was asked to stop and has not ended" in answer.error
            assert "everything that was made" not in answer.error
        wait_until(lambda: pve.vmids() == BEFORE)
        assert pve.volumes("local-lvm") == volumes
        assert [task for task in pve.tasks() if task["status"] == "running"] == []
        assert len([line for line in pve.summary() if line.startswith("DELETE") and "/tasks/" in line]) <= 1

    def test_even_a_clone_whose_answer_was_lost(self, pve, bridge):
        pve.task_seconds["qmclone"] = 60
        pve.fault("POST", "/clone$", "lose_answer")
        assert bridge.call("create", payload("create_template", pve), wait=8).exit_code == 1
        assert pve.vmids() == BEFORE

    def test_somebody_ends_the_process(self, pve, bridge):
        pve.task_seconds["qmclone"] = 60
        process = []
        pve.before("GET", "/tasks/", lambda: process[0].send_signal(signal.SIGTERM))
        process.append(bridge.start("create", payload("create_template", pve)))
        output, _none = process[0].communicate(timeout=60)
        assert process[0].returncode == 1
        assert b"signal 15" in output
        assert pve.vmids() == BEFORE


class TestStart:
    def test_networks_are_as_cloudstack_knows_them_now(self, pve, bridge):
        nets = {
            "net0": "virtio=02:01:00:CB:00:05,bridge=vmbr0,tag=1500",
            "net4": "virtio=BC:24:11:00:00:09,bridge=vmbr0",
        }
        add_own(pve, config=nets)
        assert bridge.call("start", payload("start", pve)).ok
        config = pve.config(105)
        assert "tag=1577" in config["net0"]
        assert "net1" in config
        assert "net4" not in config
        assert pve.status(105) == "running"

    def test_the_offering_too(self, pve, bridge):
        add_own(pve, config={"cores": 1, "sockets": 2})
        assert bridge.call("start", payload("start", pve, vm={"cpus": 3})).ok
        assert (int(pve.config(105)["cores"]), int(pve.config(105)["sockets"])) == (3, 1)

    def test_one_that_runs_is_left_alone(self, pve, bridge):
        add_own(pve, status="running")
        assert bridge.call("start", payload("start", pve)).ok
        assert tasks_of(pve) == []
        assert len(pve.exchanges) == 2

    def test_one_that_is_paused_goes_on(self, pve, bridge):
        add_own(pve, status="running", qmpstatus="paused")
        assert bridge.call("start", payload("start", pve)).ok
        assert tasks_of(pve) == ["qmresume"]

    def test_one_that_ha_takes_care_of(self, pve, bridge):
        add_own(pve, ha_state="stopped")
        pve.knobs.ha_seconds = 0.5
        assert bridge.call("start", payload("start", pve)).ok
        assert pve.status(105) == "running"

    def test_a_start_that_takes_too_long_is_a_failure_in_time(self, pve, bridge):
        pve.task_seconds["qmstart"] = 60
        add_own(pve)
        answer = bridge.call("start", payload("start", pve), wait=8)
        assert (answer.exit_code, answer["kind"]) == (1, "timed_out")
        assert 105 in pve.vmids()

    def test_one_that_is_gone(self, pve, bridge):
        answer = bridge.call("start", payload("start", pve))
        assert answer.exit_code == 1
        assert "there is no guest 105" in answer.error


class TestStop:
    def test_it_is_stopped_hard_unless_told_otherwise(self, pve, bridge):
        add_own(pve, status="running")
        assert bridge.call("stop", payload("stop", pve)).ok
        assert tasks_of(pve) == ["qmstop"]
        assert pve.status(105) == "stopped"

    def test_gracefully_first(self, pve, bridge):
        bridge.set_policy({"stop_method": "shutdown_then_stop", "shutdown_timeout": 300})
        add_own(pve, status="running")
        assert bridge.call("stop", payload("stop", pve), wait=60).ok
        form = pve.forms("POST", "/status/shutdown$")[0]
        assert form["forceStop"] == "1"
        assert int(form["timeout"]) < 60

    def test_a_deaf_guest(self, pve, bridge):
        bridge.set_policy({"stop_method": "shutdown_then_stop"})
        add_own(pve, status="running").acpi = False
        assert bridge.call("stop", payload("stop", pve)).ok
        assert pve.status(105) == "stopped"

    @pytest.mark.parametrize("options", [{"status": "stopped"}, {"lock": "suspended"}])
    def test_one_that_is_stopped(self, pve, bridge, options):
        add_own(pve, **options)
        assert bridge.call("stop", payload("stop", pve)).ok
        assert tasks_of(pve) == []

    def test_one_that_is_paused(self, pve, bridge):
        add_own(pve, status="running", qmpstatus="paused")
        assert bridge.call("stop", payload("stop", pve)).ok
        assert pve.status(105) == "stopped"


class TestReboot:
    def test_one_that_runs(self, pve, bridge):
        add_own(pve, status="running")
        assert bridge.call("reboot", payload("reboot", pve)).ok
        assert tasks_of(pve) == ["qmreboot"]

    def test_one_that_is_stopped_is_started(self, pve, bridge):
        add_own(pve)
        assert bridge.call("reboot", payload("reboot", pve)).ok
        assert pve.status(105) == "running"

    def test_one_that_is_paused_goes_on_first(self, pve, bridge):
        add_own(pve, status="running", qmpstatus="paused")
        assert bridge.call("reboot", payload("reboot", pve)).ok
        assert tasks_of(pve) == ["qmresume", "qmreboot"]

    def test_one_that_does_not_react_is_reset(self, pve, bridge):
        add_own(pve, status="running").acpi = False
        assert bridge.call("reboot", payload("reboot", pve)).ok
        assert tasks_of(pve) == ["qmreboot", "qmreset"]

    def test_unless_the_operator_wants_to_know(self, pve, bridge):
        bridge.set_policy({"reboot_fallback": "fail"})
        add_own(pve, status="running").acpi = False
        assert bridge.call("reboot", payload("reboot", pve)).exit_code == 1


class TestDelete:
    @pytest.mark.parametrize("status", ["running", "stopped"])
    def test_it_stops_purges_and_waits(self, pve, bridge, status):
        add_own(pve, status=status, ha_state="started" if status == "running" else None)
        pve.task_seconds["qmdestroy"] = 0.5
        assert bridge.call("delete", payload("delete", pve)).ok
        assert 105 not in pve.vmids()
        assert pve.forms("DELETE", "/qemu/105$") == [{"purge": "1", "destroy-unreferenced-disks": "1"}]

    def test_one_that_is_gone_is_a_success(self, pve, bridge):
        assert bridge.call("delete", payload("delete", pve)).ok
        assert bridge.call("stop", payload("stop", pve)).ok

    def test_one_that_was_never_prepared(self, pve, bridge):
        data = payload("delete", pve, details={"proxmox_vmid": None})
        assert bridge.call("delete", data).ok
        add_own(pve, 777)
        add_own(pve, 778, config={"smbios1": "uuid=00000000-1111-2222-3333-444444444444"})
        assert bridge.call("delete", data).ok
        assert pve.vmids() == [*BEFORE[:3], 778, 9000]

    def test_a_protected_one_is_refused(self, pve, bridge):
        add_own(pve, config={"protection": 1})
        answer = bridge.call("delete", payload("delete", pve))
        assert answer.exit_code == 1
        assert "protected" in answer.error


class TestWhoseGuestItIs:
    @pytest.mark.parametrize("action", ["start", "stop", "reboot", "delete", "status"])
    @pytest.mark.parametrize(
        ("name", "config"),
        [
            ("web", {}),
            ("i-2-45-VM", {**MARK, "smbios1": "uuid=00000000-1111-2222-3333-444444444444"}),
            ("i-3-77-VM", {"description": NOTES.replace(UUID, OTHER_UUID), "smbios1": f"uuid={OTHER_UUID}"}),
        ],
        ids=["unmarked", "copy", "other-instance"],
    )  # fmt: skip
    def test_a_foreign_guest_is_never_touched(self, pve, bridge, action, name, config):
        pve.add_guest(105, name, status="running", config=config)
        before = pve.config(105)
        answer = bridge.call(action, payload(action, pve))
        assert answer.exit_code == 1
        assert "not touched" in answer.error
        assert (pve.config(105), pve.status(105)) == (before, "running")
        assert {line.split()[0] for line in pve.summary()} == {"GET"}

    def test_an_old_guest_of_the_instances_name_is_adopted(self, pve, bridge):
        pve.add_guest(105, "i-2-45-VM", config={"description": "mine", "smbios1": "uuid=" + "1" * 8 + UUID[8:]})
        assert bridge.call("status", payload("status", pve)).ok
        assert "tags" not in pve.config(105)
        assert bridge.call("start", payload("start", pve)).ok
        config = pve.config(105)
        assert config["tags"] == "cloudstack"
        assert "CloudStack adopted guest: 11111111-" in config["description"]
        assert config["description"].endswith("mine")
        bridge.set_policy({"ownership": "require"})
        assert bridge.call("delete", payload("delete", pve)).ok

    def test_unless_marks_are_required(self, pve, bridge):
        bridge.set_policy({"ownership": "require"})
        pve.add_guest(105, "i-2-45-VM")
        assert bridge.call("stop", payload("stop", pve)).exit_code == 1

    def test_a_tenants_name_does_not_make_a_guest_the_instances(self, pve, bridge):
        data = payload("stop", pve, details={"proxmox_vmid": "101"}, virtualmachine={"vm_name": "db"})
        assert bridge.call("stop", data).exit_code == 1
        assert pve.status(101) == "running"
        bridge.set_policy({"adopt_custom_names": True})
        assert bridge.call("stop", data).ok

    def test_marks_need_not_matter(self, pve, bridge):
        bridge.set_policy({"ownership": "ignore"})
        assert bridge.call("stop", payload("stop", pve, details={"proxmox_vmid": "101"})).ok

    def test_a_container_is_no_instance(self, pve, bridge):
        answer = bridge.call("delete", payload("delete", pve, details={"proxmox_vmid": "200"}))
        assert answer.exit_code == 1
        assert "container" in answer.error


class TestAGuestThatMoved:
    @pytest.mark.parametrize("action", ["start", "stop", "reboot", "delete", "status"])
    def test_it_is_found(self, pve_cluster, bridge, action):
        add_own(pve_cluster, node="pve2", storage="shared", status="stopped" if action == "start" else "running")
        assert bridge.call(action, payload(action, pve_cluster)).ok

    def test_even_when_its_old_node_is_down(self, pve_cluster, bridge):
        add_own(pve_cluster, node="pve1", storage="shared", status="running")
        data = payload("stop", pve_cluster, host={"node": "pve3"})
        pve_cluster.set_node_offline("pve3")
        assert bridge.call("stop", data).ok

    @pytest.mark.parametrize("action", ["stop", "delete"])
    def test_gone_is_only_what_the_whole_cluster_says(self, pve_cluster, bridge, action):
        pve_cluster.set_node_offline("pve2")
        answer = bridge.call(action, payload(action, pve_cluster))
        assert answer.exit_code == 1
        assert "pve2" in answer.error

    def test_what_the_token_cannot_see_is_not_gone(self, pve, bridge):
        pve.add_token("limited@pve!cs", "12345678-1234-1234-1234-123456789012")
        pve.grant("limited@pve", "/vms/9000", "VM.Audit")
        add_own(pve, status="running")
        limited = {"user": "limited@pve", "token": "cs", "secret": "12345678-1234-1234-1234-123456789012"}
        answer = bridge.call("delete", payload("delete", pve, host=limited))
        assert answer.exit_code == 1
        assert 105 in pve.vmids()
