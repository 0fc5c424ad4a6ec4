# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Displays of the embedded PVE: RFB by websocket and by plain TCP, its own and QEMU's."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading

import pytest

from tests.support.console_client import RawWebSocket, websocket_path
from tests.support.embedded_pve import running_embedded_pve, seed
from tests.support.embedded_pve.consoles.display import Picture
from tests.support.qemu_vnc import PROGRAM, is_installed, running_qemu
from tests.support.rfb_client import Viewer

WEB = "/nodes/pve1/qemu/110"
REFUSED = b"Authentication failed\0"


def guests(server):
    seed.add_guest(server, 110, "web", status="running")
    seed.add_guest(server, 111, "off")
    seed.add_guest(server, 112, "blind", status="running", config={"vga": "none"})
    seed.add_guest(server, 113, "serial", status="running", config={"vga": "serial0", "serial0": "socket"})
    seed.add_container(server, 210, "ct", status="running")


@pytest.fixture
def pve():
    with running_embedded_pve(guests) as handle:
        yield handle


def by_websocket(pve, api, path=WEB, **form):
    answer = api.data("POST", f"{path}/vncproxy", websocket=1, **form)
    return answer, Viewer(RawWebSocket(pve, websocket_path(path, answer["port"], answer["ticket"])))


def by_tcp(pve, api, path=WEB, **form):
    answer = api.data("POST", f"{path}/vncproxy", **form)
    return answer, Viewer(socket.create_connection((pve.host, int(answer["port"])), 10))


@pytest.mark.parametrize("connect", [by_websocket, by_tcp])
def test_a_picture(pve, api, connect):
    answer, viewer = connect(pve, api)
    with viewer.connection:
        assert viewer.log_in(answer["password"]) == (0, b"")
        assert viewer.start() == (64, 48, "QEMU (web)")
        assert viewer.picture(64, 48) == pve.display(110).picture.pixels
        viewer.send(struct.pack("!BBxxI", 4, 1, ord("a")) + struct.pack("!BBHH", 5, 1, 10, 20))
        other = Picture(64, 48, bytes(64 * 48 * 3))
        shown = threading.Timer(0.05, lambda: pve.display(110).show(other))
        shown.start()
        assert viewer.picture(64, 48, incremental=1) == other.pixels
        shown.join()
    display = pve.display(110)
    assert (display.keys, display.pointer, display.logins) == ([(97, True)], [(1, 10, 20)], [True])
    assert api.finish(answer["upid"]) == "OK"


@pytest.mark.parametrize("version", [b"RFB 003.008\n", b"RFB 003.003\n"])
def test_the_whole_ticket_is_a_password_and_others_are_not(pve, api, version):
    for connect in (by_websocket, by_tcp):
        answer, viewer = connect(pve, api)
        with viewer.connection:
            assert viewer.log_in(answer["ticket"], version) == (0, b"")
        _answer, viewer = connect(pve, api)
        with viewer.connection:
            assert viewer.log_in("wrong", version) == (1, REFUSED if version.endswith(b"8\n") else b"")
            with pytest.raises(EOFError):
                viewer.read(1)


def test_a_password_expires_after_the_connection(pve, api):
    pve.knobs.console_password_seconds = 0.0
    answer, viewer = by_websocket(pve, api)
    with viewer.connection:
        assert viewer.log_in(answer["password"])[0] == 1


def test_of_two_viewers_the_later_ones_password_counts(pve, api):
    first_answer, first = by_websocket(pve, api)
    assert first.read(12)
    second_answer, second = by_websocket(pve, api)
    assert second.read(12)
    first.buffer, second.buffer = b"RFB 003.008\n", b"RFB 003.008\n"
    with first.connection, second.connection:
        assert first.log_in(first_answer["password"])[0] == 1
        assert second.log_in(second_answer["password"])[0] == 0


