# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The console and the custom actions, one by one, and what holds for each of them."""

from __future__ import annotations

import json
import re
import time

import pytest

from tests.support import viewers
from tests.support.cloudstack import PAYLOADS, payload

UUID = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
NOTES = f"CloudStack instance: i-2-45-VM\nCloudStack UUID: {UUID}\nCloudStack deployment: 0123456789abcdef"
MARK = {"tags": "cloudstack", "description": NOTES, "smbios1": f"uuid={UUID}"}
FOREIGN = {
    "tags": "cloudstack",
    "description": NOTES.replace(UUID, UUID.replace("6", "7")),
    "smbios1": "uuid=" + UUID[::-1],
}
ISO = "local:iso/debian-13.iso"
# What each action is called with; the guest runs before it unless it is in STOPPED.
PARAMETERS = {
    "getconsole": {},
    "ListSnapshots": {},
    "CreateSnapshot": {"snap_name": "before-upgrade"},
    "RestoreSnapshot": {"snap_name": "old"},
    "DeleteSnapshot": {"snap_name": "old"},
    "Shutdown": {},
    "Suspend": {},
    "Resume": {},
    "Reset": {},
    "ResizeDisk": {"disk_size_gb": 20},
    "AttachDisk": {"disk_size_gb": 4},
    "DetachDisk": {"disk": "scsi1"},
    "AttachISO": {"iso_path": ISO},
    "DetachISO": {},
    "Backup": {"storage": "local"},
    "Migrate": {"target_node": "pve2"},
    "SyncNetworks": {},
    "GuestInfo": {},
}
LAST_WORDS = {"GuestInfo": "does not answer", "Backup": '"volid"'}
READ_ONLY = ("getconsole", "ListSnapshots", "GuestInfo")


def data_for(action, pve, **changes):
    """The payload of an action: CloudStack's own where there is one."""
    base = "start" if action == "SyncNetworks" else action
    if not (PAYLOADS / f"{base}.json").exists():
        base = "ListSnapshots"
    changes["parameters"] = {**PARAMETERS[action], **changes.get("parameters", {})}
    if action == "Migrate":
        changes["host"] = {"allowed_nodes": "pve*", **changes.get("host", {})}
    data = payload(base, pve, **changes)
    return data if action == "getconsole" else {**data, "action": action}


@pytest.fixture
def world(pve_cluster):
    """The cluster with the instance's guest as every action can work on it: running, with a snapshot and an ISO."""
    put_guest(pve_cluster)
    return pve_cluster


def put_guest(pve, **options):
    if 105 in pve.vmids():
        pve.remove_guest(105)
    config = {
        **MARK,
        "agent": "1",
        "ide2": "none,media=cdrom",
        "net0": "virtio=02:01:00:CB:00:05,bridge=vmbr0,tag=1577",
        "scsi1": "shared:105/vm-105-disk-1.qcow2,size=4G",
    }
    options = {"status": "running", "storage": "shared", "agent": {}, **options}
    pve.add_guest(105, "i-2-45-VM", **{**options, "config": {**config, **options.get("config", {})}})
    pve.call(lambda: take_snapshot(pve, "old"))


def take_snapshot(pve, name, memory=False, **options):
    pve.server._take(pve.guest(105), name, {"vmstate": memory, **options})


def writes(pve):
    return [line for line in pve.summary() if not line.startswith("GET ")]


class TestListSnapshots:
    def test_a_flat_table_without_the_pseudo_entry(self, world, calls):
        world.call(lambda: take_snapshot(world, "with-memory", memory=True, description="two\nlines"))
        answer = calls("ListSnapshots", data_for("ListSnapshots", world))
        assert answer["printmessage"] == "true"
        first, second = answer["message"]
        assert list(first) == list(second) == ["name", "snaptime", "description", "parent", "vmstate", "state"]
        assert (first["name"], first["description"], first["parent"], first["vmstate"]) == ("old", "-", "-", "no")
        assert (second["name"], second["description"]) == ("with-memory", "two lines")
        assert (second["parent"], second["vmstate"]) == ("old", "yes")
        assert writes(world) == []

    def test_times_are_utc(self, world, calls):
        world.call(lambda: world.guest(105).snapshots["old"].__setitem__("snaptime", 1767323045))
        answer = calls("ListSnapshots", data_for("ListSnapshots", world))
        assert answer["message"][0]["snaptime"] == "2026-01-02T03:04:05Z"

    def test_one_that_is_incomplete_says_so(self, world, calls):
        world.call(lambda: world.guest(105).snapshots["old"].__setitem__("snapstate", "delete"))
        answer = calls("ListSnapshots", data_for("ListSnapshots", world))
        assert answer["message"][0]["state"] == "incomplete (delete)"

    def test_none_at_all(self, world, calls):
        world.call(world.guest(105).snapshots.clear)
        assert calls("ListSnapshots", data_for("ListSnapshots", world))["message"] == []

    def test_more_than_a_pipe_can_hold(self, world, calls):
        def many():
            for number in range(900):
                world.guest(105).snapshots[f"s{number}"] = {"snaptime": number + 1, "description": "x" * 1000}

        world.call(many)
        answer = calls("ListSnapshots", data_for("ListSnapshots", world))
        assert answer.ok
        assert re.fullmatch(r"\.\.\. and \d+ more", answer["message"][-1]["name"])


