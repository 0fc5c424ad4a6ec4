# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the service has begun and must not leave half made, on disk, so that it outlives a crash.

There is a file for each guest that is being made. It holds no secret: where PVE is, who asks it (not by which secret),
which guest, and the text in the guest's notes by which it is recognised. Each line is written before what it announces.
The process that works on it holds a lock on it, so that a file without one was left by a process that is gone.
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
# Nobody repairs by hand what is older, and nobody is surprised by it: it is left alone.
OLDEST_SECONDS = 7 * 24 * 3600
# The executable was told of its end, and may have told CloudStack.
ANSWERED = "answered"


class Entry:
    """One guest on its way; the process that has it open has it alone."""

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
        """Add a task of the deployment; a full disk must not spoil that."""
        with contextlib.suppress(OSError):
            self.note(upid=upid)

    def settle(self) -> None:
        """Whoever finds the file is not to remove the guest: CloudStack may be told next that it is there."""
        try:
            self.note(**{ANSWERED: True})
        except OSError:
            forget(self.path)

    def remove(self) -> None:
        """Nothing is left to be done."""
        if self.path:
            forget(self.path)
        self.release()

    def release(self) -> None:
        """Leave the file to whoever looks at it next."""
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
        """Write down what is about to be begun; when that is not possible, it is known until this process ends."""
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
        """What a process that is gone has left, locked for this one."""
        try:
            names = [name for name in os.listdir(self.directory) if name.endswith(SUFFIX)] if self.directory else []  # noqa: PTH208
        except OSError:
            return []
        entries = (_take(os.path.join(self.directory, name)) for name in sorted(names))  # noqa: PTH118
        return [entry for entry in entries if entry is not None]


def _take(path: str) -> Entry | None:
    """Lock and read a file; None when somebody works on it, or when it cannot be read."""
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
