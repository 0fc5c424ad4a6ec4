# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is asked next, and how many at a node at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.inventory.calls import (
    MOST_WORKERS,
    Answer,
    Call,
    _Schedule,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import Cause, Unreachable
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import Guest

nodes = st.lists(st.sampled_from(["pve1", "pve2", "pve3"]), max_size=20)
NO_ROUTE = Unreachable("no route", Cause(status=595))


def calls_at(places):
    return [Call("agent", Guest(100 + number, node, "qemu")) for number, node in enumerate(places)]


@given(nodes, st.integers(1, 3), st.randoms())
def test_every_call_is_made_once_and_few_at_a_time(places, per_node, random):
    calls = calls_at(places)
    schedule = _Schedule(calls, per_node)
    assert schedule.useful_workers <= min(MOST_WORKERS, len(calls))
    running, made = [], []
    while True:
        call = schedule.take()
        if call is not None:
            running.append(call)
            assert sum(other.guest.node == call.guest.node for other in running) <= per_node
        elif running:
            ended = running.pop(random.randrange(len(running)))
            made.append(ended)
            schedule.note(Answer(ended))
            schedule.free(ended.guest.node)
        else:
            break
    assert sorted(made, key=calls.index) == calls
    assert [answer.call for answer in schedule.collect()] == made


@given(nodes)
def test_a_node_that_nobody_reaches_is_asked_no_more(places):
    calls = calls_at(["pve1", *places])
    schedule = _Schedule(calls, 1)
    asked = []
    while (call := schedule.take()) is not None:
        asked.append(call.guest.node)
        schedule.note(Answer(call, error=NO_ROUTE))
        schedule.free(call.guest.node)
    assert len(asked) == len(set(asked))
    assert {answer.call for answer in schedule.collect()} == set(calls)


def test_an_answer_after_the_end_is_not_taken():
    schedule = _Schedule(calls_at(["pve1", "pve1"]), 1)
    call = schedule.take()
    assert schedule.collect() == []
    schedule.note(Answer(call, error=NO_ROUTE))
    assert schedule.take() is None