class TestCreateSnapshot:
    def test_what_is_asked_for_and_nothing_else(self, world, calls):
        data = data_for("CreateSnapshot", world)
        answer = calls("CreateSnapshot", data)
        assert answer.ok
        assert world.forms("POST", "/snapshot$") == [
            {"snapname": "before-upgrade", "description": "taken & kept; 50% done", "vmstate": "1"}
        ]
        assert "vmstate" in world.snapshots(105)["before-upgrade"]

    @pytest.mark.parametrize(
        ("value", "memory"), [(True, True), ("true", True), (False, False), ("false", False), (None, False)]
    )
    def test_memory_only_when_it_is_wanted(self, world, calls, value, memory):
        answer = calls("CreateSnapshot", data_for("CreateSnapshot", world, parameters={"snap_save_memory": value}))
        assert answer.ok
        assert ("vmstate" in world.snapshots(105)["before-upgrade"]) == memory

    def test_memory_of_a_stopped_instance(self, world, calls):
        put_guest(world, status="stopped")
        answer = calls("CreateSnapshot", data_for("CreateSnapshot", world))
        assert answer.ok
        assert "holds no memory" in answer["message"]

    @pytest.mark.parametrize(
        "description", ["line\r\nline", "ü & = ; + %41 \" ' $(id) `id`\nvmstate=1", "x" * 1024, ""]
    )
    def test_a_description_arrives_as_it_is(self, world, calls, description):
        parameters = {"snap_description": description}
        assert calls("CreateSnapshot", data_for("CreateSnapshot", world, parameters=parameters)).ok
        held = world.snapshots(105)["before-upgrade"]
        assert held.get("description", "") == description.replace("\r\n", "\n")

    @pytest.mark.parametrize("description", ["x" * 1025, "a\x00b", "\ud800", {"a": 1}, ["a"], 7])
    def test_a_description_that_is_none(self, world, calls, description):
        answer = calls(
            "CreateSnapshot", data_for("CreateSnapshot", world, parameters={"snap_description": description})
        )
        assert answer["kind"] == "invalid_request"
        assert world.exchanges == []

    @pytest.mark.parametrize(
        "name", ["1st", "-x", "a", "x" * 41, "a b", "a,b", "a/../b", "current", "Pending", "ü", "a\n", None, 7.5]
    )
    def test_names_that_pve_would_refuse(self, world, calls, name):
        answer = calls("CreateSnapshot", data_for("CreateSnapshot", world, parameters={"snap_name": name}))
        assert answer["kind"] == "invalid_request"
        assert "snap_name" in answer.error
        assert world.exchanges == []

    @pytest.mark.parametrize("name", ["ab", "a_b-C9", "x" * 40])
    def test_names_that_pve_takes(self, world, calls, name):
        assert calls("CreateSnapshot", data_for("CreateSnapshot", world, parameters={"snap_name": name})).ok

    def test_a_name_that_is_taken(self, world, calls):
        answer = calls("CreateSnapshot", data_for("CreateSnapshot", world, parameters={"snap_name": "old"}))
        assert answer["kind"] == "exists"
        assert writes(world) == []

    def test_no_more_than_the_operator_allows(self, world, bridge, calls):
        bridge.set_policy({"max_snapshots": 1})
        answer = calls("CreateSnapshot", data_for("CreateSnapshot", world))
        assert "the site policy allows 1" in answer.error
        assert writes(world) == []

    def test_pves_own_words(self, world, calls):
        world.next_task_fails("qmsnapshot", "snapshot feature is not available", log=["snapshotting drive scsi0"])
        answer = calls("CreateSnapshot", data_for("CreateSnapshot", world))
        assert answer.error.startswith("snapshot feature is not available")

    @pytest.mark.parametrize("lost", [False, True])
    def test_one_that_takes_too_long_is_called_off(self, world, calls, lost):
        world.task_seconds["qmsnapshot"] = 60
        if lost:
            world.fault("POST", "/snapshot$", "lose_answer")
        answer = calls("CreateSnapshot", data_for("CreateSnapshot", world), wait=4)
        assert (answer.exit_code, answer["kind"]) == (1, "timed_out")
        assert "it was removed" in answer.error
        assert answer.seconds < 4
        assert list(world.snapshots(105)) == ["old"]
        assert world.tasks("qmsnapshot")[0]["exitstatus"] == "received interrupt"

    def test_one_that_is_complete_at_the_last_moment_stays(self, world, calls):
        world.task_seconds["qmsnapshot"] = 60

        # The list that is read when it has been called off.
        world.before("GET", "/qemu/105/snapshot$", lambda: take_snapshot(world, "before-upgrade"), after=1)
        answer = calls("CreateSnapshot", data_for("CreateSnapshot", world), wait=4)
        assert answer.ok, answer.output
        assert "before-upgrade" in world.snapshots(105)

    def test_somebody_ends_the_process(self, world, bridge):
        world.task_seconds["qmsnapshot"] = 60
        process = bridge.start("CreateSnapshot", data_for("CreateSnapshot", world), wait=600)
        while not world.tasks("qmsnapshot"):
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        assert json.loads(process.communicate(timeout=60)[0])["status"] == "error"
        assert process.returncode == 1
        assert list(world.snapshots(105)) == ["old"]


