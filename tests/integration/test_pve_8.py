# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What differs on PVE 8, played by the embedded PVE after PVE 8's sources; nothing of it ran on a real PVE 8."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api_client import ApiClient
from tests.support.modules import ModuleResult

SECRET = "5d1fdd72-5ab4-4a2d-9a09-e9e57b6b7cc0"
LIMITED = {"api_user": "ops@pve", "api_token_id": "limited", "api_token_secret": SECRET}


@pytest.fixture(params=["8.0", "8.4", "9.2"])
def release(request, pve) -> str:
    pve.knobs.release = request.param
    return str(request.param)


def check_and_run(run_module, arguments: dict[str, Any]) -> ModuleResult:
    """Check mode, the run and a second run."""
    check = run_module("pve_vm", arguments, check=True, diff=True)
    run = run_module("pve_vm", arguments, diff=True)
    assert not run.failed, run.msg
    assert (check.changed, check["diff"]) == (run.changed, run["diff"])
    assert not run_module("pve_vm", arguments).changed
    return run


def writes(pve) -> list[str]:
    return [line for line in pve.summary() if line.startswith("PUT /pools")]


class TestPools:
    @pytest.fixture
    def pools(self, pve, release: str):
        pve.add_pool("lab", 100)
        pve.add_pool("prod")
        return pve

    @pytest.mark.parametrize(
        ("vmid", "pool", "calls"),
        [
            (101, "lab", ["PUT /pools", "PUT /pools/lab"]),
            (100, "prod", ["PUT /pools", "PUT /pools/lab", "PUT /pools/prod"]),
            (100, "", ["PUT /pools", "PUT /pools/lab"]),
        ],
        ids=["enter", "move", "leave"],
    )
    def test_a_guest_changes_its_pool(self, pools, run_module, release: str, vmid: int, pool: str, calls: list[str]):
        run = check_and_run(run_module, {"vmid": vmid, "pool": pool})
        assert run.changed
        assert pools.guest(vmid).pool == (pool or None)
        assert writes(pools) == (calls if release == "8.0" else ["PUT /pools"])

    def test_a_guest_is_made_in_a_pool(self, pools, run_module):
        check_and_run(run_module, {"vmid": 300, "pool": "lab"})
        assert pools.guest(300).pool == "lab"
        assert writes(pools) == []

    def test_a_pool_that_is_not_there_is_told(self, pools, run_module, release: str):
        result = run_module("pve_vm", {"vmid": 100, "pool": "none"})
        assert "pool 'none' does not exist" in result.msg
        assert not result.changed


def test_somebody_elses_change_is_understood(pve, run_module, release: str):
    pve.before("PUT", "/100/config$", lambda: pve.guest(100).config.update(description="by hand"))
    result = run_module("pve_vm", {"vmid": 100, "cores": 4})
    assert not result.failed, result.msg
    assert (pve.config(100)["cores"], pve.config(100)["description"]) == (4, "by hand")


def test_a_conflict_is_told_in_the_words_of_the_release(pve, release: str):
    word = "missmatch" if release == "8.0" else "mismatch"
    answer = ApiClient(pve)("PUT", "/nodes/pve1/qemu/100/config", cores=4, digest="0" * 40)
    assert answer.reason == f"checksum {word} (file change by other user?)"


def test_the_agent_takes_the_privilege_of_the_release(pve, run_module, release: str):
    privilege = "VM.GuestAgent.Audit" if release == "9.2" else "VM.Monitor"
    pve.set_agent_interfaces(101, [{"name": "eth0", "ip-addresses": [{"ip-address": "192.0.2.7"}]}])
    pve.add_token("ops@pve!limited", SECRET)
    pve.grant("ops@pve", "/vms", "VM.Audit")
    (warning,) = run_module("pve_vm_info", {"vmid": 101, "gather": ["agent"], **LIMITED}).warnings
    assert privilege in warning
    pve.grant("ops@pve", "/vms", "VM.Audit", privilege)
    result = run_module("pve_vm_info", {"vmid": 101, "gather": ["agent"], **LIMITED})
    assert result["guests"][0]["addresses"]["ipv4"] == ["192.0.2.7"]


def test_a_clone_is_made_changed_and_deleted(pve, run_module, release: str):
    arguments = {"vmid": 300, "name": "copy", "clone": {"source": "9000"}, "cores": 2, "tags": ["prod"]}
    check_and_run(run_module, arguments)
    resized = {"vmid": 300, "disks": [{"slot": "scsi0", "size": "16G"}], "memory": 2048}
    check_and_run(run_module, resized)
    assert run_module("pve_vm", {"vmid": 300, "state": "absent"}).changed
    assert 300 not in pve.vmids()
