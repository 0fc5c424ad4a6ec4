# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which calendar events mean the same."""

from __future__ import annotations

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.backup.schedule import same_schedule


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("daily", "00:00"),
        ("daily", "mon..sun 0:00"),
        ("sat 03:00", "SAT  3:00:00"),
        ("mon,tue,wed", "mon..wed"),
        ("weekly", "Monday 00:00"),
        ("*:00", "hourly"),
        ("monthly", "*-*-01"),
        ("30", "*:30"),
    ],
)
def test_the_same(one, other):
    assert same_schedule(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("daily", "01:00"), ("sat 03:00", "sun 03:00"), ("10:30", "1:30"), ("*/5", "*/15"), ("daily", "x y")],
)
def test_not_the_same(one, other):
    assert not same_schedule(one, other)