class TestRestoreSnapshot:
    def test_one_that_ran_runs_again(self, world, calls):
        answer = calls("RestoreSnapshot", data_for("RestoreSnapshot", world))
        assert answer.ok
        assert world.status(105) == "running"
        assert "started" in answer["message"]

    def test_one_that_was_stopped_stays_so(self, world, calls):
        put_guest(world, status="stopped")
        assert calls("RestoreSnapshot", data_for("RestoreSnapshot", world)).ok
        assert world.status(105) == "stopped"
        assert writes(world) == ["POST /nodes/pve1/qemu/105/snapshot/old/rollback"]

    @pytest.mark.parametrize("status", ["running", "stopped"])
    def test_with_its_memory_it_runs(self, world, calls, status):
        world.call(lambda: take_snapshot(world, "live", memory=True))
        if status == "stopped":
            world.call(lambda: world.server.halt_guest(world.guest(105)))
        parameters = {"snap_name": "live"}
        assert calls("RestoreSnapshot", data_for("RestoreSnapshot", world, parameters=parameters)).ok
        assert world.status(105) == "running"
        assert writes(world) == ["POST /nodes/pve1/qemu/105/snapshot/live/rollback"]

    @pytest.mark.parametrize("status", ["running", "stopped"])
    def test_the_networks_stay_those_of_now(self, world, calls, status):
        put_guest(world, status=status)
        now = {"net0": "virtio=02:01:00:CB:00:05,bridge=vmbr0,tag=1600", "net1": None}

        def since_then():
            world.guest(105).snapshots["old"]["net1"] = "virtio=02:01:00:CB:00:06,bridge=vmbr1"
            world.guest(105).config["net0"] = now["net0"]

        world.call(since_then)
        assert calls("RestoreSnapshot", data_for("RestoreSnapshot", world)).ok
        assert {key: world.config(105).get(key) for key in now} == now
        if status == "running":
            order = writes(world)
            assert order.index("PUT /nodes/pve1/qemu/105/config") < order.index(
                "POST /nodes/pve1/qemu/105/status/start"
            )

    def test_the_mark_stays(self, world, calls):
        world.call(lambda: world.guest(105).snapshots["old"].pop("tags"))
        assert calls("RestoreSnapshot", data_for("RestoreSnapshot", world)).ok
        assert world.config(105)["tags"] == "cloudstack"

    def test_a_failed_start_is_a_failure_that_says_what_was_done(self, world, calls):
        world.next_task_fails("qmstart", "bridge 'vmbr0' does not exist")
        answer = calls("RestoreSnapshot", data_for("RestoreSnapshot", world))
        assert answer.exit_code == 1
        assert answer.error.startswith("bridge 'vmbr0' does not exist")
        assert answer.error.endswith("the rollback itself was done")

    def test_a_name_that_is_not_there(self, world, calls):
        answer = calls("RestoreSnapshot", data_for("RestoreSnapshot", world, parameters={"snap_name": "older"}))
        assert answer["kind"] == "not_found"
        assert "it has old" in answer.error
        assert writes(world) == []

    def test_one_that_ha_takes_care_of(self, world, calls):
        put_guest(world, ha_state="started")
        assert calls("RestoreSnapshot", data_for("RestoreSnapshot", world)).ok
        assert world.status(105) == "running"


class TestDeleteSnapshot:
    def test_it_is_gone_and_its_children_stay(self, world, calls):
        world.call(lambda: take_snapshot(world, "child"))
        assert calls("DeleteSnapshot", data_for("DeleteSnapshot", world)).ok
        assert list(world.snapshots(105)) == ["child"]

    def test_a_name_that_is_not_there(self, world, calls):
        answer = calls("DeleteSnapshot", data_for("DeleteSnapshot", world, parameters={"snap_name": "older"}))
        assert answer["kind"] == "not_found"
        assert writes(world) == []


class TestConsole:
    def test_as_the_console_proxy_wants_it(self, world, calls):
        answer = calls("getconsole", data_for("getconsole", world))
        console = answer["console"]
        assert console["host"] == "198.51.100.11"
        assert re.fullmatch(r"59\d\d", console["port"])
        assert (console["protocol"], console["passwordonetimeuseonly"]) == ("vnc", True)
        assert re.fullmatch(r"[!-`]{8}", console["password"])
        assert world.forms("POST", "/vncproxy$") == [{"generate-password": "1"}]

    def test_on_the_node_that_answers_wherever_the_guest_is(self, world, calls):
        put_guest(world, node="pve3")
        world.knobs.local_node = "pve2"
        assert calls("getconsole", data_for("getconsole", world))["console"]["host"] == "198.51.100.12"

    @pytest.mark.parametrize(
        ("host", "address"),
        [
            ({"console_host": "192.0.2.7"}, "192.0.2.7"),
            ({"console_host_map": "pve1=192.0.2.1,pve2=192.0.2.2"}, "192.0.2.1"),
            ({"console_host_map": "pve2=192.0.2.2"}, "198.51.100.11"),
            ({"console_host_map": "pve2=192.0.2.2", "console_host": "192.0.2.9"}, "192.0.2.9"),
        ],
    )
    def test_the_operator_knows_better(self, world, calls, host, address):
        assert calls("getconsole", data_for("getconsole", world, host=host))["console"]["host"] == address

    @pytest.mark.parametrize(
        "host",
        [
            {"console_host": "console.example.net"},
            {"console_host": "2001:db8::7"},
            {"console_host_map": "pve1=pve1.example.net,pve2=192.0.2.2"},
        ],
    )
    def test_an_address_that_the_console_proxy_does_not_find(self, world, calls, host):
        """Its ensureRoute knows IPv4 alone (cloudstack-contract, 7)."""
        before = len(world.forms("POST", "/vncproxy$"))
        answer = calls("getconsole", data_for("getconsole", world, host=host))
        assert answer.exit_code == 1
        assert "is no IPv4 address, and CloudStack's console proxy supports no other" in answer.error
        assert len(world.forms("POST", "/vncproxy$")) == before

    def test_a_tenant_does_not(self, world, calls):
        tenant = {"console_host": "evil.example", "console_mode": "direct", "console_url": "https://evil.example"}
        answer = calls("getconsole", data_for("getconsole", world, virtualmachine=tenant))
        assert answer["console"]["host"] == "198.51.100.11"

    def test_without_the_right_to_see_the_cluster_it_is_the_address_of_the_api(self, world, calls):
        world.fault("GET", "/cluster/status$", "status", status=403, message="Permission check failed (/, Sys.Audit)")
        console = calls("getconsole", data_for("getconsole", world))["console"]
        assert console["host"] == world.host
        assert viewers.vnc_by_tcp(console["host"], int(console["port"]), console["password"]).startswith("QEMU (")

    @pytest.mark.parametrize("port", [5901, "5901"])
    def test_a_port_of_either_type(self, world, calls, port):
        world.knobs.console_port = port
        assert calls("getconsole", data_for("getconsole", world))["console"]["port"] == "5901"

    def test_before_the_hardening_the_password_is_no_ticket_either(self, world, calls):
        world.knobs.console_hardening = False
        assert not calls("getconsole", data_for("getconsole", world))["console"]["password"].startswith("PVEVNC")

    def test_cloudstacks_log_masks_every_password(self, world, calls):
        world.knobs.console_password = 'A"B\\C"D,'
        answer = calls("getconsole", data_for("getconsole", world))
        assert answer["console"]["password"] == 'A"B\\C"D,'
        # ExternalPathPayloadProvisioner.getSanitizedJsonStringForLog
        logged = re.sub(r'("password"\s*:\s*")([^"]*)(")', r"\1****\3", answer.output.decode())
        assert json.loads(logged)["console"]["password"] == "****"

    @pytest.mark.parametrize(
        ("vga", "words"), [("serial0", "serial terminal"), ("type=serial1,memory=16", "serial"), ("none", "no display")]
    )
    def test_a_display_that_vnc_cannot_show(self, world, calls, vga, words):
        put_guest(world, config={"vga": vga})
        answer = calls("getconsole", data_for("getconsole", world))
        assert answer["kind"] == "invalid_request"
        assert words in answer.error
        assert writes(world) == []

    def test_a_stopped_instance_has_none(self, world, calls):
        put_guest(world, status="stopped")
        answer = calls("getconsole", data_for("getconsole", world))
        assert "is stopped" in answer.error
        assert writes(world) == []

    def test_a_paused_one_has(self, world, calls):
        put_guest(world, qmpstatus="paused")
        assert calls("getconsole", data_for("getconsole", world)).ok

    def test_direct_by_a_url_of_the_operator(self, world, calls):
        put_guest(world, config={"vga": "serial0"}, node="pve2")
        url = "https://console.example.net/{node}/{vmid}?vm={instance}&id={uuid}"
        host = {"console_mode": "direct", "console_url": url}
        answer = calls("getconsole", data_for("getconsole", world, host=host))
        assert answer["console"] == {
            "url": f"https://console.example.net/pve2/105?vm=i-2-45-VM&id={UUID}",
            "protocol": "direct",
        }
        assert writes(world) == []

    @pytest.mark.parametrize("url", [None, "{token}", "https://x/{secret}", "javascript:alert(1)", "https://x/ y"])
    def test_a_url_that_is_none(self, world, calls, url):
        host = {"console_mode": "direct", "console_url": url}
        answer = calls("getconsole", data_for("getconsole", world, host=host))
        assert answer["kind"] == "invalid_request"
        assert "console_url" in answer.error

    def test_an_answer_without_a_port(self, world, calls):
        world.knobs.console_port = "none"
        answer = calls("getconsole", data_for("getconsole", world))
        assert (answer.exit_code, answer["kind"]) == (1, "refused")


