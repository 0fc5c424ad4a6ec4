# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VNC port on this machine, behind which every viewer gets a console of its own over PVE's websocket."""

from __future__ import annotations

import ipaddress
import select
import socket
import threading
import typing as t
from dataclasses import dataclass
from pathlib import Path
from selectors import EVENT_READ, EVENT_WRITE

from .._operations.console.abilities import check_identity, check_vnc, read_abilities
from .._operations.console.target import ConsoleTarget, console_target
from .._operations.console.versions import VNC
from .._operations.console.vnc_viewer import (
    ADMISSION,
    LEAVING,
    LOGIN,
    PROVED,
    SHOWN,
    Viewer,
    ViewerLimits,
    open_for_viewer,
)
from .._pve.client import PveClient
from .._pve.connection import host_and_port
from .._pve.deadline import Deadline
from .._pve.errors import InvalidRequest, PveError
from .._pve.rfb import new_password, require_des
from .exit_codes import Ending, ExitCode

PASSWORD_VARIABLE = "PVE_CONSOLE_VIEWER_PASSWORD"  # noqa: S105
# A node has 100 ports for consoles, for everybody.
MAX_VIEWERS = 10
# Finding the guest and having the port opened.
PVE_SECONDS = 60.0
_JOIN_SECONDS = 5.0
_TICK_SECONDS = 1.0


@dataclass(frozen=True)
class BridgeOptions:
    """Where to listen, and who may connect; password None lets everybody in who can reach the port.

    generated says that the password was generated, so the user does not know it yet.
    """

    host: str
    port: int
    password: str | None
    generated: bool = False

    def __repr__(self) -> str:
        return f"BridgeOptions({self.host!r}, {self.port})"


