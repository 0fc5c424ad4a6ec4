# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A terminal whose end PVE keeps to itself: the session ends, or follows, without a key being pressed."""

from __future__ import annotations

import time

import pytest

from tests.support.embedded_pve import running_embedded_pve
from tests.support.person import Person

# PVE counts a guest's uptime in seconds, and so a restart shows after two.
LOOK_SECONDS = 1.0
WATCHING = ("--read-only",)


def running_uptime(pve, vmid=110):
    """The guest has been running for an hour."""
    pve.call(lambda: setattr(pve.server.guest(vmid), "started_at", time.time() - 3600))


def halt(pve, vmid=110):
    pve.call(lambda: pve.server.halt_guest(pve.server.guest(vmid)))


@pytest.fixture
def watch(pve, sit):
    """Look at a console that shows something, and only look."""
    running_uptime(pve)

    def run(*arguments, **options):
        person = sit(*arguments, look_seconds=LOOK_SECONDS, **options).connected()
        person.expect(rb"serial0\r\n")
        return person

    return run


def test_a_guest_that_stops_ends_the_session(pve, watch):
    person = watch("term", *WATCHING)
    halt(pve)
    assert person.end() == 0
    assert b"guest 110 (term) is stopped, which has ended the session" in person.seen
    assert person.terminal_is_as_before
    assert pve.console(110).typed == b""
    # The line is free for the next one.
    assert [task["exitstatus"] for task in pve.tasks("vncproxy")] == ["OK"]


def test_a_guest_that_is_removed_ends_the_session(pve, watch):
    person = watch("term", *WATCHING)
    pve.remove_guest(110)
    assert person.end() == 5
    assert b"guest 110 (term) is gone" in person.seen


def test_a_guest_that_restarts_is_followed(pve, watch, tmp_path):
    log = tmp_path / "log"
    person = watch("term", *WATCHING, "--log", str(log))
    with pytest.raises(AssertionError, match="never shown"):
        person.expect(rb"never shown", 5.2)
    halt(pve)
    pve.call(lambda: pve.server.run_guest(pve.server.guest(110)))
    person.expect(rb"broke off \(guest 110 \(term\) was restarted\): opening it again")
    person.expect(rb"opened again, on node pve1")
    person.expect(rb"serial0\r\n")
    pve.console(110).write("after the restart\r\n")
    person.expect(rb"after the restart")
    assert person.leave() == 0
    assert b"after the restart" in log.read_bytes()


def test_a_guest_that_is_waited_for_is_followed_when_it_has_stopped(pve, watch):
    person = watch("term", *WATCHING, "--wait-running")
    with pytest.raises(AssertionError, match="never shown"):
        person.expect(rb"never shown", 5.2)
    halt(pve)
    person.expect(rb"is stopped: waiting until it runs")
    pve.call(lambda: pve.server.run_guest(pve.server.guest(110)))
    person.expect(rb"opened again, on node pve1")
    assert person.leave() == 0


def test_a_guest_that_moves_is_followed(tmp_path):
    with running_embedded_pve(nodes=("pve1", "pve2")) as pve:
        pve.add_guest(110, "term", status="running", storage="shared", config={"serial0": "socket"})
        running_uptime(pve)
        with Person(tmp_path, pve.environment, "term", *WATCHING, look_seconds=6.0) as person:
            person.connected().expect(rb"serial0\r\n")
            pve.move_guest(110, "pve2")
            person.expect(rb"broke off \(guest 110 \(term\) has moved to node pve2\): opening it again")
            person.expect(rb"opened again, on node pve2")
            assert person.leave() == 0


def test_a_guest_that_only_says_nothing_is_left_alone(pve, watch):
    person = watch("term", *WATCHING)
    before = len(pve.summary())
    with pytest.raises(AssertionError, match="never shown"):
        person.expect(rb"never shown", 3.5)
    looks = pve.summary()[before:]
    assert set(looks) == {"GET /nodes/pve1/qemu/110/status/current"}
    assert 2 <= len(looks) <= 4
    # It has run longer than the session, and so it was not restarted; and one that answers no look goes on.
    pve.fault("GET", "/status/current$", "status", status=500)
    pve.console(110).write("still here\r\n")
    person.expect(rb"still here")
    assert person.leave() == 0


def test_a_shell_of_a_node_that_is_left_ends_the_session(pve, sit, login):
    """Within five seconds, and with the patience that the command has as it comes."""
    person = sit("node/pve1", env=login()).connected()
    person.expect(rb"root@pve1:~# ")
    began = time.monotonic()
    person.type("exit\r")
    assert person.end() == 0
    assert time.monotonic() - began < 5
    assert b"the shell of node pve1 has ended" in person.seen


def test_a_shell_of_a_node_that_is_left_by_a_key_ends_the_session(pve, sit, login):
    person = sit("node/pve1", env=login()).connected()
    person.expect(rb"root@pve1:~# ")
    person.type("\x04")
    assert person.end() == 0
    assert b"the shell of node pve1 has ended" in person.seen


def test_the_words_of_an_end_do_not_end_a_shell(pve, sit, login):
    """Somebody is there, and gets nothing that he would notice."""
    person = sit("node/pve1", env=login()).connected()
    person.expect(rb"root@pve1:~# ")
    person.type("echo logout\r")
    person.expect(rb"\nlogout\r\nroot@pve1:~# ")
    with pytest.raises(AssertionError, match="never shown"):
        person.expect(rb"never shown", 1.5)
    assert pve.node_console("pve1").typed == b"echo logout\r"
    person.type("cat 4\r")
    person.expect(rb"cat 4\r\n")
    pve.node_console("pve1").write("logout\r\n")
    pve.node_console("pve1").wait_for_typed(b" \x7f")
    person.type("ab")
    person.expect(rb"4 bytes")
    assert person.leave() == 0


def test_a_node_gives_a_token_a_login_and_ends_with_its_shell(pve, sit):
    person = sit("node/pve1", "--wake").connected()
    person.expect(rb"login: ")
    assert b"the prompt of its own login" in person.seen
    person.type("root\r")
    person.expect(rb"Password: ")
    person.type(f"{pve.server.password}\r")
    person.expect(rb"# ")
    person.type("exit\r")
    assert person.end() == 0
    assert b"the shell of node pve1 has ended" in person.seen


def test_what_is_typed_too_soon_waits_for_the_terminal_of_the_guest(pve, sit):
    pve.knobs.console_terminal_seconds = 1.5
    person = sit("term", "--wake").connected()
    person.type("echo $one\r")
    # PVE's own terminal shows nothing of it.
    person.expect(rb"starting serial terminal on interface serial0\r\n")
    assert b"$one" not in person.seen
    person.expect(rb"\$one\r\n")
    assert person.leave() == 0
    assert pve.console(110).typed == b"\recho $one\r"
