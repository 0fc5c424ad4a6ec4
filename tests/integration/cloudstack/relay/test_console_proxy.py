# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CloudStack's console proxy as it is: it leaves without closing its connection, and later ones come back."""

from __future__ import annotations

import socket
import time

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.relay import console as relay_console
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import PveError
from tests.integration.cloudstack.relay.test_relay import is_closed, reason_for
from tests.support.embedded_pve.consoles.display import Picture
from tests.support.service import wait_until
from tests.support.vnc_client import TurnedAway, VncClient, connected

SIZE = (64, 48)
UPDATE_BYTES = 4 + 12 + 64 * 48 * 4


class Proxy(VncClient):
    """A console in a browser, as noVNC asks for it: the next picture as soon as there is one."""

    def __init__(self, offer):
        super().__init__(offer.host, offer.port)
        self.log_in(offer.password)
        assert self.begin() == SIZE
        self.ask(*SIZE)
        assert len(self.picture(*SIZE)) == UPDATE_BYTES

    def wait(self):
        """Have asked for what changes."""
        self.ask(*SIZE, changes=True)
        return self

    @property
    def is_open(self):
        self.socket.settimeout(0.05)
        try:
            return self.socket.recv(1, socket.MSG_PEEK) != b""
        except TimeoutError:
            return True
        except ConnectionError:
            return False
        finally:
            self.socket.settimeout(20)


@pytest.fixture
def keep(start):
    """A relay that keeps the place of a viewer that has left."""
    return start(reconnect_seconds=30.0)


def test_a_viewer_that_stops_asking_and_never_closes(start):
    bench = start(unasked_seconds=1.0, idle_seconds=300.0)
    watching, gone = Proxy(bench.offer()).wait(), Proxy(bench.offer())
    bench.wait_for("it got a picture and asked for nothing for 1 s")
    assert gone.read(1) == b""
    # Nothing changes on the other one's screen, and it has asked for what will.
    time.sleep(2.0)
    assert watching.is_open
    assert bench.relay.count == 1


def test_a_bell_is_no_picture(start, pve):
    pve.add_guest(114, "bell", status="running")
    bench = start(unasked_seconds=1.0, idle_seconds=300.0)
    viewer = Proxy(bench.offer(114)).wait()
    pve.display(114).ring()
    assert viewer.read(1) == b"\2"
    time.sleep(2.0)
    assert viewer.is_open
    pve.display(114).show(Picture(64, 48, bytes(64 * 48 * 3)))
    assert len(viewer.picture(*SIZE)) == UPDATE_BYTES
    # Now it has one, and asks for no more.
    assert viewer.read(1) == b""
    pve.remove_guest(114)


def test_a_viewer_that_says_nothing_at_all_once_it_is_let_in(start):
    bench = start(unasked_seconds=0.5, idle_seconds=300.0)
    offer = bench.offer()
    assert connected(offer.host, offer.port, offer.password).read(1) == b""
    bench.wait_for("asked for nothing for 0.5 s")


def test_ten_that_were_opened_and_left_take_up_five_places(bench):
    """21-consoles.md: they do not use up ten places for half an hour."""
    left = [Proxy(bench.offer()) for _number in range(10)]
    assert bench.relay.count == 5
    assert [viewer.is_open for viewer in left] == [False] * 5 + [True] * 5
    bench.wait_for("made room: its guest has 5 consoles already")
    # Those of others are not concerned.
    other = Proxy(bench.offer(label="i-2-46-VM"))
    assert bench.relay.count == 6
    assert other.is_open


def test_the_one_that_nobody_looks_at_makes_room_first(start, pve, monkeypatch):
    monkeypatch.setattr(relay_console, "ANSWER_SECONDS", 0.3)
    bench = start(most_per_guest=3)
    watching = Proxy(bench.offer()).wait()
    left = Proxy(bench.offer())
    typing = Proxy(bench.offer()).wait()
    time.sleep(0.4)
    fourth = Proxy(bench.offer()).wait()
    assert [one.is_open for one in (watching, left, typing)] == [True, False, True]
    # Of those who wait for a change, the one that was silent longest.
    watching.press(ord("a"))
    wait_until(lambda: (ord("a"), True) in pve.display(101).keys)
    fifth = Proxy(bench.offer()).wait()
    assert [one.is_open for one in (watching, typing, fourth, fifth)] == [True, False, True, True]


