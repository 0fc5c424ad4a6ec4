# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scripts on the consoles of guests in which a real shell runs, and on others that do not answer as they should."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.console import sessions
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._terminal import watch
from tests.support.api_client import ApiClient
from tests.support.console_client import Terminal
from tests.support.embedded_pve.consoles.shell import Shell
from tests.support.real_shell import RealShell

PASSWORD = "s3cr'et \"$9\\"
LOGIN = {"user": "root", "password": PASSWORD, "timeout": 15}
DASH, BASH = ("dash", "-i"), ("bash", "--norc", "--noprofile", "-i")


def tail(pve, text="exit\r"):
    """Whether that was typed last."""
    return pve.console(110).typed.endswith(text.encode())


def test_a_step_is_skipped_when_it_is_not_needed_and_looks_are_no_changes(guest, script):
    there = guest(*DASH)
    steps = [
        {"run": "systemctl enable --now qemu-guest-agent", "unless": "systemctl is-active --quiet qemu-guest-agent"},
        {"name": "Look", "run": "printf 'Größe %s\\n' 5; echo done", "changes": False},
    ]
    first = script(*steps, login=LOGIN)
    assert first.changed, first.msg
    assert first["steps"] == ["run systemctl enable --now qemu-guest-agent"]
    assert (there.root / "unit-qemu-guest-agent").exists()
    again = script(*steps, login=LOGIN)
    assert not again.changed
    assert [answer["skipped"] for answer in again["answers"]] == [True, False]
    assert again["answers"][1]["name"] == "Look"
    assert again["answers"][1]["output"] == "Größe 5\ndone\n"


def test_commands_of_every_spelling(guest, script):
    guest(*BASH)
    commands = [
        ("echo one # a comment", "one\n"),
        ("sleep 0 &", None),
        ('for word in a b\ndo echo "$word!"\ndone', "a!\nb!\n"),
        ("echo 'it'\"'\"'s'", "it's\n"),
        ("printf no-newline", "no-newline"),
        ("echo " + "x" * 3000, "x" * 3000 + "\n"),
        ("variable=kept", ""),
        ("echo $variable", "kept\n"),
    ]
    result = script(*({"run": command} for command, dummy in commands), login=LOGIN)
    assert not result.failed, result.msg
    for answer, (command, output) in zip(result["answers"], commands, strict=True):
        assert output is None or answer["output"] == output, command


# ---- dialogues


def test_a_dialogue_whatever_the_pieces_it_comes_in(guest, script, pve):
    guest(*BASH)
    usual, pve.knobs.console_frame_bytes = pve.knobs.console_frame_bytes, 1
    try:
        result = script(
            {"expect": r"login: \Z", "changes": False},
            {"send": "root", "expect": r"Password: \Z"},
            {"send_secret": PASSWORD, "expect": r"# \Z", "fail_on": "incorrect"},
            {"send": "printf 'Größe: %s 日本\\n' $((6*7))", "expect": r"^Größe: (?P<size>\d+) (\w+)$"},
            {"send": "read -s -p 'Wo''rd: ' word", "expect": r"Word: \Z"},
            {"send_secret": "hidden"},
            {"send": "exit", "expect": r"login: \Z"},
        )
    finally:
        pve.knobs.console_frame_bytes = usual
    assert not result.failed, result.msg
    assert result["matches"] == {"size": "42"}
    assert result["answers"][3]["groups"] == ["42", "日本"]
    assert result["steps"][1] == "send a secret"
    assert pve.console(110).violations == []


def test_requests_for_the_cursor_are_not_answered(script, pve):
    pve.console(110).run(Shell(cursor_request=True))
    before = len(pve.console(110).typed)
    result = script({"send": "hostname", "expect": r"^guest$"}, {"expect": r"# \Z", "changes": False})
    assert not result.failed, result.msg
    assert b"\x1b" not in pve.console(110).typed[before:]
    assert "\x1b" not in result["transcript"]
    assert result["transcript"].endswith("~ # ")


def test_what_does_not_come_is_not_waited_for_beyond_the_time(script, pve):
    pve.console(110).run(Shell())
    result = script({"send": "hostname", "expect": "^nobody$", "timeout": 1})
    assert result.failed
    assert "step 1 (send 'hostname') on the console of guest 110 (term) failed, waiting for '^nobody$'" in result.msg
    assert "not within 1 s; the console shows '~ #" in result.msg
    assert result["error"]["reason"] == "timeout"
    assert "guest" in result["error"]["screen"]
    assert result["error"]["screen"][-1].startswith("~ #")
    whole = script({"send": "hostname", "expect": "^nobody$"}, timeout=2)
    assert "the time of 2 s was over" in whole.msg


