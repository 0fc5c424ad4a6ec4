# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deadlines and the pauses between tries, on a clock that only sleeping moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.deadline import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Deadline,
)
from tests.support.clock import Clock

seconds = st.floats(0.01, 1000)


def test_a_deadline_counts_down_to_nothing():
    clock = Clock()
    deadline = clock.deadline(10)
    clock.sleep(4)
    assert (deadline.remaining, deadline.expired) == (6, False)
    clock.sleep(20)
    assert (deadline.remaining, deadline.expired) == (0, True)


def test_a_pause_ends_with_the_deadline():
    clock = Clock()
    deadline = clock.deadline(1)
    deadline.pause(0.4)
    deadline.pause(5)
    deadline.pause(5)
    assert clock.slept == pytest.approx([0.4, 0.6, 0])


@given(seconds, seconds, seconds)
def test_a_part_of_a_deadline_does_not_outlive_it(whole, passed, part):
    clock = Clock()
    deadline = clock.deadline(whole)
    clock.sleep(passed)
    assert deadline.within(part).remaining <= min(part, deadline.remaining) + 1e-9


@given(seconds)
def test_tries_end_close_before_their_deadline_and_are_few(whole):
    clock = Clock()
    tries = clock.deadline(whole).tries(whole)
    while tries.again():
        assert clock.now < whole
    assert whole - clock.now < 2 * FIRST_PAUSE_SECONDS
    assert len(clock.slept) <= 12 + whole / LONGEST_PAUSE_SECONDS
    assert all(0 < pause <= LONGEST_PAUSE_SECONDS for pause in clock.slept)


def test_the_pauses_between_tries_double():
    clock = Clock()
    tries = clock.deadline(100).tries(60)
    for _number in range(6):
        assert tries.again()
    assert clock.slept == pytest.approx([0.2, 0.4, 0.8, 1.6, 2.0, 2.0])


@given(seconds, st.floats(0, 20))
def test_no_try_is_begun_that_outlasts_the_deadline(whole, try_seconds):
    clock = Clock()
    tries = clock.deadline(whole).tries(whole)
    ends = []
    while tries.again():
        clock.sleep(try_seconds)
        ends.append(clock.now)
    # How long one takes is known once one has been made.
    assert all(end <= whole + 1e-9 for end in ends[1:])


def test_tries_have_no_more_time_than_the_whole():
    clock = Clock()
    tries = clock.deadline(1).tries(60)
    while tries.again():
        pass
    assert clock.now <= 1


def test_the_clock_is_the_monotonic_one():
    assert 0 < Deadline(5).remaining <= 5
