# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest whose agent runs real programs, and a runner of commands in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.calls import AgentCalls
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.posix_shell import PosixShell
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.running import GuestRunner
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.client import PveClient
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import GuestHandle, Selector, get_guest
from tests.support.clients import client_of
from tests.support.embedded_pve import PveHandle
from tests.support.embedded_pve.guest_agent import GuestAgent

VMID = 101
NEVER = float("inf")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the guest's programs start, their HOME."""
    directory = tmp_path / "guest"
    directory.mkdir()
    return directory


@pytest.fixture
def agent(pve: PveHandle, root: Path) -> GuestAgent:
    """The agent of guest 101 (db), which runs."""
    return pve.run_agent(VMID, root)


@pytest.fixture
def runner(pve: PveHandle, agent: GuestAgent) -> Iterator[GuestRunner]:
    """A connection to guest 101."""
    client = client_of(pve, NEVER, api_timeout=60)
    runner = runner_for(client)
    yield runner
    runner.close()
    client.close()


def runner_for(client: PveClient) -> GuestRunner:
    return GuestRunner(AgentCalls(GuestHandle(client, get_guest(client, Selector(VMID)))), PosixShell())


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)
