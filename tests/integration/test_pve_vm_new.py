# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""New guests: from which source, on which node, how many of one name."""

from __future__ import annotations

import concurrent.futures
import re
import time
from typing import Any

import pytest

SECRET = "5d1fdd72-5ab4-4a2d-9a09-e9e57b6b7cc0"
LIMITED = {"api_user": "ops@pve", "api_token_id": "limited", "api_token_secret": SECRET}


def guests_named(pve, name: str) -> list[int]:
    return [vmid for vmid in pve.vmids() if pve.config(vmid).get("name") == name]


def posts(pve) -> list[str]:
    return [line for line in pve.summary() if line.startswith("POST")]


def check_and_run(run_module, arguments: dict[str, Any]):
    """Check mode, the run and a second run; the first two say the same, the third changes nothing."""
    check = run_module("pve_vm", arguments, check=True, diff=True)
    assert not check.failed, check.msg
    run = run_module("pve_vm", arguments, diff=True)
    assert not run.failed, run.msg
    assert (check.changed, run.changed) == (True, True)
    assert check["diff"] == run["diff"]
    assert run["diff"]["before"] == {}
    assert run["diff"]["after"]
    again = run_module("pve_vm", {**arguments, "vmid": run["vmid"]})
    assert not again.changed, again.result
    return check, run


@pytest.mark.parametrize("more", [{}, {"clone": {"source": "debian-template"}, "cores": 3}], ids=["alone", "clone"])
def test_the_diff_of_a_new_guest_has_its_number(pve, run_module, more) -> None:
    _check, run = check_and_run(run_module, {"vmid": 300, **more})
    cloned = {"clone": "9000 (debian-template)", "name": "Copy-of-VM-debian-template", "cores": "3"}
    assert run["diff"] == {"before": {}, "after": {"vmid": 300, **(cloned if more else {})}}


@pytest.mark.parametrize(
    "smbios1",
    ["uuid=0cb1b2c4-3d5e-4f60-8a7b-9c0d1e2f3a4b\n", "uuid=0cb1b2c4-3d5e-4f60-8a7b-9c0d1e2f3a4b,family=YQ==,base64=1\n"],
)
def test_text_that_pve_writes_otherwise_makes_one_guest(pve, run_module, smbios1: str) -> None:
    arguments = {"name": "once", "config": {"smbios1": smbios1}}
    result = run_module("pve_vm", arguments)
    assert not result.failed, result.msg
    assert guests_named(pve, "once") == [result["vmid"]]
    assert len(posts(pve)) == 1


def test_a_guest_without_a_name_has_the_one_that_pve_shows(run_module) -> None:
    arguments = {"vmid": 123, "node": "pve1", "memory": 512}
    check, run = check_and_run(run_module, arguments)
    again = run_module("pve_vm", arguments)
    assert [result["guest"]["name"] for result in (check, run, again)] == ["VM 123"] * 3


def test_a_lost_answer_is_recognised_although_pve_writes_the_text_otherwise(pve, run_module) -> None:
    pve.fault("POST", "/qemu$", "lose_answer")
    uuid = "uuid=0cb1b2c4-3d5e-4f60-8a7b-9c0d1e2f3a4b"
    result = run_module("pve_vm", {"name": "once", "config": {"smbios1": f"{uuid}\n"}})
    assert not result.failed, result.msg
    assert guests_named(pve, "once") == [result["vmid"]]
    assert len(posts(pve)) == 1


def test_answers_that_keep_getting_lost_to_others_end_the_run(pve, run_module) -> None:
    pve.fault("POST", "/qemu$", "drop", times=2)
    numbers = iter((102, 103, 104))
    pve.before("POST", "/qemu$", lambda: pve.add_guest(next(numbers), "theirs"), times=None)
    result = run_module("pve_vm", {"name": "mine", "node": "pve1"})
    assert result.failed
    assert len(posts(pve)) <= 4
    assert guests_named(pve, "mine") == []


def test_check_mode_of_a_new_guest_with_a_cloud_init_drive(pve, run_module) -> None:
    arguments = {"vmid": 300, "name": "fresh", "memory": 64, "cloud_init": {"storage": "local-lvm", "user": "alice"}}
    check, _run = check_and_run(run_module, arguments)
    assert check["steps"] == ["create guest 300 (fresh) on node pve1"]
    assert "cloudinit" in pve.config(300)["ide2"]


