# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the acceptance suite may touch on a real PVE."""

from __future__ import annotations

import re

import pytest

from tests.live.settings import PREFIX, connection_from, live_settings
from tests.support.collection_tree import REPOSITORY

NEEDED = {
    "CLOUDBRIDGE_LIVE_POOL": "live",
    "CLOUDBRIDGE_LIVE_VMIDS": "7000-7003",
    "CLOUDBRIDGE_LIVE_NODE": "pve1",
    "CLOUDBRIDGE_LIVE_STORAGE": "local-lvm",
}
TOKEN = {"PROXMOX_HOST": "pve1", "PROXMOX_USER": "a@pve", "PROXMOX_TOKEN_ID": "t", "PROXMOX_TOKEN_SECRET": "s"}


@pytest.mark.parametrize(
    ("vmid", "pool", "own"), [(7000, "live", True), (7004, "live", False), (6999, "live", False), (7000, "", False)]
)
def test_a_guest_is_its_own_by_number_and_pool(vmid, pool, own):
    assert live_settings(NEEDED).own(vmid, pool) is own


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_what_it_needs_is_named(name):
    with pytest.raises(ValueError, match=name):
        live_settings({key: value for key, value in NEEDED.items() if key != name})


@pytest.mark.parametrize("span", ["7000", "7003-7000", "50-60", "all", "7000-"])
def test_a_range_is_a_range(span):
    with pytest.raises(ValueError, match=re.escape(span)):
        live_settings({**NEEDED, "CLOUDBRIDGE_LIVE_VMIDS": span})


def test_a_token_is_needed():
    assert connection_from(TOKEN) == TOKEN
    with pytest.raises(ValueError, match="PROXMOX_TOKEN_SECRET"):
        connection_from({**TOKEN, "PROXMOX_TOKEN_SECRET": ""})


def test_each_variable_is_documented():
    source = (REPOSITORY / "tests" / "live" / "settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r'(?:text|needed)\("([A-Z_]+)"', source))
    documented = re.findall(rf"^\| `{PREFIX}([A-Z_]+)`", (REPOSITORY / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert set(documented) == read
