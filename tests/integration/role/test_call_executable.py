# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The smoke test of the role tells every executable apart that CloudStack could not work with."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.collection_tree import REPOSITORY
from tests.support.management_servers import USER

PROGRAM = (REPOSITORY / "roles/cloudstack_extension/files/call_executable.py").read_text("utf-8")
GOOD = 'echo \'{"status": "error"}\'; exit 1'


def call(tmp_path, script, **order):
    executable = tmp_path / "executable"
    executable.write_text(f"#!/bin/sh\n{script}\n")
    executable.chmod(0o755)
    order = {
        "executable": str(executable),
        "user": USER,
        "action": "smoke",
        "payload": None,
        "exit_code": 1,
        "wait": 5,
        **order,
    }
    return subprocess.run(
        [sys.executable, "-I", "-"],
        input=f"{PROGRAM}\nmain({json.dumps(json.dumps(order))})\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_good_answer_is_shown(tmp_path):
    completed = call(tmp_path, GOOD)
    assert (completed.returncode, json.loads(completed.stdout)) == (0, {"status": "error"})


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'a warning' >&2; " + GOOD, "one JSON document"),
        ("echo '{}'; " + GOOD, "one JSON document"),
        ("exit 1", "with: nothing"),
        ("echo '[]'; exit 1", "one JSON object"),
        ("echo '{}'", "exit code 0 instead of 1"),
        ("head -c 70000 /dev/zero | tr '\\0' ' '; " + GOOD, "did not end within"),
    ],
)
def test_a_bad_answer_is_told(tmp_path, script, words):
    completed = call(tmp_path, script, wait=1 if "70000" in script else 5)
    assert completed.returncode == 1
    assert words in completed.stderr
    assert completed.stdout == ""


def test_an_executable_that_cannot_be_run_is_told(tmp_path):
    completed = call(tmp_path, GOOD, executable=str(tmp_path / "missing"))
    assert f"cannot be run by {USER}" in completed.stderr


def test_the_payload_is_for_the_user_alone_and_does_not_stay(tmp_path):
    script = 'stat -c %a "$2" > "$0.mode"; echo "$2" > "$0.path"; cat "$2"'
    completed = call(tmp_path, script, payload={"secret": "s"}, exit_code=0)
    assert json.loads(completed.stdout) == {"secret": "s"}
    assert (tmp_path / "executable.mode").read_text().strip() == "600"
    path = (tmp_path / "executable.path").read_text().strip()
    assert path
    assert not tmp_path.joinpath(path).exists()
