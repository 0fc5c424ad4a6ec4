# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest whose agent runs real programs, and a runner of commands in it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.calls import AgentCalls
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.posix_shell import PosixShell
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.running import GuestRunner
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.client import PveClient
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import GuestHandle, Selector, get_guest
from tests.support import agent_user
from tests.support.clients import client_of
from tests.support.embedded_pve import PveHandle
from tests.support.embedded_pve.guest_agent import GuestAgent
from tests.support.processes import child_environment

PROGRAM = Path(agent_user.__file__)
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


class User:
    """Processes that use the guest's agent, as tests/support/agent_user.py says."""

    def __init__(self, pve: PveHandle, home: Path) -> None:
        self.environment = child_environment(home, pve.environment)
        self.processes: list[subprocess.Popen[str]] = []

    def begin(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(PROGRAM), str(VMID), *words]
        process = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def end(self, process: subprocess.Popen[str]) -> tuple[str, int]:
        """What it says, and its peak of memory in KiB."""
        output, _errors = process.communicate()
        said, _mark, peak = output.rstrip("\n").rpartition("\n")
        return said, int(peak)

    def kill(self) -> None:
        """End all of them, as a controller that loses its power."""
        # Not those that begin meanwhile, as one that waits for this one does.
        for process in tuple(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def user(pve: PveHandle, agent: GuestAgent, tmp_path: Path) -> Iterator[User]:
    """Other processes that use the agent."""
    user = User(pve, tmp_path)
    yield user
    user.kill()
    for process in user.processes:
        assert process.stdout is not None
        process.stdout.close()


def runner_for(client: PveClient) -> GuestRunner:
    return GuestRunner(AgentCalls(GuestHandle(client, get_guest(client, Selector(VMID)))), PosixShell())


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)
