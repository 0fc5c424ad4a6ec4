# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""cloudbridge-proxmoxd: the resident service of one extension, in the foreground."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import pwd
import signal
import socket
import subprocess
import sys
import threading
import typing as t
import warnings
from dataclasses import dataclass

from ..._pve.errors import InvalidRequest
from ..relay.settings import add_relay_words, read_relay_words
from . import activation
from .resources import Resources, Settings
from .say import say
from .server import Server

SUCCESSOR_SECONDS = 30
# It imports a library that only others use.
NOT_NEEDED = ("_cloudstack.registration",)
STACK_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class _Arguments:
    settings: Settings
    user: str
    metrics_port: int


def main(argv: t.Sequence[str], release: str) -> int:
    """Serve until stopped. argv is that of the program, which is run again to start a successor."""
    warnings.simplefilter("ignore")
    arguments = _parse(argv[1:], release)
    # The log is for CloudStack's group as well.
    os.umask(0o027)
    # json recurses as deep as Python lets it, which is meant for a main thread: a smaller stack would overflow.
    threading.stack_size(STACK_BYTES)
    try:
        daemon = _Daemon(argv, arguments)
    except OSError as error:
        say(f"cannot serve: {error}")
        return 1
    daemon.run()
    return 0


def _parse(words: t.Sequence[str], release: str) -> _Arguments:
    parser = argparse.ArgumentParser(
        prog="cloudbridge-proxmoxd",
        description="Carries out CloudStack's actions on Proxmox VE for the executable of an extension.",
    )
    parser.add_argument("--extension", required=True, help="name of the extension")
    parser.add_argument("--policy-file", required=True, help="the site policy")
    parser.add_argument("--log-file", default="", help="the log, one line per call")
    parser.add_argument("--socket", default="", help="where executables connect; made unless systemd passes it")
    parser.add_argument("--state-directory", default="", help="where guests on their way are written down")
    parser.add_argument("--user", default="", help="the account whose executables are served, besides root")
    parser.add_argument("--most-requests", type=int, default=16, help="requests to one PVE at once")
    parser.add_argument("--most-actions", type=int, default=256, help="actions at once")
    parser.add_argument("--metrics-port", type=int, default=0, help="loopback port for Prometheus; 0 is none")
    parser.add_argument("--stop-seconds", type=float, default=60.0, help="time for running actions at a stop")
    add_relay_words(parser)
    found = parser.parse_args(list(words))
    if min(found.most_requests, found.most_actions) < 1:
        parser.error("--most-requests and --most-actions are at least 1")
    try:
        relay = read_relay_words(found)
    except InvalidRequest as error:
        parser.error(str(error))
    settings = Settings(
        extension=found.extension,
        release=release,
        policy_file=found.policy_file,
        log_file=found.log_file,
        socket=found.socket,
        state_directory=found.state_directory or os.environ.get("STATE_DIRECTORY", "").partition(":")[0],
        most_actions=found.most_actions,
        most_requests=found.most_requests,
        stop_seconds=found.stop_seconds,
        relay=relay,
    )
    return _Arguments(settings, found.user, found.metrics_port)


