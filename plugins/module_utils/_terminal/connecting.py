# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open a terminal: find its target, check that it can be opened, and log in."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .._operations.console.abilities import Abilities, check_identity, check_serial, check_terminal, read_abilities
from .._operations.console.sessions import OpenSession, end_sessions, in_use, open_sessions
from .._operations.console.target import NODE, ConsoleTarget, console_target
from .._operations.facts import PAUSED, read_status
from .._operations.plan import Applier
from .._operations.power import PowerRequest, bring_into_state
from .._pve.errors import AuthenticationFailed, InvalidRequest, PermissionDenied
from .._pve.guests import LXC, QEMU, Selector
from .credentials import Credentials
from .exit_codes import Ending, ExitCode
from .session import TerminalSession, open_session

# For everything before the session, the start of the guest included.
OPENING_SECONDS = 300.0
_LONGEST_PAUSE_SECONDS = 2.0
_ENDING_SECONDS = 1.0
# The guest may be started much later.
_WAITING_SECONDS = 7 * 86400.0


@dataclass(frozen=True)
class SessionRequest:
    """What the command line asks for. Parameters are those of console_target: vmid, name, guest_type, node.

    replaces is the UPID of the own session before this one, which PVE may not have ended yet.
    """

    parameters: t.Mapping[str, t.Any]
    serial: str | None = None
    start: bool = False
    wait_running: bool = False
    force: bool = False
    read_only: bool = False
    replaces: str = ""


@dataclass(frozen=True)
class OpenTerminal:
    """An open terminal; notes are messages for the user."""

    target: ConsoleTarget
    serial: str | None
    session: TerminalSession
    notes: tuple[str, ...] = ()


def parse_target(text: str | None, node: str | None) -> dict[str, t.Any]:
    """Read 100, web, or node/pve1; raises Ending."""
    if (text is None) == (node is None):
        raise Ending(ExitCode.USAGE, "say whose console is meant: a guest's vmid or name, or a node's by node/NAME")
    if node is None and text is not None and text.startswith("node/"):
        node = text.partition("/")[2]
    if node is not None:
        return {"node": node}
    return {"vmid": int(text)} if text and text.isascii() and text.isdigit() else {"name": text}


def open_for(credentials: Credentials, request: SessionRequest, say: t.Callable[[str], None]) -> OpenTerminal:
    """Open the requested terminal; where PVE does not accept the token, log in with a password.

    Raises Ending or a PveError.
    """
    while True:
        try:
            return _open(credentials, request, say)
        except (AuthenticationFailed, PermissionDenied) as error:
            if not credentials.uses_token or not _is_about_token(error):
                raise
            credentials.turn_to_password(error)


class TokenRefused(PermissionDenied):
    """PVE opens this console for no API token, or for none with this PVE's release."""


def _is_about_token(error: Exception) -> bool:
    # What is refused at the terminal's own login has a task, what is refused by the API has none.
    return isinstance(error, TokenRefused) or (isinstance(error, AuthenticationFailed) and bool(error.cause.upid))


def _open(credentials: Credentials, request: SessionRequest, say: t.Callable[[str], None]) -> OpenTerminal:
    client = credentials.client(OPENING_SECONDS)
    target = console_target(client, request.parameters)
    abilities = read_abilities(target, target.found)
    # Before the guest is started.
    _check(lambda: check_serial(target, abilities, request.serial))
    try:
        check_identity(client, target, "terminal")
    except PermissionDenied as error:
        raise TokenRefused(str(error), error.cause) from error
    if not abilities.runs:
        abilities = _bring_up(credentials, target, abilities, request, say)
    _check(lambda: check_terminal(target, abilities, request.serial))
    serial = _serial(target, abilities, request.serial)
    _make_way(target, abilities, serial, request, say)
    session = open_session(target, request.serial, request.read_only)
    return OpenTerminal(target, serial, session, tuple(_notes(target, abilities, client.identity)))


def _check(check: t.Callable[[], None]) -> None:
    try:
        check()
    except InvalidRequest as error:
        raise Ending(ExitCode.NO_CONSOLE, str(error)) from error


def _serial(target: ConsoleTarget, abilities: Abilities, wanted: str | None) -> str | None:
    """The line that PVE takes: the one asked for, the display, or the first one (PVE::CLI::qm terminal)."""
    if target.kind != QEMU:
        return None
    return wanted or (abilities.display if abilities.display in abilities.serials else abilities.serials[0])


def _bring_up(
    credentials: Credentials,
    target: ConsoleTarget,
    abilities: Abilities,
    request: SessionRequest,
    say: t.Callable[[str], None],
) -> Abilities:
    handle = target.handle
    if handle is None:
        return abilities
    if request.start:
        say(f"{target.label} is {abilities.condition}: starting it")
        power = PowerRequest(Selector(vmid=target.vmid), "started")
        bring_into_state(Applier(target.client), handle, read_status(handle), power)
    elif request.wait_running:
        say(f"{target.label} is {abilities.condition}: waiting until it runs")
        client = credentials.client(_WAITING_SECONDS)
        pause = 0.5
        while not read_abilities(target).runs:
            client.deadline.pause(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        credentials.client(OPENING_SECONDS)
    return read_abilities(target)


def _make_way(
    target: ConsoleTarget,
    abilities: Abilities,
    serial: str | None,
    request: SessionRequest,
    say: t.Callable[[str], None],
) -> None:
    """Make sure that the serial line is free: a second session gets no output, and no error either."""
    sessions = _others(target, abilities, request.replaces)
    if sessions and not request.force:
        # A session that was just closed is about to end.
        target.client.deadline.pause(_ENDING_SECONDS)
        sessions = _others(target, abilities, request.replaces)
    if not sessions:
        return
    if request.force:
        end_sessions(target, sessions)
        say(f"ended {_counted(sessions)}")
    elif len(abilities.serials) > 1:
        say(f"{target.label} has {_counted(sessions)}: if nothing is shown, {serial} is in use there (--force ends it)")
    else:
        raise Ending(
            ExitCode.BUSY,
            f"{in_use(f'{serial} of {target.label}', sessions[0])}: close that, or end it with --force",
        )


def _others(target: ConsoleTarget, abilities: Abilities, replaced: str) -> list[OpenSession]:
    sessions = open_sessions(target, abilities)
    end_sessions(target, [session for session in sessions if session.task.text == replaced])
    return [session for session in sessions if session.task.text != replaced]


def _counted(sessions: t.Sequence[OpenSession]) -> str:
    if len(sessions) == 1:
        return f"another session, by {sessions[0]}"
    return f"{len(sessions)} other sessions, by {', '.join(sorted({session.task.user for session in sessions}))}"


def _notes(target: ConsoleTarget, abilities: Abilities, identity: str) -> t.Iterator[str]:
    if target.kind == LXC:
        yield "Ctrl-\\ detaches from a container's console and ends this session."
    elif target.kind == NODE and identity != "root@pam":
        yield f"A node gives {identity} the prompt of its own login."
    if abilities.condition == PAUSED:
        yield f"{target.label} is paused, and shows nothing until it is resumed."


def again(opened: OpenTerminal, request: SessionRequest) -> SessionRequest:
    """Request the same guest's terminal again, wherever it is and whatever its name is by then."""
    vmid = opened.target.vmid
    return replace(
        request,
        parameters=dict(request.parameters) if vmid is None else {"vmid": vmid},
        start=False,
        # A session on the line may be another user's by then.
        force=False,
        replaces=opened.session.console.upid,
    )
