# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo does what it says, says so when it does not, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.demo import __main__ as demo
from tests.demo.acts import ACTS, Act, playbook
from tests.demo.cloudstack import call
from tests.demo.cloudstack_acts import CLOUDSTACK_ACTS
from tests.support.collection_tree import REPOSITORY
from tests.support.processes import child_environment

LONGEST_SECONDS = 240  # three quarters of a minute on a machine that has nothing else to do


@contextlib.contextmanager
def started(tmp_path, *arguments):
    """The demo as a process; it is ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.demo", *arguments],
        cwd=REPOSITORY,
        env=child_environment(tmp_path, {"TMPDIR": str(tmp_path)}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def left_behind(tmp_path):
    """Processes that the demo started, told by the TMPDIR that only they have, and files."""
    mark = f"TMPDIR={tmp_path}".encode()
    found = list(tmp_path.glob("cloudbridge-demo-*"))
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in environ.read_bytes().split(b"\0"):
                found.append(environ)
        except OSError:  # it has ended, or is not ours
            continue
    return found


@pytest.mark.timeout(LONGEST_SECONDS + 60)
def test_every_act_does_what_it_says(tmp_path):
    began = time.monotonic()
    with started(tmp_path) as process:
        output, _nothing = process.communicate(timeout=LONGEST_SECONDS)
    assert process.returncode == 0, output
    assert time.monotonic() - began < LONGEST_SECONDS
    assert f"All {len(ACTS) + len(CLOUDSTACK_ACTS)} acts did what they say" in output
    for number, act in enumerate((*ACTS, *CLOUDSTACK_ACTS), 1):
        assert f"\n{number}. {act.title}\n" in output
    assert "      NO " not in output
    assert '"secret"' not in output
    assert "\033" not in output
    assert "PROXMOX_HOST" in output.rpartition("All ")[2]
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "part", "moment"),
    [
        (signal.SIGINT, "ansible", "TASK [Clone and configure]"),
        (signal.SIGTERM, "cloudstack", "create_template.json"),
    ],
)
def test_interrupted_demo_leaves_nothing_behind(tmp_path, number, part, moment):
    with started(tmp_path, "--part", part) as process:
        seen = ""
        while moment not in seen:
            line = process.stdout.readline()
            assert line, seen
            seen += line
        process.send_signal(number)
        output, _nothing = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert "what was started is stopped" in output
    assert left_behind(tmp_path) == []


def test_act_that_does_not_do_what_it_says_fails_the_demo(capsys):
    def claims(scene):
        yield "there is a guest that nobody has made", "app1" in scene.after.guests

    act = Act("A promise", "It is not kept.", playbook("snapshot", vm_name="debian-template"), claims)
    second = Act("Another promise", "It is not kept either.", call("status"), claims)
    assert demo.tour([demo.Part("promises", "Promises.", (act, second))], None, staying=False) == 1
    printed = capsys.readouterr().out
    assert printed.count("NO   there is a guest that nobody has made") == 2
    assert "These acts did not do what they say: A promise; Another promise" in printed


def test_demo_can_stay_for_tries_by_hand(tmp_path):
    with started(tmp_path, "--acts", "0", "--stay") as process:
        settings = {}
        while "ANSIBLE_COLLECTIONS_PATH" not in settings:
            line = process.stdout.readline()
            assert line, settings
            if line.strip().startswith("export ") and not line.strip().endswith("..."):
                name, _equals, value = line.strip().removeprefix("export ").partition("=")
                settings[name] = value
        look = [Path(sys.executable).parent / "ansible", "localhost", "-m", "cloudbridge.proxmox.pve_vm_info"]
        environment = child_environment(tmp_path, settings)
        done = subprocess.run(look, env=environment, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "debian-template" in done.stdout
    assert process.returncode == 130
    assert left_behind(tmp_path) == []
