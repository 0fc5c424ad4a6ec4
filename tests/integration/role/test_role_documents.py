# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The defaults, the argument specs and the README of a role say the same."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.registry import ACTIONS
from tests.support.collection_tree import REPOSITORY

CODE = REPOSITORY / "plugins" / "module_utils" / "_cloudstack"
ROLES = ("cloud_template", "cloudstack_extension", "console_client", "node_maintenance", "python_environment")


def read(role, path):
    return (REPOSITORY / "roles" / role / path).read_text("utf-8")


def options(role):
    return yaml.safe_load(read(role, "meta/argument_specs.yml"))["argument_specs"]["main"]["options"]


def rows(role):
    """The README's table: variable -> (type, default)."""
    found = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*) \|$", read(role, "README.md"), re.MULTILINE)
    return {name: (kind, default, text) for name, kind, default, text in found}


def shown(option):
    """A default as the table writes it."""
    if option.get("required"):
        return "required"
    default = option["default"]
    if isinstance(default, list) and len(default) > 8:
        return "all"
    if isinstance(default, str) and default:
        return f"`{default}`"
    return f"`{json.dumps(default)}`"


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_those_of_the_argument_specs(role):
    specified = {name: option["default"] for name, option in options(role).items() if "default" in option}
    assert yaml.safe_load(read(role, "defaults/main.yml")) == specified


@pytest.mark.parametrize("role", ROLES)
def test_the_readme_has_every_variable(role):
    assert {name: row[:2] for name, row in rows(role).items()} == {
        name: (option["type"], shown(option)) for name, option in options(role).items()
    }
    assert all(text for _kind, _default, text in rows(role).values())


def test_the_guide_names_no_variable_that_is_not_there():
    guide = (REPOSITORY / "docs" / "cloudstack-operator-guide.md").read_text("utf-8")
    named = set(re.findall(r"\bcloudstack_extension_[a-z_]*[a-z]\b", guide))
    assert named
    assert named <= set(options("cloudstack_extension"))


def test_the_custom_actions_are_those_of_the_executable():
    known = yaml.safe_load(read("cloudstack_extension", "vars/main.yml"))["__cloudstack_extension_known_actions"]
    served = {action.name: action.target.partition(":")[0] for action in ACTIONS}
    assert [name for name in served if name[0].isupper()] == list(known)
    assert options("cloudstack_extension")["cloudstack_extension_custom_actions"]["choices"] == list(known)
    for name, action in known.items():
        source = (CODE / "actions" / f"{served[name]}.py").read_text("utf-8")
        for other in re.findall(r"^from \.(\w+) import", source, re.MULTILINE):
            source += (CODE / "actions" / f"{other}.py").read_text("utf-8")
        assert [item["name"] for item in action["parameters"] if f'"{item["name"]}"' not in source] == []