class TestPower:
    def test_shutdown(self, world, calls):
        assert calls("Shutdown", data_for("Shutdown", world)).ok
        assert world.status(105) == "stopped"
        assert [form.get("forceStop") for form in world.forms("POST", "/shutdown$")] == [None]
        assert calls("Shutdown", data_for("Shutdown", world))["message"] == "Instance is stopped already"

    def test_a_deaf_guest_is_never_stopped_hard(self, world, calls):
        world.next_task_fails("qmshutdown", "VM quit/powerdown failed - got timeout")
        answer = calls("Shutdown", data_for("Shutdown", world))
        assert answer.error.startswith("VM quit/powerdown failed - got timeout")
        assert world.status(105) == "running"

    def test_the_guests_time_fits_into_cloudstacks(self, world, calls):
        calls("Shutdown", data_for("Shutdown", world, host={"shutdown_timeout": "3000"}), wait=60)
        (form,) = world.forms("POST", "/shutdown$")
        assert int(form["timeout"]) < 60

    def test_suspend_and_resume(self, world, calls):
        assert calls("Suspend", data_for("Suspend", world)).ok
        assert world.guest(105).qmpstatus == "paused"
        assert calls("status", payload("status", world))["power_state"] == "poweron"
        assert calls("Suspend", data_for("Suspend", world))["message"] == "Instance is suspended already"
        assert calls("Resume", data_for("Resume", world))["message"] == "Instance resumed"
        assert world.guest(105).qmpstatus == "running"
        assert calls("Resume", data_for("Resume", world))["message"] == "Instance runs already"

    def test_resume_wakes_a_hibernated_one(self, world, calls):
        put_guest(world, status="stopped")
        world.lock_guest(105, "suspended")
        assert calls("Resume", data_for("Resume", world)).ok
        assert world.status(105) == "running"

    @pytest.mark.parametrize("action", ["Suspend", "Resume", "Reset"])
    def test_nothing_starts_a_stopped_one(self, world, calls, action):
        put_guest(world, status="stopped")
        answer = calls(action, data_for(action, world))
        assert answer["kind"] == "invalid_request"
        assert "is stopped" in answer.error
        assert writes(world) == []

    def test_reset(self, world, calls):
        assert calls("Reset", data_for("Reset", world)).ok
        assert writes(world) == ["POST /nodes/pve1/qemu/105/status/reset"]


