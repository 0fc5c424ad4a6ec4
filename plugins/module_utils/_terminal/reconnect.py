# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""After a session ended by itself: end the command, or reconnect to the same guest."""

from __future__ import annotations

import time
import typing as t

from .._operations.facts import PAUSED, RUNNING, read_status
from .._pve.errors import InvalidRequest, NotFound, PermissionDenied, PveError
from .._pve.guests import LXC
from .._pve.tasks import parse_upid, read_task
from .connecting import OpenTerminal, SessionRequest, again, open_for
from .credentials import Credentials
from .exit_codes import Ending, ExitCode

# A first session that ends sooner would end again (pve-xtermjs, main.js).
SHORT_SECONDS = 5.0
MAX_SHORT = 3
_PAUSES = (1.0, 2.0, 3.0, 4.0, 5.0)
# A migration or a restart of a node's daemons takes less.
_PATIENCE_SECONDS = 300.0
# Without a reason for the end of a session in this time, pve-console reconnects.
_LOOKING_SECONDS = 2.0
_MIGRATING = "migrate"
_DETACH_KEY = b"\x1c"
_DETACH_SECONDS = 2.0


def final_ending(
    credentials: Credentials, opened: OpenTerminal, request: SessionRequest, last_typed: tuple[bytes, float]
) -> Ending | None:
    """Say why there is no reconnect after this session; None when there may be one.

    last_typed is the last byte, and when it was typed on the monotonic clock.
    """
    target = opened.target
    if target.handle is None:
        return _end_of_shell(credentials, opened)
    key, typed_at = last_typed
    if target.kind == LXC and key == _DETACH_KEY and time.monotonic() - typed_at < _DETACH_SECONDS:
        return Ending(ExitCode.OK, f"detached from {target.label}")
    try:
        credentials.client(_LOOKING_SECONDS)
        status = read_status(target.handle)
        shell = target.kind == LXC and target.handle.read("config").get("cmode") == "shell"
    except NotFound as error:
        return Ending(ExitCode.NOT_FOUND, f"{target.label} is gone, which has ended the session: {error}")
    except PveError:
        # The network may have ended the session.
        return None
    if status.condition not in (RUNNING, PAUSED) and status.lock != _MIGRATING and not request.wait_running:
        return Ending(ExitCode.OK, f"{target.label} is {status.condition}, which has ended the session")
    if shell:
        return Ending(ExitCode.OK, f"the shell of {target.label} has ended")
    return None


def too_short(opened: OpenTerminal, lived: float) -> Ending:
    """Say that sessions end too soon to reconnect; this one lasted so many seconds."""
    return Ending(
        ExitCode.NO_CONNECTION,
        f"the session with {opened.target.label} ended after {lived:.1f} s: look at what it said, and at the log of "
        f"PVE's task {opened.session.console.upid}",
    )


def _end_of_shell(credentials: Credentials, opened: OpenTerminal) -> Ending:
    """Distinguish a shell that has exited from a lost connection."""
    label, upid = opened.target.label, opened.session.console.upid
    try:
        client = credentials.client(_LOOKING_SECONDS)
        tries = client.deadline.tries(2.0)
        task = read_task(client, parse_upid(upid))
        while task.running and tries.again():
            task = read_task(client, parse_upid(upid))
        if not task.running:
            return Ending(ExitCode.OK, f"the shell of {label} has ended")
    except PveError:
        pass
    return Ending(ExitCode.NO_CONNECTION, f"the connection to the shell of {label} is lost")


def open_again(
    credentials: Credentials,
    opened: OpenTerminal,
    request: SessionRequest,
    say: t.Callable[[str], None],
    pause: t.Callable[[float], None] = time.sleep,
) -> OpenTerminal:
    """Reconnect to the same guest, on the node where it is by then, with growing pauses between the attempts.

    The old session must be closed. Raises Ending when it gives up.
    """
    began = time.monotonic()
    tries = 0
    while True:
        pause(_PAUSES[min(tries, len(_PAUSES) - 1)])
        tries += 1
        try:
            return open_for(credentials, again(opened, request), say)
        except (NotFound, PermissionDenied, InvalidRequest) as error:
            raise Ending(ExitCode.NO_CONNECTION, f"the session is lost: {error}") from error
        except Ending as ending:
            # A container is stopped while it migrates.
            if ending.code == ExitCode.NO_CONSOLE and not _is_migrating(opened):
                raise Ending(ExitCode.OK, f"the session is over: {ending}") from ending
            problem: Exception = ending
        except PveError as error:
            problem = error
        if time.monotonic() - began > _PATIENCE_SECONDS:
            raise Ending(ExitCode.NO_CONNECTION, f"the session is lost, after {tries} tries: {problem}") from problem


def _is_migrating(opened: OpenTerminal) -> bool:
    try:
        return opened.target.handle is not None and read_status(opened.target.handle).lock == _MIGRATING
    except PveError:
        return True
