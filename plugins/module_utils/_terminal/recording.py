# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records of a session: a log of the raw bytes, and a recording for asciinema."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import time
import typing as t

from .exit_codes import Ending, ExitCode

# The output of a console may hold secrets.
_MODE = 0o600


class Recorder(t.Protocol):
    """Writes what a session shows. Raises OSError when it cannot be written."""

    option: str

    def begun(self, title: str, columns: int, rows: int) -> None:
        """A session has begun, on a terminal of this size."""

    def shown(self, data: bytes) -> None:
        """The terminal has shown this."""

    def resized(self, columns: int, rows: int) -> None:
        """The terminal has this size."""

    def noted(self, note: str) -> None:
        """pve-console adds a note of its own."""

    def close(self) -> None:
        """No event follows."""


class SessionLog:
    """Appends the raw bytes to a file."""

    option = "--log"

    def __init__(self, path: str) -> None:
        self._file = _open(self.option, path, os.O_APPEND)

    def begun(self, title: str, columns: int, rows: int) -> None:  # noqa: ARG002
        self.noted(f"connected to {title}")

    def shown(self, data: bytes) -> None:
        _write(self._file, data)

    def resized(self, columns: int, rows: int) -> None:
        pass

    def noted(self, note: str) -> None:
        _write(self._file, f"\n[{time.strftime('%Y-%m-%d %H:%M:%S')} pve-console: {note}]\n".encode())

    def close(self) -> None:
        os.close(self._file)


class Recording:
    """Writes asciicast version 2: a header, and a line for each event."""

    option = "--record"

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = _open(self.option, path, os.O_EXCL)
        self._began: float | None = None
        # A character may be split over two messages.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._size = (0, 0)

    def begun(self, title: str, columns: int, rows: int) -> None:
        self._began = time.monotonic()
        self._size = (columns, rows)
        environment = {"TERM": os.environ.get("TERM", "")}
        header = {"version": 2, "width": columns, "height": rows, "timestamp": int(time.time()), "title": title}
        self._line({**header, "env": environment})

    def shown(self, data: bytes) -> None:
        text = self._decoder.decode(data)
        if text:
            self._event("o", text)

    def resized(self, columns: int, rows: int) -> None:
        if (columns, rows) != self._size:
            self._size = (columns, rows)
            self._event("r", f"{columns}x{rows}")

    def noted(self, note: str) -> None:
        self._end_character()
        self._event("m", note)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._end_character()
            if self._began is None:
                # Without a session there is nothing to replay.
                os.unlink(self._path)  # noqa: PTH108
        os.close(self._file)

    def _end_character(self) -> None:
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        if text:
            self._event("o", text)

    def _event(self, kind: str, text: str) -> None:
        self._line([round(time.monotonic() - (self._began or 0.0), 6), kind, text])

    def _line(self, value: t.Any) -> None:
        _write(self._file, json.dumps(value, ensure_ascii=False).encode() + b"\n")


def _open(option: str, path: str, how: int) -> int:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, _MODE)
    except FileExistsError as error:
        raise Ending(ExitCode.USAGE, f"{option} {path}: this file exists already: choose another name") from error
    except OSError as error:
        raise Ending(ExitCode.USAGE, f"{option} {path}: {error.strerror}") from error
    # An existing log may be readable by others.
    with contextlib.suppress(OSError):
        os.fchmod(file, _MODE)
    return file


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


class Recorders:
    """All recorders of a session. One that cannot write any more is left out, with a message to the person."""

    def __init__(self, say: t.Callable[[str], None]) -> None:
        self._recorders: list[Recorder] = []
        self.say = say

    def add(self, recorder: Recorder) -> None:
        self._recorders.append(recorder)

    def begun(self, title: str, columns: int, rows: int) -> None:
        self._each(lambda recorder: recorder.begun(title, columns, rows))

    def shown(self, data: bytes) -> None:
        self._each(lambda recorder: recorder.shown(data))

    def resized(self, columns: int, rows: int) -> None:
        self._each(lambda recorder: recorder.resized(columns, rows))

    def noted(self, note: str) -> None:
        self._each(lambda recorder: recorder.noted(note))

    def close(self) -> None:
        self._each(lambda recorder: recorder.close())
        self._recorders = []

    def _each(self, event: t.Callable[[Recorder], None]) -> None:
        for recorder in list(self._recorders):
            try:
                event(recorder)
            except OSError as error:
                self._recorders.remove(recorder)
                self.say(f"{recorder.option} stops, because its file cannot be written: {error.strerror}")