class _Daemon:
    """A server, its signals, systemd and its successor."""

    def __init__(self, argv: t.Sequence[str], arguments: _Arguments) -> None:
        self.argv = list(argv)
        self.settings = arguments.settings
        users = {0, os.geteuid()} | ({pwd.getpwnam(arguments.user).pw_uid} if arguments.user else set())
        self.server = Server(Resources(self.settings), users)
        self.sockets = activation.inherited_sockets(os.environ)
        # Unless the service was started by hand, the file of the socket is systemd's.
        self.own_path = os.environ.get(activation.OWN_SOCKET_VARIABLE, "")
        if activation.REQUESTS not in self.sockets:
            if not self.settings.socket:
                raise OSError("systemd passed no socket, and --socket names none")
            self.sockets[activation.REQUESTS] = [activation.listen(self.settings.socket)]
            self.own_path = self.settings.socket
        if arguments.metrics_port and activation.METRICS not in self.sockets:
            self.sockets[activation.METRICS] = [_listen_on_loopback(arguments.metrics_port)]
        self.signals: list[int] = []
        self.has_successor = False
        self.successor: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Serve, then end the process with all threads."""
        _load_everything()
        server = self.server
        server.on_tick = lambda: activation.notify("WATCHDOG=1")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _frame: self._on_signal(number))
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        server.loop.watch(reading, lambda: self._handle_signals(reading))
        for name, listeners in self.sockets.items():
            for listener in listeners:
                server.listen(listener, scrape=name == activation.METRICS)
        self._notify_ready()
        say(f"serving {self.settings.extension}, release {self.settings.release}")
        server.serve()
        if self.own_path and not self.has_successor:
            activation.forget(self.own_path)
        activation.notify("STOPPING=1")
        say("ended")
        sys.stderr.flush()
        # A thread that hangs in a request must not keep the process.
        os._exit(0)

    def _notify_ready(self) -> None:
        ready = os.environ.pop(activation.READY_VARIABLE, "")
        for name in activation.OWN_VARIABLES:
            os.environ.pop(name, None)
        if ready.isdigit():
            os.write(int(ready), b"ready")
            os.close(int(ready))
        else:
            activation.notify("READY=1", f"STATUS=serving {self.settings.extension}")

    def _on_signal(self, number: int) -> None:
        self.signals.append(number)

    def _handle_signals(self, reading: int) -> None:
        os.read(reading, 4096)
        while self.signals:
            number = self.signals.pop(0)
            if number == signal.SIGHUP:
                self._make_successor()
            elif self.server.stop_at is None:
                say("stopping: running actions are finished first")
                activation.notify("STOPPING=1")
                self.server.drain(self.settings.stop_seconds)

    def _make_successor(self) -> None:
        """Start the program again, which may be of a newer release by now, and hand the sockets to it."""
        if self.server.stopping:
            return
        if self.successor is not None:
            # It hangs, or a second reload came too soon; the next signal starts another one.
            self.successor.kill()
            return
        reading, writing = os.pipe()
        numbers = [item.fileno() for items in self.sockets.values() for item in items]
        variables = {
            activation.HANDOVER_VARIABLE: activation.handover(self.sockets),
            activation.READY_VARIABLE: str(writing),
            activation.OWN_SOCKET_VARIABLE: self.own_path,
        }
        try:
            # The words are those that this process was started with. It is no module, so there is no run_command().
            self.successor = subprocess.Popen(  # noqa: S603 # pylint: disable=ansible-bad-function
                self.argv, env={**os.environ, **variables}, pass_fds=[*numbers, writing], stdin=subprocess.DEVNULL
            )
        except OSError as error:
            say(f"no successor could be started, so this release goes on: {error}")
            os.close(reading)
            return
        finally:
            os.close(writing)
        self.server.loop.watch(reading, lambda: self._succeeded(reading))

    def _succeeded(self, reading: int) -> None:
        """The successor is ready, or has failed."""
        is_ready = os.read(reading, 16) == b"ready"
        self.server.loop.unwatch(reading)
        os.close(reading)
        successor, self.successor = self.successor, None
        if not is_ready or successor is None:
            say("the successor ended before it was ready, so this release goes on")
            if successor is not None:
                successor.kill()
                successor.wait(SUCCESSOR_SECONDS)
            return
        activation.notify(f"MAINPID={successor.pid}")
        # It is systemd's child from now on, or init's.
        successor.returncode = 0
        say(f"process {successor.pid} has taken over: running actions are finished here")
        self.has_successor = True
        self.server.drain(None)


def _load_everything() -> None:
    """Import all code now: upgrades may remove this release while its last actions still run."""
    above = __name__.rpartition("._cloudstack.")[0]
    for room in ("_pve", "_operations", "_cloudstack"):
        package = importlib.import_module(f"{above}.{room}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.removeprefix(f"{above}.") not in NOT_NEEDED:
                importlib.import_module(found.name)


def _listen_on_loopback(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(16)
    return listener
