# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guests that the service is creating, on disk, so that a crash leaves none of them unfinished.

There is a file for each guest. It holds no secret: the endpoint and the name of the token, which guest, and the text in
the guest's notes by which it is recognised. Each line is written before the step that it announces.
The process that creates the guest locks the file, so that a file without a lock was left by a process that has ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
import typing as t
import uuid

from .activation import forget
from .say import say

SUFFIX = ".deployment"
MAX_BYTES = 64 * 1024
# Older guests may be in use by now, so they are not removed.
OLDEST_SECONDS = 7 * 24 * 3600
# The executable has the answer, and may have printed it.
ANSWERED = "answered"


class Entry:
    """One guest that is being created. One process at a time has it open."""

    def __init__(self, path: str, stream: int, facts: dict[str, t.Any]) -> None:
        self.path = path
        self.facts = facts
        self._stream = stream

    def note(self, **facts: t.Any) -> None:
        """Add what is known by now; upid adds to those known. Raises OSError when it could not be written."""
        _merge(self.facts, facts)
        if self._stream >= 0:
            os.write(self._stream, json.dumps(facts).encode() + b"\n")
            os.fdatasync(self._stream)

    def note_task(self, upid: str) -> None:
        """Add a task of the deployment; a full disk is no reason to fail."""
        with contextlib.suppress(OSError):
            self.note(upid=upid)

    def settle(self) -> None:
        """The guest must not be removed from now on: CloudStack may get the answer that it exists."""
        try:
            self.note(**{ANSWERED: True})
        except OSError:
            forget(self.path)

    def remove(self) -> None:
        """The guest is finished, or removed."""
        if self.path:
            forget(self.path)
        self.release()

    def release(self) -> None:
        """Unlock the file, and leave it for the next scan."""
        stream, self._stream = self._stream, -1
        if stream >= 0:
            os.close(stream)

    @property
    def answered(self) -> bool:
        return bool(self.facts.get(ANSWERED))

    @property
    def age(self) -> float:
        return time.time() - float(self.facts.get("began") or time.time())


class NotedUpids(set[str]):
    """The tasks of a deployment; each is written down as soon as it is known."""

    def __init__(self, note: t.Callable[[str], None], known: t.Iterable[str] = ()) -> None:
        super().__init__(known)
        self._note = note

    def add(self, upid: str) -> None:
        if upid not in self:
            super().add(upid)
            self._note(upid)


class Journal:
    """The directory with the files; without one, nothing is kept."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def begin(self, **facts: t.Any) -> Entry:
        """Record a new deployment; if the disk cannot be written, in memory only."""
        if not self.directory:
            return Entry("", -1, facts)
        path = os.path.join(self.directory, uuid.uuid4().hex + SUFFIX)  # noqa: PTH118
        try:
            stream = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            say(f"{self.directory} cannot be written, so that a crash would leave guests half made: {error}")
            return Entry("", -1, facts)
        entry = Entry(path, stream, {})
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            entry.note(**facts, began=time.time())
        except OSError as error:
            say(f"{path} cannot be written, so that a crash would leave a guest half made: {error}")
            entry.remove()
            entry.facts = dict(facts)
        return entry

    def left_behind(self) -> list[Entry]:
        """The entries of processes that have ended, locked for this one."""
        try:
            names = [name for name in os.listdir(self.directory) if name.endswith(SUFFIX)] if self.directory else []  # noqa: PTH208
        except OSError:
            return []
        entries = (_take(os.path.join(self.directory, name)) for name in sorted(names))  # noqa: PTH118
        return [entry for entry in entries if entry is not None]


def _take(path: str) -> Entry | None:
    """Lock and read a file; None if another process has locked it, or it cannot be read."""
    try:
        stream = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(stream).st_nlink == 0:
            raise OSError("its owner has just removed it")
        content = os.pread(stream, MAX_BYTES, 0)
    except OSError:
        os.close(stream)
        return None
    facts: dict[str, t.Any] = {}
    for line in content.split(b"\n"):
        # The last line may be half written.
        with contextlib.suppress(ValueError, AttributeError):
            _merge(facts, json.loads(line))
    return Entry(path, stream, facts)


def _merge(facts: dict[str, t.Any], more: t.Mapping[str, t.Any]) -> None:
    for name, value in more.items():
        if name == "upid":
            facts.setdefault("upids", []).append(value)
        else:
            facts[name] = value
