# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is asked next, and how many at a node at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.inventory.guest_queries import (
    MOST_WORKERS,
    GuestQuery,
    QueryResult,
    _Schedule,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import Cause, Unreachable
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import Guest

nodes = st.lists(st.sampled_from(["pve1", "pve2", "pve3"]), max_size=20)
NO_ROUTE = Unreachable("no route", Cause(status=595))


def queries_at(places):
    return [GuestQuery("agent", Guest(100 + number, node, "qemu")) for number, node in enumerate(places)]


@given(nodes, st.integers(1, 3), st.randoms())
def test_every_call_is_made_once_and_few_at_a_time(places, per_node, random):
    queries = queries_at(places)
    schedule = _Schedule(queries, per_node)
    assert schedule.useful_workers <= min(MOST_WORKERS, len(queries))
    running, made = [], []
    while True:
        query = schedule.take()
        if query is not None:
            running.append(query)
            assert sum(other.guest.node == query.guest.node for other in running) <= per_node
        elif running:
            ended = running.pop(random.randrange(len(running)))
            made.append(ended)
            schedule.note(QueryResult(ended))
            schedule.free(ended.guest.node)
        else:
            break
    assert sorted(made, key=queries.index) == queries
    assert [answer.query for answer in schedule.collect()] == made


@given(nodes)
def test_a_node_that_nobody_reaches_is_asked_no_more(places):
    queries = queries_at(["pve1", *places])
    schedule = _Schedule(queries, 1)
    asked = []
    while (query := schedule.take()) is not None:
        asked.append(query.guest.node)
        schedule.note(QueryResult(query, error=NO_ROUTE))
        schedule.free(query.guest.node)
    assert len(asked) == len(set(asked))
    assert {answer.query for answer in schedule.collect()} == set(queries)


def test_an_answer_after_the_end_is_not_taken():
    schedule = _Schedule(queries_at(["pve1", "pve1"]), 1)
    query = schedule.take()
    assert schedule.collect() == []
    schedule.note(QueryResult(query, error=NO_ROUTE))
    assert schedule.take() is None
