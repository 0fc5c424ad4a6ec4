# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor looks at everything that the policy and the details name."""

from __future__ import annotations

import pytest

from tests.support.cloudstack import payload

GUESTS = (
    "VM.Audit VM.Allocate VM.Clone VM.Config.Disk VM.Config.CDROM VM.Config.CPU VM.Config.Memory VM.Config.Network "
    "VM.Config.HWType VM.Config.Options VM.Config.Cloudinit VM.PowerMgmt VM.Console VM.Snapshot VM.Snapshot.Rollback "
    "VM.Migrate VM.Backup VM.GuestAgent.Audit"
).split()


@pytest.fixture
def examine(pve_cluster, bridge, calls):
    """The rows of the doctor, by what was looked at; the policy is the operator's."""

    def look(policy=None, exit_code=None, **host):
        bridge.set_policy(policy or {})
        pve_cluster.reset_record()
        answer = calls("doctor", payload("statuses", pve_cluster, host=host))
        assert exit_code in (None, answer.exit_code), answer.output
        assert [line for line in pve_cluster.summary() if not line.startswith("GET ")] == []
        return {row["check"]: row for row in answer["message"]}

    return look


@pytest.mark.parametrize(
    ("policy", "check", "result", "words"),
    [
        ({"allowed_storages": ["ceph-vm"]}, "storage ceph-vm", "problem", "not on node pve1"),
        ({"allowed_storages": ["ceph-*"]}, "allowed_storages ceph-*", "warning", "fits nothing of local-lvm, shared"),
        ({"allowed_storages": ["gold"], "storage_map": {"gold": "ssd"}}, "storage ssd", "problem", "not on node"),
        ({"allowed_backup_storages": ["pbs"]}, "backup storage pbs", "problem", "not on node pve1"),
        ({"allowed_backup_storages": ["pbs-*"]}, "allowed_backup_storages pbs-*", "warning", "fits nothing of local"),
        ({"allowed_templates": ["gold"]}, "template gold", "problem", "not there"),
        ({"allowed_templates": ["*", "gold-*"]}, "allowed_templates gold-*", "warning", "fits nothing of debian"),
        ({"allowed_templates": ["gold-*"]}, "templates", "warning", "allowed_templates fits none of debian-template"),
        ({"allowed_templates": ["web"]}, "template web", "problem", "guest 100, no template: its name counts for noth"),
        ({"allowed_templates": ["100"]}, "template 100", "warning", "a guest, no template"),
        ({"template_map": {"debian@pve2": "9100"}}, "template 9100", "problem", "not there"),
        ({"template_map": {"debian@pve8": "9000"}}, "template_map pve8", "problem", "fits nothing of pve1, pve2, pve3"),
        ({"allowed_isos": ["local:iso/win*"]}, "allowed_isos local:iso/win*", "warning", "fits nothing of local:iso/d"),
        ({"allowed_isos": ["local:iso/x.iso"]}, "allowed_isos local:iso/x.iso", "problem", "fits nothing of local:iso"),
        ({"allowed_isos": ["local:iso/debian-*"]}, "allowed_isos local:iso/debian-*", "ok", "1 images"),
        ({"allowed_nodes": ["pve1", "pve8"]}, "allowed_nodes pve8", "problem", "fits nothing of pve1, pve2, pve3"),
        ({"console_host_map": {"pve8": "192.0.2.1"}}, "console_host_map pve8", "problem", "fits nothing of pve1"),
        ({"pool": "tenants"}, "pool tenants", "problem", "not there"),
        ({"allowed_callers": {"Reset": "Admin"}}, "allowed_callers", "ok", "rules for Reset"),
    ],
)
def test_what_the_policy_names(examine, policy, check, result, words):
    rows = examine(policy, exit_code=1 if result == "problem" else 0)
    assert rows[check]["result"] == result, rows
    assert words in rows[check]["found"]
    assert rows[check]["mend"] or result == "ok"


def test_a_policy_that_fits_is_well(pve_cluster, examine):
    pve_cluster.add_pool("tenants")
    pve_cluster.add_vnet("v5001", "zone")
    rows = examine(
        {
            "allowed_templates": ["debian-*", "9001"],
            "allowed_storages": ["shared", "local-*", "gold"],
            "storage_map": {"gold": "shared"},
            "allowed_isos": ["*:iso/*", "local:iso/debian-13.iso"],
            "allowed_nodes": ["pve*"],
            "allowed_backup_storages": ["local"],
            "tags": ["prod"],
            "pool": "tenants",
            "vnet_map": {"5001": "v5001", "*": "v{id}"},
        },
        exit_code=0,
    )
    assert {row["result"] for row in rows.values()} == {"ok"}
    assert rows["tags"]["found"] == "cloudstack, prod"
    assert rows["templates"]["found"] == "debian-template, local-template"


