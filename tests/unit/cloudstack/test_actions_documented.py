# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Code, role and documentation agree on the actions and their parameters."""

from __future__ import annotations

import re

import yaml

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.actions import (
    backup,
    disks,
    snapshots,
    storage,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.actions.placement import TARGET
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.parameters import STORAGE
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.registry import ACTIONS
from tests.support.collection_tree import REPOSITORY

GUIDE = (REPOSITORY / "docs" / "cloudstack-actions.md").read_text("utf-8")
VARIABLES = REPOSITORY / "roles" / "cloudstack_extension" / "vars" / "main.yml"
REGISTERED = yaml.safe_load(VARIABLES.read_text("utf-8"))["__cloudstack_extension_known_actions"]
ROWS = {line.split("|")[1].strip(" `"): line.split("|")[2] for line in GUIDE.splitlines() if line.startswith("| `")}


def test_each_action_is_there():
    assert {action.name for action in ACTIONS if re.match("[A-Z]", action.name)} == set(ROWS) == set(REGISTERED)
    assert all(f"`{action.name}`" in GUIDE or f"\n## {action.name}\n" in GUIDE for action in ACTIONS)


def test_each_can_be_loaded():
    assert all(callable(action.load()) for action in ACTIONS)


def test_the_parameters_are_those_that_the_role_registers():
    for name, cell in ROWS.items():
        documented = {(found[2], found[3], not found[1]) for found in re.finditer(r"(\[?)`(\w+)` ([A-Z]+)", cell)}
        registered = {(item["name"], item["type"], item["required"]) for item in REGISTERED[name]["parameters"]}
        assert documented == registered, name


def test_they_are_those_that_the_code_reads():
    read = {snapshots.NAME.name, snapshots.DESCRIPTION, snapshots.SAVE_MEMORY.name}
    read |= {storage.DISK.name, storage.SIZE.name, storage.ISO.name, TARGET.name}
    read |= {STORAGE.name, backup.MODE.name, backup.COMPRESS.name, backup.NOTES, backup.PROTECTED.name}
    read |= {disks.KEPT.name, disks.DELETE.name}
    assert read == {item["name"] for action in REGISTERED.values() for item in action["parameters"]}
