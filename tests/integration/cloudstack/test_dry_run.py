# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""--dry-run: every action says what it would do, and nothing but reads leaves."""

from __future__ import annotations

import json
import subprocess

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.registry import ACTIONS
from tests.support.cloudstack import PAYLOADS, payload
from tests.support.ssh_keys import RSA

UUID = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
NOTES = f"CloudStack instance: i-2-45-VM\nCloudStack UUID: {UUID}\nCloudStack deployment: 0123456789abcdef"
MARK = {"tags": "cloudstack", "description": NOTES, "smbios1": f"uuid={UUID}"}
NAMES = [action.name for action in ACTIONS]
BASES = {"create": "create_template", "SyncNetworks": "start", "doctor": "statuses"}
PARAMETERS = {
    "disk_size_gb": 20,
    "iso_path": "local:iso/debian-13.iso",
    "target_node": "pve2",
    "storage": "local",
}
# What these find to do, with the guest as it is put below.
READ_ONLY = {"prepare", "status", "statuses", "ListSnapshots", "GuestInfo", "doctor"}
STATES = {"start": "stopped", "Resume": "paused"}


def data_for(action, pve, **changes):
    base = BASES.get(action, action if (PAYLOADS / f"{action}.json").exists() else "ListSnapshots")
    name = "new" if action == "CreateSnapshot" else "old"
    imports = {"import_map": "i-2-45-VM=105"} if action == "Import" else {}
    changes["host"] = {"allowed_nodes": "pve*", **imports, **changes.get("host", {})}
    own = {"storage": "shared"} if action == "AttachDisk" else {"disk": "scsi1"} if action == "DetachDisk" else {}
    return payload(base, pve, **{"parameters": {**PARAMETERS, "snap_name": name, **own}, **changes})


def put_guest(pve, action, config=None, drive="none", **options):
    if 105 in pve.vmids():
        pve.remove_guest(105)
    if action in ("create", "prepare"):
        return
    state = STATES.get(action, "running")
    options = {"status": "stopped" if state == "stopped" else "running", "storage": "shared", **options}
    drive = "local:iso/debian-13.iso" if action == "DetachISO" else drive
    config = {**(MARK if config is None and action != "Import" else config or {}), "ide2": f"{drive},media=cdrom"}
    if action == "DetachDisk":
        config["scsi1"] = "shared:105/vm-105-disk-1.qcow2,size=4G"
    pve.add_guest(105, "i-2-45-VM", qmpstatus=state if state == "paused" else "", config=config, **options)
    pve.call(lambda: pve.server._take(pve.guest(105), "old", {}))


def writes(pve):
    return [line for line in pve.summary() if not line.startswith("GET ")]


def whole(pve):
    """Everything that an action could change."""
    guests = {vmid: (pve.config(vmid), pve.status(vmid), pve.guest(vmid).node) for vmid in pve.vmids()}
    volumes = [pve.volumes(storage) for storage in sorted(pve.server.storages)]
    return guests, volumes, [pve.snapshots(vmid) for vmid in pve.vmids() if vmid != 200], len(pve.tasks())


class TestEveryAction:
    def test_nothing_is_sent_and_the_steps_are_those_of_the_real_run(self, pve_cluster, calls):
        for action in NAMES:
            put_guest(pve_cluster, action)
            pve_cluster.reset_record()
            before, data = whole(pve_cluster), data_for(action, pve_cluster)
            answer = calls(action, data, flags=["--dry-run"])
            assert answer.ok, (action, answer.output)
            assert answer["dry_run"] is True
            assert (writes(pve_cluster), whole(pve_cluster)) == ([], before), action
            if action == "getconsole":
                assert answer["message"] == "Dry run: no console was opened"
                continue
            assert bool(answer["steps"]) == (action not in READ_ONLY), (action, answer["steps"])
            assert calls(action, data).ok, action
            assert len(writes(pve_cluster)) == len(answer["steps"]), (action, answer["steps"], writes(pve_cluster))

    def test_nothing_is_sent_to_a_guest_that_would_be_adopted(self, pve_cluster, calls):
        for action in NAMES:
            put_guest(pve_cluster, action, config={})
            pve_cluster.reset_record()
            before = whole(pve_cluster)
            assert calls(action, data_for(action, pve_cluster), flags=["--dry-run"]).ok, action
            assert (writes(pve_cluster), whole(pve_cluster)) == ([], before), action

    def test_nothing_is_sent_when_it_fails_or_the_time_is_over(self, pve_cluster, calls):
        for action in NAMES:
            put_guest(pve_cluster, action)
            data = data_for(action, pve_cluster)
            for number in (1, 2):
                pve_cluster.reset_record()
                pve_cluster.fault("*", "", "drop", times=None, after=number)
                answer = calls(action, data, wait=1, flags=["--dry-run"])
                pve_cluster.server.faults.clear()
                assert answer["status"] in ("success", "error")
                assert writes(pve_cluster) == [], action
            assert pve_cluster.tasks() == []