def test_what_is_for_another_host_is_no_problem(pve_cluster, examine):
    pve_cluster.call(lambda: pve_cluster.server.storages["vmstore"].update(nodes="pve2,pve3"))
    rows = examine({"allowed_storages": ["vmstore", "shared"]}, exit_code=0)
    assert (rows["storage vmstore"]["result"], rows["storage vmstore"]["found"]) == (
        "warning",
        "not on node pve1, but on pve2, pve3",
    )
    assert examine(exit_code=1, storage="vmstore")["storage vmstore"]["result"] == "problem"


def test_templates_of_one_name(pve_cluster, examine):
    pve_cluster.add_template(9002, "debian-template", storage="shared")
    rows = examine({"allowed_templates": ["debian-template"]}, exit_code=0)
    assert rows["template debian-template"]["found"] == "several: 9000 on pve1, 9002 on pve1"


class TestToken:
    LOGIN = {"user": "cloud@pve", "token": "csext"}

    @pytest.fixture
    def granted(self, pve_cluster):
        pve_cluster.add_token("cloud@pve!csext", pve_cluster.token_secret)
        for path, privileges in {
            "/vms": GUESTS,
            "/storage": ["Datastore.AllocateSpace", "Datastore.Audit"],
            "/sdn/zones/localnetwork/vmbr0": ["SDN.Use"],
            "/": ["Sys.Audit"],
        }.items():
            pve_cluster.grant("cloud@pve", path, *privileges)
        return pve_cluster

    def test_all_is_well(self, granted, examine):
        rows = examine(exit_code=0, **self.LOGIN)
        assert rows["privileges"]["result"] == "ok"

    def test_the_bridges_of_the_templates(self, granted, examine):
        """PVE refuses the clone of a template on a bridge that the token may not use, whatever the instance's is."""
        granted.call(lambda: granted.server.guest(9001).config.update(net0="virtio=BC:24:11:90:00:01,bridge=vmbr1"))
        rows = examine(exit_code=1, **self.LOGIN)
        path = "/sdn/zones/localnetwork/vmbr1"
        assert rows[f"privileges on {path}"]["found"] == f"cloud@pve!csext lacks SDN.Use on {path}"
        # Not for templates that no tenant can have.
        examine({"allowed_templates": ["debian-*"]}, exit_code=0, **self.LOGIN)

    def test_the_storages_of_the_templates(self, granted, examine):
        granted.server.acl["cloud@pve"] = [entry for entry in granted.server.acl["cloud@pve"] if entry[0] != "/storage"]
        granted.grant("cloud@pve", "/storage/local", "Datastore.Audit", "Datastore.AllocateSpace")
        granted.grant("cloud@pve", "/storage/shared", "Datastore.Audit")
        rows = examine({"allowed_templates": ["9000"]}, **self.LOGIN)
        assert "lacks Datastore.AllocateSpace on /storage/shared" in rows["privileges on /storage/shared"]["found"]

    def test_the_mapped_devices_of_the_templates(self, granted, examine):
        devices = {"usb0": "mapping=stick", "hostpci0": "mapping=gpu,pcie=1", "virtiofs0": "data", "rng0": "/dev/hwrng"}
        granted.call(lambda: granted.server.guest(9001).config.update(devices))
        rows = examine(exit_code=1, **self.LOGIN)
        for path in ("usb/stick", "pci/gpu", "dir/data", "hwrng"):
            assert f"privileges on /mapping/{path}" in rows

    def test_a_vnet_is_in_a_zone_of_its_own(self, granted, examine):
        granted.add_vnet("blue", "tenants")
        granted.grant("cloud@pve", "/sdn/zones/tenants/blue", "SDN.Audit")
        rows = examine({"vnet_map": {"5001": "blue"}}, exit_code=1, **self.LOGIN)
        assert "privileges on /sdn/zones/tenants/blue" in rows
        granted.grant("cloud@pve", "/sdn/zones/tenants/blue", "SDN.Use")
        examine({"vnet_map": {"5001": "blue"}}, exit_code=0, **self.LOGIN)

    def test_tags(self, granted, examine):
        granted.restrict_tags("list", ["cloudstack"], ["gold"])
        rows = examine({"tags": ["gold", "prod"]}, exit_code=1, **self.LOGIN)
        assert "registered-tags" in rows["tag gold"]["mend"]
        assert "user-allow in the datacenter's user-tag-access is list" in rows["tag prod"]["mend"]
        assert "tag cloudstack" not in rows

    def test_tags_that_pve_says_nothing_of(self, granted, examine):
        granted.server.acl["cloud@pve"] = [entry for entry in granted.server.acl["cloud@pve"] if entry[0] != "/"]
        rows = examine({"tags": ["prod"]}, exit_code=0, **self.LOGIN)
        assert (rows["tags"]["result"], rows["tags"]["mend"]) == ("warning", "grant Sys.Audit on /")