class TestResizeDisk:
    @pytest.mark.parametrize("size", [20, "20", 20.0])
    def test_the_boot_disk_grows(self, world, calls, size):
        assert calls("ResizeDisk", data_for("ResizeDisk", world, parameters={"disk_size_gb": size})).ok
        assert [(form["disk"], form["size"]) for form in world.forms("PUT", "/resize$")] == [("scsi0", "20G")]

    def test_another_one(self, world, calls):
        put_guest(world, config={"virtio1": "shared:105/vm-105-disk-1.qcow2,size=1G"})
        assert calls("ResizeDisk", data_for("ResizeDisk", world, parameters={"disk": "virtio1"})).ok
        assert "size=20G" in world.config(105)["virtio1"]

    def test_the_size_in_effect_counts_and_not_a_pending_one(self, world, calls):
        """An option was set while the guest ran and the disk was smaller; its pending value still says so."""

        def make_pending():
            guest = world.guest(105)
            world.server.run_guest(guest)
            guest.pending["scsi0"] = guest.config["scsi0"].replace("size=8G", "size=4G") + ",ssd=1"

        world.call(make_pending)
        assert calls("ResizeDisk", data_for("ResizeDisk", world, parameters={"disk_size_gb": 20})).ok
        assert "size=20G" in world.config(105)["scsi0"]
        assert "size=20G,ssd=1" in world.pending(105)["scsi0"]
        answer = calls("ResizeDisk", data_for("ResizeDisk", world, parameters={"disk_size_gb": 20}))
        assert answer["message"] == "scsi0 has 20 GiB already"

    def test_it_has_that_size(self, world, calls):
        answer = calls("ResizeDisk", data_for("ResizeDisk", world, parameters={"disk_size_gb": 8}))
        assert answer.ok
        assert writes(world) == []

    @pytest.mark.parametrize(
        ("parameters", "words"),
        [
            ({"disk_size_gb": 4}, "PVE cannot shrink a disk"),
            ({"disk_size_gb": 51}, "the site policy allows"),
            ({"disk_size_gb": "+20G"}, "not a whole number"),
            ({"disk_size_gb": "20,ssd=1"}, "not a whole number"),
            ({"disk_size_gb": 1.5}, "not a whole number"),
            ({"disk_size_gb": None}, "missing"),
            ({"disk_size_gb": 0}, "must be from 1"),
            ({"disk": "scsi9"}, "it has scsi0"),
            ({"disk": "ide2"}, "it has scsi0"),
            ({"disk": "unused0"}, "cannot be"),
            ({"disk": "scsi0,force=1"}, "cannot be"),
        ],
    )
    def test_what_is_refused(self, world, bridge, calls, parameters, words):
        bridge.set_policy({"max_disk_size_gb": 50})
        answer = calls("ResizeDisk", data_for("ResizeDisk", world, parameters=parameters))
        assert answer["kind"] == "invalid_request"
        assert words in answer.error
        assert writes(world) == []


class TestIsoImages:
    def test_a_name_with_blanks(self, world, calls):
        name = "local:iso/a name (1).iso"
        world.call(lambda: world.server.store_file("local", "a name (1).iso", 1024**2))
        assert calls("AttachISO", data_for("AttachISO", world, parameters={"iso_path": name})).ok
        assert world.config(105)["ide2"].startswith(f"{name},media=cdrom")
        again = calls("AttachISO", data_for("AttachISO", world, parameters={"iso_path": name}))
        assert again["message"] == f"{name} is in ide2 already"
        data = payload("create_iso", world, virtualmachine={"iso_path": name}, host={"allowed_isos": "local:iso/a *"})
        assert calls("create", data).ok
        assert world.config(106)["ide2"].startswith(f"{name},media=cdrom")

    def test_into_the_drive_that_is_there_and_out_again(self, world, calls):
        answer = calls("AttachISO", data_for("AttachISO", world))
        assert answer["message"] == f"{ISO} is in ide2"
        assert world.config(105)["ide2"].startswith(f"{ISO},media=cdrom")
        assert "already" in calls("AttachISO", data_for("AttachISO", world))["message"]
        assert calls("DetachISO", data_for("DetachISO", world))["message"] == "ide2: ISO taken out"
        assert world.config(105)["ide2"] == "none,media=cdrom"
        world.reset_record()
        assert calls("DetachISO", data_for("DetachISO", world)).ok
        assert writes(world) == []

    def test_not_into_cloud_inits(self, world, calls):
        put_guest(world, config={"ide2": "shared:105/vm-105-cloudinit.qcow2,media=cdrom"})
        answer = calls("AttachISO", data_for("AttachISO", world))
        assert "ide0; it takes effect when the instance is stopped and started" in answer["message"]
        assert "cloudinit" in world.config(105)["ide2"]
        assert calls("DetachISO", data_for("DetachISO", world)).ok
        assert "cloudinit" in world.config(105)["ide2"]

    @pytest.mark.parametrize(
        "iso",
        [
            None, 7, "debian-13.iso", "shared:iso/other.iso", "local:iso/../images/105/vm-105-disk-0.qcow2",
            "local:9000/x.iso", f"{ISO},media=disk", f"{ISO}\nscsi1: local:1", "/etc/passwd",
            "local:iso/a.iso,import-from=local:0", "none",
        ],
    )  # fmt: skip
    def test_what_is_refused(self, world, bridge, calls, iso):
        bridge.set_policy({"allowed_isos": ["local:iso/debian-*"]})
        answer = calls("AttachISO", data_for("AttachISO", world, parameters={"iso_path": iso}))
        assert answer["kind"] == "invalid_request"
        assert "iso_path" in answer.error
        assert writes(world) == []

    def test_one_that_is_not_there(self, world, calls):
        answer = calls("AttachISO", data_for("AttachISO", world, parameters={"iso_path": "local:iso/debian-99.iso"}))
        assert answer.exit_code == 1
        assert "does not exist" in answer.error
        assert world.config(105)["ide2"] == "none,media=cdrom"


