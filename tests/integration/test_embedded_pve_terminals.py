# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Terminals of the embedded PVE: termproxy, its websocket, and the guests behind them."""

from __future__ import annotations

import hashlib
import resource

import pytest

from tests.support.console_client import Terminal, cookie
from tests.support.embedded_pve import Shell, running_embedded_pve, seed
from tests.support.embedded_pve.consoles.shell import flood_digest

TERM = "/nodes/pve1/qemu/110"
PROMPT = b"~ # \x1b[6n"
COMMAND = "--vncticket-endpoint --verify-port --ticket-fd 6 -- /usr/sbin/qm terminal"


def guests(server):
    seed.add_guest(server, 110, "term", status="running", config={"serial0": "socket"})
    seed.add_guest(server, 111, "plain", status="running")
    seed.add_guest(server, 112, "off", config={"vga": "serial0", "serial0": "socket"})
    seed.add_container(server, 210, "ct", status="running", config={"cmode": "shell"})
    seed.add_container(server, 211, "tty", status="running")


@pytest.fixture
def pve():
    with running_embedded_pve(guests, nodes=("pve1", "pve2")) as handle:
        yield handle


def opened(pve, path=TERM, **options):
    terminal = Terminal(pve, path, **options)
    terminal.read_until("serial0\r\n")
    return terminal


def ended(api, upid):
    """How the task ended, and its log without that line."""
    return api.finish(upid), api.log_of(upid)[:-1]


class TestSession:
    @pytest.mark.parametrize("joined", [True, False])
    def test_from_the_first_key_to_the_last(self, pve, api, joined):
        pve.knobs.console_joined_ok = joined
        with Terminal(pve, TERM) as terminal:
            assert terminal.head.splitlines()[:3] == [
                "HTTP/1.1 101 Switching Protocols",
                "Upgrade: websocket",
                "Connection: upgrade",
            ]
            first = terminal.read()
            assert first == (b"OKstarting serial terminal on interface serial0\r\n" if joined else b"OK")
            if not joined:
                terminal.read_until("serial0\r\n")
            terminal.resize(80, 24)
            terminal.type("\n")
            assert terminal.read_until(PROMPT) == b"\r\n" + PROMPT
            terminal.send("2")
            terminal.type("echo hi\n")
            assert terminal.read_until(PROMPT) == b"echo hi\r\nhi\r\n" + PROMPT
        assert ended(api, terminal.answer["upid"])[0] == "OK"
        console = pve.console(110)
        assert (console.typed, console.sizes, console.sessions) == (b"\necho hi\n", [(80, 24)], 1)
        assert [e.status for e in pve.exchanges if e.path.endswith("vncwebsocket")] == [101]

    @pytest.mark.parametrize("size", [1, 3])
    def test_frames_that_split_characters(self, pve, size):
        pve.knobs.console_frame_bytes = size
        with opened(pve) as terminal:
            terminal.type("echo Grüße\n")
            assert "\r\nGrüße\r\n".encode() in terminal.read_until(b"\r\nGr\xc3\xbc\xc3\x9fe\r\n")
            assert set(terminal.opcodes) == {2}

    def test_the_shell(self, pve):
        with opened(pve) as terminal:
            for typed, answer in (
                ("stty size\r", "0 0"),
                ("stty cols 100 rows 40\rstty size\r", "40 100"),
                ("ech\x1b[Aox\x7f one\r", "one"),
                ("nonsense\r", "sh: nonsense: not found"),
                ("sleep 60\r\x03", "^C"),
                ("reboot\r", "Linux version"),
                ("cat 3\r\x00\x04\xff", "3 bytes " + hashlib.sha256(b"\x00\x04\xff").hexdigest()),
            ):
                terminal.type(typed.encode("latin-1"))
                terminal.read_until(answer)

    def test_a_pasted_line_of_64_kib(self, pve):
        line = bytes(32 + number % 90 for number in range(65536))
        with opened(pve) as terminal:
            terminal.type(b"cat 65536\r")
            terminal.read_until("cat 65536\r\n")
            terminal.type(line)
            terminal.read_until(hashlib.sha256(line).hexdigest())
        assert pve.console(110).typed.endswith(line)

    def test_a_flood_goes_as_fast_as_the_client_reads_it(self, pve):
        """100 MB, and neither side holds them."""
        count = 100_000_000
        with opened(pve) as terminal:
            terminal.type(f"flood {count}\r")
            terminal.read_until("\r\n")
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            digest, left = hashlib.sha256(), count
            while left:
                data = terminal.read_exactly(min(left, 65536))
                digest.update(data)
                left -= len(data)
            assert digest.hexdigest() == flood_digest(count)
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000

    def test_a_program_of_the_test(self, pve):
        async def greets(terminal):
            await terminal.wait_for_client()
            await terminal.write("who? ")
            name = await terminal.read()
            await terminal.write(b"hello " + name)

        pve.console(110).run(greets)
        with opened(pve) as terminal:
            terminal.read_until("who? ")
            terminal.type("me")
            terminal.read_until("hello me")
            pve.console(110).write("from outside")
            terminal.read_until("from outside")

    def test_a_login(self, pve):
        pve.console(110).run(Shell(users={"root": "secret"}, hostname="web"))
        with opened(pve) as terminal:
            terminal.type("\r")
            terminal.read_until("web login: ")
            terminal.type("root\rwrong\r")
            terminal.read_until("Login incorrect\r\nweb login: ")
            terminal.type("root\rsecret\r")
            assert b"secret" not in terminal.read_until(PROMPT)
            terminal.type("exit\r")
            terminal.read_until("web login: ")


