# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The harness itself: modules and playbooks as processes, the tree of links, the server in its own process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import modules, playbooks
from tests.support.collection_tree import REPOSITORY, link_collection
from tests.support.embedded_pve import running_embedded_pve

THROWAWAY = """
import os
from ansible.module_utils.basic import AnsibleModule, env_fallback
def main():
    module = AnsibleModule(argument_spec=dict(
        name=dict(type="str", required=True),
        api_host=dict(type="str", fallback=(env_fallback, ["PROXMOX_HOST"])),
    ), supports_check_mode=True)
    if module.params["name"] == "boom":
        module.fail_json(msg="it went boom")
    module.exit_json(changed=True, check=module.check_mode, diff={"before": "a", "after": "b"} if module._diff else {},
                     host=module.params["api_host"], environment=sorted(os.environ))
main()
"""


@pytest.fixture
def throwaway(tmp_path):
    (tmp_path / "throwaway").mkdir()
    (tmp_path / "throwaway" / "try_me.py").write_text(THROWAWAY)

    def run(**options):
        arguments = options.pop("arguments")
        paths = {"PYTHONPATH": str(tmp_path), "PROXMOX_HOST": "192.0.2.1"}
        return modules.run_module("try_me", arguments, home=tmp_path, connection=paths, package="throwaway", **options)

    return run


def test_a_module_runs_as_a_process(throwaway):
    result = throwaway(arguments={"name": "x"})
    assert (result.changed, result.failed, result.returncode) == (True, False, 0)
    assert result["host"] == "192.0.2.1"
    assert result["check"] is False
    assert {name for name in result["environment"] if name.startswith("ANSIBLE")} == set()


def test_check_mode_and_diff_reach_the_module(throwaway):
    result = throwaway(arguments={"name": "x", "api_host": "given"}, check=True, diff=True)
    assert result["check"] is True
    assert result.diff == {"before": "a", "after": "b"}
    assert result["host"] == "given"


def test_a_failing_module_says_so(throwaway):
    result = throwaway(arguments={"name": "boom"})
    assert (result.failed, result.msg) == (True, "it went boom")


def test_a_play_reports_each_task(tmp_path):
    result = playbooks.play(
        """
        - name: First
          ansible.builtin.copy:
            dest: "{{ where }}"
            content: hello
            mode: "0600"
        - name: Second
          ansible.builtin.debug:
            msg: "{{ lookup('ansible.builtin.env', 'PROXMOX_HOST') }}"
        - name: Third
          ansible.builtin.fail:
            msg: on purpose
          ignore_errors: true
        """,
        home=tmp_path,
        connection={"PROXMOX_HOST": "192.0.2.7"},
        extra_vars={"where": str(tmp_path / "out.txt")},
        diff=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.changed == [True, False, False]
    assert result.task("First").diff
    assert result.task("Second").msg == "192.0.2.7"
    assert result.task("Third").outcome == "ignored"


def test_the_tree_never_links_the_repository_itself():
    tree = link_collection() / "ansible_collections" / "cloudbridge" / "proxmox"
    links = {path.name: path.resolve() for path in tree.iterdir()}
    assert links["plugins"] == REPOSITORY / "plugins"
    assert REPOSITORY not in links.values()


def test_own_process_writes_its_state_and_stops(tmp_path):
    state_file = tmp_path / "state.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.embedded_pve", "--state-file", str(state_file), "--nodes", "a,b"],
        cwd=REPOSITORY,
    )
    try:
        deadline = time.monotonic() + 20
        while not state_file.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        state = json.loads(state_file.read_text())
        assert Path(state["cafile"]).exists()
        assert state["environment"]["PROXMOX_PORT"] == str(state["port"])
        assert oct(state_file.stat().st_mode & 0o777) == "0o600"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert not Path(state["cafile"]).exists()


def test_starting_one_is_cheap():
    with running_embedded_pve():
        began = time.perf_counter()
        with running_embedded_pve():
            assert time.perf_counter() - began < 0.5


def test_unknown_knobs_and_faults_are_refused(pve):
    with pytest.raises(TypeError, match="unknown knobs: frob"), running_embedded_pve(frob=1):
        pass
    with pytest.raises(ValueError, match="unknown fault"):
        pve.fault("GET", ".", "explode")
