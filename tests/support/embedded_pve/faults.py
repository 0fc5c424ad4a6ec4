# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults a test plants, and callbacks it hangs in front of a request."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

KINDS = ("drop", "lose_answer", "596", "595", "status", "truncate", "delay", "html")


class _Counted(Protocol):
    method: str
    pattern: re.Pattern[str]
    times: int | None
    after: int


@dataclass
class Fault:
    """What goes wrong with the requests whose path matches; see PveHandle.fault."""

    method: str
    pattern: re.Pattern[str]
    kind: str
    times: int | None = 1
    after: int = 0
    status: int | None = None
    message: str | None = None
    seconds: float = 0.0
    errors: dict[str, str] | None = None


@dataclass
class Hook:
    """A callback run in the server's thread before the request is carried out."""

    method: str
    pattern: re.Pattern[str]
    callback: Callable[[], object]
    times: int | None = 1
    after: int = 0


Entry = TypeVar("Entry", bound=_Counted)


class Book(Generic[Entry]):
    """Entries waiting for their request; each is used up after its number of times."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        with self._lock:
            self._entries.append(entry)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        """How many still wait."""
        with self._lock:
            return len(self._entries)

    def take(self, method: str, path: str, only: Callable[[Entry], bool], most: int | None = None) -> list[Entry]:
        """The entries for this request that `only` accepts, at most so many, counted."""
        taken: list[Entry] = []
        with self._lock:
            for entry in list(self._entries):
                if len(taken) == most or not only(entry):
                    continue
                if entry.method not in ("*", method) or not entry.pattern.search(path):
                    continue
                if entry.after > 0:
                    entry.after -= 1
                    continue
                if entry.times is not None:
                    entry.times -= 1
                    if entry.times <= 0:
                        self._entries.remove(entry)
                taken.append(entry)
        return taken