class TestEnd:
    """Always the end of file, never a Close frame."""

    @pytest.mark.parametrize(
        "what",
        [
            lambda pve: pve.console(110).close(),
            lambda pve: pve.move_guest(110, "pve2"),
            lambda pve: pve.call(lambda: pve.server.halt_guest(pve.server.guest(110))),
            lambda pve: pve.call(lambda: pve.server.run_guest(pve.server.guest(110))),
            lambda pve: pve.remove_guest(110),
        ],
        ids=["closed", "moved", "stopped", "restarted", "destroyed"],
    )
    def test_the_guest_goes_and_only_a_key_shows_it(self, pve, api, what):
        """README, "Second look": silent until something is typed, and the task runs on."""
        with opened(pve) as terminal:
            upid = terminal.answer["upid"]
            what(pve)
            pve.console(110).wait_for_clients(0)
            terminal.resize(90, 30)
            terminal.send("2")
            assert terminal.read_for(0.1) == b""
            assert api.status_of(upid)["status"] == "running"
            terminal.type("\r")
            assert terminal.read_all() == b""
            assert set(terminal.opcodes) == {2}
        exit_status, log = ended(api, upid)
        assert exit_status.endswith(f"{COMMAND} 110 -escape 0' failed: exit code 1")
        assert log[1:] == ["error reading from pty: Input/output error (os error 5)"]

    def test_whoever_leaves_a_dead_terminal_ends_its_task(self, pve, api):
        with opened(pve) as terminal:
            pve.call(lambda: pve.server.halt_guest(pve.server.guest(110)))
            pve.console(110).wait_for_clients(0)
        assert ended(api, terminal.answer["upid"])[0] == "OK"

    @pytest.mark.parametrize(
        "what",
        [
            lambda pve: pve.set_node_offline("pve2"),
            lambda pve: pve.call(lambda: pve.server.halt_guest(pve.server.guest(110))),
        ],
        ids=["node down", "stopped"],
    )
    def test_ssh_between_the_nodes_notices(self, pve, what):
        pve.move_guest(110, "pve2")
        with opened(pve, "/nodes/pve2/qemu/110") as terminal:
            what(pve)
            assert terminal.read_all() == b""

    def test_the_node_itself_goes(self, pve):
        with opened(pve) as terminal:
            pve.set_node_offline("pve1")
            assert terminal.read_all() == b""

    def test_somebody_stops_the_task(self, pve, api):
        with opened(pve) as terminal:
            upid = terminal.answer["upid"]
            assert api.status_of(upid)["status"] == "running"
            api.data("DELETE", f"/nodes/pve1/tasks/{upid}")
            assert terminal.read_all() == b""
        assert api.finish(upid) == "received interrupt"

    def test_a_close_frame_is_answered_by_the_end_of_file(self, pve, api):
        with opened(pve) as terminal:
            terminal.send(b"\x03\xe8", opcode=8)
            assert terminal.frame() is None
        assert api.finish(terminal.answer["upid"]) == "OK"

    @pytest.mark.parametrize(
        ("vmid", "form", "text", "arguments"),
        [
            (111, {}, "unable to find a serial interface", ""),
            (112, {}, "VM 112 not running", " -iface serial0"),
            (110, {"serial": "serial1"}, "serial interface 'serial1' is not configured", " -iface serial1"),
        ],
    )
    def test_there_is_nothing_to_connect_to(self, pve, api, vmid, form, text, arguments):
        with Terminal(pve, f"/nodes/pve1/qemu/{vmid}", **form) as terminal:
            assert terminal.read_until("\r\n") == f"OK{text}\r\n".encode()
            assert terminal.read_for(0.05) == b""
            terminal.type("\n")
            assert terminal.read_all() == b""
        exit_status, log = ended(api, terminal.answer["upid"])
        assert exit_status.endswith(f"{COMMAND} {vmid} -escape 0{arguments}' failed: exit code 1")
        assert log[1:] == ["error reading from pty: Input/output error (os error 5)"]


