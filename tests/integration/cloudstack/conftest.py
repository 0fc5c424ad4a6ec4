# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The executable in a directory of its own, called as CloudStack calls it.

With CLOUDBRIDGE_TEST_SERVICE=1 in the environment, a resident service carries out what these tests call.
"""

from __future__ import annotations

import contextlib
import os

import pytest

from tests.support.cloudstack import Extension, ManyCalls
from tests.support.service import running_service

THROUGH_SERVICE = os.environ.get("CLOUDBRIDGE_TEST_SERVICE", "") not in ("", "0")


@pytest.fixture
def bridge(tmp_path):
    extension = Extension(tmp_path)
    with running_service(extension) if THROUGH_SERVICE else contextlib.nullcontext():
        yield extension
    # CloudStack compares every file there over its servers.
    assert extension.files() == ["cloudbridge-proxmox.py"]


@pytest.fixture
def calls(bridge):
    """The same in quick succession, without a process of its own for each call."""
    return bridge.call if THROUGH_SERVICE else ManyCalls(bridge)