def bridge_options(
    address: str,
    environment: t.Mapping[str, str],
    password_file: str | None = None,
    no_password: bool = False,
    any_address: bool = False,
) -> BridgeOptions:
    """Check the options of a bridge; raises InvalidRequest.

    The viewer's password comes from the file or the environment, or is generated; no_password is for none.
    any_address allows addresses that other machines can reach.
    """
    host, port = _split(address)
    if not any_address and not _is_loopback(host):
        raise InvalidRequest(
            f"--bridge {address} could be reached by others, and VNC is not encrypted: listen on 127.0.0.1 and use SSH "
            f"from elsewhere, or say --any-address"
        )
    if no_password:
        return BridgeOptions(host, port, None)
    password = environment.get(PASSWORD_VARIABLE)
    if password_file is not None:
        try:
            password = Path(password_file).read_text(encoding="utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"the viewer's password cannot be read from {password_file}: {error}") from error
        if not password:
            raise InvalidRequest(f"the viewer's password in {password_file} is empty: --no-password is for none")
    if password:
        return BridgeOptions(host, port, password)
    return BridgeOptions(host, port, new_password(), True)


def _split(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise InvalidRequest(f"--bridge must be an address and a port as in 127.0.0.1:5901, not {address!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


def _is_loopback(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InvalidRequest(f"--bridge names {host!r}, which is no address of this machine: {error}") from error
    return all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found)


def run_bridge(client: PveClient, parameters: t.Mapping[str, t.Any], options: BridgeOptions, out: t.TextIO) -> int:
    """Serve viewers until Ctrl-C; returns the exit code.

    parameters are those of console_target(). out gets messages for the user, a generated password included, and must
    be a terminal in that case. Raises Ending or a PveError.
    """
    if options.generated and not out.isatty():
        raise InvalidRequest(
            f"there is no terminal to show the viewer's password on: set {PASSWORD_VARIABLE} or --password-file"
        )
    # A missing library is reported before a viewer connects.
    require_des()
    target = console_target(client, parameters)
    check_identity(client, target, VNC)
    try:
        check_vnc(target, read_abilities(target))
    except InvalidRequest as error:
        raise Ending(ExitCode.NO_CONSOLE, str(error)) from error
    with _listen(options) as listener:
        bridge = _Bridge(client, parameters, options, out)
        bridge.greet(target, *listener.getsockname()[:2])
        try:
            while True:
                bridge.admit(*listener.accept())
        except KeyboardInterrupt:
            return ExitCode.OK
        finally:
            bridge.close()


def _listen(options: BridgeOptions) -> socket.socket:
    try:
        family = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((options.host, options.port), family=family)
    except OSError as error:
        raise InvalidRequest(
            f"cannot listen on {host_and_port(options.host, options.port)}: {error.strerror}"
        ) from error


class _Bridge:
    """The viewers, each with a thread and a client of its own."""

    def __init__(
        self, client: PveClient, parameters: t.Mapping[str, t.Any], options: BridgeOptions, out: t.TextIO
    ) -> None:
        self._client = client
        self._parameters = parameters
        self._options = options
        self._out = out
        self._opening = threading.Lock()
        self._viewers: dict[threading.Thread, socket.socket] = {}

    def greet(self, target: ConsoleTarget, host: str, port: int) -> None:
        self._tell(f"VNC console of {target.label}: vncviewer {host_and_port(host, port)}")
        if self._options.generated:
            self._tell(f"The viewer's password, until this program ends: {self._options.password}")
        elif self._options.password is None:
            self._tell("Viewers need no password")
        self._tell("Ctrl-C ends it")

    def admit(self, viewer: socket.socket, address: tuple[t.Any, ...]) -> None:
        """Serve a viewer beside the others."""
        self._viewers = {thread: known for thread, known in self._viewers.items() if thread.is_alive()}
        name = host_and_port(address[0], address[1])
        if len(self._viewers) >= MAX_VIEWERS:
            viewer.close()
            self._tell(f"viewer {name}: turned away, as {MAX_VIEWERS} are there already")
            return
        thread = threading.Thread(target=self._serve, args=(viewer, name), daemon=True)
        self._viewers[thread] = viewer
        thread.start()

    def close(self) -> None:
        """End all consoles."""
        for viewer in self._viewers.values():
            try:
                viewer.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._viewers:
            thread.join(_JOIN_SECONDS)

    def _serve(self, connection: socket.socket, name: str) -> None:
        self._tell(f"viewer {name}: connected")
        password, clients = self._options.password, list[PveClient]()
        viewer = Viewer(connection, None if password is None else [password], ViewerLimits())

        def find() -> ConsoleTarget:
            # A login may be due.
            self._client.deadline = Deadline(PVE_SECONDS)
            clients.append(self._client.sibling(Deadline(PVE_SECONDS), PVE_SECONDS))
            return console_target(clients[0], self._parameters)

        try:
            attend(viewer, find, self._opening)
            self._tell(f"viewer {name}: {viewer.ending}")
        finally:
            viewer.close()
            for client in clients:
                client.close()

    def _tell(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()


def attend(viewer: Viewer, find: t.Callable[[], ConsoleTarget], opening: threading.Lock) -> None:
    """Show the target's console to a viewer until one of both ends it.

    Nothing is asked of PVE before the viewer has given the password. opening is held until the console is open: of two
    at once, PVE would take one's password for both.
    """
    _carry(viewer, {ADMISSION})
    if viewer.phase == PROVED:
        with opening:
            try:
                viewer.attach(*open_for_viewer(find()))
            except PveError as error:
                viewer.refuse(error)
            _carry(viewer, {LOGIN})
    _carry(viewer, {SHOWN, LEAVING})


def _carry(viewer: Viewer, phases: t.Collection[str]) -> None:
    """Let the viewer go on for as long as it is in these phases."""
    while viewer.phase in phases:
        viewer.pump()
        if viewer.phase in phases and not viewer.restless:
            _wait(viewer)
        viewer.tick()


def _wait(viewer: Viewer) -> None:
    wanted: list[tuple[t.Any, int]] = [
        (viewer.connection, viewer.viewer_events),
        (viewer.channel, viewer.channel_events),
    ]
    readers = [one for one, events in wanted if events & EVENT_READ]
    writers = [one for one, events in wanted if events & EVENT_WRITE]
    select.select(readers, writers, [], _TICK_SECONDS)
