# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opening a console: ticket, port and task, and the terminal at the end (60-consoles.json)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from fakepve.model import PveError, TaskError

from ..knobs import Knobs
from ..tasks import Tasks
from .lines import Line, Program, Record
from .ports import Connection, Listener, Ports, Ticket, Tickets
from .releases import BEFORE_HARDENING, RELEASES, Release
from .shell import Shell
from .termproxy import PTY_ENDED, Session

WATCH_SECONDS = 0.02
# The limit of `authid` at POST /access/vncticket.
LONGEST_IDENTITY = 64


@dataclass
class Opening:
    """One console from the call that opens it to the end of its session."""

    node: str
    path: str
    privilege: str
    user: str
    record: Record
    state: Callable[[], object]
    log: list[str] = field(default_factory=list)
    listener: Listener | None = None
    ticket: str = ""

    @property
    def port(self) -> int:
        assert self.listener is not None
        return self.listener.port


class ConsoleCore(Tasks):
    def __init__(self, host: str, port: int, knobs: Knobs) -> None:
        super().__init__(host, port, knobs)
        self.ports = Ports()
        self.vnc_tickets = Tickets()
        self.openings: dict[tuple[str, int], Opening] = {}
        self.records: dict[tuple[Any, ...], Record] = {}
        self.programs: dict[tuple[Any, ...], Program] = {}
        self.lines: dict[tuple[Any, ...], Line] = {}
        self.line_states: dict[tuple[Any, ...], object] = {}
        self.node_lines: list[Line] = []
        self.console_violations: list[str] = []

    @property
    def local_node(self) -> str:
        """The node that answers the API."""
        return self.knobs.local_node or sorted(self.nodes)[0]

    @property
    def console_release(self) -> Release:
        name = self.knobs.release
        return RELEASES[name if self.knobs.console_hardening else BEFORE_HARDENING.get(name, name)]

    def record_of(self, key: tuple[Any, ...]) -> Record:
        return self.records.setdefault(key, Record())

    def violated(self, record: Record, text: str) -> None:
        record.violations.append(text)
        self.console_violations.append(text)

    @staticmethod
    def refuse_token(user: str) -> None:
        """PVE::AccessControl::verify_username."""
        if "!" in user:
            raise PveError(500, f"value '{user}' does not look like a valid user name")

    # ---- opening

    async def open_console(
        self,
        opening: Opening,
        task_type: str,
        task_id: Any,
        serve: Callable[[Connection], Awaitable[None]],
        unanswered: Callable[[], str],
        raw: bool = False,
    ) -> str:
        """Take a port, start the task that waits for a client on it, and return the task's UPID."""
        listener = await self.ports.open(self.local_node, self._raw_addresses() if raw else [])
        opening.listener = listener
        opening.ticket = self.vnc_tickets.issue(opening.user, opening.path, listener.port)
        self.openings[self.local_node, listener.port] = opening

        async def body() -> None:
            connection = await listener.wait(self.knobs.shortened("console_listen_seconds"))
            if connection is None:
                raise TaskError(unanswered())
            try:
                await serve(connection)
            except ConnectionError:
                pass
            finally:
                connection.close()

        # There is no proxyto: the task and the port are on the node that was asked, wherever the guest is.
        upid = await self.task(self.local_node, task_type, task_id, opening.user, body, lock=False, background=True)
        self.tasks[upid]["log"] = opening.log
        running = self.running_tasks.get(upid)
        if running is None:
            listener.close()
        else:
            running.add_done_callback(lambda _done: listener.close())
        return upid

    def _raw_addresses(self) -> list[str]:
        """All interfaces, as far as this machine has them."""
        own = self.address_of(self.local_node)
        return list(dict.fromkeys([str(self.host), *([own] if own.startswith("127.") else [])]))

    def address_of(self, node: str) -> str:
        known = self.knobs.node_addresses.get(node)
        return known or f"198.51.100.{11 + sorted(self.nodes).index(node)}"

    def shown_port(self, opening: Opening) -> int | str:
        if self.knobs.console_port is not None:
            return self.knobs.console_port
        return opening.port if self.knobs.console_number_ports else str(opening.port)

    # ---- termproxy

    async def open_terminal(
        self,
        opening: Opening,
        task_type: str,
        task_id: Any,
        command: str,
        connect: Callable[[], Line],
        detachable: bool = False,
    ) -> dict[str, Any]:
        """What termproxy answers; `connect` is called once the client is let in, and raises Unopenable."""
        release = self.console_release
        options = " --vncticket-endpoint --verify-port --ticket-fd 6" if release.hardened else ""

        def failed() -> str:
            program = f"/usr/bin/termproxy {opening.port} --path {opening.path} --perm {opening.privilege}{options}"
            return f"command '{program} -- {command}' failed: exit code 1"

        async def serve(connection: Connection) -> None:
            opening.log.append(f"client connection: {connection.peer}")
            try:
                await self._run_terminal(opening, connection, connect, detachable)
            except TaskError as reason:
                opening.log.append(str(reason))
                raise TaskError(failed()) from None

        def unanswered() -> str:
            opening.log.append("failed waiting for client: timed out")
            return failed()

        upid = await self.open_console(opening, task_type, task_id, serve, unanswered)
        return {"user": opening.user, "ticket": opening.ticket, "port": self.shown_port(opening), "upid": upid}

    async def _run_terminal(
        self, opening: Opening, connection: Connection, connect: Callable[[], Line], detachable: bool
    ) -> None:
        """Raise TaskError with the reason that goes to the task's log."""
        session = Session(
            connection,
            report=lambda text: self.violated(opening.record, text),
            joined_ok=self.knobs.console_joined_ok,
            detachable=detachable,
        )
        identity, ticket = await session.read_credentials(self.knobs.shortened("console_credentials_seconds"))
        self._check_credentials(opening, identity, ticket)
        await session.say_ok()
        is_serial = opening.privilege == "VM.Console" and not detachable
        late = self.knobs.console_terminal_seconds if is_serial else 0.0

        def notices() -> bool:
            # ssh has last words of its own; and whoever asked a node that is down is cut off.
            remote = opening.node != self.local_node
            return remote or not self.nodes[self.local_node].get("online", True)

        def watch() -> Awaitable[None]:
            return self._watch(opening, opening.state())

        if not await session.serve(connect, watch, notices, late):
            raise TaskError(PTY_ENDED)

    def _check_credentials(self, opening: Opening, identity: str, ticket: str) -> None:
        if not self.console_release.hardened:
            # POST /access/ticket is asked for the user, and does not know tokens.
            if "!" in identity and not (self.console_release.node_tokens and opening.path.startswith("/nodes/")):
                raise TaskError("invalid authentication - 401 authentication failure")
        elif ticket != opening.ticket or len(identity) > LONGEST_IDENTITY:
            raise TaskError("authentication request failed")
        if not self.ticket_is_valid(ticket, identity, opening.path, opening.port):
            raise TaskError("authentication request failed")

    def ticket_is_valid(self, ticket: str, identity: str, path: str, port: int) -> bool:
        moment = time.monotonic() + self.knobs.console_ticket_age
        wanted = Ticket(identity, path, port, moment)
        seconds = self.knobs.shortened("console_ticket_seconds")
        return self.vnc_tickets.verified(ticket, wanted, seconds, self.console_release.hardened)

    @staticmethod
    async def _watch(opening: Opening, before: object) -> None:
        """Return when the guest stopped, moved or lost its node."""
        while opening.state() == before:
            await asyncio.sleep(WATCH_SECONDS)

    # ---- lines

    def line_of(self, key: tuple[Any, ...], name: str, shared: bool, boot: object, program: Program) -> Line:
        """The terminal of a guest; after a stop and a start its program begins anew."""
        line = self.lines.get(key)
        if line is None:
            chosen = self.programs.get(key, program)
            line = Line(name, self.record_of(key), chosen, self.internal_errors.append, shared)
            self.lines[key] = line
        elif self.line_states[key] != boot:
            line.stop()
        self.line_states[key] = boot
        return line

    def node_line(self, node: str, user: str) -> Line:
        """A login of its own for every session; only root@pam itself is let in without a password."""
        key = ("node", node)
        shell = Shell(prompt=f"root@{node}:~# ", hostname=node, cursor_request=False)
        if user != "root@pam":
            shell.users = {"root": str(self.password)}
        line = Line("login", self.record_of(key), self.programs.get(key, shell), self.internal_errors.append, True)
        line.starts_with_client = True
        self.node_lines.append(line)
        return line

    async def stop(self) -> None:
        self.ports.close()
        for line in [*self.lines.values(), *self.node_lines]:
            line.stop()
        await super().stop()
