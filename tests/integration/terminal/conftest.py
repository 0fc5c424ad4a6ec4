# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures: guests with consoles, and people who use them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.embedded_pve import PveHandle
from tests.support.person import Person


class Sit:
    """Sit down at a terminal and run pve-console there."""

    def __init__(self, home: Path, stack: ExitStack, pve: PveHandle) -> None:
        self.home = home
        self._stack = stack
        self._pve = pve

    def __call__(self, *arguments: str, env: Mapping[str, str | None] | None = None, **options) -> Person:
        return self._stack.enter_context(
            Person(self.home, {**self._pve.environment, **(env or {})}, *arguments, **options)
        )


@pytest.fixture
def pve(pve: PveHandle) -> PveHandle:
    """The usual node, and 110 `term`, a machine with a serial line, which runs."""
    pve.add_guest(110, "term", status="running", config={"serial0": "socket"})
    return pve


@pytest.fixture
def sit(tmp_path: Path, pve: PveHandle) -> Iterator[Sit]:
    with ExitStack() as stack:
        yield Sit(tmp_path, stack, pve)


@pytest.fixture
def login(pve: PveHandle) -> Callable[..., dict[str, str | None]]:
    """The environment of somebody who logs in with a password."""

    def make(password: str | None = "", user: str | None = "root@pam") -> dict[str, str | None]:
        return {
            "PROXMOX_TOKEN_ID": None,
            "PROXMOX_TOKEN_SECRET": None,
            "PROXMOX_USER": user,
            "PROXMOX_PASSWORD": str(pve.server.password) if password == "" else password,
        }

    return make
