# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures: management servers in scratch directories."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cloudstack_api import CloudStackApi, running_cloudstack_api
from tests.support.management_servers import ManagementServer


@pytest.fixture
def server(tmp_path_factory) -> ManagementServer:
    """A management server on which nothing of ours is installed."""
    # Of the path of a socket Linux takes 107 characters: the name of the test is no part of it.
    return ManagementServer(tmp_path_factory.mktemp("s"))


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> ManagementServer:
    """A management server with the extension, for tests that leave it as it is."""
    server = ManagementServer(tmp_path_factory.mktemp("installed"))
    result = server.install()
    assert result.returncode == 0, result.stdout + result.stderr
    return server


@pytest.fixture
def cloudstack(server) -> Iterator[CloudStackApi]:
    """The CloudStack of the fixture server."""
    with running_cloudstack_api(server.extensions) as api:
        yield api
