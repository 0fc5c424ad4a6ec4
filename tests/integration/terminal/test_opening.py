# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose terminal pve-console opens, and what it says when it does not."""

from __future__ import annotations

import pytest

from tests.support.person import Person


def refusal(person: Person) -> tuple[int, str]:
    """The exit code and the sentence."""
    code = person.end()
    (line,) = [line for line in person.seen.decode().splitlines() if line.startswith("[pve-console] ")]
    assert person.terminal_is_as_before
    return code, line.removeprefix("[pve-console] ")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "say whose console is meant"),
        (("term", "--node", "pve1"), 2, "say whose console is meant"),
        (("term", "--escape", "^M"), 2, "Enter"),
        (("term", "--escape", "x"), 2, "no control key"),
        (("term", "--log", "/nowhere/log"), 2, "/nowhere/log: No such file"),
        (("nobody",), 5, "there is no guest named 'nobody'"),
        (("999",), 5, "there is no guest 999"),
        (("node/pve9",), 5, "there is no node 'pve9'"),
        (("web",), 7, "guest 100 (web) is stopped"),
        (("db",), 7, "no serial line"),
        (("term", "--serial", "serial1"), 7, "it has serial0"),
        (("ct", "--serial", "serial0"), 7, "serial is for virtual machines"),
    ],
)
def test_what_cannot_be_opened(pve, sit, arguments, code, words):
    pve.guest(100).config["serial0"] = "socket"
    pve.guest(101).config.pop("serial0", None)
    found, sentence = refusal(sit(*arguments))
    assert found == code
    assert words in sentence
    assert [line for line in pve.summary() if not line.startswith("GET ")] == []


def test_a_stopped_guest_is_started_and_its_first_words_are_seen(pve, sit):
    pve.guest(100).config["serial0"] = "socket"
    person = sit("web", "--start", "--wake").connected()
    person.expect(rb"~ # ")
    assert person.leave() == 0
    assert b"guest 100 (web) is stopped: starting it" in person.seen
    assert pve.status(100) == "running"


def test_a_guest_is_waited_for(pve, sit):
    pve.guest(100).config["serial0"] = "socket"
    person = sit("web", "--wait-running", "--wake")
    person.expect(rb"is stopped: waiting until it runs")
    pve.call(lambda: setattr(pve.server.guest(100), "status", "running"))
    person.connected().expect(rb"~ # ")
    assert person.leave() == 0


def test_a_line_that_another_session_has_is_told_and_can_be_taken(pve, sit):
    first = sit("term", "--wake", "--no-reconnect").connected()
    first.expect(rb"~ # ")
    code, sentence = refusal(sit("term"))
    assert code == 8
    assert "serial0 of guest 110 (term) is in use by root@pam!" in sentence
    assert "--force" in sentence
    second = sit("term", "--force", "--wake").connected()
    second.expect(rb"~ # ")
    assert b"ended another session" in second.seen
    assert first.end() == 4
    assert second.leave() == 0


def test_another_line_of_the_same_machine_is_opened_with_a_warning(pve, sit):
    pve.guest(110).config["serial1"] = "socket"
    first = sit("term", "--wake").connected()
    first.expect(rb"~ # ")
    second = sit("term", "--serial", "serial1", "--wake").connected()
    second.expect(rb"~ # ")
    assert b"if nothing is shown, serial1 is in use there" in second.seen
    assert (first.leave(), second.leave()) == (0, 0)


def test_a_container_tells_how_it_is_left_and_shares_its_console(pve, sit):
    pve.call(lambda: setattr(pve.server.guest(200), "status", "running"))
    people = [sit("ct", "--wake").connected() for _number in range(2)]
    for person in people:
        person.expect(rb"login: ")
    assert b"Ctrl-\\ detaches" in people[0].seen
    people[0].type("\x1c")
    assert people[0].end() == 0
    assert b"detached from guest 200 (ct)" in people[0].seen
    assert people[1].leave() == 0


def test_a_session_that_ends_at_once_is_not_opened_again(pve, sit):
    person = sit("term", "--wake").connected()
    person.expect(rb"~ # ")
    pve.console(110).close()
    # Until something is typed, PVE does not say that it is over.
    person.type("\r")
    assert person.end() == 4
    assert b"look at what it said" in person.seen
    assert pve.console(110).sessions == 1
