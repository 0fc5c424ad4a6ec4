# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who gets through the console relay, to which consoles, and what is seen there."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.relay.settings import parse_sources
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import PveError
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.rfb_notice import Notice
from tests.support.api_client import ApiClient
from tests.support.embedded_pve.consoles.display import Picture
from tests.support.embedded_pve.consoles.rfb import des_response
from tests.support.qemu_vnc import is_installed, running_qemu
from tests.support.service import wait_until
from tests.support.vnc_client import TurnedAway, VncClient, capture, connected

MINTED = "POST /nodes/pve1/qemu/101/vncproxy"


def reason_for(offer):
    """Log in, as with a console, and return what is shown instead of one."""
    client = connected(offer.host, offer.port, offer.password)
    width, height = client.begin()
    client.ask(width, height)
    picture = client.picture(width, height)
    assert picture[16:] == expected_picture(client.name)
    client.close()
    return client.name


def expected_picture(text):
    notice = Notice(text)
    notice.feed(b"\1")
    return notice.picture()[16:]


def is_closed(host, port):
    try:
        socket.create_connection((host, port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_viewer_of_others_logs_in_and_gets_the_picture(bench, pve, tmp_path):
    offer = bench.offer()
    done = capture(offer.host, offer.port, offer.password, tmp_path / "screen.png")
    assert done.returncode == 0, done.stderr
    picture = pve.display(101).picture
    with Image.open(tmp_path / "screen.png") as image:
        assert image.size == (picture.width, picture.height)
        assert image.convert("RGB").tobytes() == picture.pixels
    assert (ord("a"), True) in pve.display(101).keys
    bench.wait_for("console of i-2-45-VM: it left, after")
    assert bench.relay.count == 0
    assert bench.counts == {"offered": 1, "opened": 1, "ended": 1}
    assert pve.forms("POST", "/nodes/pve1/qemu/101/vncproxy$")[-1]["websocket"] == "1"
    assert pve.display(101).violations == []


@pytest.mark.skipif(not is_installed(), reason="qemu-system-x86_64 is not installed")
def test_a_real_qemu_through_the_relay(bench, pve, tmp_path):
    with running_qemu() as qemu:
        pve.display(101).use(qemu)
        offer = bench.offer()
        done = capture(offer.host, offer.port, offer.password, tmp_path / "screen.png")
        assert done.returncode == 0, done.stderr
        with Image.open(tmp_path / "screen.png") as image:
            assert image.size >= (320, 200)
            # It says that the machine does not run, on a ground of another colour.
            assert len(image.convert("RGB").getcolors(maxcolors=1 << 24)) > 1
        offers = [bench.offer(), bench.offer()]
        clients = [connected(offer.host, offer.port, offer.password) for offer in offers]
        sizes = {client.begin(shared=0) for client in clients}
        assert len(sizes) == 1
        # Neither has thrown the other one out.
        for client in clients:
            client.ask(1, 1)
            assert len(client.read(4)) == 4
    bench.wait_for("PVE ended the console")


def test_pve_hears_nothing_before_a_viewer_has_proved_itself(bench, pve):
    offer = bench.offer()
    with socket.create_connection((offer.host, offer.port)) as stranger:
        assert stranger.recv(12) == b"RFB 003.008\n"
        stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert stranger.recv(100) == b""
    client = VncClient(offer.host, offer.port)
    with pytest.raises(TurnedAway, match="Authentication failed"):
        client.log_in("guess")
    assert pve.exchanges == []
    assert pve.connection_count == 0
    client = connected(offer.host, offer.port, offer.password)
    assert client.begin() == (64, 48)
    assert [line for line in pve.summary() if line == MINTED] == [MINTED]
    # To find the guest, to see what shows it, to have a port opened, and to connect to it.
    assert len(pve.summary()) <= 5, pve.summary()


def test_one_viewer_for_each_answer(bench):
    offer = bench.offer()
    early = VncClient(offer.host, offer.port)
    first = connected(offer.host, offer.port, offer.password)
    assert is_closed(offer.host, offer.port)
    assert early.read(12) in (b"", b"RFB 003.008\n")
    assert early.read(1) == b""
    assert first.begin() == (64, 48)
    other = bench.offer()
    assert other.port != offer.port
    assert other.password != offer.password
    with pytest.raises(TurnedAway):
        connected(other.host, other.port, offer.password)
    second = connected(other.host, other.port, other.password)
    assert bench.relay.count == 2
    assert second.begin() == (64, 48)
    first.ask(64, 48)
    assert len(first.picture(64, 48)) == 4 + 12 + 64 * 48 * 4


def test_nobody_comes(start, pve):
    bench = start(offer_seconds=0.5)
    offer = bench.offer()
    assert bench.relay.waiting == 1
    bench.wait_for("no viewer connected within 0.5 s")
    assert is_closed(offer.host, offer.port)
    assert bench.relay.waiting == 0
    assert bench.counts["unused"] == 1
    assert pve.exchanges == []


def test_the_offer_ends_after_so_many_wrong_passwords(bench, pve):
    offer = bench.offer()
    for _number in range(2):
        with pytest.raises(TurnedAway, match="Authentication failed"):
            connected(offer.host, offer.port, "guess")
    assert not is_closed(offer.host, offer.port)
    with pytest.raises(TurnedAway):
        connected(offer.host, offer.port, "guess")
    bench.wait_for("withdrawn after 3 wrong passwords")
    assert is_closed(offer.host, offer.port)
    assert pve.exchanges == []


def test_those_who_say_nothing_are_in_nobodys_way(bench):
    offer = bench.offer()
    silent = [VncClient(offer.host, offer.port) for _number in range(6)]
    # The two that came first have made room.
    assert [client.read(13) for client in silent[:2]] == [b"RFB 003.008\n"] * 2
    client = connected(offer.host, offer.port, offer.password)
    assert [client.read(13) for client in silent[2:]] == [b"RFB 003.008\n"] * 4
    assert client.begin() == (64, 48)


def test_those_who_say_nothing_are_sent_away(start):
    bench = start(login_seconds=0.3)
    offer = bench.offer()
    assert VncClient(offer.host, offer.port).read(13) == b"RFB 003.008\n"
    assert not is_closed(offer.host, offer.port)


def test_garbage_and_broken_connections_harm_nobody(bench, pve):
    offer, other = bench.offer(label="i-2-1-VM"), bench.offer(label="i-2-2-VM")
    shown = connected(other.host, other.port, other.password)
    shown.begin()
    for garbage in (b"\0" * 100_000, b"RFB 003.008\n\2" + b"x" * 5, b"RFB 009.999\n", b"RFB 003.008\n\1", b""):
        with socket.create_connection((offer.host, offer.port)) as one:
            # A reset instead of an orderly end.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(ConnectionError):
                one.sendall(garbage)
    slow = socket.create_connection((offer.host, offer.port), 20)
    for byte in b"RFB 003.003\n":
        slow.sendall(bytes([byte]))
    # The version of then asks without a choice.
    received = b""
    while len(received) < 12 + 4 + 16:
        received += slow.recv(100)
    for byte in des_response(offer.password, received[16:]):
        slow.sendall(bytes([byte]))
    assert slow.recv(4) == bytes(4)
    slow.close()
    shown.ask(64, 48)
    assert len(shown.picture(64, 48)) == 4 + 12 + 64 * 48 * 4
    # Whoever has been shown something cannot hurt the relay either.
    shown.socket.sendall(b"\xff" * 300_000)
    assert connected(*address_of(bench.offer())).begin() == (64, 48)


def address_of(offer):
    return offer.host, offer.port, offer.password


def test_only_those_may_connect_who_are_named(start, pve):
    bench = start(sources=parse_sources("192.0.2.0/24, 2001:db8::/32"))
    offer = bench.offer()
    client = VncClient(offer.host, offer.port)
    assert client.read(1) == b""
    wait_until(lambda: bench.counts["foreign source"] == 1)
    assert pve.exchanges == []
    bench = start(sources=parse_sources("192.0.2.1,127.0.0.0/8"))
    offer = bench.offer()
    assert connected(offer.host, offer.port, offer.password).begin() == (64, 48)


def test_serial_displays_and_containers_on_any_node(bench, pve):
    pve.add_guest(111, "serial", node="pve2", status="running", config={"vga": "serial0", "serial0": "socket"})
    pve.add_container(201, "box", node="pve2", status="running")
    for vmid in (111, 201):
        offer = bench.offer(vmid)
        client = connected(offer.host, offer.port, offer.password)
        width, height = client.begin()
        client.ask(width, height)
        assert len(client.read(4)) == 4
        client.close()


def test_a_guest_that_has_stopped_meanwhile(bench, pve):
    offer = bench.offer()
    pve.call(lambda: setattr(pve.server.guest(101), "status", "stopped"))
    assert re.fullmatch(
        r"There is no console: guest 101 .* is stopped, so it has no console: start it first", reason_for(offer)
    )
    assert MINTED not in pve.summary()
    bench.wait_for("is stopped")
    wait_until(lambda: bench.counts["failed"] == 1)
    assert is_closed(offer.host, offer.port)


def test_a_guest_that_stops_while_its_console_is_opened(bench, pve):
    pve.before("POST", "/vncproxy$", lambda: setattr(pve.server.guest(101), "status", "stopped"))
    offer = bench.offer()
    assert "closed the connection before its greeting" in reason_for(offer)
    bench.wait_for("closed the connection")


def test_a_guest_that_has_moved_meanwhile(bench, pve):
    pve.add_guest(112, "nomad", node="pve1", status="running")
    offer = bench.offer(112)
    pve.move_guest(112, "pve2")
    assert connected(offer.host, offer.port, offer.password).begin() == (64, 48)
    assert "POST /nodes/pve2/qemu/112/vncproxy" in pve.summary()


def test_a_guest_that_is_gone_and_a_pve_that_is(bench, pve):
    pve.add_guest(113, "gone", status="running")
    offer = bench.offer(113)
    pve.remove_guest(113)
    assert "there is no guest 113" in reason_for(offer)
    pve.fault("POST", "/vncproxy$", "status", status=500)
    offer = bench.offer()
    assert "PVE refused POST" in reason_for(offer)


def test_pve_ends_the_console(bench, pve):
    offer = bench.offer()
    client = connected(offer.host, offer.port, offer.password)
    client.begin()
    ApiClient(pve).task("POST", "/nodes/pve1/qemu/101/status/stop")
    assert client.read(1) == b""
    client.close()
    bench.wait_for("PVE ended the console, after")


def test_a_slow_viewer_gets_everything(bench, pve):
    side, number = 500, 3
    small = pve.display(101).picture
    pve.display(101).show(Picture(side, side, bytes(range(250)) * (side * side * 3 // 250)))
    try:
        offer, other = bench.offer(), bench.offer()
        slow, quick = (connected(one.host, one.port, one.password) for one in (offer, other))
        assert slow.begin() == quick.begin() == (side, side)
        for _number in range(number):
            slow.ask(side, side)
        # Nobody waits for it.
        quick.ask(side, side)
        update = quick.picture(side, side)
        assert len(update) == 4 + 12 + side * side * 4
        assert [slow.picture(side, side) for _number in range(number)] == [update] * number
    finally:
        pve.display(101).show(small)


def test_time_that_is_over(start):
    bench = start(idle_seconds=0.5, total_seconds=60.0)
    offer = bench.offer()
    client = connected(offer.host, offer.port, offer.password)
    assert client.read(1) == b""
    client.close()
    bench.wait_for("it was idle for 0.5 s")
    bench = start(idle_seconds=0.0, total_seconds=0.5)
    offer = bench.offer()
    client = connected(offer.host, offer.port, offer.password)
    assert client.read(1) == b""
    client.close()
    bench.wait_for("its time of 0.5 s was over")


def test_a_stop_closes_all(bench, ports):
    waiting, taken = bench.offer(), bench.offer()
    client = connected(taken.host, taken.port, taken.password)
    client.begin()
    bench.relay.close()
    assert client.read(1) == b""
    assert is_closed(waiting.host, waiting.port)
    assert bench.counts["stopped"] == 2
    with pytest.raises(PveError, match="the console relay is closed"):
        bench.offer()


def test_ports_are_used_in_turn_and_again(start, ports):
    first = ports[0]
    bench = start(ports=(first, first + 2))
    offers = [bench.offer(label=f"i-2-{number}-VM") for number in range(3)]
    assert [offer.port for offer in offers] == [first, first + 1, first + 2]
    with pytest.raises(PveError, match=rf"all 3 ports of the console relay \({first}-{first + 2}\) are in use"):
        bench.offer()
    client = connected(offers[1].host, offers[1].port, offers[1].password)
    client.begin()
    # The port is free though its console is open.
    again = bench.offer()
    assert again.port == first + 1
    other = connected(again.host, again.port, again.password)
    assert other.begin() == (64, 48)
    for one in (client, other):
        one.ask(64, 48)
        assert len(one.picture(64, 48)) == 4 + 12 + 64 * 48 * 4


def test_there_is_an_end_to_what_one_may_have(start):
    bench = start(most=2)
    for name in ("i-2-1-VM", "i-2-2-VM"):
        bench.offer(label=name)
    with pytest.raises(PveError, match="has 2 consoles, which is as many as it may"):
        bench.offer(label="i-2-3-VM")
    bench = start(most_per_endpoint=1)
    bench.offer(endpoint="https://a")
    bench.offer(endpoint="https://b")
    with pytest.raises(PveError, match="has 1 consoles of https://a"):
        bench.offer(endpoint="https://a")


def test_the_newest_answers_for_a_guest_are_kept(bench):
    offers = [bench.offer() for _number in range(6)]
    bench.wait_for("no viewer connected before others were offered")
    assert is_closed(offers[0].host, offers[0].port)
    assert connected(offers[1].host, offers[1].port, offers[1].password).begin() == (64, 48)


def test_secrets_are_told_to_nobody(bench, pve):
    offer = bench.offer()
    assert offer.password not in repr(offer)
    connected(offer.host, offer.port, offer.password).close()
    bench.wait_for("it left")
    told = "\n".join(bench.words)
    for secret in (offer.password, pve.token_secret, "PVEVNC"):
        assert secret not in told


def test_some_at_once_for_one_guest(bench, pve):
    """PVE has one password for a guest's display: the last that was set."""
    offers = [bench.offer() for _number in range(5)]
    with ThreadPoolExecutor(5) as pool:
        clients = list(pool.map(lambda one: connected(one.host, one.port, one.password), offers))
    assert [client.begin() for client in clients] == [(64, 48)] * 5
    assert pve.display(101).logins[-5:] == [True] * 5
