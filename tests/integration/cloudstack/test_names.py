# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tenants may name decides nothing about other guests: vm_name, and the names of their networks."""

from __future__ import annotations

import time

import pytest

from tests.support.cloudstack import payload

UUID_B = "0b8c5b1e-93d6-4a5e-8f0b-5f3c1a2d4e6f"


@pytest.fixture
def world(pve_cluster):
    """A template called gold on the shared storage of pve1."""
    pve_cluster.add_template(2002, "gold", storage="shared")
    return pve_cluster


def deployed(pve, vmid=105, node="pve2", vm=None, host=None, **tenant):
    data = payload(
        "create_template", pve, host={"node": node, **(host or {})}, virtualmachine=tenant,
        details={"proxmox_vmid": str(vmid)}, vm=vm or {},
    )  # fmt: skip
    if vmid != 105:
        data["virtualmachineid"], data["virtualmachinename"] = UUID_B, f"i-3-{vmid}-VM"
        data["cloudstack.vm.details"].update(uuid=UUID_B, name=f"i-3-{vmid}-VM", id=vmid)
    return data


def writes(pve):
    return [line for line in pve.summary() if not line.startswith("GET ")]


class TestTemplatesByName:
    def test_the_name_of_a_template_belongs_to_it(self, world, calls):
        """An instance called gold does not get in the way of the template gold, nor is it cloned in its place."""
        refused = calls("create", deployed(world, vm_name="gold"))
        assert (refused.exit_code, refused["kind"]) == (1, "invalid_request")
        assert refused.error.startswith("vm_name: 'gold' is the name of template 2002")
        assert writes(world) == []
        # One that has the name all the same, as from a time without this rule.
        world.add_guest(300, "gold", node="pve2", storage="shared")
        assert calls("create", deployed(world, vmid=106, template_id="gold")).ok
        assert world.forms("POST", "/qemu/2002/clone$")
        assert world.guest(106).node == "pve2"

    def test_several_guests_of_that_name_block_nobody(self, world, calls):
        for vmid, node in ((300, "pve1"), (301, "pve1"), (302, "pve2"), (303, "pve2")):
            world.add_guest(vmid, "gold", node=node, storage="shared")
        assert calls("create", deployed(world, template_id="gold")).ok
        assert world.forms("POST", "/qemu/2002/clone$")

    def test_guests_whose_names_nobody_knows_yet(self, world, calls):
        """The cluster's list has no names of guests that were made a moment ago: the nodes are asked."""
        world.resources_lag = 30
        world.call(lambda: setattr(world.server.guest(2002), "born_at", time.monotonic()))
        world.add_guest(300, "gold", node="pve2", storage="shared")
        assert calls("create", deployed(world, template_id="gold")).ok
        assert world.forms("POST", "/qemu/2002/clone$")

    def test_a_guest_is_no_template(self, world, calls):
        world.add_guest(300, "silver", node="pve2", storage="shared")
        bridge_policies = ({}, {"allowed_templates": "*,silver"}, {"template_map": "silver=300"})
        for host in bridge_policies[:2]:
            answer = calls("create", deployed(world, template_id="silver", host=host))
            assert answer.error.startswith("there is no template named 'silver'"), answer.output
        assert writes(world) == []
        assert calls("create", deployed(world, template_id="silver", host=bridge_policies[2])).ok
        assert world.forms("POST", "/qemu/300/clone$")[0]["full"] in (1, "1")

    def test_a_guest_by_number_where_the_operator_says_so(self, world, calls):
        world.add_guest(300, "gold-of-a-tenant", node="pve2", storage="shared")
        for allowed in ("*", "3*", "gold-of-a-tenant", "gold-*"):
            answer = calls("create", deployed(world, template_id="300", host={"allowed_templates": allowed}))
            assert (answer.exit_code, writes(world)) == (1, []), allowed
        assert calls("create", deployed(world, template_id="300", host={"allowed_templates": "gold,300"})).ok

    def test_the_operators_own_template_id(self, world, calls):
        world.add_guest(300, "gold", node="pve2", storage="shared")
        assert calls("create", deployed(world, host={"template_id": "gold"})).ok
        assert world.forms("POST", "/qemu/2002/clone$")
        assert calls("create", deployed(world, vmid=106, host={"template_id": "300"})).ok
        assert world.forms("POST", "/qemu/300/clone$")

    def test_two_templates_of_one_name_are_ambiguous(self, world, calls):
        world.add_template(2003, "gold", storage="shared")
        answer = calls("create", deployed(world, template_id="gold", node="pve3"))
        assert answer["kind"] == "ambiguous"
        assert writes(world) == []


class TestVmName:
    @pytest.mark.parametrize("action", ["prepare", "create"])
    @pytest.mark.parametrize(
        ("name", "host", "why"),
        [
            ("gold", {}, "is the name of template 2002"),
            ("GOLD", {}, "is the name of template 2002"),
            ("silver", {"allowed_templates": "silver"}, "is the template 'silver' of allowed_templates"),
            ("silver-7", {"allowed_templates": "*,silver-*"}, "is the template 'silver-*' of allowed_templates"),
            ("silver", {"template_id": "silver"}, "is the template 'silver' of template_id"),
            ("silver", {"template_map": "silver@pve9=9000"}, "is the template 'silver' of template_map"),
            ("silver", {"template_map": "x=silver"}, "is the template 'silver' of template_map"),
            ("9009", {"template_map": "x@pve2=9009"}, "is the template '9009' of template_map"),
            ("i-2-46-VM", {}, "is the name of an instance"),
        ],
    )
    def test_a_name_that_means_something_else_is_refused(self, world, calls, action, name, host, why):
        data = payload(
            "prepare" if action == "prepare" else "create_template", world, host=host, virtualmachine={"vm_name": name}
        )
        answer = calls(action, data)
        assert (answer.exit_code, answer["kind"]) == (1, "invalid_request")
        assert answer.error.startswith(f"vm_name: {name!r} {why}"), answer.error
        assert writes(world) == []

    def test_of_the_template_that_the_tenant_asks_for(self, world, calls):
        answer = calls("create", deployed(world, vm_name="new-name", template_id="new-name"))
        assert answer.error.startswith("vm_name: 'new-name' is the template 'new-name' of template_id")

    @pytest.mark.parametrize("allowed", ["*", "?*", "*,[a-z]*", "9*"])
    def test_patterns_of_no_name_leave_all_names_free(self, world, calls, allowed):
        host = {"allowed_templates": f"{allowed},9000"}
        assert calls("prepare", payload("prepare", world, host=host, virtualmachine={"vm_name": "shop"})).ok
        assert calls("create", deployed(world, vm_name="shop", host=host)).ok

    def test_its_own_instance_name_is_no_other(self, world, calls):
        assert calls("create", deployed(world, vm_name="i-2-45-VM")).ok
