# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many guests in one task: which entries mean one guest, and how places are shared."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._ansible.many import _given, _laid_over, loosened
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.many.many_request import (
    Entry,
    check_distinct,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.many.turns import GuestDeadline, Limits
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.deadline import Deadline
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest, TimedOut
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import LXC, QEMU, Guest, Selector
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.turns import Places

GUESTS = [Guest(100, "pve1", QEMU, "web"), Guest(200, "pve1", LXC, "ct")]


def entries(*selectors: Selector) -> list[Entry]:
    return [Entry(f"guests[{number}]", selector, None, 60) for number, selector in enumerate(selectors)]


@pytest.mark.parametrize(
    "selectors",
    [
        (Selector(100), Selector(100)),
        (Selector(100, "a"), Selector(100, "b")),
        (Selector(name="a"), Selector(name="a")),
        (Selector(300, "a"), Selector(name="a")),
        (Selector(100), Selector(name="web")),
        (Selector(name="a", kind=QEMU), Selector(name="a")),
    ],
)
def test_two_entries_of_one_guest_are_refused(selectors):
    with pytest.raises(InvalidRequest, match=r"guests\[0\].*guests\[1\].*mean one guest: nothing was changed"):
        check_distinct(entries(*selectors), GUESTS)


@given(st.lists(st.integers(100, 10**6), unique=True))
def test_different_numbers_are_different_guests_whatever_their_names(vmids):
    check_distinct(entries(*(Selector(vmid, "same") for vmid in vmids)), GUESTS)


def test_guests_of_two_kinds_may_have_one_name():
    check_distinct(entries(Selector(name="a", kind=QEMU), Selector(name="a", kind=LXC), Selector(name="b")), GUESTS)


def test_defaults_are_laid_below_dictionaries_and_lists_are_replaced():
    spec = {"a": {"type": "dict", "options": {"x": {}, "y": {}}}, "b": {"type": "list"}, "c": {"type": "dict"}}
    below = _given({"a": {"x": 1, "y": 2}, "b": [1, 2], "c": {"k": 1}}, spec)
    above = _given({"a": {"x": 3, "y": None}, "b": [4], "c": {"k": None}}, spec)
    assert _laid_over(below, above) == {"a": {"x": 3, "y": 2}, "b": [4], "c": {"k": None}}


def test_an_alias_among_the_defaults_does_not_win_over_the_option_of_an_entry():
    spec = {"snapshot": {"type": "str", "aliases": ["snapname"]}}
    below, above = _given({"snapname": "a", "snapshot": "a"}, spec), _given({"snapshot": "b", "snapname": None}, spec)
    assert _laid_over(below, above) == {"snapshot": "b"}


def test_defaults_and_duties_stay_in_lists_alone():
    inside = {"slot": {"type": "str", "required": True}, "state": {"type": "str", "default": "present"}}
    spec = {
        "a": {"type": "dict", "options": inside},
        "b": {"type": "list", "elements": "dict", "options": inside},
        "c": {"type": "int", "default": 3},
    }
    assert loosened(spec, "options") == {
        "a": {"type": "dict", "options": {"slot": {"type": "str"}, "state": {"type": "str"}}},
        "b": spec["b"],
        "c": {"type": "int"},
    }


class TestPlaces:
    def test_what_is_busy_is_waited_for(self):
        limits, places = Limits(per_node=1), Places("pve1")
        taken = limits.take(places, GuestDeadline(60, Deadline(60)))
        passed = threading.Event()

        def wait() -> None:
            limits.take(places, GuestDeadline(60, Deadline(60)))
            passed.set()

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        assert not passed.wait(0.1)
        limits.free(taken)
        assert passed.wait(30)

    def test_the_end_of_the_task_ends_the_wait(self):
        limits, places = Limits(), Places("pve1", only_one_of=101)
        limits.take(places, GuestDeadline(60, Deadline(60)))
        with pytest.raises(TimedOut, match="before it was this guest's turn at guest 101"):
            limits.take(places, GuestDeadline(60, Deadline(0.05)))

    def test_other_places_are_free(self):
        limits = Limits(per_node=1, per_storage=1)
        limits.take(Places("pve1", frozenset({"a"})), GuestDeadline(60, Deadline(60)))
        limits.take(Places("pve2", frozenset({"b"})), GuestDeadline(60, Deadline(60)))

    def test_the_time_of_a_guest_does_not_run_while_it_waits(self):
        limits, places = Limits(per_node=1), Places("pve1")
        taken = limits.take(places, GuestDeadline(60, Deadline(60)))
        threading.Timer(0.3, limits.free, [taken]).start()
        deadline = GuestDeadline(0.2, Deadline(60))
        limits.take(places, deadline)
        assert not deadline.expired
