# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who else has a virtual machine's serial line open: it serves one session, and leaves every other one silent."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

from ..._pve.errors import PveError
from ..._pve.guests import QEMU
from ..._pve.tasks import Upid, parse_upid, read_log, read_task, stop_task
from ..facts import PAUSED
from .abilities import SERIAL, Abilities, read_abilities
from .target import ConsoleTarget

_TASK = "vncproxy"
# The first line of a terminal's log (termproxy main.rs); a display's vncproxy says nothing.
_TERMINAL_LOG = "client connection"
# The limit of the look for the reason after a timeout.
_REASON_SECONDS = 5.0
# What the clocks of nodes, and uptimes in whole seconds, may differ by.
CLOCK_SLACK_SECONDS = 5


@dataclass(frozen=True)
class OpenSession:
    """A session that is under way on a serial line of the machine."""

    task: Upid

    def __str__(self) -> str:
        began = time.strftime("%H:%M", time.localtime(self.task.start))
        return f"{self.task.user} since {began} (task {self.task.text})"


def in_use(line: str, session: OpenSession) -> str:
    """How messages say that a serial line has a session."""
    return f"{line} is in use by {session}, and serves one session at a time"


def open_sessions(target: ConsoleTarget, abilities: Abilities) -> tuple[OpenSession, ...]:
    """Find the terminal sessions on a virtual machine, as far as the caller may see their tasks.

    One request, and two for each console of the machine. Which of several serial lines a session is on, PVE does not
    say. One from before the machine was started has no line any more, though its task runs on until somebody types in
    it or leaves (termproxy main.rs). Raises a PveError.
    """
    if target.kind != QEMU:
        return ()
    entries = target.client.read("cluster", "tasks")
    upids = [parse_upid(str(entry["upid"])) for entry in entries if "endtime" not in entry and _concerns(target, entry)]
    # Where the display is a serial line, VNC shows it as a terminal (PVE::API2::Qemu vncproxy).
    any_console = SERIAL.fullmatch(abilities.display) is not None
    alive = [upid for upid in upids if upid.start + CLOCK_SLACK_SECONDS >= abilities.started]
    return tuple(OpenSession(upid) for upid in alive if _is_session(target, upid, any_console))


def _concerns(target: ConsoleTarget, entry: t.Mapping[str, t.Any]) -> bool:
    return entry.get("type") == _TASK and str(entry.get("id")) == str(target.vmid)


def _is_session(target: ConsoleTarget, upid: Upid, any_console: bool) -> bool:
    try:
        if not read_task(target.client, upid).running:
            return False
        return any_console or any(line.startswith(_TERMINAL_LOG) for line in read_log(target.client, upid))
    except PveError:
        # Its node is down, or the caller may not look at it.
        return False


def end_sessions(target: ConsoleTarget, sessions: t.Iterable[OpenSession]) -> None:
    """Stop the tasks that serve sessions, and wait until they have ended; raises a PveError."""
    for session in sessions:
        stop_task(target.client, session.task)


def why_silent(target: ConsoleTarget, upid: str, silent: bool) -> str:
    """Say why the session of this task shows nothing, or, unless silent, nothing more; empty when not known."""
    try:
        with target.looking(_REASON_SECONDS):
            abilities = read_abilities(target)
            if abilities.condition == PAUSED:
                return f"{target.label} is paused, and shows nothing until it is resumed"
            sessions = open_sessions(target, abilities) if silent else ()
    except PveError:
        return ""
    others = [session for session in sessions if session.task.text != upid]
    if not others:
        return ""
    if len(abilities.serials) == 1:
        return f"{in_use(abilities.serials[0], others[0])}: close that first"
    return f"another session may have the serial line in use, that of {others[0]}"
