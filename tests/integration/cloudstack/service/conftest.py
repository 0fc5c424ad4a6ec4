# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An extension with its resident service."""

from __future__ import annotations

import pytest

from tests.support.cloudstack import Extension
from tests.support.service import Service, running_service


@pytest.fixture
def extension(tmp_path):
    served = Extension(tmp_path)
    yield served
    assert served.files() == ["cloudbridge-proxmox.py"]


@pytest.fixture
def idle(extension):
    """A service that the test starts itself."""
    service = Service(extension)
    yield service
    service.stop()


@pytest.fixture
def service(extension):
    with running_service(extension) as running:
        yield running