def test_check_mode_says_the_name_that_pve_gives_to_a_clone(pve, run_module) -> None:
    check, run = check_and_run(run_module, {"vmid": 300, "clone": {"source": "debian-template"}})
    assert check["guest"]["name"] == run["guest"]["name"] == "Copy-of-VM-debian-template"
    assert check["diff"]["after"]["name"] == "Copy-of-VM-debian-template"


class TestSources:
    @pytest.fixture
    def twins(self, pve_cluster):
        pve_cluster.add_template(9100, "twin", node="pve1", storage="shared")
        pve_cluster.add_template(9101, "twin", node="pve2", storage="shared")
        return pve_cluster

    @pytest.mark.parametrize(("node", "source"), [("pve1", 9100), ("pve2", 9101)])
    def test_the_one_on_the_node_is_taken(self, twins, run_module, node: str, source: int) -> None:
        _check, run = check_and_run(run_module, {"name": "copy", "node": node, "clone": {"source": "twin"}})
        assert run["node"] == node
        assert [line for line in posts(twins) if "clone" in line] == [f"POST /nodes/{node}/qemu/{source}/clone"]

    def test_names_that_the_list_does_not_know_yet_count_as_well(self, twins, run_module) -> None:
        twins.resources_lag = 60.0
        for vmid in (9100, 9101):
            twins.guest(vmid).born_at = time.monotonic()
        result = run_module("pve_vm", {"name": "copy", "node": "pve2", "clone": {"source": "twin"}})
        assert not result.failed, result.msg
        assert posts(twins) == ["POST /nodes/pve2/qemu/9101/clone"]

    @pytest.mark.parametrize("node", [None, "pve3"])
    def test_several_elsewhere_are_an_error(self, twins, run_module, node: str | None) -> None:
        result = run_module("pve_vm", {"name": "copy", "node": node, "clone": {"source": "twin"}}, check=True)
        assert "2 templates are named 'twin' (9100 on pve1, 9101 on pve2): say which one by vmid" in result.msg

    def test_several_on_the_node_are_an_error(self, twins, run_module) -> None:
        twins.add_template(9102, "twin", node="pve2", storage="shared")
        result = run_module("pve_vm", {"name": "copy", "node": "pve2", "clone": {"source": "twin"}})
        assert "2 templates are named 'twin' (9101 on pve2, 9102 on pve2): say which one by vmid" in result.msg
        assert posts(twins) == []