class TestLateStart:
    def test_the_terminal_itself_echoes_what_comes_too_soon(self, pve):
        pve.knobs.console_terminal_seconds = 0.3
        with Terminal(pve, TERM) as terminal:
            assert terminal.read_until("OK") == b"OK"
            terminal.resize(90, 30)
            terminal.type("a\x03\r")
            assert terminal.read_until("serial0\r\n") == b"a^C\r\nstarting serial terminal on interface serial0\r\n"
            assert pve.console(110).sizes == [(90, 30)]
            pve.console(110).wait_for_typed("a\x03\n")


class TestSerialPort:
    def test_one_client_at_a_time(self, pve):
        first, second = opened(pve), opened(pve)
        second.type("echo later\r")
        first.type("echo now\r")
        first.read_until("\r\nnow\r\n")
        assert second.read_for(0.05) == b""
        assert pve.console(110).clients == 2
        first.close()
        second.read_until("\r\nlater\r\n")

    def test_nothing_is_kept_for_those_who_come_later(self, pve):
        console = pve.console(110)
        with opened(pve) as terminal:
            terminal.type("\r")
            terminal.read_until(PROMPT)
        console.wait_for_clients(0)
        console.write("lost")
        with opened(pve) as terminal:
            console.write("seen")
            assert terminal.read_until("seen") == b"seen"

    def test_what_was_typed_last_arrives(self, pve):
        with opened(pve) as terminal:
            terminal.type("poweroff\r")
        pve.console(110).wait_for_typed("poweroff\r")


class TestContainer:
    def test_several_share_it_and_one_detaches(self, pve):
        with Terminal(pve, "/nodes/pve1/lxc/210") as first, Terminal(pve, "/nodes/pve1/lxc/210") as second:
            assert first.read_until("# ") == b"OK\x1b[H\x1b[Jroot@ct:~# "
            second.read_until("\x1b[J")
            first.resize(100, 30)
            second.type("stty size\r")
            for terminal in (first, second):
                terminal.read_until("30 100\r\n")
            second.type("\x1c")
            assert second.read_until("[detached]\r\n").endswith(b"\x1b[999H\r\n[detached]\r\n")
            first.type("exit\r")
            first.read_until("[EOF - dtach terminating]\r\n")
            for terminal in (first, second):
                assert terminal.read_for(0.05) == b""
                terminal.type(" ")
                assert terminal.read_all() == b""

    def test_a_tty_asks_for_a_login(self, pve):
        with Terminal(pve, "/nodes/pve1/lxc/211") as terminal:
            terminal.type("\r")
            terminal.read_until("tty login: ")
        assert pve.console(211).typed == b"\r"


class TestNode:
    def test_root_gets_a_shell_and_ends_it(self, pve):
        with Terminal(pve, "/nodes/pve1", cookie(pve)) as terminal:
            terminal.read_until("root@pve1:~# ")
            terminal.type("exit\r")
            terminal.read_until("exit\r\n")
            assert terminal.read_for(0.05) == b""
            terminal.type("\r")
            assert terminal.read_all() == b""
        assert pve.node_console("pve1").typed == b"exit\r"

    def test_the_end_of_a_shell_on_another_node_shows(self, pve):
        with Terminal(pve, "/nodes/pve2", cookie(pve)) as terminal:
            terminal.read_until("root@pve2:~# ")
            terminal.type("exit\r")
            assert terminal.read_all() == b"exit\r\n"
        assert pve.tasks("vncshell")[0]["node"] == "pve1"

    def test_a_token_gets_a_login(self, pve):
        with Terminal(pve, "/nodes/pve1") as terminal:
            assert terminal.read_until(": ") == b"OKpve1 login: "
            terminal.type("hostname\n")
            assert terminal.read_until(": ") == b"hostname\r\nPassword: "
