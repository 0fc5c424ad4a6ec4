# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VNC viewers, among them one written by others, at the port of `pve-console vnc --bridge`."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import pytest
from PIL import Image

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.rfb import ClientHandshake
from tests.support import vnc_client
from tests.support.api_client import ApiClient
from tests.support.collection_tree import REPOSITORY
from tests.support.embedded_pve import PveHandle, running_embedded_pve, standard_guests
from tests.support.embedded_pve.consoles.display import Picture
from tests.support.embedded_pve.consoles.handles import wait_until
from tests.support.processes import child_environment
from tests.support.qemu_vnc import is_installed, running_qemu

COMMAND = [str(REPOSITORY / "bin" / "pve-console"), "vnc"]
PASSWORD = "viewer42"
MINTED = "POST /nodes/pve1/qemu/101/vncproxy"
SECONDS = 60


class Bridge:
    """A bridge as a process, whose lines are read as they come."""

    def __init__(self, process: subprocess.Popen[Any], shown: TextIO) -> None:
        self.process = process
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, args=(shown,), daemon=True)
        self._reader.start()
        self.port = int(self.wait_for(r"vncviewer 127\.0\.0\.1:(\d+)")[1])

    def _read(self, shown: TextIO) -> None:
        # A terminal that nobody uses any more is an error and not an end.
        with contextlib.suppress(OSError):
            for line in shown:
                with self._more:
                    self.lines.append(line.rstrip("\n"))
                    self._more.notify_all()
        with self._more:
            self._more.notify_all()

    def wait_for(self, pattern: str, times: int = 1) -> re.Match[str]:
        found = []

        def seen() -> bool:
            found[:] = [match for line in self.lines if (match := re.search(pattern, line))]
            return len(found) >= times

        with self._more:
            self._more.wait_for(lambda: seen() or not self._reader.is_alive(), SECONDS)
            assert seen(), f"{pattern} is not in {self.lines}"
        return found[-1]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), SECONDS)

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        return code


@pytest.fixture(scope="module")
def shared_pve() -> Iterator[PveHandle]:
    with running_embedded_pve(guests=standard_guests) as handle:
        yield handle


@pytest.fixture
def pve(shared_pve: PveHandle) -> PveHandle:
    shared_pve.reset_record()
    shared_pve.display(101).use(None)
    return shared_pve