class TestPlaces:
    def test_a_guest_goes_where_its_iso_is(self, pve_cluster, run_module) -> None:
        pve_cluster.add_file("local", "iso/only-on-pve2.iso", "iso", node="pve2")
        disks = [{"slot": "ide2", "iso": "local:iso/only-on-pve2.iso"}]
        check, run = check_and_run(run_module, {"vmid": 300, "name": "placed", "disks": disks})
        assert (check["node"], run["node"]) == ("pve2", "pve2")

    def test_a_guest_goes_where_its_image_is(self, pve_cluster, run_module) -> None:
        pve_cluster.add_file("local", "import/only-on-pve3.qcow2", "import", size=1 << 30, node="pve3")
        source = "local:import/only-on-pve3.qcow2"
        disks = [{"slot": "scsi0", "storage": "local-lvm", "import_from": source}]
        result = run_module("pve_vm", {"vmid": 300, "name": "placed", "disks": disks})
        assert not result.failed, result.msg
        assert result["node"] == "pve3"

    def test_a_guest_goes_where_its_archive_is(self, pve_cluster, run_module) -> None:
        pve_cluster.add_file("local", "import/appliance.ova", "import", node="pve2")
        source = "local:import/appliance.ova/disk1.vmdk"
        disks = [{"slot": "scsi0", "storage": "local-lvm", "import_from": source}]
        result = run_module("pve_vm", {"vmid": 300, "disks": disks}, check=True)
        assert not result.failed, result.msg
        assert result["node"] == "pve2"

    def test_a_guest_goes_where_its_disk_is(self, pve_cluster, run_module) -> None:
        pve_cluster.add_file("vmstore", "300/vm-300-disk-7.qcow2", "images", node="pve3")
        disks = [{"slot": "scsi0", "volume": "vmstore:300/vm-300-disk-7.qcow2"}]
        result = run_module("pve_vm", {"vmid": 300, "disks": disks})
        assert not result.failed, result.msg
        assert result["node"] == "pve3"

    def test_a_storage_that_is_not_online_holds_nothing(self, pve_cluster, run_module) -> None:
        pve_cluster.fault(
            "GET", "/nodes/pve1/storage/local/content$", "status", message="storage 'local' is not online"
        )
        pve_cluster.add_file("local", "iso/everywhere.iso", "iso")
        disks = [{"slot": "ide2", "iso": "local:iso/everywhere.iso"}]
        result = run_module("pve_vm", {"vmid": 300, "disks": disks})
        assert not result.failed, result.msg
        assert result["node"] == "pve2"

    def test_what_no_node_has_is_told_for_each(self, pve_cluster, run_module) -> None:
        disks = [{"slot": "ide2", "iso": "local:iso/nowhere.iso"}]
        result = run_module("pve_vm", {"vmid": 300, "disks": disks}, check=True)
        assert result.msg.startswith("no online node has all that the guest needs: ")
        for node in ("pve1", "pve2", "pve3"):
            assert f"{node} lacks volume local:iso/nowhere.iso" in result.msg

    def test_a_shared_storage_is_not_looked_through(self, pve_cluster, run_module) -> None:
        pve_cluster.add_file("shared", "iso/everywhere.iso", "iso")
        disks = [{"slot": "ide2", "iso": "shared:iso/everywhere.iso"}]
        result = run_module("pve_vm", {"vmid": 300, "disks": disks})
        assert not result.failed, result.msg
        assert not any(line.endswith("/content") for line in pve_cluster.summary())

    @pytest.mark.parametrize(
        ("arguments", "path", "privilege"),
        [
            ({"disks": [{"slot": "scsi0", "storage": "shared", "size": "1G"}]}, "/storage/shared", "Datastore.Audit"),
            (
                {"networks": [{"slot": "net0", "bridge": "vmbr0"}]},
                "/sdn/zones/localnetwork/vmbr0",
                "SDN.Audit or SDN.Use",
            ),
        ],
    )
    def test_no_right_to_see_it_is_not_the_lack_of_it(
        self, pve_cluster, run_module, arguments: dict[str, Any], path: str, privilege: str
    ) -> None:
        pve_cluster.add_token("ops@pve!limited", SECRET)
        pve_cluster.grant("ops@pve", "/vms", "VM.Allocate", "VM.Audit", "VM.Config.Disk", "VM.Config.Network")
        result = run_module("pve_vm", {"vmid": 300, **arguments, **LIMITED}, check=True)
        name = path.rpartition("/")[2]
        assert result.msg == (
            f"ops@pve!limited has no right to see {path.split('/')[1].replace('sdn', 'bridge')} {name}, so nobody can "
            f"tell which node has it: grant {privilege} on {path}, or give node"
        )
        assert (result["error"]["kind"], result["error"]["path"]) == ("permission", path)

    @pytest.mark.parametrize("full", [None, True, False])
    @pytest.mark.parametrize("check", [True, False])
    def test_local_disks_keep_a_clone_on_its_node(
        self, pve_cluster, run_module, check: bool, full: bool | None
    ) -> None:
        arguments = {"name": "stuck", "node": "pve2", "clone": {"source": "9001", "full": full}}
        result = run_module("pve_vm", arguments, check=check)
        assert result.msg == (
            "clone: guest 9001 (local-template) has ide2 on local-lvm, scsi0 on local-lvm, which is not shared, so PVE "
            "cannot clone it to node pve2: give no node, or move that to a shared storage first"
        )
        assert posts(pve_cluster) == []

    def test_a_clone_to_another_node_needs_a_shared_storage(self, pve_cluster, run_module) -> None:
        clone = {"source": "9000", "full": True, "storage": "local-lvm"}
        result = run_module("pve_vm", {"name": "stuck", "node": "pve2", "clone": clone}, check=True)
        assert "storage local-lvm is not shared" in result.msg

    def test_what_the_caller_may_not_see_is_left_to_pve(self, pve_cluster, run_module) -> None:
        pve_cluster.add_token("ops@pve!limited", SECRET)
        pve_cluster.grant("ops@pve", "/vms", "VM.Allocate", "VM.Audit", "VM.Clone")
        pve_cluster.grant("ops@pve", "/storage", "Datastore.AllocateSpace")
        arguments = {"name": "stuck", "node": "pve2", "clone": {"source": "9001"}, **LIMITED}
        result = run_module("pve_vm", arguments)
        assert "can't clone VM to node 'pve2' (VM uses local storage)" in result.msg

    @pytest.mark.parametrize("arguments", [{"memory": 64}, {"clone": {"source": "9000"}}])
    def test_nodes_that_are_not_there_are_told_before_anything_is_sent(
        self, pve_cluster, run_module, arguments: dict[str, Any]
    ) -> None:
        result = run_module("pve_vm", {"vmid": 300, "node": "pve9", **arguments}, check=True)
        assert result.msg == "there is no node pve9: the cluster has pve1, pve2, pve3"
        pve_cluster.set_node_offline("pve2")
        result = run_module("pve_vm", {"vmid": 300, "node": "pve2", **arguments})
        assert result.msg == "node pve2 is offline: nothing was changed"
        assert posts(pve_cluster) == []