def test_what_must_not_come_fails_at_once(script, pve):
    pve.console(110).run(Shell())
    result = script({"send": "frobnicate", "expect": "^ok$", "fail_on": "not found"})
    assert result["error"]["reason"] == "pattern"
    assert "the console shows 'not found'" in result.msg


# ---- logins


def test_a_wrong_password(guest, script):
    there = guest(*DASH)
    result = script({"run": "true"}, login={**LOGIN, "password": "gu'ess"})
    assert result.failed
    assert "the guest refused the login of 'root': check the user and the password" in result.msg
    assert (result["error"]["reason"], result["error"]["step"]) == ("login", 0)
    assert there.logins == [("root", "gu'ess")]
    assert "gu'ess" not in str(result)
    assert not result.changed


def test_a_console_that_asks_for_a_login_and_nobody_has_one(guest, script, pve):
    guest(*DASH)
    before = len(pve.console(110).typed)
    result = script({"run": "echo hidden-command"})
    assert "the console asks for a login: give login" in result.msg
    assert pve.console(110).typed[before:].strip(b"\r") == b""


def test_a_shell_that_is_open_is_used_when_it_is_the_same_users_and_stays_open(guest, script, pve):
    there = guest(*DASH)
    script({"run": "true"}, login=LOGIN, logout=False)
    result = script({"run": "echo again"}, login=LOGIN)
    assert result["answers"][0]["output"] == "again\n"
    assert there.logins == [("root", PASSWORD)]
    assert not tail(pve)
    (there.root / "user").write_text("operator\n", encoding="ascii")
    other = script({"run": "echo never-run"}, login=LOGIN)
    assert "the console has a shell of 'operator' open, not of 'root': end that session first" in other.msg
    assert b"never-run" not in pve.console(110).typed


def test_a_container_has_a_shell_without_a_login(pve, script):
    pve.add_container(210, "ct-shell", status="running")
    with RealShell(None, *DASH) as shell:
        pve.console(210).run(shell)
        result = script({"run": "pwd"}, vmid=210)
        assert not result.failed, result.msg
        assert result["answers"][0]["output"] == f"{shell.root}\n"
    pve.remove_guest(210)


# ---- consoles that are in no state for it


def test_a_line_in_use_is_left_alone(script, pve):
    with Terminal(pve, "/nodes/pve1/qemu/110") as other:
        other.type("\r")
        other.read_until("# ")
        before = len(pve.console(110).typed)
        result = script({"run": "echo never"})
        assert result["error"]["kind"] == "locked"
        assert "serial0 of guest 110 (term) is in use by " in result.msg
        assert len(pve.console(110).typed) == before
    pve.console(110).wait_for_clients(0)


def test_a_console_that_says_nothing(script, pve):
    async def silence(terminal):
        while True:
            await terminal.read()

    pve.console(110).run(silence)
    result = script({"expect": "login: ", "timeout": 1})
    assert result["error"]["reason"] == "silent"
    assert "the console says nothing at all: it may be in use elsewhere, or nothing in the guest uses it" in result.msg


def test_a_guest_that_restarts_in_the_middle_of_a_command(guest, script, pve):
    guest(*DASH)
    result = script({"run": "kill -9 $$"}, login=LOGIN)
    assert result["error"]["reason"] == "login"
    assert "there is no shell any more, but a login prompt" in result.msg


def test_a_session_that_ends_in_the_middle(script, pve):
    pve.console(110).run(Shell())
    timer = threading.Timer(0, lambda: (pve.console(110).wait_for_typed("sleep 60\r"), end_sessions_of(pve)))
    timer.start()
    result = script({"send": "sleep 60", "expect": "never"})
    timer.join()
    assert result["error"]["reason"] == "ended"
    assert "failed, waiting for 'never': PVE ended the session" in result.msg


def end_sessions_of(pve):
    """As somebody with --force does."""
    api = ApiClient(pve)
    for task in pve.tasks("vncproxy"):
        api.data("DELETE", f"/nodes/pve1/tasks/{task['upid']}")


# ---- what PVE keeps to itself


def test_a_guest_that_stops_ends_the_script(script, pve, monkeypatch):
    monkeypatch.setattr(watch, "LOOK_SECONDS", (0.3,))
    pve.add_guest(120, "stops", status="running", config={"serial0": "socket"})
    stop = threading.Timer(
        0,
        lambda: (pve.console(120).wait_for_typed("sleep 60\r"), pve.call(lambda: pve.server.halt_guest(guest_of(pve)))),
    )
    stop.start()
    result = script({"send": "sleep 60", "expect": "never", "timeout": 30}, vmid=120)
    stop.join()
    pve.remove_guest(120)
    assert result["error"]["reason"] == "ended"
    assert "failed, waiting for 'never': guest 120 (stops) is stopped; the console shows" in result.msg