@pytest.fixture
def start(pve: PveHandle, tmp_path: Path) -> Iterator[Callable[..., Bridge]]:
    with ExitStack() as stack:

        def run(*arguments: str, target: str = "db", env: Mapping[str, str | None] | None = None) -> Bridge:
            layers = ({"PVE_CONSOLE_VIEWER_PASSWORD": PASSWORD}, env or {})
            process = subprocess.Popen(
                [*COMMAND, target, "--bridge", "127.0.0.1:0", *arguments],
                env=child_environment(tmp_path, pve.environment, *layers),
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return Bridge(process, process.stderr)

        yield run


def refused(home: Path, pve: PveHandle, *arguments: str, env: Mapping[str, str | None] | None = None):
    """The exit code and the words of a bridge that does not come to listening."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=child_environment(home, pve.environment, env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stderr


def capture(bridge: Bridge, file: Path, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    return vnc_client.capture("127.0.0.1", bridge.port, password, file)


class Viewer:
    """A viewer of our own, for what others do not do."""

    def __init__(self, bridge: Bridge, password: str = PASSWORD) -> None:
        self.socket = bridge.connect()
        handshake = ClientHandshake(password, "the bridge")
        while not handshake.done:
            received = self.socket.recv(65536)
            if not received:
                raise handshake.broken_off()
            self.socket.sendall(handshake.feed(received))
        self.received = handshake.rest

    def read(self, size: int) -> bytes:
        while len(self.received) < size:
            part = self.socket.recv(65536)
            if not part:
                break
            self.received += part
        taken, self.received = self.received[:size], self.received[size:]
        return taken

    def begin(self, shared: int = 0) -> tuple[int, int]:
        """ClientInit and ServerInit; returns width and height."""
        self.socket.sendall(bytes([shared]))
        head = self.read(24)
        self.read(int.from_bytes(head[20:24], "big"))
        return int.from_bytes(head[:2], "big"), int.from_bytes(head[2:4], "big")


def test_a_viewer_of_others_logs_in_and_gets_the_picture(start, pve, tmp_path):
    bridge = start()
    assert MINTED not in pve.summary()
    done = capture(bridge, tmp_path / "screen.png")
    assert done.returncode == 0, done.stderr
    picture = pve.display(101).picture
    with Image.open(tmp_path / "screen.png") as image:
        assert image.size == (picture.width, picture.height)
        assert image.convert("RGB").tobytes() == picture.pixels
    assert (ord("a"), True) in pve.display(101).keys
    assert pve.server.display(101).shared_flags[-1] == 1
    bridge.wait_for("viewer .*: it left")
    assert pve.summary().count(MINTED) == 1
    assert PASSWORD not in "".join(bridge.lines)
    assert bridge.stop() == 0


def test_viewers_one_after_the_other_and_at_the_same_time(start, pve, tmp_path):
    bridge = start()
    first = Viewer(bridge)
    assert first.begin() == (64, 48)
    assert capture(bridge, tmp_path / "one.png").returncode == 0
    second = Viewer(bridge)
    assert second.begin() == (64, 48)
    assert pve.summary().count(MINTED) == 3
    assert set(pve.server.display(101).shared_flags[-3:]) == {1}
    first.socket.close()
    bridge.wait_for("it left", 2)
    second.socket.sendall(b"\4\1\0\0\0\0\0\x62")
    second.socket.sendall(b"\3\0" + b"\0\0\0\0" + b"\0\x40\0\x30")
    assert len(second.read(4 + 12 + 64 * 48 * 4)) == 4 + 12 + 64 * 48 * 4
    assert (0x62, True) in pve.display(101).keys
    assert bridge.stop() == 0
    assert second.read(1) == b""


def test_viewers_that_come_at_the_same_moment_do_not_take_each_others_passwords(start, pve):
    bridge = start()
    with ThreadPoolExecutor(4) as pool:
        viewers = list(pool.map(lambda _number: Viewer(bridge), range(4)))
    assert [viewer.begin() for viewer in viewers] == [(64, 48)] * 4
    assert pve.display(101).logins[-4:] == [True] * 4


def test_a_wrong_password_mints_nothing(start, pve, tmp_path):
    bridge = start()
    done = capture(bridge, tmp_path / "screen.png", password="guess")
    assert done.returncode != 0
    assert not (tmp_path / "screen.png").exists()
    bridge.wait_for("turned away: .* did not know the password")
    assert MINTED not in pve.summary()
    assert capture(bridge, tmp_path / "screen.png").returncode == 0


def test_somebody_who_never_speaks_is_in_nobodys_way(start, pve, tmp_path):
    bridge = start()
    silent = bridge.connect()
    assert silent.recv(12) == b"RFB 003.008\n"
    assert capture(bridge, tmp_path / "screen.png").returncode == 0
    assert pve.summary().count(MINTED) == 1
    silent.close()
    bridge.wait_for("left without logging in")


def test_no_more_than_so_many_viewers(start, pve):
    bridge = start()
    waiting = [bridge.connect() for _number in range(10)]
    assert [viewer.recv(12) for viewer in waiting] == [b"RFB 003.008\n"] * 10
    assert bridge.connect().recv(12) == b""
    bridge.wait_for("turned away, as 10 are there")


def test_a_viewer_is_told_why_there_is_no_console(start, pve, tmp_path):
    bridge = start()
    pve.call(lambda: setattr(pve.server.guest(101), "status", "stopped"))
    try:
        with pytest.raises(Exception, match=r"guest 101 .* is stopped, so it has no console: start it first"):
            Viewer(bridge)
        bridge.wait_for("is stopped")
        assert MINTED not in pve.summary()
    finally:
        pve.call(lambda: setattr(pve.server.guest(101), "status", "running"))
    assert capture(bridge, tmp_path / "screen.png").returncode == 0


def test_pve_ends_the_console(start, pve):
    bridge = start()
    viewer = Viewer(bridge)
    viewer.begin()
    ApiClient(pve).task("POST", "/nodes/pve1/qemu/101/status/stop")
    try:
        assert viewer.read(1) == b""
        bridge.wait_for("PVE ended the console")
    finally:
        ApiClient(pve).task("POST", "/nodes/pve1/qemu/101/status/start")
    assert bridge.process.poll() is None


def test_a_slow_viewer_is_waited_for_in_flat_memory_and_loses_nothing(start, pve):
    bridge = start()
    side, number = 1000, 5
    pixels = bytes(range(250)) * (side * side * 3 // 250)
    small = pve.display(101).picture
    pve.display(101).show(Picture(side, side, pixels))
    try:
        viewer = Viewer(bridge)
        assert viewer.begin() == (side, side)
        before = resident_bytes(bridge.process.pid)
        text = b"paste " * 100_000
        viewer.socket.sendall(b"\6\0\0\0" + len(text).to_bytes(4, "big") + text)
        for _number in range(number):
            viewer.socket.sendall(b"\3\0" + b"\0\0\0\0" + side.to_bytes(2, "big") * 2)
        wait_until(
            lambda: pve.server.display(101).clipboard[-1:] == [text.decode()], "the text did not arrive", SECONDS
        )
        update = 4 + 12 + side * side * 4
        blocks = [viewer.read(update) for _number in range(number)]
        assert [len(block) for block in blocks] == [update] * number
        assert len(set(blocks)) == 1
        assert resident_bytes(bridge.process.pid) - before < 8 << 20
    finally:
        pve.display(101).show(small)


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE")


def test_a_container_has_a_display_too(start, pve, tmp_path):
    pve.add_container(210, "shown", status="running")
    done = capture(start(target="shown"), tmp_path / "screen.png")
    assert done.returncode == 0, done.stderr
    assert "POST /nodes/pve1/lxc/210/vncproxy" in pve.summary()


@pytest.mark.skipif(not is_installed(), reason="qemu-system-x86_64 is not installed")
def test_a_real_qemu_through_the_bridge(start, pve, tmp_path):
    with running_qemu() as qemu:
        pve.display(101).use(qemu)
        bridge = start()
        done = capture(bridge, tmp_path / "screen.png")
        assert done.returncode == 0, done.stderr
        with Image.open(tmp_path / "screen.png") as image:
            width, height = image.size
            assert width >= 320
            assert height >= 200
            # It says that the machine does not run, on a ground of another colour.
            assert len(image.convert("RGB").getcolors(maxcolors=1 << 24)) > 1
        first, second = Viewer(bridge), Viewer(bridge)
        assert first.begin() == second.begin() == (width, height)
        first.socket.sendall(b"\3\0" + b"\0\0\0\0" + b"\0\1\0\1")
        assert len(first.read(4)) == 4
    bridge.wait_for("PVE ended the console", 2)


def test_the_password_is_made_up_and_shown_once_on_the_terminal(pve, tmp_path):
    ours, terminal = os.openpty()
    process = subprocess.Popen(
        [*COMMAND, "101", "--bridge", "127.0.0.1:0"],
        env=child_environment(tmp_path, pve.environment),
        stdin=subprocess.DEVNULL,
        stderr=terminal,
    )
    os.close(terminal)
    with os.fdopen(ours, encoding="utf-8") as shown:
        bridge = Bridge(process, shown)
        made_up = bridge.wait_for(r"password, until this program ends: ([A-Za-z0-9]{8})$")[1]
        assert capture(bridge, tmp_path / "screen.png", password=made_up).returncode == 0
        bridge.wait_for("it left")
        assert "".join(bridge.lines).count(made_up) == 1
        assert bridge.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["101", "--bridge", "0.0.0.0:0"], 2, "could be reached by others"),
        (["101", "--bridge", "5901"], 2, "must be an address and a port"),
        (["101", "--bridge", "192.0.2.1:0", "--any-address", "--no-password"], 2, "cannot listen on 192.0.2.1:0"),
        (["101", "--bridge", "127.0.0.1:0"], 2, "there is no terminal to show the viewer's password on"),
        (["100", "--bridge", "127.0.0.1:0", "--no-password"], 7, "guest 100 (web) is stopped"),
        (["999", "--bridge", "127.0.0.1:0", "--no-password"], 5, "there is no guest 999"),
        (["101", "--bridge", "127.0.0.1:0", "--password-file", "/nonexistent"], 2, "cannot be read from /nonexistent"),
    ],
)
def test_bridges_that_do_not_come_to_be(pve, tmp_path, arguments, code, words):
    found = refused(tmp_path, pve, *arguments)
    assert found[0] == code, found[1]
    assert words in found[1]
    assert not [line for line in pve.summary() if "vncproxy" in line]


def test_a_password_from_a_file_and_none_at_all_with_a_token_and_with_a_login(start, tmp_path):
    file = tmp_path / "password"
    file.write_text("of-file!\n", encoding="utf-8")
    bridge = start("--password-file", str(file))
    assert capture(bridge, tmp_path / "screen.png", password="of-file!").returncode == 0
    bridge.stop(signal.SIGTERM)
    by_login = {"PROXMOX_TOKEN_ID": None, "PROXMOX_TOKEN_SECRET": None, "PROXMOX_USER": "root@pam"}
    bridge = start("--no-password", env={**by_login, "PROXMOX_PASSWORD": "secret"})
    bridge.wait_for("Viewers need no password")
    assert capture(bridge, tmp_path / "screen.png", password="anything").returncode == 0
