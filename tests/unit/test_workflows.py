# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The workflows on GitHub run what contributors run. That they are well formed is for actionlint to see."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml

from tests.support.collection_tree import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_make_targets(path):
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    commands = [shlex.split(step["run"]) for job in jobs for step in job["steps"] if "run" in step]
    made = [command for command in commands if command[0] == "make"]
    assert made
    assert {word for command in made for word in command[1:] if "=" not in word} <= TARGETS
    # To publish what was made is for GitHub alone.
    assert [command for command in commands if command not in made and command[:3] != ["gh", "release", "create"]] == []
