# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What docs/design.md says to a contributor is true: an option is a row."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.support.collection_tree import REPOSITORY
from tests.support.modules import PACKAGE, ModuleResult, module_input, parse_result
from tests.support.processes import child_environment

SETTINGS = "plugins/module_utils/_operations/vm/settings.py"
TABLE = "SETTINGS: tuple[Setting, ...] = (\n"
ROW = '    Setting("cpuunits", _INTEGER, bounds=(1, 262144)),\n'


@pytest.fixture
def with_row(tmp_path, pve):
    """Run pve_vm of a copy of the collection that has one option more."""
    copy = tmp_path / "collections/ansible_collections/cloudbridge/proxmox"
    shutil.copytree(REPOSITORY / "plugins", copy / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    text = (copy / SETTINGS).read_text(encoding="utf-8")
    (copy / SETTINGS).write_text(text.replace(TABLE, TABLE + ROW), encoding="utf-8")

    def run(check: bool = False, **arguments):
        path = {"PYTHONPATH": str(tmp_path / "collections")}
        # Modules of the checkout run in processes that have imported it.
        done = subprocess.run(
            [sys.executable, "-m", f"{PACKAGE}.pve_vm"],
            input=module_input({"vmid": 101, **arguments}, check, diff=True),
            env=child_environment(tmp_path, pve.environment, path),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        return ModuleResult(parse_result(done.stdout), done.stdout, "", done.returncode)

    return run


def test_an_option_of_a_virtual_machine_is_one_row(pve, run_module, with_row):
    assert "Unsupported parameters" in run_module("pve_vm", {"vmid": 101, "cpuunits": 512}).msg
    check, run, again = with_row(True, cpuunits=512), with_row(cpuunits=512), with_row(cpuunits=512)
    assert (check.failed, run.failed, again.failed) == (False, False, False), (check.msg, run.msg, again.msg)
    assert (check.changed, run.changed, again.changed) == (True, True, False)
    assert check.diff == run.diff == {"before": {}, "after": {"cpuunits": "512"}}
    assert pve.config(101)["cpuunits"] == 512
    assert with_row(cpuunits=0).msg == "cpuunits must be from 1 to 262144, not 0"
    assert with_row(remove=["cpuunits"]).changed
    assert "cpuunits" not in pve.config(101)
