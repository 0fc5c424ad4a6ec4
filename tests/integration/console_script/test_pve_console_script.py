# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module pve_console_script, as a process and in a play."""

from __future__ import annotations

import json

import pytest

PASSWORD = "s3cr'et \"$9\\"
LOGIN = {"user": "root", "password": PASSWORD, "timeout": 15}
OPENED = "POST /nodes/pve1/qemu/110/termproxy"
ADDRESS = "ip -4 address show dev eth0 | grep -q 'inet 192.0.2.10/24'"
DASH, BASH = ("dash", "-i"), ("bash", "--norc", "--noprofile", "-i")


@pytest.fixture
def script(run_module):
    """Run the module on guest 110."""

    def run(*steps, check=False, **options):
        return run_module("pve_console_script", {"vmid": 110, **options, "steps": steps}, check=check)

    return run


def test_an_address_is_set_once(guest, script, pve):
    there = guest(*DASH)
    steps = [{"run": "ip address replace 192.0.2.10/24 dev eth0"}, {"run": "ip route replace default via 192.0.2.1"}]
    options = {"login": LOGIN, "unless": ADDRESS}
    foreseen = script(*steps, **options, check=True)
    assert foreseen.changed
    assert foreseen["steps"] == [f"run {step['run']}" for step in steps]
    assert "no session was opened" in foreseen.warnings[0]
    assert OPENED not in pve.summary()
    first = script(*steps, **options)
    assert first.changed, first.msg
    assert first["steps"] == foreseen["steps"]
    assert [answer["rc"] for answer in first["answers"]] == [0, 0]
    assert (there.root / "addresses").read_text("ascii").split() == ["inet", "192.0.2.10/24", "scope", "global", "eth0"]
    assert pve.console(110).typed.endswith(b"exit\r")
    again = script(*steps, **options)
    assert not again.failed
    assert not again.changed
    assert again["skipped_by_unless"]
    assert again["answers"] == again["steps"] == []
    assert there.logins == [("root", PASSWORD)] * 2
    assert "login: " in again["transcript"].splitlines()[-1]


def test_a_command_that_fails_ends_the_script(guest, script, pve):
    guest(*DASH)
    result = script({"run": "echo fine"}, {"run": "ip tunnel"}, {"run": "echo never"}, login=LOGIN)
    assert result.failed
    assert "step 2 (run ip tunnel) on the console of guest 110 (term) failed: it ended with status 2" in result.msg
    assert "ip: tunnel is not known" in result.msg
    assert result["error"]["kind"] == "script"
    assert (result["error"]["reason"], result["error"]["step"]) == ("status", 2)
    assert result.changed
    assert result["steps"] == ["run echo fine", "run ip tunnel"]
    assert b"never" not in pve.console(110).typed
    assert pve.console(110).typed.endswith(b"exit\r")
    assert pve.console(110).clients == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"vmid": 100}, "guest 100 (web) is stopped, so it has no console"),
        ({"vmid": 101}, "guest 101 (db) has no serial line"),
        ({"vmid": 110, "serial": "serial1"}, "has no serial line serial1"),
        ({"vmid": 110, "name": "web"}, "is named 'term', not 'web'"),
        ({}, "say whose console is meant"),
    ],
)
def test_consoles_that_are_not_there_are_refused_in_check_mode_already(pve, run_module, arguments, words):
    result = run_module("pve_console_script", {**arguments, "steps": [{"run": "true"}]}, check=True)
    assert result.failed
    assert words in result.msg
    assert not [line for line in pve.summary() if "termproxy" in line]


# ---- secrets


@pytest.mark.smoke
def test_no_secret_is_seen_anywhere_however_much_is_told(guest, play, pve):
    guest(*BASH)
    tasks = [
        {
            "name": "Set a password",
            "cloudbridge.proxmox.pve_console_script": {
                "vmid": 110,
                "login": LOGIN,
                "secrets": [f"{PASSWORD}-new"],
                "steps": [
                    {"run": "echo root:{{ new | quote }} > shadow"},
                    {"run": "cat shadow"},
                    {"send_secret": "typed-and-echoed", "expect": "not found"},
                    {"run": "echo " + "x" * 60 + " {{ new | quote }} {{ new | quote }}; false"},
                ],
            },
            "vars": {"new": f"{PASSWORD}-new"},
            "register": "result",
            "ignore_errors": True,
        },
        {"name": "Show it", "ansible.builtin.debug": {"var": "result"}},
    ]
    # As an answer of Ansible is JSON, and as a shell is told.
    result = play(json.dumps(tasks), "-vvv", env={"ANSIBLE_INJECT_INVOCATION": "true"})
    told = result.stdout + result.stderr
    assert "********" in told
    failed = result.task("Set a password")
    assert "step 4" in told
    assert failed is not None
    for secret in (PASSWORD, "s3cr", "typed-and-echoed"):
        for spelling in (secret, json.dumps(secret)[1:-1], json.dumps(json.dumps(secret)[1:-1])[1:-1]):
            assert spelling not in told, spelling
