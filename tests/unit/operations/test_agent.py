# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands in guests: what is sent, how often is asked, and how files are read."""

from __future__ import annotations

import base64
import itertools
import os
import re
import stat
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent import worker_slots
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.ensure_file import mode_of
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.guest_shell import PLAIN, Attributes
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.pace import Pace
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.posix_shell import PosixShell
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.powershell import PowerShell, quoted
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.running import pieces_of
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.deadline import Deadline
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest
from tests.support.windows_stand_in import literals, words_of

SHELL = PosixShell()
WINDOWS = PowerShell()


class TestPace:
    def test_it_asks_soon_at_first_and_less_later(self):
        pauses = list(itertools.islice(Pace().pauses(), 20))
        assert pauses[0] == 0.02
        assert pauses == sorted(pauses)
        assert pauses[-1] == 2.0

    def test_answers_that_wait_for_others_are_asked_for_less_often(self):
        pace = Pace(workers_per_node=2, jitter=lambda: 0.5)
        pace.measure(0.05)
        assert pace.breath() == 0
        pace.measure(1.0)
        assert pace.breath() == 0.5
        pace.measure(1.0)
        assert pace.breath() == 1.0
        pace.measure(0.05)
        assert pace.breath() == 0.5

    def test_the_fewer_workers_the_longer_the_rest(self):
        rests = []
        for workers in (1, 2, 3):
            pace = Pace(workers, jitter=lambda: 0.5)
            pace.measure(0.05)
            pace.measure(0.9)
            rests.append(pace.breath())
        assert rests[0] > rests[1] > rests[2] == 0


@pytest.mark.skipif(not worker_slots.HAS_SLOTS, reason="only Linux has them")
@pytest.mark.parametrize(("seconds", "waited", "goes_on"), [(float("inf"), 120, True), (30, 30, False)])
def test_nobody_waits_for_a_worker_for_ever(seconds, waited, goes_on):
    now = [0.0]
    deadline = Deadline(seconds, clock=lambda: now[-1], sleep=lambda pause: now.append(now[-1] + pause))
    place = f"a node of {os.getpid()}"
    with worker_slots.taken_slot(place, 1, deadline), worker_slots.taken_slot(place, 1, deadline) as is_taken:
        assert is_taken is goes_on
    assert waited <= now[-1] < waited + 0.2


@given(st.integers(0, 0o7777))
def test_the_mode_that_ls_prints(mode):
    assert mode_of(stat.filemode(stat.S_IFREG | mode)) == f"{mode:04o}"


@given(st.binary(max_size=200_000))
def test_pieces_are_the_whole(content):
    assert b"".join(pieces_of(content)) == content


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
def test_no_shell_sees_the_words(words):
    script = SHELL.line(["printf", "%s\\0", *words])
    output = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True).stdout
    assert output.decode() == "".join(f"{word}\0" for word in words)


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_words_are_the_same_in_windows(words):
    _mark, _directory, program, arguments = WINDOWS.line(["a program.exe", *words]).split("\n", 3)
    assert [program, *words_of(arguments)] == ["a program.exe", *words]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_powershell_takes_a_word_literally(text):
    assert literals(f"x {quoted(text)} y") == [text]


@pytest.mark.parametrize("text", ["C:\\a\nevil.exe", "a\r", "a\tb", "\0"])
def test_a_name_in_windows_is_one_line(text):
    for begin in (lambda: WINDOWS.line([text, "x"]), lambda: WINDOWS.within(text, WINDOWS.line(["prog.exe"]))):
        with pytest.raises(InvalidRequest, match=f"{re.escape(repr(text))} has a line break or another control"):
            begin()
    assert WINDOWS.line(["prog.exe", "a\nb"]) == "#argv\n\nprog.exe\na\nb"


def test_what_is_removed_in_windows_is_its_own_and_no_link():
    program = base64.b64decode(WINDOWS.run(WINDOWS.directory("0"), 1, 0, "", [])[-1]).decode("utf-16-le")
    sweep = program[program.index("Get-ChildItem") : program.index("Remove-Item -Recurse")]
    assert sweep.rstrip().endswith("-and (&$own $_)}|")
    own = program[program.index("$own={") : program.index("$t=")]
    assert all(word in own for word in ("ReparsePoint", "GetOwner", "S-1-5-18", "catch{$false}"))
    assert program.count("{") == program.count("}")


@pytest.mark.parametrize("remove", [[], ["C:/Windows/Temp/.pve-agent-1"] * 8])
@pytest.mark.parametrize("script", ["", "exit 3", "x" * 4096])
def test_what_is_sent_to_windows_fits(script, remove):
    for argv in (
        WINDOWS.run(WINDOWS.directory("0" * 32), 65536, 0, script, remove),
        WINDOWS.prepare(WINDOWS.directory("0")),
    ):
        assert all(PLAIN.fullmatch(word.encode()) and " " not in word for word in argv)
        assert len(" ".join(argv)) < 30_000
    assert WINDOWS.takes(script.encode())
    assert not WINDOWS.takes(b"x" * 4097)


@pytest.mark.parametrize(
    ("text", "packed"),
    [
        ("powershell -NoProfile -EncodedCommand 'eAA='", "#argv\n\npowershell.exe\n-NoProfile -EncodedCommand eAA="),
        ("& PowerShell.exe -EncodedCommand eAA=", "#argv\n\npowershell.exe\n-EncodedCommand eAA="),
        ("Get-Item x; powershell -EncodedCommand eAA=", "Get-Item x; powershell -EncodedCommand eAA="),
    ],
)
def test_a_start_of_powershell_is_not_packed_once_more(text, packed):
    assert WINDOWS.command(text) == packed


def test_a_program_of_powershell_can_be_in_a_directory():
    assert WINDOWS.within("C:\\it's", "dir") == "Set-Location -LiteralPath 'C:\\it''s' -ErrorAction Stop\ndir"
    assert WINDOWS.within("C:\\x", WINDOWS.line(["a"])) == "#argv\nC:\\x\na\n"


@pytest.mark.parametrize(
    "argv",
    [
        SHELL.prepare("/tmp/.pve-agent-0"),
        SHELL.run("/tmp/.pve-agent-0", 1, None, "true", ["/tmp/.pve-agent-1"]),
        SHELL.piece("/tmp/.pve-agent-0", 3),
        SHELL.remove("/tmp/.pve-agent-0"),
        ["/bin/sh", "-c", SHELL.put("/etc/motd", "key", "0" * 64, Attributes("0644", "root", "root"))],
        ["/bin/sh", "-c", SHELL.begin_put("/etc/motd", "key", "/tmp/.pve-agent-0", Attributes())],
        ["/bin/sh", "-c", SHELL.end_put("/etc/motd", "part", "0" * 64, "/tmp/.pve-agent-0", Attributes())],
        ["/bin/sh", "-c", SHELL.look("/etc/motd", "/tmp/.pve-agent-0")],
        ["/bin/sh", "-c", SHELL.examine("/etc/motd", 1)],
        ["/bin/sh", "-c", SHELL.is_alive("/tmp/.pve-agent-0")],
    ],
)
def test_what_is_sent_is_plain_and_understood(argv):
    assert all(PLAIN.fullmatch(word.encode()) for word in argv)
    subprocess.run(["/bin/sh", "-n", "-c", argv[2]], check=True)
