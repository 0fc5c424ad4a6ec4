# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From CloudStack's call of the executable, through the service, to what a VNC client sees."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from PIL import Image

from tests.integration.cloudstack.test_actions import MARK, NOTES, UUID
from tests.support.cloudstack import Extension, payload
from tests.support.embedded_pve import running_embedded_pve
from tests.support.embedded_pve.consoles.display import Picture
from tests.support.service import Service, wait_until
from tests.support.vnc_client import capture, connected

MINTED = "POST /nodes/pve1/qemu/105/vncproxy"
CONSOLES, GUESTS = 300, 20
LEFT = 1000


@pytest.fixture(scope="module")
def shared_pve():
    with running_embedded_pve(nodes=("pve1", "pve2")) as handle:
        handle.add_guest(105, "i-2-45-VM", status="running", config=MARK)
        yield handle


@pytest.fixture
def pve(shared_pve):
    shared_pve.reset_record()
    yield shared_pve
    if 105 in shared_pve.vmids():
        shared_pve.remove_guest(105)
    shared_pve.add_guest(105, "i-2-45-VM", status="running", config=MARK)


@pytest.fixture
def extension(tmp_path):
    return Extension(tmp_path, relay=True)


@pytest.fixture
def start(extension, ports):
    with ExitStack() as stack:

        def run(*arguments):
            service = Service(extension)
            service.start("--console-ports", "{}-{}".format(*ports), *arguments)
            stack.callback(service.stop)
            return service

        yield run


@pytest.fixture
def service(start):
    return start()


def console_of(answer):
    assert answer.ok, answer.output
    console = answer["console"]
    assert set(console) == {"host", "port", "password", "passwordonetimeuseonly", "protocol"}
    assert (console["passwordonetimeuseonly"], console["protocol"]) == (True, "vnc")
    return console["host"], int(console["port"]), console["password"]


def reason_for(console):
    """What is shown instead of a console."""
    client = connected(*console)
    client.begin()
    client.close()
    return client.name


def test_from_the_executable_to_the_picture(extension, service, pve, ports, tmp_path):
    host, port, password = console_of(extension.call("getconsole", payload("getconsole", pve)))
    assert host == "127.0.0.1"
    assert ports[0] <= port <= ports[1]
    assert [line.partition(" ")[0] for line in pve.summary()] == ["GET", "GET"]
    assert service.status()["now"]["open"] == {"console": 0, "console offer": 1}
    done = capture(host, port, password, tmp_path / "screen.png")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "screen.png") as image:
        assert image.convert("RGB").tobytes() == pve.display(105).picture.pixels
    assert (ord("a"), True) in pve.display(105).keys
    wait_until(lambda: service.status()["now"]["open"] == {"console": 0})
    assert service.status()["counters"]["consoles"] == {"offered": 1, "opened": 1, "ended": 1}
    assert service.stop() == 0
    told = service.log() + extension.log()
    assert "console of i-2-45-VM: 127.0.0.1 has come" in told
    for secret in (password, pve.token_secret, "PVEVNC"):
        assert secret not in told


def test_a_display_that_is_serial(extension, service, pve):
    pve.remove_guest(105)
    pve.add_guest(
        105, "i-2-45-VM", status="running", node="pve2", config={**MARK, "vga": "serial0", "serial0": "socket"}
    )
    client = connected(*console_of(extension.call("getconsole", payload("getconsole", pve))))
    assert client.begin()[0] > 0


def test_which_way_it_goes(extension, service, pve):
    data = payload("getconsole", pve, host={"console_mode": "raw"})
    _host, port, _password = console_of(extension.call("getconsole", data))
    assert 5900 <= port <= 5999
    assert MINTED in pve.summary()
    service.stop()
    pve.reset_record()
    # Where there is to be a relay, its absence makes no console that goes another way.
    for mode in ({}, {"console_mode": "auto"}, {"console_mode": "relay"}):
        answer = extension.call("getconsole", payload("getconsole", pve, host=mode))
        assert answer.exit_code == 1
        words = mode.get("console_mode", "auto")
        assert answer.error.startswith(
            f"console_mode is {words}, but there is no console relay: the service cloudbridge-proxmoxd has it, and "
            f"did not take this action"
        )
    answer = extension.call("getconsole", payload("getconsole", pve), env={"https_proxy": "http://127.0.0.1:9"})
    assert "which is not asked where https_proxy is set" in answer.error
    assert pve.exchanges == []
    _host, port, _password = console_of(extension.call("getconsole", data))
    assert 5900 <= port <= 5999