class TestNumbers:
    def test_a_number_that_another_node_gave_away_is_replaced(self, pve_cluster, run_module) -> None:
        pve_cluster.before("POST", "/clone$", lambda: pve_cluster.add_guest(102, "theirs", node="pve2"))
        result = run_module("pve_vm", {"name": "mine", "clone": {"source": "9000"}})
        assert not result.failed, result.msg
        assert result["vmid"] == 103
        assert [task["exitstatus"] for task in pve_cluster.tasks("qmclone")] == [
            "close (rename) atomic file '/etc/pve/nodes/pve1/qemu-server/102.conf' failed: File exists",
            "OK",
        ]
        assert pve_cluster.guest(102).node == "pve2"

    @pytest.mark.parametrize("kind", ["lose_answer", "596"])
    @pytest.mark.parametrize("vmid", [None, 300])
    def test_a_clone_on_its_way_to_another_node_is_recognised(
        self, pve_cluster, run_module, vmid: int | None, kind: str
    ) -> None:
        pve_cluster.task_seconds["qmclone"] = 4.0
        pve_cluster.fault("POST", "/clone$", kind)
        result = run_module("pve_vm", {"vmid": vmid, "name": "far", "node": "pve2", "clone": {"source": "9000"}})
        assert not result.failed, result.msg
        assert guests_named(pve_cluster, "far") == [result["vmid"]]
        assert pve_cluster.guest(result["vmid"]).node == "pve2"
        assert len(pve_cluster.tasks("qmclone")) == 1

    def test_a_number_that_was_given_is_not_replaced(self, pve_cluster, run_module) -> None:
        pve_cluster.before("POST", "/clone$", lambda: pve_cluster.add_guest(300, "theirs", node="pve2"))
        result = run_module("pve_vm", {"vmid": 300, "clone": {"source": "9000"}})
        assert "guest 300 exists: it was made in the meantime" in result.msg
        assert result["error"]["kind"] == "exists"
        assert pve_cluster.config(300)["name"] == "theirs"

    @pytest.mark.parametrize(
        ("arguments", "task_type"), [({"clone": {"source": "9000"}}, "qmclone"), ({"memory": 64}, "qmcreate")]
    )
    def test_runs_at_the_same_time_make_one_guest_of_a_name(
        self, pve_cluster, run_module, arguments: dict[str, Any], task_type: str
    ) -> None:
        pve_cluster.task_seconds[task_type] = 1.0
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            results = list(pool.map(lambda _number: run_module("pve_vm", {"name": "app", **arguments}), range(6)))
        (left,) = guests_named(pve_cluster, "app")
        failed = [result for result in results if result.failed]
        for result in failed:
            # A run that comes while the others have made theirs, and not removed them yet, sees several.
            assert re.search(r"another run made guest|\d guests are named 'app'", result.msg), result.msg
        assert {result["vmid"] for result in results if not result.failed} == {left}
        owners = {int(re.findall(r"(?:vm|base)-(\d+)-", volume)[-1]) for volume in pve_cluster.volumes("shared")}
        assert owners <= set(pve_cluster.vmids())

    def test_a_rival_that_has_another_name_does_not_matter(self, pve_cluster, run_module) -> None:
        pve_cluster.before("GET", "/cluster/nextid$", lambda: pve_cluster.add_guest(102, "theirs", node="pve2"))
        result = run_module("pve_vm", {"name": "mine", "memory": 64})
        assert not result.failed, result.msg
        assert result["vmid"] == 103

    def test_who_comes_second_gives_way(self, pve_cluster, run_module) -> None:
        pve_cluster.before("GET", "/cluster/nextid$", lambda: pve_cluster.add_guest(102, "mine", node="pve2"))
        result = run_module("pve_vm", {"name": "mine", "memory": 64})
        assert result.msg == (
            "another run made guest 102 on node pve2 with the name 'mine' at the same time, and guest 103 was removed "
            "again: run this again to have that guest changed, or give vmid"
        )
        assert result["error"]["kind"] == "ambiguous"
        assert guests_named(pve_cluster, "mine") == [102]
        assert run_module("pve_vm", {"name": "mine", "memory": 64})["vmid"] == 102

    def test_a_guest_that_cannot_be_removed_again_is_told(self, pve_cluster, run_module) -> None:
        pve_cluster.before("GET", "/cluster/nextid$", lambda: pve_cluster.add_guest(102, "mine", node="pve2"))
        result = run_module("pve_vm", {"name": "mine", "protection": True})
        assert "guest 103, which this run made, could not be removed again" in result.msg
        assert "protection mode enabled" in result.msg
        assert result.changed

    def test_a_rival_of_another_token_is_waited_for(self, pve_cluster, run_module) -> None:
        def begin() -> None:
            rival = pve_cluster.add_guest(102, "mine", node="pve2", lock="create")
            rival.config.pop("name")

        def name() -> None:
            pve_cluster.guest(102).config["name"] = "mine"
            pve_cluster.lock_guest(102, None)

        pve_cluster.before("GET", "/cluster/nextid$", begin)
        pve_cluster.before("GET", "/nodes/pve2/qemu/102/config$", name, after=2)
        result = run_module("pve_vm", {"name": "mine", "memory": 64})
        assert "another run made guest 102 on node pve2" in result.msg
        assert guests_named(pve_cluster, "mine") == [102]

    def test_a_guest_that_was_only_recognised_is_not_removed(self, pve_cluster, run_module) -> None:
        pve_cluster.before("GET", "/cluster/nextid$", lambda: pve_cluster.add_guest(102, "mine", node="pve2"))
        pve_cluster.fault("POST", "/clone$", "lose_answer")
        result = run_module("pve_vm", {"name": "mine", "clone": {"source": "9000"}})
        assert "guest 103 may be left over: look at it" in result.msg
        assert guests_named(pve_cluster, "mine") == [102, 103]