def guest_of(pve, vmid=120):
    return pve.server.guest(vmid)


@pytest.fixture
def late(pve):
    """PVE's own terminal takes its time to start."""
    pve.knobs.console_terminal_seconds = 0.8
    yield
    pve.knobs.console_terminal_seconds = 0.0


def test_a_line_that_somebody_else_holds_is_told_from_a_time_out(script, pve, late):
    """The one who asks must not see the other's task, and so finds out on the line."""
    pve.add_guest(121, "two", status="running", config={"serial0": "socket", "serial1": "socket"})
    with Terminal(pve, "/nodes/pve1/qemu/121") as other:
        other.read_until("serial0\r\n")
        result = script({"run": "true", "timeout": 2}, vmid=121, step_timeout=2)
    pve.console(121).wait_for_clients(0)
    pve.remove_guest(121)
    assert result["error"]["reason"] == "silent"
    assert "the console says nothing at all; another session may have the serial line in use, that of " in result.msg
    assert "not within 10 s" in result.msg
    # Nothing was typed before the terminal had started, which would have shown it.
    assert result["error"]["transcript"].startswith("starting serial terminal on interface serial0\n")


def test_a_guest_that_is_paused_is_told_from_a_time_out(script, pve, late):
    async def silence(terminal):
        while True:
            await terminal.read()

    pve.console(110).run(silence)
    pve.call(lambda: setattr(pve.server.guest(110), "qmpstatus", "paused"))
    try:
        result = script({"expect": "login: ", "timeout": 1})
    finally:
        pve.call(lambda: setattr(pve.server.guest(110), "qmpstatus", "running"))
    assert result["error"]["reason"] == "silent"
    assert "says nothing at all; guest 110 (term) is paused, and shows nothing until it is resumed" in result.msg


def test_a_guest_that_was_paused_in_the_middle(script, pve):
    pve.console(110).run(Shell())
    timer = threading.Timer(
        0,
        lambda: (
            pve.console(110).wait_for_typed("sleep 61\r"),
            pve.call(lambda: setattr(pve.server.guest(110), "qmpstatus", "paused")),
        ),
    )
    timer.start()
    try:
        result = script({"send": "sleep 61", "expect": "never", "timeout": 2})
        timer.join()
    finally:
        pve.call(lambda: setattr(pve.server.guest(110), "qmpstatus", "running"))
    assert result["error"]["reason"] == "timeout"
    assert "guest 110 (term) is paused, and shows nothing until it is resumed" in result.msg


def test_a_session_from_before_the_start_of_the_guest_holds_no_line(script, pve, monkeypatch):
    monkeypatch.setattr(sessions, "CLOCK_SLACK_SECONDS", 0)
    pve.add_guest(122, "again", status="running", config={"serial0": "socket"})
    with Terminal(pve, "/nodes/pve1/qemu/122") as forgotten:
        forgotten.read_until("serial0\r\n")
        pve.call(lambda: pve.server.halt_guest(guest_of(pve, 122)))
        # In seconds, as PVE counts.
        time.sleep(2.1)
        pve.call(lambda: pve.server.run_guest(guest_of(pve, 122)))
        time.sleep(1.1)
        result = script({"send": "echo free", "expect": "^free$"}, vmid=122)
        assert not result.failed, result.msg
        assert ApiClient(pve).status_of(forgotten.answer["upid"])["status"] == "running"
    pve.console(122).wait_for_clients(0)
    pve.remove_guest(122)


def test_a_login_works_where_the_terminal_starts_late(guest, script, pve, late):
    guest(*DASH)
    result = script({"run": "echo done"}, login=LOGIN)
    assert result["answers"][0]["output"] == "done\n", result.msg
    assert result["transcript"].startswith("starting serial terminal")


def test_the_message_names_the_whole_time(script, pve):
    async def chatters(terminal):
        while True:
            await terminal.write("not yet\r\n")
            await asyncio.sleep(0.3)

    pve.console(110).run(chatters)
    try:
        result = script({"run": "true"}, login={**LOGIN, "timeout": 2})
        assert "not within 2 s" in result.msg
        result = script({"send": "x", "expect": "nobody", "timeout": 1.5})
        assert "not within 1.5 s" in result.msg
    finally:
        pve.console(110).run(Shell())
