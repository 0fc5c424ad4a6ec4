# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`pve-console --script`, with its exit codes, and nobody at the terminal."""

from __future__ import annotations

import json

import pytest

from tests.support.console_client import Terminal
from tests.support.embedded_pve.consoles.shell import Shell
from tests.support.person import run_console

PASSWORD = "s3cr'et \"$9\\"
LOGIN = {"user": "root", "password": {"env": "GUEST_PASSWORD"}}


@pytest.fixture
def command(pve, tmp_path):
    """Run a script on guest 110, or another target."""

    def run(script, target="110"):
        path = tmp_path / "script.json"
        path.write_text(json.dumps(script), encoding="utf-8")
        return run_console(tmp_path, {**pve.environment, "GUEST_PASSWORD": PASSWORD}, "--script", str(path), target)

    return run


def test_a_script_with_a_login(guest, command):
    guest("dash", "-i")
    steps = [{"run": "hostname >/dev/null; echo fine"}, {"run": "false", "unless": "true"}]
    done = command({"login": LOGIN, "secrets": ["fine"], "steps": steps})
    assert done.returncode == 0, done.stderr
    assert "step 1: run hostname >/dev/null; echo ********: ok" in done.stderr
    assert "step 2: run false: skipped" in done.stderr
    assert "guest login: root\nPassword: \n" in done.stdout
    assert "fine" not in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    nothing = command({"login": LOGIN, "unless": "true", "steps": steps})
    assert nothing.returncode == 0
    assert "nothing to do: unless holds" in nothing.stderr


@pytest.mark.parametrize(
    ("script", "target", "code", "words"),
    [
        ({"steps": [{"send": "hostname", "expect": "nobody", "timeout": 1}]}, "110", 124, "waiting for 'nobody'"),
        ({"steps": [{"run": "sleep 9", "timeout": 1}]}, "110", 124, "not within 1 s"),
        ({"steps": [{"send": "frob", "expect": "ok", "fail_on": "not found"}]}, "110", 1, "shows 'not found'"),
        ({"steps": [{"sent": "hostname"}]}, "110", 2, "steps[1] has sent, which is not known"),
        ({"steps": [{"send": "x"}]}, "web", 7, "guest 100 (web) has no serial line"),
        ({"steps": [{"send": "x"}]}, "nobody", 5, "there is no guest named 'nobody'"),
    ],
)
def test_scripts_that_fail(pve, command, script, target, code, words):
    pve.console(110).run(Shell())
    done = command(script, target)
    assert done.returncode == code, done.stderr
    assert words in done.stderr


def test_a_login_that_the_guest_refuses(guest, command):
    guest("dash", "-i", users={"root": "another"})
    done = command({"login": LOGIN, "steps": [{"run": "true"}]})
    assert done.returncode == 6, done.stderr
    assert "the guest refused the login of 'root'" in done.stderr
    assert "Login incorrect" in done.stdout


def test_a_line_in_use_and_one_that_is_silent(pve, command):
    pve.console(110).run(Shell())
    with Terminal(pve, "/nodes/pve1/qemu/110"):
        pve.console(110).wait_for_clients(1)
        done = command({"steps": [{"send": "x"}]})
        assert done.returncode == 8, done.stderr
        assert "serial0 of guest 110 (term) is in use" in done.stderr
    pve.console(110).wait_for_clients(0)

    async def silence(terminal):
        while True:
            await terminal.read()

    pve.console(110).run(silence)
    done = command({"steps": [{"expect": "login: ", "timeout": 1}]})
    assert done.returncode == 8, done.stderr
    assert "the console says nothing at all" in done.stderr