class TestMigrate:
    def test_online_when_it_runs(self, world, calls):
        assert calls("Migrate", data_for("Migrate", world)).ok
        assert world.guest(105).node == "pve2"
        assert world.forms("POST", "/migrate$") == [{"target": "pve2", "online": "1"}]
        assert calls("statuses", payload("statuses", world, host={"node": "pve2"}))["power_state"] == {
            "i-2-45-VM": "poweron"
        }

    def test_offline_when_it_does_not(self, world, calls):
        put_guest(world, status="stopped")
        assert calls("Migrate", data_for("Migrate", world)).ok
        assert world.forms("POST", "/migrate$") == [{"target": "pve2"}]

    def test_it_is_there_already(self, world, calls):
        assert calls("Migrate", data_for("Migrate", world, parameters={"target_node": "pve1"})).ok
        assert writes(world) == []

    def test_through_ha(self, world, calls):
        put_guest(world, ha_state="started")
        assert calls("Migrate", data_for("Migrate", world)).ok
        assert world.guest(105).node == "pve2"
        # The second one is HA's own.
        assert [task["type"] for task in world.tasks()] == ["hamigrate", "qmigrate"]

    def test_ha_takes_its_time(self, world, calls):
        put_guest(world, ha_state="started")
        world.knobs.ha_seconds = 0.6
        assert calls("Migrate", data_for("Migrate", world)).ok
        assert world.guest(105).node == "pve2"

    def test_ha_does_not_come_round_to_it(self, world, calls):
        put_guest(world, ha_state="started")
        world.knobs.ha_seconds = 60
        answer = calls("Migrate", data_for("Migrate", world), wait=3)
        assert answer["kind"] == "timed_out"
        assert "HA was asked to move it to pve2" in answer.error

    def test_the_deadline_does_not_stop_it_half_way(self, world, calls):
        world.task_seconds["qmigrate"] = 2.5
        answer = calls("Migrate", data_for("Migrate", world), wait=2)
        assert (answer.exit_code, answer["kind"]) == (1, "timed_out")
        assert answer.seconds < 3
        (task,) = world.tasks("qmigrate")
        assert "the wait of 2 s was too short to move guest 105" in answer.error
        assert answer.error.endswith(
            f"PVE goes on with it, and the guest stays locked until it is on the one node or "
            f"the other; look at {task['upid']}"
        )
        assert (task["status"], world.guest(105).node) == ("running", "pve1")
        again = calls("Migrate", data_for("Migrate", world))
        assert again.error.startswith("VM is locked (migrate)")
        while world.tasks("qmigrate")[0]["status"] == "running":
            time.sleep(0.05)
        answer = calls("statuses", payload("statuses", world, host={"node": "pve2"}))
        assert answer["power_state"] == {"i-2-45-VM": "poweron"}
        assert len(world.tasks("qmigrate")) == 1

    def test_ha_gives_it_up(self, world, calls):
        put_guest(world, ha_state="started")
        world.knobs.ha_seconds = 60
        world.before("GET", "/cluster/resources$", lambda: world.set_ha_state(105, "error"))
        assert "is in the HA state error" in calls("Migrate", data_for("Migrate", world)).error

    def test_local_disks_are_copied_only_when_the_operator_says_so(self, world, calls):
        put_guest(world, storage="local-lvm")
        answer = calls("Migrate", data_for("Migrate", world))
        assert "its disks are on this node only (local-lvm:vm-105-disk-0)" in answer.error
        assert "let them be copied by migrate_local_disks" in answer.error
        assert writes(world) == []
        allowed = data_for("Migrate", world, host={"migrate_local_disks": "true"})
        assert "have snapshots (old): delete those, or stop it first" in calls("Migrate", allowed).error
        world.call(world.guest(105).snapshots.clear)
        assert calls("Migrate", allowed).ok
        assert world.forms("POST", "/migrate$") == [{"target": "pve2", "online": "1", "with-local-disks": "1"}]

    def test_a_local_iso_is_named(self, world, calls):
        put_guest(world, config={"ide2": f"{ISO},media=cdrom"})
        answer = calls("Migrate", data_for("Migrate", world))
        assert f"{ISO} in its drive is on this node only: detach it first" in answer.error

    def test_a_node_that_is_down(self, world, calls):
        world.set_node_offline("pve2")
        answer = calls("Migrate", data_for("Migrate", world))
        assert "node pve2 is offline" in answer.error
        assert writes(world) == []

    def test_a_lock_is_named(self, world, calls):
        world.lock_guest(105, "backup")
        answer = calls("Migrate", data_for("Migrate", world))
        assert answer["kind"] == "locked"
        assert answer.error.startswith("VM is locked (backup)")

    @pytest.mark.parametrize("target", [None, "pve9", "pve3", "pve2,online=1", "../pve2", "", 7])
    def test_what_is_refused(self, world, calls, target):
        host = {"allowed_nodes": "pve1,pve2,pve9,7"}
        answer = calls("Migrate", data_for("Migrate", world, host=host, parameters={"target_node": target}))
        assert answer.exit_code == 1
        assert writes(world) == []

    def test_only_to_nodes_that_the_operator_names(self, world, calls):
        """CloudStack no longer sees an instance on a node that is none of its hosts."""
        answer = calls("Migrate", data_for("Migrate", world, host={"allowed_nodes": None}))
        assert answer.error == (
            "target_node: the site policy does not allow the node 'pve2': it names none in allowed_nodes, where those "
            "belong that are hosts in CloudStack"
        )
        answer = calls("Migrate", data_for("Migrate", world, host={"allowed_nodes": "pve1,pve3"}))
        assert answer.error == "target_node: the site policy does not allow the node 'pve2'"
        assert writes(world) == []

    def test_a_failure_in_pves_words(self, world, calls):
        world.next_task_fails("qmigrate", "migration aborted", log=["ERROR: online migrate failure - no memory"])
        answer = calls("Migrate", data_for("Migrate", world))
        assert answer.error.startswith("online migrate failure - no memory (")
        assert answer.error.endswith("; it is on node pve1 and running)")


