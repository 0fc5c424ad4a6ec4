# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose turn it is to change something, where several guests are worked on side by side."""

from __future__ import annotations

import contextlib
import typing as t

from .deadline import Deadline


class Places(t.NamedTuple):
    """What a change puts load on, or keeps from others while it lasts."""

    node: str | None = None
    storages: frozenset[str] = frozenset()
    # PVE locks this guest for one change at a time, and refuses the next one after a second.
    only_one_of: int | None = None


class Turns:
    """The turns of a run that works on one guest: there is nobody to wait for."""

    def __init__(self) -> None:
        # The numbers of the guests that this run makes, and of them those that another run may get instead.
        self.own_vmids: set[int] = set()
        self.unsure_vmids: set[int] = set()

    @contextlib.contextmanager
    def taken(self, places: Places, deadline: Deadline) -> t.Iterator[None]:
        """Wait until these places are free, and keep them; raises TimedOut. Within a turn there is no other one."""
        del places, deadline
        yield

    def next_number(self, read_number: t.Callable[[], int], deadline: Deadline) -> int:  # noqa: ARG002
        """Return the next free number; nobody else of this run gets one before the next change has been sent."""
        return read_number()

    def sent(self) -> None:
        """A change was answered."""
