# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A session that breaks off is followed by another one, and nothing that was typed is typed twice."""

from __future__ import annotations

import json

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


def test_a_guest_that_moves_is_followed(cluster, tmp_path):
    log, record = tmp_path / "log", tmp_path / "cast"
    console = cluster.console(110)
    with Person(tmp_path, cluster.environment, "term", "--wake", "--log", str(log), "--record", str(record)) as person:
        person.connected().expect(rb"~ # ")
        person.type("echo first\r")
        person.expect(rb"first\r\nfirst\r\n")
        live_long_enough(person)
        cluster.move_guest(110, "pve2")
        person.expect(rb"broke off: opening it again \(Ctrl-\] or Ctrl-C gives up\)")
        person.type("echo lost\r")
        person.expect(rb"opened again, on node pve2")
        person.type("echo second\r")
        person.expect(rb"second\r\nsecond\r\n")
        assert console.clients == 1
        assert person.leave() == 0
        assert person.terminal_is_as_before
    assert console.typed == b"\recho first\recho second\r"
    assert console.sizes == [(80, 24), (80, 24)]
    notes = [b"connected to guest 110", b"broke off", b"opened again, on node pve2"]
    text = log.read_bytes()
    assert [text.count(note) for note in notes] == [1, 1, 1]
    marks = [event[2] for event in map(json.loads, record.read_text().splitlines()[1:]) if event[1] == "m"]
    assert [mark[:12] for mark in marks] == ["the session ", "opened again"]


def test_a_server_that_dies_is_waited_for_until_the_person_gives_up(cluster, tmp_path):
    with Person(tmp_path, cluster.environment, "term", "--wake") as person:
        person.connected().expect(rb"~ # ")
        live_long_enough(person)
        cluster.stop()
        person.expect(rb"broke off: opening it again")
        person.type("\x1d")
        assert person.end() == 130
        assert person.terminal_is_as_before
