# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples in the documentation work as they stand, one after the other."""

from __future__ import annotations

import pytest
import yaml

from tests.support.collection_tree import REPOSITORY


def examples(module):
    source = (REPOSITORY / "plugins" / "modules" / f"{module}.py").read_text("utf-8")
    return source.partition('EXAMPLES = r"""\n')[2].partition('"""')[0]


@pytest.mark.parametrize("module", ["pve_snapshot", "pve_snapshot_info", "pve_vm_info", "pve_task_info"])
def test_examples_run(play, module):
    result = play(examples(module))
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(yaml.safe_load(examples(module))) >= 2
