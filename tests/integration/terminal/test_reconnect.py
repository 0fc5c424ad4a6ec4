# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A session that breaks off is followed by another one, and nothing that was typed is typed twice."""

from __future__ import annotations

import contextlib
import json
import socket
import threading

import pytest

from tests.support.embedded_pve import running_embedded_pve
from tests.support.person import Person

# A first session that ends sooner is not opened again.
LONG_ENOUGH = 5.2


@pytest.fixture
def cluster():
    with running_embedded_pve(nodes=("pve1", "pve2")) as pve:
        pve.add_guest(110, "term", status="running", storage="shared", config={"serial0": "socket"})
        yield pve


def live_long_enough(person: Person) -> None:
    """Let the session become one that is worth another one."""
    with pytest.raises(AssertionError, match="never shown"):
        person.expect(rb"never shown", LONG_ENOUGH)


class Network:
    """What is between the person and PVE; when it is cut, PVE does not notice."""

    def __init__(self, pve):
        self._pve = pve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._ends = []
        self._start(self._accept)

    @staticmethod
    def _start(work, *arguments):
        threading.Thread(target=work, args=arguments, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                person, _address = self._listener.accept()
                server = socket.create_connection((self._pve.host, self._pve.port))
                self._ends.append((person, server))
                self._start(self._pump, person, server)
                self._start(self._pump, server, person)

    @staticmethod
    def _pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)

    def cut(self):
        for person, _server in self._ends:
            with contextlib.suppress(OSError):
                person.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._listener.close()
        for end in (end for pair in self._ends for end in pair):
            with contextlib.suppress(OSError):
                # What a thread waits for is not closed by close().
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def test_a_guest_that_moves_is_followed_and_a_network_that_breaks_is_waited_for(cluster, tmp_path):
    """One story, because it begins with a session that is long enough to be worth another one."""
    log, record = tmp_path / "log", tmp_path / "cast"
    console = cluster.console(110)
    network = Network(cluster)
    environment = {**cluster.environment, "PROXMOX_HOST": network.address}
    with (
        contextlib.closing(network),
        Person(tmp_path, environment, "term", "--wake", "--log", str(log), "--record", str(record)) as person,
    ):
        person.connected().expect(rb"~ # ")
        person.type("echo first\r")
        person.expect(rb"first\r\nfirst\r\n")
        live_long_enough(person)

        cluster.move_guest(110, "pve2")
        # PVE says nothing of it until something is typed, which then is lost.
        console.wait_for_clients(0)
        person.type("x")
        person.expect(rb"broke off: opening it again \(Ctrl-\] or Ctrl-C gives up\)")
        person.type("echo lost\r")
        person.expect(rb"opened again, on node pve2")
        person.type("echo second\r")
        person.expect(rb"second\r\nsecond\r\n")
        assert console.clients == 1

        # PVE takes the session for alive, and would keep a new one silent.
        network.cut()
        person.expect(rb"opened again, on node pve2")
        person.type("echo third\r")
        person.expect(rb"third\r\nthird\r\n")
        tasks = cluster.tasks("vncproxy")
        stopped = [line for line in cluster.summary() if line.startswith("DELETE ")]
        assert [tasks[1]["upid"] in line for line in stopped] == [True]
        assert len(tasks) == 3

        cluster.stop()
        person.expect(rb"broke off: opening it again")
        person.type("\x1d")
        assert person.end() == 130
        assert person.terminal_is_as_before
    assert console.typed == b"\recho first\recho second\recho third\r"
    assert console.sizes == [(80, 24)] * 3
    notes = [b"connected to guest 110", b"broke off", b"opened again, on node pve2"]
    text = log.read_bytes()
    assert [text.count(note) for note in notes] == [1, 3, 2]
    marks = [event[2] for event in map(json.loads, record.read_text().splitlines()[1:]) if event[1] == "m"]
    assert [mark[:12] for mark in marks] == ["the session ", "opened again"] * 2 + ["the session "]