class TestLostNodes:
    """A node that has been dead for more than five minutes: its guests have no names any more."""

    @pytest.fixture
    def dead(self, pve_cluster):
        pve_cluster.set_node_offline("pve2", forgotten=True)
        return pve_cluster

    @pytest.mark.parametrize(
        ("module", "arguments"),
        [
            ("pve_vm", {}),
            ("pve_vm", {"clone": {"source": "9000"}}),
            ("pve_vm", {"state": "absent"}),
            ("pve_vm_power", {"state": "started"}),
            ("pve_vm_info", {}),
            ("pve_snapshot", {"snapshot": "one"}),
        ],
    )
    def test_a_name_that_nobody_else_has_may_be_there(
        self, dead, run_module, module: str, arguments: dict[str, Any]
    ) -> None:
        result = run_module(module, {"name": "new", **arguments})
        kind = "virtual machine" if module == "pve_vm" else "guest"
        assert result.msg == (
            f"nobody can tell whether there is a {kind} named 'new': PVE has forgotten the names of the guests of "
            "pve2, which is offline: give vmid"
        )
        assert result["error"]["kind"] == "unreachable"
        assert len([line for line in dead.summary() if "/nodes/pve2/" in line]) <= 1
        assert posts(dead) == []

    def test_names_that_are_still_known_are_enough(self, pve_cluster, run_module) -> None:
        pve_cluster.set_node_offline("pve2")
        result = run_module("pve_vm", {"name": "new", "memory": 64})
        assert not result.failed, result.msg
        assert not any("/nodes/pve2/" in line for line in pve_cluster.summary())

    def test_a_vmid_helps(self, dead, run_module) -> None:
        result = run_module("pve_vm", {"vmid": 300, "name": "new", "memory": 64})
        assert not result.failed, result.msg
        assert result.changed

    def test_a_name_that_another_node_has_is_found(self, dead, run_module) -> None:
        assert not run_module("pve_vm", {"name": "web"}).failed

    @pytest.mark.parametrize("arguments", [{"cores": 4}, {"state": "absent"}])
    def test_a_guest_there_is_not_waited_for(self, dead, run_module, arguments: dict[str, Any]) -> None:
        result = run_module("pve_vm", {"vmid": 101, **arguments})
        assert "node pve2 is offline" in result.msg
        assert len([line for line in dead.summary() if "/nodes/pve2/" in line]) == 1