class TestSyncNetworks:
    def test_cards_are_set_and_shown(self, world, calls):
        put_guest(world, config={"net3": "e1000=02:01:00:CB:00:09,bridge=vmbr1"})
        answer = calls("SyncNetworks", data_for("SyncNetworks", world))
        assert [list(row.values()) for row in answer["message"]] == [
            ["net0", "02:01:00:CB:00:05", "vmbr0", "1577", "changed"],
            ["net1", "1E:00:87:00:00:2C", "vmbr0", "-", "changed"],
            ["net3", "-", "-", "-", "removed"],
        ]
        assert sorted(key for key in world.config(105) if re.fullmatch(r"net\d+", key)) == ["net0", "net1"]

    def test_none_sent_is_not_none_wanted(self, world, calls):
        answer = calls("SyncNetworks", data_for("SyncNetworks", world, nics=[]))
        assert answer["kind"] == "invalid_request"
        assert "CloudStack sent no network cards" in answer.error
        assert "net0" in world.config(105)


class TestGuestInfo:
    def rows(self, world, calls):
        answer = calls("GuestInfo", data_for("GuestInfo", world))
        assert answer.ok
        assert all(list(row) == ["item", "value"] for row in answer["message"])
        assert writes(world) == []
        return {row["item"]: row["value"] for row in answer["message"]}

    def test_what_pve_and_the_agent_say(self, world, calls):
        addresses = [{"ip-address": "10.1.1.57"}, {"ip-address": "fe80::1"}]
        world.set_agent_interfaces(105, [{"name": "eth0", "ip-addresses": addresses}])
        rows = self.rows(world, calls)
        assert (rows["power state"], rows["node"], rows["guest agent"]) == ("running", "pve1", "answers")
        assert (rows["address"], rows["disk scsi0"]) == ("10.1.1.57", "8G on shared")
        assert (rows["drive ide2"], rows["nic net0"]) == ("empty", "02:01:00:CB:00:05 on vmbr0, VLAN 1577")

    def test_a_silent_agent(self, world, calls):
        world.silence_agent(105)
        assert self.rows(world, calls)["guest agent"] == "does not answer (QEMU guest agent is not running)"
        assert sum("agent" in line for line in world.summary()) == 1

    def test_none_at_all(self, world, calls):
        put_guest(world, config={"agent": None})
        assert self.rows(world, calls)["guest agent"] == "not configured"
        assert not any("agent" in line for line in world.summary())

    def test_a_stopped_one(self, world, calls):
        put_guest(world, status="stopped")
        assert self.rows(world, calls)["power state"] == "stopped"

    @pytest.mark.parametrize(
        "interfaces",
        [
            [{"name": "x" * 100_000, "ip-addresses": [{"ip-address": "x" * 100_000}]}],
            [{"ip-addresses": [{"ip-address": f"10.{n // 250}.{n % 250}.1"} for n in range(20_000)]}],
            [{"ip-addresses": [{"ip-address": "$(reboot)\n"}, {"ip-address": None}]}],
            [None], ["text"], [{"ip-addresses": "text"}], [{"ip-addresses": [7]}],
        ],
    )  # fmt: skip
    def test_a_lying_agent(self, world, calls, interfaces):
        world.set_agent_interfaces(105, interfaces)
        answer = calls("GuestInfo", data_for("GuestInfo", world))
        assert answer.ok
        assert len(answer.output) < 10_000
        assert b"reboot" not in answer.output


class TestDoctor:
    @pytest.fixture
    def found(self, pve, calls):
        def examine(exit_code, **host):
            # A payload of the host alone, as an operator writes it.
            data = {"externaldetails": payload("statuses", pve, host=host)["externaldetails"]}
            answer = calls("doctor", data)
            assert answer.exit_code == exit_code, answer.output
            assert answer["status"] == ("error" if exit_code else "success")
            assert pve.token_secret.encode() not in answer.output
            assert writes(pve) == []
            return {row["check"]: row for row in answer["message"]}, answer.document.get("error", "")

        return examine

    def test_all_is_well(self, found, bridge):
        bridge.set_policy({"allowed_templates": ["debian-template"], "storage_map": {"gold": "local-lvm"}})
        rows, _error = found(0, storage="local-lvm")
        assert {row["result"] for row in rows.values()} == {"ok"}
        assert {"connection", "clock", "node", "bridge vmbr0", "storage local-lvm", "template debian-template"} <= set(
            rows
        )

    @pytest.mark.parametrize(
        ("host", "check", "words"),
        [
            ({"token": None}, "connection", "missing required details: token"),
            ({"url": "127.0.0.1:1"}, "connection", "cannot connect"),
            ({"secret": "3f4bd2a6-wrong"}, "connection", "check user, token and the secret"),
            ({"ca_file": None}, "connection", "set ca_file to the cluster's CA, or set fingerprint"),
            ({"node": "pve7"}, "node", "there is no node pve7"),
            ({"network_bridge": "vmbr9"}, "bridge vmbr9", "not on node pve1"),
            ({"network_bridge": None}, "bridges", "none is set"),
            ({"bridge_map": "Public=vmbr8"}, "bridge vmbr8", "not on node pve1"),
            ({"storage": "nope"}, "storage nope", "not on node pve1"),
            ({"efi_storage": "local"}, "storage local", "not for disks"),
            ({"backup_storage": "local-lvm"}, "backup storage local-lvm", "not for backups"),
            ({"template_id": "9999"}, "template 9999", "not there"),
        ],
    )
    def test_what_is_wrong_is_named(self, found, host, check, words):
        rows, error = found(1, **host)
        assert rows[check]["result"] == "problem"
        assert words in rows[check]["found"]
        assert words in error

    def test_what_is_only_worth_a_warning(self, found, bridge):
        rows, _error = found(0, ca_file=None, verify_tls_certificate="false")
        assert rows["certificate"]["result"] == "warning"
        assert rows["site policy"]["result"] == "warning"

    def test_privileges_of_the_token(self, pve, found):
        pve.add_token("cloud@pve!csext", pve.token_secret, privilege_separation=True)
        for user in ("cloud@pve", "cloud@pve!csext"):
            pve.grant(user, "/vms", "VM.Audit", "VM.Allocate", "VM.Clone", "VM.PowerMgmt")
            pve.grant(user, "/storage/local-lvm", "Datastore.AllocateSpace", "Datastore.Audit")
        rows, error = found(1, user="cloud@pve", token="csext", storage="local-lvm")
        assert "lacks VM.Config.Disk, " in rows["privileges on /vms/100000"]["found"]
        assert "pveum acl modify /vms" in rows["privileges on /vms/100000"]["mend"]
        assert "SDN.Use on /sdn/zones/localnetwork/vmbr0" in error
        assert rows["privileges for the address of a console"]["result"] == "warning"
        assert "privileges on /storage/local-lvm" not in rows

    def test_a_policy_that_is_wrong(self, pve, calls, bridge):
        bridge.policy_file.write_text('{"allowed_isos": 7')
        answer = calls("doctor", payload("statuses", pve))
        assert (answer.exit_code, answer["kind"]) == (1, "invalid_request")
        assert "is not JSON" in answer.error

    def test_a_policy_that_everybody_may_write(self, found, bridge):
        bridge.set_policy({})
        bridge.policy_file.chmod(0o666)
        rows, _error = found(1)
        assert rows["site policy"]["mend"].startswith("chmod o-w ")


