# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is done once for all guests of a run that need it, whichever of them comes first."""

from __future__ import annotations

import threading
import typing as t

from .._pve.errors import PveError

Result = t.TypeVar("Result")


class Once:
    """Remembers by a key what came of a piece of work; who comes meanwhile waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[t.Hashable, threading.Lock] = {}
        self._done: dict[t.Hashable, t.Any] = {}

    def get(self, key: t.Hashable, work: t.Callable[[], Result]) -> Result:
        """Return what came of the work; raises the PveError that it ended in."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._done:
                self._done[key] = _outcome(work)
            done = self._done[key]
        if isinstance(done, PveError):
            raise done
        return t.cast("Result", done)


def _outcome(work: t.Callable[[], Result]) -> Result | PveError:
    try:
        return work()
    except PveError as error:
        return error