def test_without_a_relay_by_configuration_it_is_raw(extension, pve):
    service = Service(extension)
    service.start()
    try:
        _host, port, _password = console_of(extension.call("getconsole", payload("getconsole", pve)))
    finally:
        service.stop()
    assert 5900 <= port <= 5999
    answer = Extension(extension.root).call("getconsole", payload("getconsole", pve, host={"console_mode": "relay"}))
    assert answer.error.startswith("console_mode is relay, but there is no console relay: no service carries out")


def test_a_guest_that_is_another_ones_when_the_viewer_comes(extension, service, pve):
    first, second = (console_of(extension.call("getconsole", payload("getconsole", pve))) for _number in range(2))
    pve.remove_guest(105)
    assert "i-2-45-VM is gone: there is no guest 105 in the cluster" in reason_for(first)
    other = UUID.replace("6", "7")
    config = {**MARK, "description": NOTES.replace(UUID, other), "smbios1": f"uuid={other}"}
    pve.add_guest(105, "i-2-46-VM", status="running", config=config)
    assert re.search(r"guest 105 .* is not i-2-45-VM", reason_for(second))
    assert MINTED not in pve.summary()


def test_a_stop_ends_consoles(extension, service, pve):
    client = connected(*console_of(extension.call("getconsole", payload("getconsole", pve))))
    client.begin()
    waiting = console_of(extension.call("getconsole", payload("getconsole", pve)))
    assert service.stop() == 0
    assert client.read(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connected(*waiting)


def test_consoles_outlive_an_upgrade(extension, service, pve):
    client = connected(*console_of(extension.call("getconsole", payload("getconsole", pve))))
    size = client.begin()
    waiting = console_of(extension.call("getconsole", payload("getconsole", pve)))
    old = service.process
    service.signal(signal.SIGHUP)
    wait_until(lambda: service.status()["pid"] != old.pid)
    try:
        after = connected(*console_of(extension.call("getconsole", payload("getconsole", pve))))
        assert after.begin() == size
        # What was offered before the upgrade still is.
        late = connected(*waiting)
        assert late.begin() == size
        for one in (client, late):
            one.ask(*size)
            assert len(one.picture(*size)) == 16 + 4 * size[0] * size[1]
        assert old.poll() is None
        client.close()
        late.close()
        assert old.wait(20) == 0
        after.ask(*size)
        assert len(after.picture(*size)) == 16 + 4 * size[0] * size[1]
    finally:
        os.kill(service.status()["pid"], signal.SIGTERM)


def test_doctor_knows_where_the_console_proxy_has_to_reach(extension, start, pve, ports):
    start("--console-address", "192.0.2.1", "--console-bind", "127.0.0.1")
    rows = extension.call("doctor", payload("statuses", pve)).document["message"]
    row = next(row for row in rows if row["check"] == "console")
    assert row["found"] == "relayed: the console proxy reaches 192.0.2.1, ports {} to {}".format(*ports)
    console = extension.call("getconsole", payload("getconsole", pve))["console"]
    assert console["host"] == "192.0.2.1"
    connected("127.0.0.1", int(console["port"]), console["password"]).close()


def test_a_slow_viewer_costs_no_memory(extension, service, pve):
    side, number = 1000, 3
    pve.display(105).show(Picture(side, side, bytes(range(250)) * (side * side * 3 // 250)))
    client = connected(*console_of(extension.call("getconsole", payload("getconsole", pve))))
    assert client.begin() == (side, side)
    before = service.resident_kib("VmHWM")
    for _number in range(number):
        client.ask(side, side)
    updates = {client.picture(side, side) for _number in range(number)}
    assert [len(update) for update in updates] == [16 + 4 * side * side]
    assert service.resident_kib("VmHWM") - before < 4 * 1024


def test_hundreds_at_once(extension, start, pve):
    limits = ("--most-consoles", "400", "--most-consoles-per-pve", "400", "--most-consoles-per-guest", "20")
    service = start("--most-requests", "32", *limits)
    paths = [extension.write(instance(pve, number)) for number in range(GUESTS)]

    def show(number):
        code, answer = service.ask("getconsole", paths[number % GUESTS], receipt=False)
        assert code == 0, answer
        console = json.loads(answer)["console"]
        client = connected(console["host"], int(console["port"]), console["password"])
        assert client.begin() == (64, 48)
        return client

    def use(client):
        client.ask(64, 48)
        assert len(client.picture(64, 48)) == 16 + 4 * 64 * 48
        client.press(0x61)

    def measure():
        return service.resident_kib(), service.open_files(), service.status()["now"]["threads"]

    with ThreadPoolExecutor(4) as pool:
        for client in list(pool.map(show, range(20))):
            client.close()
        wait_until(lambda: service.status()["now"]["open"] == {"console": 0})
        before = measure()
        clients = list(pool.map(show, range(CONSOLES)))
        assert service.status()["now"]["open"] == {"console": CONSOLES}
        full = measure()
        for _round in range(2):
            list(pool.map(use, clients))
        used = measure()
        for client in clients:
            client.close()
        wait_until(lambda: service.status()["now"]["open"] == {"console": 0})
        for client in list(pool.map(show, range(50))):
            client.close()
        wait_until(lambda: service.status()["now"]["open"] == {"console": 0})
        after = measure()
    seen = f"KiB, files, threads: {before}, {full}, {used}, {after}"
    # Two sockets for each console, and no thread.
    assert full[1] - before[1] <= 2 * CONSOLES + 10, seen
    assert full[2] <= before[2] + 20, seen
    assert (full[0] - before[0]) / CONSOLES < 200, seen
    assert used[0] - full[0] < 8 * 1024, seen
    assert after[0] - used[0] < 4 * 1024, seen
    assert after[1] <= before[1] + 5, seen


def test_a_thousand_that_are_opened_and_left(extension, start, pve):
    """As the console proxy leaves them: it keeps its connection, and asks for nothing any more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    service = start("--most-requests", "32")
    paths = [extension.write(instance(pve, number)) for number in range(GUESTS)]
    left = []

    def open_and_leave(number):
        code, answer = service.ask("getconsole", paths[number % GUESTS], receipt=False)
        assert code == 0, answer
        console = json.loads(answer)["console"]
        client = connected(console["host"], int(console["port"]), console["password"])
        assert client.begin() == (64, 48)
        client.ask(64, 48)
        assert len(client.picture(64, 48)) == 16 + 4 * 64 * 48
        left.append(client)

    def measure():
        return service.resident_kib(), service.open_files(), service.status()["now"]["threads"]

    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(open_and_leave, range(200)))
            before = measure()
            list(pool.map(open_and_leave, range(200, LEFT)))
            after = measure()
        assert len(left) == LEFT
        # Five for each guest, and no more.
        assert service.status()["now"]["open"] == {"console": 5 * GUESTS}
        open_and_leave(0)
    finally:
        for client in left:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    seen = f"KiB, files, threads: {before}, {after}"
    assert after[0] - before[0] < 4 * 1024, seen
    assert after[1] <= before[1] + 5, seen
    assert after[2] <= before[2] + 2, seen


def instance(pve, number):
    """Make a guest; returns the payload of getconsole for it."""
    name, uuid = f"i-2-{number}-VM", f"6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f{number:02x}"
    config = {**MARK, "description": NOTES.replace(UUID, uuid).replace("i-2-45-VM", name), "smbios1": f"uuid={uuid}"}
    pve.add_guest(1000 + number, name, status="running", config=config)
    data = payload("getconsole", pve, vm={"uuid": uuid, "name": name}, details={"proxmox_vmid": str(1000 + number)})
    return {**data, "virtualmachineid": uuid, "virtualmachinename": name}
