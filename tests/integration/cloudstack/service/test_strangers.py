# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may talk to the service, and what those who talk nonsense achieve."""

from __future__ import annotations

import os
import random
import resource
import socket
import subprocess
import time

import pytest

from tests.support.cloudstack import payload
from tests.support.service import send_order, wait_until

NOBODY = 65534


@pytest.fixture
def works(pve, extension, service):
    """Whether the service does what it should, in the end."""
    yield service
    before = sum(service.status()["counters"]["actions"].values()) if service.status()["counters"].get("actions") else 0
    assert extension.call("statuses", payload("statuses", pve)).ok
    assert sum(service.status()["counters"]["actions"].values()) == before + 1


ASK = """
import socket
channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
channel.settimeout(5)
try:
    channel.connect("service.sock")
    channel.send(b"cloudbridge 1\\0status")
    print(channel.recv(65536) or "closed")
except OSError as error:
    print(type(error).__name__)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_other_users_are_refused(extension, works, mode):
    extension.root.chmod(0o711)
    extension.socket.chmod(mode)
    # A Python that everybody may run; the directories above the socket are for root alone.
    command = ["/usr/bin/python3", "-IS", "-c", ASK]
    foreigner = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": extension.root}
    said = subprocess.run(command, capture_output=True, text=True, check=True, **foreigner).stdout.strip()
    assert said in (("PermissionError",) if mode == 0o600 else ("closed", "ConnectionResetError", "BrokenPipeError"))
    assert works.status()["counters"].get("refused", {}).get("foreign user", 0) == (mode == 0o666)


def nonsense():
    chooser = random.Random(4)
    yield b""
    yield b"\0" * 1000
    yield b"cloudbridge 1"
    yield b"cloudbridge 1\0"
    yield b"cloudbridge 2\0status"
    yield b"cloudbridge 1\0run"
    yield b"cloudbridge 1\0run\0x\0-1"
    yield b"cloudbridge 1\0run\0x\x0099999999999999999999"
    yield b"cloudbridge 1\0run\0x\x003\0status"
    yield b"\0".join([b"cloudbridge 1", b"run", b"x", b"2", *[b"word"] * 5000])
    yield b"go"
    yield b"done"
    yield b"x" * 64 * 1024
    yield b"x" * 200_000
    for _number in range(50):
        yield chooser.randbytes(chooser.randrange(1, 4000))


def test_garbage(works):
    for message in nonsense():
        with works.connect() as channel:
            channel.send(message)
            assert channel.recv(100) == b"", message[:50]


def test_words_out_of_turn(extension, works, tmp_path):
    path = extension.write({})
    with path.open("rb") as file:
        for words in ([b"done"], [b"signal 15"], [b"go", b"go", b"go"], [b"go", b"x" * 10_000]):
            with works.connect() as channel:
                send_order(channel, ["status", str(path), "60"], file.fileno())
                assert channel.recv(100).startswith(b"ready")
                for word in words:
                    try:
                        channel.send(word)
                    except OSError:
                        break
    wait_until(works.is_idle)


def test_descriptors_that_are_no_payload(extension, works, tmp_path):
    reading, writing = os.pipe()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    streams = [reading, writing, os.open(tmp_path, os.O_RDONLY), os.open("/dev/zero", os.O_RDONLY)]
    streams += [os.open(fifo, os.O_RDWR), os.open(tmp_path / "new", os.O_WRONLY | os.O_CREAT)]
    before = works.open_files()
    for stream in streams:
        with works.connect() as channel:
            send_order(channel, ["status", "/payload", "60"], stream)
            assert channel.recv(100).startswith(b"ready")
            channel.send(b"go")
            answer = channel.recv(65536)
            assert answer[0] == 1
            assert b"invalid_request" in answer
        os.close(stream)
    order = b"\0".join([b"cloudbridge 1", b"run", extension.code_path.encode(), b"1", b"status"])
    with (tmp_path / "new").open("rb") as file:
        for count in (0, 2, 50):
            with works.connect() as channel:
                socket.send_fds(channel, [order], [file.fileno()] * count)
                assert channel.recv(100) == b""
    wait_until(lambda: works.open_files() <= before)


def test_those_who_say_nothing_are_sent_away(works):
    with works.connect() as silent, works.connect() as half:
        half.send(b"cloudbridge 1\0run")
        began = time.monotonic()
        assert half.recv(10) == b""
        assert silent.recv(10) == b""
        assert time.monotonic() - began < 4.5
    assert works.status()["counters"]["refused"]["slow client"] == 1


def test_a_crowd(pve, extension, works):
    """More connections than the service takes: those who come meanwhile help themselves."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    crowd = []
    try:
        before = works.open_files()
        for _number in range(1500):
            crowd.append(works.connect())
        assert extension.call("statuses", payload("statuses", pve)).ok
    finally:
        for channel in crowd:
            channel.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_until(lambda: works.open_files() <= before + 2)
    assert works.status()["now"]["threads"] < 20
    assert works.status()["counters"]["refused"]["too many clients"] > 0
