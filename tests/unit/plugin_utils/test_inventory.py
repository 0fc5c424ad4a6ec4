# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The glue between an inventory file and Ansible: documentation, conditions, and text of others."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.cloudbridge.proxmox.plugins.doc_fragments.connection import ModuleDocFragment
from ansible_collections.cloudbridge.proxmox.plugins.inventory import pve
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._ansible.argument_spec import connection_spec
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.inventory import inventory_request
from ansible_collections.cloudbridge.proxmox.plugins.plugin_utils._inventory import (
    HostFilters,
    as_variable,
    names_in,
)

SENTENCE = "If not set, the environment variable E({}) is used."


@pytest.mark.parametrize("fragment", [ModuleDocFragment.INVENTORY, ModuleDocFragment.VARIABLES])
def test_the_connection_options_are_those_of_the_modules_with_the_same_environment(fragment):
    ours = yaml.safe_load(fragment)["options"]
    theirs = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    assert set(ours) == set(theirs) == set(connection_spec())
    for name, spec in connection_spec().items():
        variable, _kind = spec["fallback"][1]
        assert ours[name].pop("env") == [{"name": variable}]
        assert theirs[name]["description"].pop() == SENTENCE.format(variable)
        assert ours[name].pop("vars", [{"name": f"pve_{name}"}]) == [{"name": f"pve_{name}"}]
        assert ours[name] == theirs[name]
        assert (ours[name]["type"], ours[name].get("default")) == (spec["type"], spec.get("default"))


def test_the_documented_choices_and_defaults_are_those_of_the_code():
    options = yaml.safe_load(pve.DOCUMENTATION)["options"]
    assert options["connect_with"]["choices"] == list(inventory_request.CONNECT_WITH)
    assert options["gather"]["choices"] == list(inventory_request.GATHER)
    assert options["group_by"]["choices"] == list(inventory_request.GROUPS)
    assert options["group_by"]["default"] == [name for name in inventory_request.GROUPS if name != "node_type"]
    assert options["node_address"]["choices"] == list(inventory_request.NODE_ADDRESS)
    assert set(options["filters"]["suboptions"]) == set(inventory_request.Filters.__dataclass_fields__)
    defaults = inventory_request.inventory_request({})
    for name in (
        "workers_per_node",
        "agent_timeout",
        "agent_budget",
        "agent_retry",
        "templates",
        "nodes",
        "node_address",
    ):
        assert options[name]["default"] == getattr(defaults, name)


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("pve_vmid > 100", {"pve_vmid"}),
        ("pve_addresses.ipv4 | length > 0 and ansible_host is defined", {"pve_addresses", "ansible_host"}),
        ("pve_tags | select('match', 'a') | list", {"pve_tags"}),
        ("pve_name is ansible.builtin.match('pve_addresses')", {"pve_name"}),
        ("lookup('vars', 'pve_addresses')", None),
        ("vars['pve_' ~ 'addresses']", None),
        ("this is ) no expression", None),
        (True, set()),
    ],
)
def test_the_variables_that_a_condition_names(condition, names):
    assert names_in(condition) == (None if names is None else frozenset(names))


def test_a_condition_is_looked_at_once_and_only_the_late_ones_wait():
    asked = []

    class Templar:
        def evaluate_conditional(self, condition):
            asked.append(condition)
            return condition != "no"

    late = frozenset({"pve_addresses"})
    conditions = HostFilters(("a", "pve_addresses"), ("no",), late, False, Templar())
    assert conditions.keep({}, waited=False)
    assert asked == ["a", "no"]
    assert conditions.any(waited=True)
    assert conditions.keep({}, waited=True)
    assert asked == ["a", "no", "pve_addresses"]


def test_text_of_others_is_marked():
    facts = {"name": "web", "tags": ["a", "b"], "vmid": 100, "pool": None, "config": {"description": "{{ 7 * 6 }}"}}
    assert as_variable(facts) == facts