def test_a_full_relay_ends_what_was_left_and_refuses_when_nothing_was(start, monkeypatch):
    monkeypatch.setattr(relay_console, "ANSWER_SECONDS", 0.3)
    bench = start(most=3)
    left = Proxy(bench.offer(label="i-2-1-VM"))
    watching = [Proxy(bench.offer(label=f"i-2-{number}-VM")).wait() for number in (2, 3)]
    with pytest.raises(PveError, match="has 3 consoles"):
        bench.offer(label="i-2-4-VM")
    time.sleep(0.4)
    late = Proxy(bench.offer(label="i-2-4-VM")).wait()
    assert not left.is_open
    assert all(one.is_open for one in (*watching, late))
    with pytest.raises(PveError, match="has 3 consoles"):
        bench.offer(label="i-2-5-VM")


def test_ports_that_wait_for_nobody_are_given_up(start, ports):
    bench = start(ports=(ports[0], ports[0] + 2))
    offers = [bench.offer(label=name) for name in ("i-2-1-VM", "i-2-2-VM", "i-2-2-VM")]
    assert Proxy(bench.offer(label="i-2-3-VM")).is_open
    # The older one of the guest that had two.
    assert [is_closed(offer.host, offer.port) for offer in (offers[0], offers[2])] == [False, False]
    bench.wait_for("made room for another one")


def test_a_viewer_that_comes_back(keep, pve):
    offer = keep.offer()
    first = Proxy(offer)
    first.close()
    keep.wait_for("it may come back")
    assert keep.relay.count == 1
    again = Proxy(offer).wait()
    keep.wait_for("127.0.0.1 has come back")
    assert keep.relay.count == 1
    assert again.is_open
    # PVE was asked with the same proofs, once for each.
    assert keep.counts["opened"] == 2
    assert pve.summary().count("POST /nodes/pve1/qemu/101/vncproxy") == 2


def test_a_viewer_that_comes_back_without_having_closed(keep):
    offer = keep.offer()
    first = Proxy(offer).wait()
    again = Proxy(offer).wait()
    assert first.read(1) == b""
    assert again.is_open
    assert keep.relay.count == 1
    third = Proxy(offer)
    assert third.is_open
    assert keep.relay.count == 1


def test_a_viewer_that_comes_back_while_pve_is_still_asked(keep, pve):
    pve.fault("POST", "/vncproxy$", "delay", seconds=1.0)
    offer = keep.offer()
    early = VncClient(offer.host, offer.port)
    early.prove(offer.password)
    wait_until(lambda: any(line.endswith("/vncproxy") for line in pve.summary()))
    again = Proxy(offer)
    assert again.is_open
    assert early.read(1) == b""
    assert keep.relay.count == 1
    # Another one of the guest gets its turn.
    assert Proxy(keep.offer()).is_open


def test_who_does_not_come_back_in_time(start):
    bench = start(reconnect_seconds=0.5)
    offer = bench.offer()
    Proxy(offer).close()
    bench.wait_for("it did not come back within 0.5 s")
    assert is_closed(offer.host, offer.port)
    assert bench.relay.count == 0


def test_nobody_comes_back_to_what_has_ended_for_its_time(start):
    bench = start(reconnect_seconds=30.0, unasked_seconds=0.5)
    offer = bench.offer()
    assert Proxy(offer).read(1) == b""
    bench.wait_for("asked for nothing for 0.5 s, after")
    assert is_closed(offer.host, offer.port)


def test_others_do_not_take_the_place(keep):
    offer = keep.offer()
    viewer = Proxy(offer).wait()
    # From another address it is not even asked for the password.
    with socket.create_connection((offer.host, offer.port), 5, ("127.0.0.9", 0)) as stranger:
        assert stranger.recv(1) == b""
    wait_until(lambda: keep.counts["foreign source"] == 1)
    # Whoever guesses closes the door, and the one who is in stays in.
    for _number in range(3):
        with pytest.raises(TurnedAway):
            connected(offer.host, offer.port, "guess")
    keep.wait_for("its place is withdrawn after 3 wrong passwords")
    assert is_closed(offer.host, offer.port)
    assert viewer.is_open
    viewer.close()
    keep.wait_for("it left, after")
    assert keep.relay.count == 0


def test_a_refusal_is_shown_and_not_taken_for_a_wrong_password(bench, pve):
    pve.add_guest(115, "down", status="stopped")
    offer = bench.offer(115)
    assert reason_for(offer).startswith("There is no console: guest 115 (down) is stopped")
    pve.remove_guest(115)


def test_a_refusal_is_shown_for_a_while(start, pve):
    pve.add_guest(116, "down", status="stopped")
    bench = start(told_seconds=1.0)
    offer = bench.offer(116)
    client = connected(offer.host, offer.port, offer.password)
    size = client.begin()
    for _number in range(2):
        client.ask(*size)
        assert len(client.picture(*size)) == 16 + 4 * size[0] * size[1]
    assert client.read(1) == b""
    wait_until(lambda: bench.relay.count == 0)
    pve.remove_guest(116)
