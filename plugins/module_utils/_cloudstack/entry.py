# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way in: one call of CloudStack, one JSON document, one exit code."""

from __future__ import annotations

import fcntl
import os
import signal
import time
import typing as t
import warnings

from .answer import encode, failure, success
from .call_context import CallContext, CallInterrupted

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# CloudStack's first argument is the action, so it can never start a dry run by mistake.
DRY_RUN = "--dry-run"
USAGE = f"call it as: <executable> [{DRY_RUN}] <action> <payload file> <wait seconds>"


def main(argv: t.Sequence[str], policy_file: str, log_file: str, service: str = "", expects_relay: bool = False) -> int:
    """Carry out one action in this process and answer on the standard output; returns the exit code.

    service is the socket of the resident service, for the doctor; expects_relay says that it has a console relay.
    """
    started = time.monotonic() - seconds_alive("self")
    answer = _reserve_output()
    try:
        for number in _SIGNALS:
            signal.signal(number, _interrupt)
        document = carry_out(argv, policy_file, log_file, started, CallContext(os.environ, service, expects_relay))
    except BaseException as error:  # noqa: BLE001 - CloudStack gets an answer, whatever happens
        document = failure(error)
    line, exit_code = finish(document)
    _write(answer, line)
    return exit_code


def carry_out(
    argv: t.Sequence[str], policy_file: str, log_file: str, started: float, context: CallContext
) -> dict[str, t.Any]:
    """Carry out one action and return the document that answers it, also if it fails.

    argv is that of the executable, started the moment on the monotonic clock at which it was started.
    """
    from .._pve.errors import InvalidRequest, PveError
    from .registry import find_action

    dry_run = list(argv[1:2]) == [DRY_RUN]
    argv = [*argv[:1], *argv[2:]] if dry_run else argv
    name = argv[1] if len(argv) > 1 else ""
    action = find_action(name)
    if action is None:
        # CloudStack sends agent commands that it has no handler for as actions named by their Java class.
        return failure(InvalidRequest(f"unknown action {name[:100]!r}: {USAGE}"))
    from .run import Run

    wait = argv[3] if len(argv) > 3 else ""
    run = Run(action.name, wait, policy_file, log_file, started, context, dry_run)
    document: dict[str, t.Any] = {}
    try:
        run.open(argv[2] if len(argv) > 2 else "")
        document = success(run.answer(action.load()(run)))
    except CallInterrupted as error:
        document = failure(PveError(str(error)), run.secrets, context.left_behind)
    except BaseException as error:  # noqa: BLE001
        document = failure(error, run.secrets, context.left_behind)
        run.log_failure(error)
    finally:
        run.close(document)
    return document


def finish(document: t.Mapping[str, t.Any]) -> tuple[bytes, int]:
    """The answer as CloudStack gets it, and the exit code, which is 0 only on success."""
    line = encode(document)
    return line, 0 if document.get("status") == "success" and b'"too_large"' not in line else 1


def seconds_alive(pid: int | str) -> float:
    """How long a process has been running, with the start of the interpreter (proc(5), starttime)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123 - pathlib costs 10 ms
            ticks = int(file.read().rpartition(")")[2].split()[19])
        alive = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
    return alive if 0 <= alive < 60 else 0.0


def _interrupt(number: int, _frame: t.Any) -> t.NoReturn:
    # The cleanup is not interrupted.
    for other in _SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise CallInterrupted(f"ended by signal {number}")


def _reserve_output() -> int:
    """Keep the standard output for the answer alone: CloudStack parses all that comes from both streams."""
    warnings.simplefilter("ignore")
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        answer = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError:
        answer = fcntl.fcntl(nothing, fcntl.F_DUPFD_CLOEXEC, 3)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    if nothing > 2:
        os.close(nothing)
    return answer


def _write(stream: int, line: bytes) -> None:
    try:
        while line:
            line = line[os.write(stream, line) :]
    except OSError:
        pass  # The reader is gone.