@pytest.mark.parametrize("vmid", [111, 112])
def test_without_a_display_there_is_no_banner(pve, api, vmid):
    answer, viewer = by_websocket(pve, api, f"/nodes/pve1/qemu/{vmid}")
    with viewer.connection, pytest.raises(EOFError, match="b''"):
        viewer.read(1)
    assert api.finish(answer["upid"]) == "Failed to run vncproxy."


def test_before_the_hardening_the_password_is_almost_public(pve, api):
    pve.knobs.console_hardening = False
    _answer, viewer = by_tcp(pve, api)
    with viewer.connection:
        assert viewer.log_in("PVEVNC:6") == (0, b"")
    _answer, viewer = by_tcp(pve, api, **{"generate-password": 1})
    with viewer.connection:
        assert viewer.log_in("PVEVNC:6")[0] == 1


def test_plain_tcp_was_broken_once(pve, api):
    pve.knobs.release = "8.0"
    answer, viewer = by_tcp(pve, api)
    with viewer.connection, pytest.raises(EOFError):
        viewer.read(1)
    assert "LC_PVE_TICKET not set, VNC proxy without password is forbidden" in api.log_of(answer["upid"])


@pytest.mark.parametrize("path", ["/nodes/pve1/qemu/113", "/nodes/pve1/lxc/210"])
def test_a_drawn_terminal_speaks_plain_vnc_by_websocket_only(pve, api, path):
    answer, viewer = by_websocket(pve, api, path)
    with viewer.connection:
        assert viewer.log_in(answer["password"]) == (0, b"")
    _answer, viewer = by_tcp(pve, api, path)
    with viewer.connection:
        assert viewer.read(12)
        viewer.send(b"RFB 003.008\n")
        assert viewer.read(2) == b"\1\x13"
        viewer.send(b"\x13")
        viewer.send(viewer.read(2))
        assert viewer.read(6) == b"\0\1" + struct.pack("!I", 262)


def test_a_plain_port_takes_one_connection(pve, api):
    answer, viewer = by_tcp(pve, api)
    with viewer.connection:
        assert viewer.read(12)
        with pytest.raises(OSError, match=r"refused|reset"):
            socket.create_connection((pve.host, int(answer["port"])), 1).recv(1)


def test_a_display_ends_with_its_guest(pve, api):
    answer, viewer = by_websocket(pve, api)
    with viewer.connection:
        viewer.log_in(answer["password"])
        pve.call(lambda: pve.server.halt_guest(pve.server.guest(110)))
        with pytest.raises(EOFError):
            viewer.read(1)


def capture(pve, answer, file):
    """What a VNC client of the field makes of it."""
    command = [sys.executable, "-m", "vncdotool.command", "-s", f"{pve.host}::{answer['port']}"]
    command += ["-p", answer["password"], "--timeout", "20", "capture", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    from PIL import Image

    with Image.open(file) as image:
        return image.size, image.convert("RGB").tobytes()


def test_vncdotool_sees_it(pve, api, tmp_path):
    size, pixels = capture(pve, api.data("POST", f"{WEB}/vncproxy"), tmp_path / "shown.png")
    assert (size, pixels) == ((64, 48), pve.display(110).picture.pixels)


@pytest.mark.skipif(not is_installed(), reason=f"{PROGRAM} is not installed")
def test_a_real_qemu_behind_it(pve, api, tmp_path):
    with running_qemu() as qemu:
        pve.display(110).use(qemu)
        answer, viewer = by_websocket(pve, api)
        with viewer.connection:
            assert viewer.log_in(answer["password"]) == (0, b"")
            width, height, name = viewer.start()
            assert name.startswith("QEMU")
        _answer, viewer = by_websocket(pve, api)
        with viewer.connection:
            assert viewer.log_in("wrong") == (1, REFUSED)
        size, pixels = capture(pve, api.data("POST", f"{WEB}/vncproxy"), tmp_path / "qemu.png")
        assert size == (width, height)
        assert len(set(pixels)) > 1
    answer, viewer = by_websocket(pve, api)
    with viewer.connection, pytest.raises(EOFError):
        viewer.read(1)
    assert api.finish(answer["upid"]) == "Failed to run vncproxy."