class TestWhatIsTold:
    def test_what_would_be_made(self, pve, calls):
        data = data_for("create", pve, virtualmachine={"disk_size_gb": "32"})
        answer = calls("create", data, flags=["--dry-run"])
        assert answer["message"] == f"Dry run: nothing was sent, {len(answer['steps'])} steps would be taken"
        assert answer["steps"][0].startswith("clone guest 9000")
        assert answer["steps"][-1] == "start guest 105 (i-2-45-VM)"
        changes = {change["key"]: change["after"] for change in answer["changes"]}
        assert changes["cores"] == "2"
        assert changes["scsi0.size"] == "32G"
        assert changes["tags"] == "cloudstack"

    def test_what_is_made_from_an_image(self, pve, calls):
        data = payload("create_iso", pve, virtualmachine={"iso_path": "local:iso/debian-13.iso"})
        assert calls("create", data, flags=["--dry-run"]).ok
        assert writes(pve) == []

    def test_a_number_that_is_taken(self, pve, calls):
        pve.add_guest(105, "somebody")
        answer = calls("create", data_for("create", pve), flags=["--dry-run"])
        assert (answer.exit_code, answer["kind"]) == (1, "exists")
        assert writes(pve) == []

    def test_nothing_to_do_is_said_in_the_actions_own_words(self, pve, calls):
        put_guest(pve, "stop", storage="local-lvm")
        answer = calls("start", data_for("start", pve), flags=["--dry-run"])
        assert (answer["message"], answer["steps"], answer["changes"]) == ("Instance is running already", [], [])

    def test_a_refusal_is_the_same(self, pve, calls):
        put_guest(pve, "stop", config={**MARK, "smbios1": f"uuid={UUID[::-1]}"}, storage="local-lvm")
        answer = calls("delete", data_for("delete", pve), flags=["--dry-run"])
        assert (answer.exit_code, answer["kind"]) == (1, "permission")

    def test_no_secret_and_no_more_than_a_pipe_holds(self, pve, calls, bridge):
        keys = "\n".join(f"{RSA} me{number}" for number in range(70))
        data = data_for("create", pve, virtualmachine={"ci_user": "ops", "ci_ssh_keys": keys})
        answer = calls("create", data, flags=["--dry-run"])
        assert answer.ok
        assert len(answer.output) < 20_000
        assert pve.token_secret not in answer.output.decode() + bridge.log()
        assert "dry_run=yes" in bridge.log()

    @pytest.mark.parametrize(("memory", "started"), [(False, ["start guest 105"]), (True, [])], ids=["disks", "memory"])
    def test_a_restored_instance_that_ran_would_be_started(self, pve, calls, memory, started):
        put_guest(pve, "RestoreSnapshot", storage="local-lvm")
        pve.call(pve.guest(105).snapshots.clear)
        pve.call(lambda: pve.server._take(pve.guest(105), "old", {"vmstate": memory}))
        answer = calls("RestoreSnapshot", data_for("RestoreSnapshot", pve), flags=["--dry-run"])
        assert [step for step in answer["steps"] if step.startswith("start ")] == started


class TestTheFlag:
    def test_as_an_operator_calls_it(self, pve, bridge):
        path = bridge.write(data_for("create", pve))
        completed = subprocess.run(
            [bridge.executable, "--dry-run", "create", path, "60"], capture_output=True, check=False, timeout=60
        )
        assert (completed.returncode, completed.stderr) == (0, b"")
        assert json.loads(completed.stdout)["dry_run"] is True
        assert pve.vmids() == [100, 101, 200, 9000]

    @pytest.mark.parametrize(
        ("action", "flags"), [("--dry-run", []), ("create", ["--dry-run", "--dry-run"]), ("create", ["--force"])]
    )
    def test_what_is_no_dry_run_is_nothing(self, pve, calls, action, flags):
        """CloudStack's own arguments can be none: the action comes first, and is none that there is."""
        answer = calls(action, data_for("create", pve), flags=flags)
        assert answer.error.startswith("unknown action")
        assert pve.exchanges == []

    def test_the_environment_has_no_say(self, pve, bridge):
        data = data_for("create", pve)
        assert bridge.call("create", data, env={"CLOUDBRIDGE_DRY_RUN": "1", "DRY_RUN": "1"}).ok
        assert 105 in pve.vmids()
