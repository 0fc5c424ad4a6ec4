# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""termproxy and pveproxy of the embedded PVE, and clients that do not speak as they should."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.console_client import PONG, TEXT, RawWebSocket, Terminal, websocket_path
from tests.support.embedded_pve import running_embedded_pve, seed

TERM = "/nodes/pve1/qemu/110"


def guests(server):
    seed.add_guest(server, 110, "term", status="running", config={"serial0": "socket"})


@pytest.fixture
def pve():
    with running_embedded_pve(guests) as handle:
        yield handle


def opened(pve):
    terminal = Terminal(pve, TERM)
    terminal.read_until("serial0\r\n")
    return terminal


class TestCredentials:
    @pytest.mark.parametrize(
        "line",
        ["root@pam:{ticket}", "root@pam!ansible:{ticket}x", "root@pam!ansible:PVEVNC:0::x"],
        ids=["another identity", "another ticket", "no ticket"],
    )
    def test_what_is_wrong_ends_in_silence(self, pve, api, line):
        answer = api.data("POST", f"{TERM}/termproxy")
        with RawWebSocket(pve, websocket_path(TERM, answer["port"], answer["ticket"])) as terminal:
            terminal.send(line.format(**answer) + "\n", TEXT)
            assert terminal.read_all() == b""
        assert api.finish(answer["upid"]).endswith("failed: exit code 1")
        assert api.log_of(answer["upid"])[1:-1] == ["authentication request failed"]

    def test_they_have_to_come_soon(self, pve, api):
        pve.knobs.console_credentials_seconds = 0.1
        answer = api.data("POST", f"{TERM}/termproxy")
        with RawWebSocket(pve, websocket_path(TERM, answer["port"], answer["ticket"])) as terminal:
            assert terminal.read_all() == b""
        assert api.log_of(answer["upid"])[-2] == "failed reading ticket: timed out"

    def test_frames_may_follow_at_once(self, pve, api):
        answer = api.data("POST", f"{TERM}/termproxy")
        with RawWebSocket(pve, websocket_path(TERM, answer["port"], answer["ticket"])) as terminal:
            terminal.send(f"{answer['user']}:{answer['ticket']}\n1:90:30:0:8:echo hi\r")
            terminal.read_until("\r\nhi\r\n")
        assert pve.console(110).sizes == [(90, 30)]


class TestViolations:
    @pytest.mark.parametrize(
        ("messages", "typed"),
        [
            ([b"0:", b"3:abc"], b""),
            ([b"0:1", b"0:abcdefghij"], b""),
            ([b"0:6:abc", b"def"], b"abcdef"),
            ([b"0:4:\xc3\xa9\xc3\xa9x"], b"\xc3\xa9\xc3\xa9"),
            ([b"0:5:ab", b"0:1:c"], b"ab0:1"),
            ([b"hello"], b""),
        ],
        ids=["header", "number", "payload", "characters", "too long", "no frame"],
    )
    def test_a_stream_that_termproxy_misreads(self, pve, messages, typed):
        with opened(pve) as terminal:
            for message in messages:
                terminal.send(message)
                terminal.read_for(0.02)
            console = pve.console(110)
            console.wait_for_typed(typed)
        console.wait_for_clients(0)
        assert console.take_violations()
        assert console.typed.startswith(typed)
        assert console.violations == []

    @pytest.mark.parametrize(
        ("frame", "text"),
        [
            ({"first": 0x02, "payload": b"0:1:a"}, "fragmented"),
            ({"first": 0xC2, "payload": b"0:1:a"}, "RSV"),
            ({"first": 0x82, "payload": b"0:1:a", "masked": False}, "unmasked"),
            ({"first": 0x82, "payload": b"", "size": 131073}, "too large"),
            ({"first": 0x83, "payload": b""}, "opcode 3"),
        ],
    )
    def test_a_frame_that_pveproxy_dies_of(self, pve, frame, text):
        with opened(pve) as terminal:
            terminal.send_raw(**frame)
            assert terminal.frame() is None
        assert text in pve.console(110).take_violations()[0]

    def test_they_fail_the_test_that_does_not_take_them(self):
        def breaks_the_protocol():
            with running_embedded_pve(guests) as handle, opened(handle) as terminal:
                terminal.send("nonsense")
                terminal.read_for(0.02)

        with pytest.raises(AssertionError, match="broken console protocol"):
            breaks_the_protocol()

    def test_pings_and_the_longest_message_are_none(self, pve):
        with opened(pve) as terminal:
            terminal.send(b"are you there", opcode=9)
            assert terminal.frame() == (PONG, b"are you there")
            terminal.type(b"cat 131062\r")
            terminal.read_until("cat 131062\r\n")
            terminal.type(b"x" * 131062)
            terminal.read_until("131062 bytes")


class TestSlowGuest:
    def test_many_frames_behind_a_full_terminal_lose_their_headers(self, pve):
        """termproxy reads 4096 bytes at a time, and forgets a header that it got half of."""
        awake = asyncio.Event()

        async def sleepy(terminal):
            await awake.wait()
            while True:
                await terminal.read()

        pve.console(110).run(sleepy)
        with opened(pve) as terminal:
            terminal.type(b"x" * 80000)
            terminal.send(b"0:2:ab" * 5000)
            terminal.read_for(0.05)
            pve.call(awake.set)
            pve.console(110).wait_for_typed("ab")
            terminal.read_for(0.05)
        assert "not whole" in pve.console(110).take_violations()[0]
        assert len(pve.console(110).typed) < 80000 + 10000

    def test_one_message_is_safe(self, pve):
        awake = asyncio.Event()

        async def sleepy(terminal):
            await awake.wait()
            while True:
                await terminal.read()

        pve.console(110).run(sleepy)
        with opened(pve) as terminal:
            terminal.type(b"x" * 120000 + b"end")
            pve.call(awake.set)
            pve.console(110).wait_for_typed("end")
        assert len(pve.console(110).typed) == 120003

    def test_what_nobody_reads_ends_the_connection(self, pve):
        async def deaf(terminal):
            await asyncio.Event().wait()

        pve.console(110).run(deaf)
        with opened(pve) as terminal:
            for _number in range(10):
                terminal.type(b"x" * 100000)
            assert terminal.read_all() == b""
        assert "does not read" in pve.console(110).take_violations()[0]
