# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The executable in a directory of its own, called as CloudStack calls it."""

from __future__ import annotations

import pytest

from tests.support.cloudstack import Extension, ManyCalls


@pytest.fixture
def bridge(tmp_path):
    extension = Extension(tmp_path)
    yield extension
    # CloudStack compares every file there over its servers.
    assert extension.files() == ["cloudbridge-proxmox.py"]


@pytest.fixture
def calls(bridge):
    """The same in quick succession, without a process of its own for each call."""
    return ManyCalls(bridge)
