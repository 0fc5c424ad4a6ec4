# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The exit codes of the command, and which failure has which."""

from __future__ import annotations

import enum

from .._pve.errors import (
    Ambiguous,
    AuthenticationFailed,
    InvalidRequest,
    MissingLibrary,
    NotFound,
    PermissionDenied,
    PveError,
    TimedOut,
    TransportError,
)


class ExitCode(enum.IntEnum):
    """What the command's exit code says."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIGURATION = 3
    NO_CONNECTION = 4
    NOT_FOUND = 5
    NOT_ALLOWED = 6
    NO_CONSOLE = 7
    BUSY = 8
    EXPECTED_IN_VAIN = 124
    INTERRUPTED = 130


class Ending(Exception):
    """The command ends; str() is one sentence for the user."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class SessionInterrupted(BaseException):
    """A signal ends the command, once the terminal is as it was."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by signal {number}")
        # The status that a shell gives a program that a signal ended.
        self.code = 128 + number


_CODES: tuple[tuple[type[PveError], ExitCode], ...] = (
    (MissingLibrary, ExitCode.CONFIGURATION),
    (AuthenticationFailed, ExitCode.NOT_ALLOWED),
    (PermissionDenied, ExitCode.NOT_ALLOWED),
    (NotFound, ExitCode.NOT_FOUND),
    (Ambiguous, ExitCode.USAGE),
    (InvalidRequest, ExitCode.USAGE),
    (TransportError, ExitCode.NO_CONNECTION),
    (TimedOut, ExitCode.NO_CONNECTION),
)


def exit_code(error: Exception) -> int:
    """Return the exit code of a failure."""
    if isinstance(error, Ending):
        return error.code
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILED)
