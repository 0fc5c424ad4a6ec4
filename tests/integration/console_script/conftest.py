# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests in which a real shell runs, and scripts for their consoles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._ansible.runner import result_of
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.plan import Applier
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.client import PveClient
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.connection import connection_options
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.deadline import Deadline
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import PveError
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._terminal.credentials import ENVIRONMENT
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._terminal.script import dialogue, shell
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._terminal.script.run_script import (
    run_script,
    script_request,
)
from tests.support.embedded_pve import PveHandle, running_embedded_pve, standard_guests
from tests.support.embedded_pve.consoles.shell import Shell
from tests.support.real_shell import RealShell

PASSWORD = "s3cr'et \"$9\\"


@pytest.fixture(scope="module")
def shared_pve() -> Iterator[PveHandle]:
    """The usual guests, and 110 `term`, a machine with a serial line, which runs."""
    with running_embedded_pve(guests=standard_guests) as handle:
        handle.add_guest(110, "term", status="running", config={"serial0": "socket"})
        yield handle


@pytest.fixture
def pve(shared_pve: PveHandle) -> PveHandle:
    shared_pve.reset_record()
    return shared_pve


@pytest.fixture
def guest(pve: PveHandle) -> Iterator[Callable[..., RealShell]]:
    """Let a real shell run in guest 110."""
    with ExitStack() as stack:

        def run(*arguments: str, users: dict[str, str] | None = None) -> RealShell:
            there = stack.enter_context(RealShell({"root": PASSWORD} if users is None else users, *arguments))
            pve.console(110).run(there)
            return there

        yield run
        pve.console(110).run(Shell())


class Result(dict):
    """A result as the module has it."""

    @property
    def failed(self) -> bool:
        return "error" in self

    @property
    def changed(self) -> bool:
        return self["changed"]

    @property
    def msg(self) -> str:
        return self.get("msg", "")


@pytest.fixture
def script(pve: PveHandle, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Take steps on guest 110 with the module's operation, in this process and with less patience than it has."""
    monkeypatch.setattr(dialogue, "WAKE_SECONDS", 0.3)
    monkeypatch.setattr(shell, "WAKE_SECONDS", 0.3)

    def run(*steps, **options) -> Result:
        settings = {option: pve.environment.get(name) for name, option in ENVIRONMENT.items()}
        connection = {**settings, "api_port": pve.port, "api_timeout": 10.0, "validate_certs": True}
        parameters = {"vmid": 110, "step_timeout": 10, **options, "steps": list(steps)}
        client = PveClient(connection_options(connection), Deadline(options.get("timeout", 60)))
        applier = Applier(client)
        try:
            return Result(result_of(run_script(applier, script_request(parameters))))
        except PveError as error:
            return Result(msg=str(error), error=error.details(), changed=bool(applier.done), steps=applier.done)
        finally:
            client.close()

    return run
