# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The log file: one line per call, and one per API call when debugging is on. Its failures stop no action."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import typing as t

from .answer import redact, shorten

DEFAULT_MAX_BYTES = 5 * 1024 * 1024
BACKUPS = 4
MAX_LINE = 4000


class CallLog:
    """Appends lines to a file that several processes share; errors are ignored."""

    def __init__(self, path: str, debug: bool = False, secrets: t.Collection[str] = ()) -> None:
        self.path = path
        self.debug = debug
        self.max_bytes = DEFAULT_MAX_BYTES
        self._secrets = secrets

    def configure(self, policy: t.Mapping[str, t.Any]) -> None:
        """Apply what the site policy says about the log."""
        self.debug = self.debug or policy.get("log_debug") is True
        most = policy.get("log_max_bytes")
        self.max_bytes = most if isinstance(most, int) else DEFAULT_MAX_BYTES

    def line(self, **fields: t.Any) -> None:
        """Write one line of name=value."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        text = " ".join(f"{name}={_value(value)}" for name, value in fields.items() if value not in (None, ""))
        self._append(shorten(redact(f"{stamp} pid={os.getpid()} {text}", self._secrets), MAX_LINE))

    def trace(self, **fields: t.Any) -> None:
        """Write a line only when debugging is on."""
        if self.debug:
            self.line(**fields)

    def _append(self, text: str) -> None:
        if not self.path:
            return
        with contextlib.suppress(OSError, ValueError):
            stream = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                os.write(stream, text.encode("ascii", "backslashreplace") + b"\n")
                if os.fstat(stream).st_size > self.max_bytes:
                    self._rotate(stream)
            finally:
                os.close(stream)

    def _rotate(self, stream: int) -> None:
        """Rename the files by one; the process that has the lock on the newest one does it."""
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.stat(self.path).st_ino != os.fstat(stream).st_ino:  # noqa: PTH116
            return
        for number in range(BACKUPS, 0, -1):
            source = self.path if number == 1 else f"{self.path}.{number - 1}"
            with contextlib.suppress(FileNotFoundError):
                os.replace(source, f"{self.path}.{number}")  # noqa: PTH105


def _value(value: t.Any) -> str:
    text = str(value)
    if text and not any(character.isspace() or character in '"=\\' or ord(character) < 32 for character in text):
        return text
    return '"' + text.translate(_ESCAPES) + '"'


_ESCAPES = {**{code: f"\\x{code:02x}" for code in range(32)}, ord('"'): '\\"', ord("\\"): "\\\\"}
