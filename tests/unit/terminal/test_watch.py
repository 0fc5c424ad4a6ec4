# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a silent session is looked at, and which last words of a shell are its end."""

from __future__ import annotations

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.console.target import ConsoleTarget
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.deadline import Deadline
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import Unreachable
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import Guest, GuestHandle
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._terminal.watch import Watch

UPID = "UPID:pve1:00000001:00000001:6B000000:vncshell::root@pam:"


class Client:
    """Answers what the test says, and nothing else."""

    identity = "root@pam"

    def __init__(self, answers):
        self.deadline = Deadline(0)
        self.answers = answers
        self.asked = []

    def read(self, *path, **_query):
        self.asked.append(path)
        answer = self.answers.get(path[-1])
        if answer is None:
            raise Unreachable("nobody answers")
        return answer() if callable(answer) else answer


class Seat:
    """A session, and the clock on the wall."""

    def __init__(self, kind="qemu", read_only=False, **answers):
        self.now = 1000.0
        self.client = Client(answers)
        handle = None if kind == "node" else GuestHandle(self.client, Guest(100, "pve1", kind, "web"))
        self.watch = Watch(ConsoleTarget(self.client, "pve1", handle), UPID, read_only, lambda: self.now)

    def wait(self, seconds):
        """Do what is due meanwhile; returns what was found, and when."""
        end = self.now + seconds
        while self.now + self.watch.due <= end:
            self.now += self.watch.due
            why = self.watch.over()
            if why or self.watch.probe:
                return why or self.watch.probe, self.now
        self.now = end
        return "", self.now


@pytest.mark.parametrize("silent_before", [0, 5, 12, 26, 60, 3600])
def test_the_end_of_a_guest_is_seen_within_half_a_minute(silent_before):
    seat = Seat(current={"status": "running", "uptime": 90000})
    assert seat.wait(silent_before)[0] == ""
    seat.client.answers["current"] = {"status": "stopped"}
    began = seat.now
    why, moment = seat.wait(30)
    assert why == "guest 100 (web) is stopped"
    assert moment - began <= 25


def test_a_look_comes_every_ten_to_twenty_five_seconds_and_none_while_something_is_shown():
    seat = Seat(current={"status": "running", "uptime": 90000})
    seat.wait(300)
    assert len(seat.client.asked) == 2 + (300 - 25) // 25
    before = len(seat.client.asked)
    for _number in range(100):
        seat.watch.shown(b"tick\r\n")
        seat.wait(9)
    assert len(seat.client.asked) == before


def test_a_restart_is_seen_by_the_time_that_the_guest_has_been_running():
    seat = Seat()
    # It was started for the session, and PVE rounds down.
    seat.client.answers["current"] = lambda: {"status": "running", "uptime": int(seat.now - 1000)}
    assert seat.wait(300)[0] == ""
    seat.client.answers["current"] = {"status": "running", "uptime": 3}
    assert seat.wait(30)[0] == "guest 100 (web) was restarted"


def test_a_paused_guest_and_one_that_nobody_tells_of_go_on():
    seat = Seat(current={"status": "running", "qmpstatus": "paused", "uptime": 90000})
    assert seat.wait(60)[0] == ""
    del seat.client.answers["current"]
    assert seat.wait(60)[0] == ""


@pytest.mark.parametrize(
    ("typed", "shown", "closed"),
    [
        (b"exit\r", b"exit\r\n", True),
        (b"exit\r", b"root@pve1:~# exit\r\n", True),
        (b"exit\r", b"exit\r\n\x1b[?2004l\rlogout\r\n", True),
        (b"exit 3\r", b"$ exit 3\r\n", True),
        (b"\x04", b"", True),
        (b"\x04", b"\r\n\x1b[?2004l\rlogout\r\n", True),
        (b"", b"pve1 login: \r\nLogin timed out after 60 seconds.\r\n", True),
        (b"\r", b"Maximum number of tries exceeded (5)\r\n", True),
        (b"", b"\x07timed out waiting for input: auto-logout\r\n", True),
        (b"exit\r", b"exit\r\nuser@pve1:~$ ", False),
        (b"\x04", b"# ", False),
        (b"exitcode\r", b"exitcode\r\n", False),
        (b"sleep 99\r", b"sleep 99\r\n", False),
        (b"", b"root@pve1:~# ", False),
    ],
)
def test_last_words_of_a_shell(typed, shown, closed):
    seat = Seat("node", status={"status": "running"})
    seat.watch.shown(b"Linux pve1 6.14\r\n\x1b[?2004hroot@pve1:~# ")
    if typed:
        seat.watch.typed(typed)
    if shown:
        seat.watch.shown(shown)
    found, moment = seat.wait(5)
    assert found == (b" \x7f" if closed else "")
    assert closed == (moment < 1002)
    # That it is typed is no answer, and it is typed once.
    seat.watch.probe = b""
    assert seat.wait(5)[0] == ""


def test_nothing_is_typed_on_a_terminal_that_is_only_looked_at():
    seat = Seat("node", read_only=True, status={"status": "running"})
    seat.watch.shown(b"timed out waiting for input: auto-logout\r\n")
    assert seat.wait(5)[0] == "the console of node pve1 has closed"
    assert seat.watch.probe == b""


def test_the_task_of_a_shell_is_looked_at():
    seat = Seat("node", status={"status": "running"})
    assert seat.wait(40)[0] == ""
    seat.client.answers["status"] = {"status": "stopped", "exitstatus": "OK"}
    assert seat.wait(30)[0] == "the shell of node pve1 has ended"
