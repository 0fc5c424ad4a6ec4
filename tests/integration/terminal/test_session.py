# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pve-console as a person uses it, at a real pseudo-terminal, against consoles as strict as PVE's."""

from __future__ import annotations

import hashlib
import os
import re
import signal

import pytest

from tests.support.embedded_pve.consoles.shell import flood_digest
from tests.support.person import COMMAND, Terminal, console_environment, read_exactly, resident_kib, run_console

MEBIBYTE = 1 << 20


def test_typing_leaving_and_what_is_left_behind(pve, sit):
    person = sit("term").connected()
    person.type("\recho Grüße, 世界\r")
    person.expect("Grüße, 世界\r\nGrüße, 世界\r\n".encode())
    person.type("sleep 20\r\x03")
    person.expect(rb"\^C\r\n")
    assert person.leave() == 0
    assert person.terminal_is_as_before
    assert pve.console(110).typed == "\recho Grüße, 世界\rsleep 20\r\x03".encode()
    assert pve.console(110).sizes == [(80, 24)]
    pve.console(110).wait_for_clients(0)
    assert pve.token_secret.encode() not in person.seen
    assert b"PVEVNC" not in person.seen


def test_size_is_told_and_told_again(pve, sit):
    person = sit("110", size=(50, 132)).connected()
    person.resize(20, 60)
    person.type("\r")
    person.expect(rb"~ # ")
    person.resize(33, 111)
    person.type("echo done\r")
    person.expect(rb"done\r\ndone")
    person.leave()
    sizes = pve.console(110).sizes
    assert sizes[-2:] == [(60, 20), (111, 33)]
    assert sizes[0] in [(132, 50), (60, 20)]


@pytest.mark.parametrize(
    ("arguments", "keys", "typed"),
    [
        ((), "one\x1d\x1dtwo\x1dthree", b"one\x1dtwo"),
        (("--escape", "^A"), "a\x1db\x01\x01c\x01", b"a\x1db\x01c"),
        (("--escape", "ctrl-]"), "with codes\x1b[93;5u", b"with codes"),
        (("--read-only",), "nothing\x1d", b""),
        (("--wake",), "\x1d", b"\r"),
    ],
    ids=["twice-is-literal", "another-key", "key-in-a-longer-code", "read-only", "wake"],
)
def test_what_of_the_keys_reaches_the_guest(pve, sit, arguments, keys, typed):
    person = sit("term", *arguments).connected()
    person.expect(rb"serial0\r\n")
    person.type(keys)
    assert person.end() == 0
    assert person.terminal_is_as_before
    assert pve.console(110).typed == typed


def test_without_an_escape_key_everything_is_typed(pve, sit):
    person = sit("term", "--escape", "none").connected()
    person.type("\x1d\x1d\x1d")
    pve.console(110).wait_for_typed(b"\x1d\x1d\x1d")
    person.signal(signal.SIGTERM)
    assert person.end() == 143


def test_pasted_line_of_64_kib_arrives_whole(pve, sit):
    line = b"".join(b"%07d;" % number for number in range(8192))
    assert len(line) == 64 * 1024
    person = sit("term", "--wake").connected()
    person.expect(rb"~ # ")
    person.type(b"cat %d\r" % len(line))
    person.expect(rb"cat \d+\r\n")
    person.type(line)
    person.expect(f"{len(line)} bytes {hashlib.sha256(line).hexdigest()}".encode())
    assert person.leave() == 0


def test_a_flood_is_shown_whole_and_fills_no_memory(sit):
    count = 20 * MEBIBYTE
    person = sit("term", "--wake").connected()
    person.expect(rb"~ # ")
    person.type(b"flood %d\r" % MEBIBYTE)
    person.expect(rb"flood \d+\r\n")
    read_exactly(person, MEBIBYTE, 20)
    person.expect(rb"~ # ")
    before = resident_kib(person.pid)
    person.type(b"flood %d\r" % count)
    person.expect(rb"flood \d+\r\n")
    shown = read_exactly(person, count, 60)
    assert hashlib.sha256(shown).hexdigest() == flood_digest(count)
    assert resident_kib(person.pid, "VmHWM") - before < 4096
    assert person.leave() == 0