@pytest.mark.parametrize("action", PARAMETERS)
class TestEveryAction:
    def test_as_cloudstack_runs_it(self, world, bridge, action):
        if action == "Resume":
            world.call(lambda: setattr(world.guest(105), "qmpstatus", "paused"))
        answer = bridge.call(action, data_for(action, world), env={"CLOUDBRIDGE_DEBUG": "1"})
        assert answer.ok, answer.output
        assert answer.output.count(b"\n") == 1
        assert len(answer.output) < 65536
        assert world.connection_count == 1
        everything = [path for path in bridge.root.rglob("*") if path.is_file() and bridge.payloads not in path.parents]
        assert not [path for path in everything if world.token_secret in path.read_text("utf-8")]
        assert world.token_secret.encode() not in answer.output
        assert f"action={action} vm=i-2-45-VM vmid=105" in bridge.log()

    @pytest.mark.parametrize("ownership", ["require", "adopt"])
    def test_a_foreign_guest_is_never_touched(self, world, calls, action, ownership):
        put_guest(world, config=FOREIGN)
        before = world.config(105)
        answer = calls(action, data_for(action, world, host={"ownership": ownership}))
        assert (answer.exit_code, answer["kind"]) == (1, "permission")
        assert "it was not touched" in answer.error
        assert writes(world) == []
        assert world.config(105) == before

    def test_an_old_guest_is_adopted_by_what_changes_it(self, world, calls, action):
        put_guest(world, config=dict.fromkeys(MARK), qmpstatus="paused" if action == "Resume" else "running")
        assert calls(action, data_for(action, world)).ok
        assert ("CloudStack UUID" in world.config(105).get("description", "")) == (action not in READ_ONLY)

    def test_its_name_in_any_case(self, world, calls, action):
        data = data_for(action, world)
        for name in (action.lower(), action.upper(), re.sub(r"(?<=[a-z])(?=[A-Z])", " ", action)):
            put_guest(world, qmpstatus="paused" if action == "Resume" else "running")
            assert calls(name, data).ok

    def test_pve_goes_away_at_any_request(self, world, calls, action):
        data = data_for(action, world)
        put_guest(world, qmpstatus="paused" if action == "Resume" else "running")
        calls(action, data)
        for number in range(len(world.summary())):
            put_guest(world, qmpstatus="paused" if action == "Resume" else "running")
            world.fault("*", "", "drop", times=None, after=number)
            answer = calls(action, data, wait=1)
            world.server.faults.clear()
            if action in LAST_WORDS and answer.ok:
                # Nobody depends on what is asked last.
                assert LAST_WORDS[action] in answer.output.decode()
                continue
            assert (answer.exit_code, answer["status"]) == (1, "error"), number
            assert not any("snapstate" in snapshot for snapshot in world.snapshots(105).values())

    def test_any_answer_may_be_lost_once(self, world, calls, action):
        data = data_for(action, world)
        number, asked = 0, 1
        while number < asked:
            put_guest(world, qmpstatus="paused" if action == "Resume" else "running")
            before = len(world.tasks())
            world.reset_record()
            world.fault("*", "", "lose_answer", after=number)
            answer = calls(action, data)
            world.server.faults.clear()
            asked = max(asked, len(world.summary()))
            lost = world.summary()[number] if number < len(world.summary()) else ""
            # Nobody can see whether these were done, and done twice they do harm, or give a port to nobody.
            if not (action in ("Reset", "getconsole") and lost.startswith("POST")):
                assert answer.ok, (number, answer.output)
            types = [task["type"] for task in world.tasks()[before:]]
            assert len(types) == len(set(types)) or action == "RestoreSnapshot", types
            number += 1

    @pytest.mark.parametrize("wait", [1, 2, 3])
    def test_the_deadline(self, world, calls, action, wait):
        world.fault("GET", "/(status/current|pending|snapshot|migrate)$", "delay", times=None, seconds=1.7)
        answer = calls(action, data_for(action, world), wait=wait)
        assert (answer.exit_code, answer["kind"]) == (1, "timed_out"), answer.output
        # The time that CloudStack gives, and what a loaded machine adds.
        assert answer.seconds < wait + 1

    def test_an_instance_that_was_never_prepared(self, world, calls, action):
        answer = calls(action, data_for(action, world, details={"proxmox_vmid": None}))
        assert answer["kind"] == "invalid_request"
        assert world.exchanges == []

    def test_a_guest_that_is_gone(self, world, calls, action):
        world.remove_guest(105)
        answer = calls(action, data_for(action, world))
        assert (answer.exit_code, answer["kind"]) == (1, "not_found")
        assert writes(world) == []
