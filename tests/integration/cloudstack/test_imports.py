# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest that exists becomes an instance, when the operator has named both."""

from __future__ import annotations

import pytest

from tests.support.cloudstack import payload

UUID = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
OLD = "00000000-1111-2222-3333-444444444444"
IMPORT = {"import_map": "i-2-45-VM=300"}


@pytest.fixture
def world(pve_cluster):
    pve_cluster.add_guest(
        300, "old-server", storage="shared", config={"smbios1": f"uuid={OLD}", "description": "mine", "tags": "prod"}
    )
    return pve_cluster


def asked(pve, action, host=None, vmid="300", **changes):
    host = IMPORT if host is None else host
    file = {"create": "create_template", "Import": "ListSnapshots"}.get(action, action)
    data = payload(file, pve, host=host, details={"proxmox_vmid": vmid}, **changes)
    return {**data, "action": action} if action == "Import" else data


def writes(pve):
    return [line for line in pve.summary() if not line.startswith("GET ")]


class TestFromPrepareToDelete:
    def test_a_stopped_guest(self, world, calls):
        prepared = calls("prepare", asked(world, "prepare", vmid=None))
        assert prepared["details"] == {"proxmox_vmid": "300"}
        dry = calls("create", asked(world, "create"), flags=["--dry-run"])
        assert (dry.ok, writes(world)) == (True, [])
        answer = calls("create", asked(world, "create"))
        assert answer["message"] == "Instance imported as 300 on node pve1"
        config = world.config(300)
        assert world.status(300) == "running"
        assert (config["name"], config["smbios1"]) == ("old-server", f"uuid={OLD}")
        assert config["description"].startswith(f"CloudStack instance: i-2-45-VM\nCloudStack UUID: {UUID}\n")
        assert config["description"].endswith("\nmine")
        assert config["tags"] == "cloudstack;prod"
        assert "02:01:00:CB:00:05" in config["net0"].upper()
        # From here on it is the instance's, whatever the policy says.
        for action in ("status", "stop", "start", "stop", "delete"):
            assert calls(action, asked(world, action, host={"ownership": "require"})).ok, action
        assert 300 not in world.vmids()

    def test_a_running_guest_is_left_as_it_is(self, world, calls):
        world.call(lambda: world.server.run_guest(world.guest(300)))
        before = world.config(300)
        assert calls("create", asked(world, "create")).ok
        after = world.config(300)
        assert {key for key in {*before, *after} if before.get(key) != after.get(key)} == {"description", "tags"}
        world.reset_record()
        assert calls("create", asked(world, "create")).ok
        assert writes(world) == []

    def test_a_failure_never_removes_it(self, world, calls):
        world.next_task_fails("qmstart", "start failed: QEMU exited with code 1")
        assert calls("create", asked(world, "create")).exit_code == 1
        assert (300 in world.vmids(), world.status(300)) == (True, "stopped")
        assert not [line for line in writes(world) if line.startswith("DELETE")]
        assert calls("create", asked(world, "create")).ok

    def test_by_the_uuid_of_the_instance(self, world, calls):
        assert calls("create", asked(world, "create", host={"import_map": f"{UUID}=300"})).ok

    def test_other_instances_are_deployed_as_ever(self, world, calls):
        host = {"import_map": "i-2-46-VM=300"}
        assert calls("prepare", asked(world, "prepare", host=host, vmid=None))["details"]["proxmox_vmid"] != "300"
        assert calls("create", asked(world, "create", host=host, vmid="105")).ok
        assert world.forms("POST", "/clone$")


class TestImport:
    def test_only_the_mark(self, world, calls):
        dry = calls("Import", asked(world, "Import"), flags=["--dry-run"])
        assert (dry.ok, len(dry["steps"]), writes(world)) == (True, 1, [])
        assert calls("Import", asked(world, "Import"))["message"] == "Instance is guest 300 on node pve1"
        assert writes(world) == ["PUT /nodes/pve1/qemu/300/config"]
        assert world.status(300) == "stopped"
        world.reset_record()
        assert calls("Import", asked(world, "Import")).ok
        assert writes(world) == []

    def test_a_copy_of_an_instance_is_no_instance(self, world, calls):
        """Its notes speak of the original, and its firmware has a UUID of its own."""
        notes = f"CloudStack instance: i-3-9-VM\nCloudStack UUID: {UUID[::-1]}\nCloudStack deployment: 01"
        world.call(lambda: world.guest(300).config.update(description=notes))
        assert calls("Import", asked(world, "Import")).ok
        assert world.config(300)["description"].count("CloudStack instance:") == 1


@pytest.mark.parametrize("action", ["Import", "create"])
class TestWhatIsRefused:
    def refused(self, world, calls, action, *words, **changes):
        world.reset_record()
        answer = calls(action, asked(world, action, **changes))
        assert answer.exit_code == 1, answer.output
        for word in words:
            assert word in answer.error, answer.error
        assert writes(world) == []

    def test_a_guest_of_another_instance(self, world, calls, action):
        other = "7f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
        mark = {"description": f"CloudStack instance: i-9-9-VM\nCloudStack UUID: {other}", "smbios1": f"uuid={other}"}
        world.call(lambda: world.guest(300).config.update(mark))
        self.refused(world, calls, action, "it is marked as i-9-9-VM, so it was not touched")

    def test_a_template(self, world, calls, action):
        self.refused(world, calls, action, "is a template", host={"import_map": "i-2-45-VM=9000"}, vmid="9000")

    def test_a_container(self, world, calls, action):
        self.refused(world, calls, action, "container", host={"import_map": "i-2-45-VM=200"}, vmid="200")

    def test_another_number_than_cloudstack_has(self, world, calls, action):
        self.refused(
            world, calls, action, "names guest 300 for i-2-45-VM, and CloudStack has proxmox_vmid 101", vmid="101"
        )

    def test_one_that_is_not_there(self, world, calls, action):
        self.refused(world, calls, action, "no guest 777", host={"import_map": "i-2-45-VM=777"}, vmid="777")

    def test_what_is_no_number(self, world, calls, action):
        self.refused(world, calls, action, "is not the number of a guest", host={"import_map": "i-2-45-VM=web"})


def test_no_tenant_names_a_guest(world, calls):
    answer = calls("Import", asked(world, "Import", host={}, virtualmachine=IMPORT, parameters={"vmid": 300}))
    assert answer.error == "import_map of the site policy names no guest for i-2-45-VM"
    assert calls("prepare", asked(world, "prepare", host={}, vmid=None, virtualmachine=IMPORT)).ok
    assert writes(world) == []


def test_prepare_names_no_guest_that_is_not_there(world, calls):
    answer = calls("prepare", asked(world, "prepare", host={"import_map": "i-2-45-VM=777"}, vmid=None))
    assert answer.error == "there is no guest 777, which import_map names for i-2-45-VM"