def test_a_terminal_that_shows_nothing_holds_the_guest_back_and_can_be_left(pve, sit):
    person = sit("term", "--wake").connected()
    person.expect(rb"~ # ")
    pid = person.pid
    person.type(b"flood %d\r" % (200 * MEBIBYTE))
    person.expect(rb"flood \d+\r\n")
    person.resize(30, 90)
    pve.console(110).wait_for_typed(b"flood")
    # Nobody reads the terminal, and the command waits: it takes no more than its buffers hold.
    person.type("\x1d")
    assert resident_kib(pid, "VmHWM") < 80 * 1024
    assert person.end() == 0
    pve.console(110).wait_for_clients(0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_signals_end_it_and_leave_the_terminal_as_it_was(pve, sit, number, code):
    person = sit("term", "--wake").connected()
    person.expect(rb"~ # ")
    pve.console(110).write("\x1b[?1049h\x1b[?25l\x1b[?2004hfull screen")
    person.expect(rb"full screen")
    person.signal(number)
    assert person.end() == code
    assert person.terminal_is_as_before
    # The guest's program has left its modes on in the terminal.
    assert b"\x1b[?25h\x1b[?1049l\x1b[?2004l" in person.seen
    pve.console(110).wait_for_clients(0)


def test_a_terminal_that_goes_away_ends_the_session(pve, sit):
    person = sit("term", "--wake").connected()
    person.expect(rb"~ # ")
    person.hang_up()
    pve.console(110).wait_for_clients(0)


def test_stopped_and_continued_by_the_shell(pve, sit, tmp_path):
    """Job control by a real shell; the terminal is the shell's meanwhile."""
    environment = console_environment(tmp_path, pve.environment, {"PS1": "READY> "})
    command = ["/bin/bash", "--norc", "--noprofile", "-i"]
    settings = rb"\r([0-9a-f]+:[0-9a-f:]+)\r\n"
    with Terminal(command, environment, tmp_path, (24, 80)) as shell:
        shell.expect(rb"READY> ")
        shell.type("stty -g\r")
        before = shell.expect(settings)[1]
        shell.type(f"{COMMAND} term --wake\r")
        shell.expect(rb"~ # ")
        os.killpg(shell.foreground, signal.SIGTSTP)
        shell.expect(rb"Stopped.*READY> ")
        shell.type("stty -g\r")
        assert shell.expect(settings)[1] == before
        shell.resize(40, 100)
        shell.type("fg\r")
        shell.expect(rb"pve-console[^\r]*\r\n")
        pve.console(110).wait_for_size((100, 40))
        shell.type("echo again\r")
        shell.expect(rb"again\r\nagain\r\n")
        shell.type("\x1d")
        shell.expect(rb"left guest 110.*READY> ")
        shell.type("stty -g\r")
        assert shell.expect(settings)[1] == before


def test_output_may_go_through_a_pipe(pve, tmp_path):
    program = f'"{COMMAND}" term --wake | dd bs=1 count=3000 status=none; echo "left ${{PIPESTATUS[0]}}"; stty -g'
    environment = console_environment(tmp_path, pve.environment)
    with Terminal(["/bin/bash", "-c", f"stty -g; {program}"], environment, tmp_path, (24, 80)) as terminal:
        before = terminal.expect(rb"([0-9a-f]+:[0-9a-f:]+)\r\n")[1]
        terminal.expect(rb"~ # ")
        terminal.type("echo piped\r")
        terminal.expect(rb"piped\r\npiped\r\n")
        terminal.type("flood 1000000\r")
        terminal.expect(rb"left 141\r\n")
        assert terminal.expect(rb"([0-9a-f]+:[0-9a-f:]+)\r\n")[1] == before


def test_without_a_terminal_it_is_refused_before_anything_is_asked(pve, tmp_path):
    result = run_console(tmp_path, pve.environment, "term")
    assert result.returncode == 2
    assert "--script" in result.stderr
    assert re.fullmatch(r"\[pve-console\] [^\n]+\n", result.stderr)
    assert pve.summary() == []
