# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has no place on a node is told before anything is made, by the dry run as well."""

from __future__ import annotations

import pytest

from tests.support.cloudstack import payload

BOTH = pytest.mark.parametrize("flags", [[], ["--dry-run"]], ids=["real", "dry-run"])


def writes(pve):
    return [line for line in pve.summary() if not line.startswith("GET ")]


def with_nics(pve, *nics, base="create_template", **changes):
    given = payload("create_template")["cloudstack.vm.details"]["nics"][0]
    return payload(base, pve, nics=[{**given, "deviceId": number, **nic} for number, nic in enumerate(nics)], **changes)


def refused(pve, calls, data, flags, *words):
    pve.reset_record()
    answer = calls("create", data, flags=flags)
    assert answer.exit_code == 1, answer.output
    for word in words:
        assert word in answer.error
    assert writes(pve) == []
    return answer


@BOTH
class TestNetworks:
    def test_a_missing_bridge(self, pve, calls, flags):
        data = with_nics(pve, {}, {"type": "Public"}, host={"bridge_map": "Public=vmbr7"})
        answer = refused(pve, calls, data, flags, "net1 has no place on node pve1: there is no bridge vmbr7")
        assert (answer["kind"], "it has vmbr0, vmbr1" in answer.error) == ("not_found", True)
        refused(pve, calls, with_nics(pve, {}, host={"network_bridge": "vmbr9"}), flags, "net0 has no place", "vmbr9")

    def test_a_missing_bridge_for_an_image(self, pve, calls, flags):
        iso = {"iso_path": "local:iso/debian-13.iso"}
        host = {"bridge_map": "Public=vmbr7"}
        data = with_nics(pve, {}, {"type": "Public"}, base="create_iso", host=host, virtualmachine=iso)
        refused(pve, calls, data, flags, "net1 has no place on node pve1: there is no bridge vmbr7")

    def test_a_vnet(self, pve, calls, flags):
        data = with_nics(pve, {"broadcastUri": "vxlan://5001", "mtu": None}, host={"vnet_map": "vxlan://*=v{id}"})
        refused(pve, calls, data, flags, "net0 has no place on node pve1: there is no bridge v5001")
        pve.add_vnet("v5001", "tenants")
        assert calls("create", data, flags=flags).ok

    def test_an_mtu_that_is_too_large(self, pve, calls, flags):
        data = with_nics(pve, {"mtu": 9000})
        refused(pve, calls, data, flags, "its network has the MTU 9000, and bridge vmbr0 has 1500", "set nic_mtu")
        pve.set_mtu("vmbr0", 4000)
        refused(pve, calls, data, flags, "bridge vmbr0 has 4000")
        pve.set_mtu("vmbr0", 9000)
        assert calls("create", data, flags=flags).ok

    def test_the_mtu_of_the_ports(self, pve, calls, flags):
        pve.set_mtu("eno1", 9000)
        assert calls("create", with_nics(pve, {"mtu": 9000}), flags=flags).ok
        data = with_nics(pve, {"mtu": 9000}, host={"network_bridge": "vmbr1"}, details={"proxmox_vmid": "107"})
        refused(pve, calls, data, flags, "bridge vmbr1 has 1500")

    def test_the_bridges_of_the_node_are_not_those_of_the_template(self, pve_cluster, calls, flags):
        pve_cluster.set_bridges("pve2", "vmbr1")
        data = with_nics(pve_cluster, {}, host={"node": "pve2"})
        refused(pve_cluster, calls, data, flags, "net0 has no place on node pve2: there is no bridge vmbr0")


@BOTH
class TestTemplatesOfAnotherNode:
    @pytest.mark.parametrize("template", ["9001", "local-template"])
    def test_on_local_storage(self, pve_cluster, calls, flags, template):
        data = payload("create_template", pve_cluster, host={"node": "pve2"}, virtualmachine={"template_id": template})
        answer = refused(pve_cluster, calls, data, flags, f"the template {template} is on local storage of another")
        assert f"set template_map, as in {template}@pve2=<vmid>" in answer.error

    def test_onto_local_storage(self, pve_cluster, calls, flags):
        wanted = {"template_id": "9000", "storage": "local-lvm", "is_full_clone": "true"}
        data = payload("create_template", pve_cluster, host={"node": "pve2"}, virtualmachine=wanted)
        refused(pve_cluster, calls, data, flags, "storage local-lvm is not shared")

    def test_to_a_node_that_is_none(self, pve_cluster, calls, flags):
        data = payload("create_template", pve_cluster, host={"node": "pve7"})
        refused(pve_cluster, calls, data, flags, "pve7")


def test_the_dry_run_assumes_no_bridge(pve, calls):
    pve.set_bridges("pve1", "vmbr1")
    refused(pve, calls, payload("create_template", pve), ["--dry-run"], "there is no bridge vmbr0")
    data = payload("create_iso", pve, virtualmachine={"iso_path": "local:iso/debian-13.iso"})
    refused(pve, calls, data, ["--dry-run"], "there is no bridge vmbr0")
