# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The server: its clients, and the queue of actions.

One thread serves all clients and never blocks; each action runs in a thread of its own.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import socket
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ..call_time import ANSWER_SHARE, margin_of, parse_wait
from ..entry import carry_out, finish, seconds_alive
from . import messages
from .clients import ANSWERED, NEW, QUEUED, READY, RUNNING, Client
from .loop import Loop, accepted
from .messages import BadMessage, CallMessage
from .metrics import Scrapes, prometheus
from .recovery import Recovery
from .resources import Resources
from .say import say
from .service_call import ServiceCall

MOST_CLIENTS = 1024
# An executable answers "ready" at once.
GO_SECONDS = 10.0
SCAN_SECONDS = 30.0
# Of the margin, the part that the executable keeps for its own last words; the action's own are a bigger part.
CLIENT_SHARE = ANSWER_SHARE / 2
WORKERS_FOR_RECOVERY = 8
# At a stop, how long interrupted actions may clean up.
TAKE_BACK_SECONDS = 20.0
NOT_BEGUN = {"status": "error", "error": "the service did not begin the action: nothing was done", "kind": "service"}


class Server:
    """Carries out what executables ask for; lives until it is stopped and nothing is left to do."""

    def __init__(self, resources: Resources, users: t.Collection[int]) -> None:
        self.resources = resources
        self.settings = resources.settings
        self.users = frozenset(users)
        self.stopping = False
        # When running actions are interrupted; None is never.
        self.stop_at: float | None = None
        self.on_tick: t.Callable[[], None] = lambda: None
        self.loop = Loop(self._tick, lambda: resources.counters.add("errors", "internal"))
        self._executor = ThreadPoolExecutor(self.settings.most_actions + WORKERS_FOR_RECOVERY, "action")
        self.recovery = Recovery(resources, self._executor)
        self._scrapes = Scrapes(self.loop, lambda: prometheus(self.status()))
        self._listeners: list[socket.socket] = []
        self._clients: set[Client] = set()
        self._queue: collections.deque[Client] = collections.deque()
        # How many have their turn, or run.
        self._slots = 0
        self._calls: set[ServiceCall] = set()
        self._ended: collections.deque[tuple[Client, bytes, int]] = collections.deque()
        self._next_scan = 0.0

    # ---- from outside

    def listen(self, listener: socket.socket, scrape: bool = False) -> None:
        """Accept clients there: executables, or those who want to read the counters."""
        listener.setblocking(False)
        self._listeners.append(listener)
        accept = self._scrapes.accept if scrape else self._accept
        self.loop.watch(listener, lambda: accept(listener))

    def drain(self, seconds: float | None) -> None:
        """Accept no new clients, and end after the last action; interrupt those that run after so many seconds."""
        self.stopping = True
        for listener in self._listeners:
            self.loop.unwatch(listener)
            listener.close()
        self._listeners.clear()
        self._scrapes.tidy(everything=True)
        # Clients that have their turn may have sent GO already.
        for client in [item for item in self._clients if item.state in (NEW, QUEUED)]:
            self._drop(client)
        if seconds is not None:
            self.stop_at = time.monotonic() + seconds
            self.resources.long_lived.close()
        else:
            self.resources.long_lived.refuse()

    def serve(self) -> None:
        """Run until drained."""
        while not self._is_done():
            self.loop.turn()
            self.loop.guarded(self._send_answers)
        self.resources.sessions.close()

    def status(self) -> dict[str, t.Any]:
        """The state of the service in numbers."""
        resources = self.resources
        now = {
            "running": self._slots,
            "queued": len(self._queue),
            "clients": len(self._clients),
            "threads": threading.active_count(),
            "credentials": resources.sessions.credentials,
            "connections": resources.sessions.connections,
            "requests": resources.turns.running,
            "requests_waiting": resources.turns.waiting,
            "half_made": self.recovery.waiting,
            "open": {"console": 0, **resources.long_lived.counts()},
        }
        snapshot = resources.counters.snapshot()
        snapshot["counters"]["connections"] = resources.sessions.opened
        return {
            "extension": self.settings.extension,
            "release": self.settings.release,
            "pid": os.getpid(),
            "stopping": self.stopping,
            "now": now,
            "half_made": self.recovery.describe(),
            **snapshot,
        }

    # ---- every second, and at the end

    def _is_done(self) -> bool:
        if not self.stopping:
            return False
        busy = self._slots or self._clients or self._ended or self.recovery.busy or self.resources.long_lived.counts()
        return not busy or (self.stop_at is not None and time.monotonic() > self.stop_at + TAKE_BACK_SECONDS)

    def _tick(self) -> None:
        now = time.monotonic()
        for client in [item for item in self._clients if item.until is not None and item.until < now]:
            self._count("slow client")
            self._send_away(client)
        self._scrapes.tidy()
        self.resources.sessions.tidy()
        if not self.stopping and now >= self._next_scan:
            self._next_scan = now + SCAN_SECONDS
            self.recovery.scan()
        if self.stop_at is not None and now > self.stop_at:
            for call in self._calls:
                call.interrupt("the service was stopped")
        self.on_tick()

    def _count(self, why: str) -> None:
        self.resources.counters.add("refused", why)

    # ---- clients come and go

    def _accept(self, listener: socket.socket) -> None:
        channel = accepted(listener)
        if channel is None:
            return
        client = Client(channel)
        if client.user not in self.users or len(self._clients) >= MOST_CLIENTS:
            self._count("foreign user" if client.user not in self.users else "too many clients")
            channel.close()
            return
        self._clients.add(client)
        self.loop.watch(channel, lambda: self._read(client))

    def _drop(self, client: Client) -> None:
        """Close the connection; its action, if it runs, is orphaned."""
        if client not in self._clients:
            return
        self._clients.discard(client)
        self.loop.unwatch(client.channel)
        client.channel.close()
        if client.state == RUNNING and client.call is not None:
            client.call.orphan()
            return
        client.close_payload()
        if client.state == ANSWERED and client.call is not None:
            client.call.undelivered()
        elif client.state == QUEUED:
            self._queue.remove(client)
        elif client.state == READY:
            self._slots -= 1
            self._admit()

    def _send_away(self, client: Client) -> None:
        """Close the connection of a silent client; if it has just sent GO, it gets an error."""
        if client.state == READY:
            # Raises OSError if it has sent nothing, or is gone.
            with contextlib.suppress(OSError):
                client.channel.shutdown(socket.SHUT_RD)
                if client.channel.recv(len(messages.GO)) == messages.GO:
                    client.send(b"\1" + finish(NOT_BEGUN)[0])
        self._drop(client)

    # ---- messages of clients

    def _read(self, client: Client) -> None:
        streams: list[int] = []
        try:
            self._understand(client, client.receive(streams), streams)
        except BlockingIOError:
            return
        except BadMessage:
            self._count("bad message")
            self._drop(client)
        except OSError:
            self._drop(client)
        finally:
            # Files that no request has taken.
            for stream in streams:
                os.close(stream)

    def _understand(self, client: Client, message: bytes, streams: list[int]) -> None:
        if not message:
            self._drop(client)
        elif client.state == NEW:
            self._take_message(client, messages.parse_message(message), streams)
        elif client.state == READY and message == messages.GO:
            self._start(client)
        elif client.state == RUNNING and client.call is not None and message.startswith(messages.SIGNAL):
            number = message[len(messages.SIGNAL) :][:3].decode("ascii", "replace")
            client.call.interrupt(f"ended by signal {number}")
        elif client.state == ANSWERED and client.call is not None and message == messages.DONE:
            client.call.delivered()
            self._drop(client)
        else:
            raise BadMessage("it is out of turn")

    def _take_message(self, client: Client, message: CallMessage, streams: list[int]) -> None:
        if message.kind == messages.STATUS:
            client.send(json.dumps(self.status()).encode())
            self._drop(client)
            return
        if len(streams) != 1:
            raise BadMessage("it brings no payload")
        if message.release != self.settings.release:
            self._count("other release")
            client.send(b"no: the service runs another release")
            self._drop(client)
            return
        client.message, client.stream, client.state = message, streams.pop(), QUEUED
        self._queue.append(client)
        self._admit()

    def _admit(self) -> None:
        """Give the clients that have waited longest their turn."""
        while self._queue and self._slots < self.settings.most_actions:
            client = self._queue.popleft()
            self._slots += 1
            client.state = READY
            client.until = time.monotonic() + GO_SECONDS
            message = t.cast("CallMessage", client.message)
            started = time.monotonic() - seconds_alive(client.pid)
            client.call = ServiceCall(message, client.stream, self.resources, self.recovery, started)
            wait = parse_wait(message.arguments[2] if len(message.arguments) > 2 else "")
            left = wait - (time.monotonic() - started) - margin_of(wait) * CLIENT_SHARE
            if not client.send(b"ready %.1f" % max(0.1, left)):
                self._drop(client)

    # ---- actions

    def _start(self, client: Client) -> None:
        call = t.cast("ServiceCall", client.call)
        client.state, client.until = RUNNING, None
        self._calls.add(call)
        self._executor.submit(self._work, client, call)

    def _work(self, client: Client, call: ServiceCall) -> None:
        """Carry the action out; in a thread of its own."""
        arguments = ["cloudbridge-proxmoxd", *call.message.arguments]
        line, exit_code = b"", 1
        try:
            document = carry_out(arguments, self.settings.policy_file, self.settings.log_file, call.started, call)
            line, exit_code = finish(document)
            call.ended(document)
        except BaseException as error:  # noqa: BLE001 - the client gets an answer, and the slot is freed
            say(f"{call.name}: {type(error).__name__} while the action was finished")
        finally:
            self._ended.append((client, line, exit_code))
            self.loop.wake()

    def _send_answers(self) -> None:
        while self._ended:
            client, line, exit_code = self._ended.popleft()
            self._slots -= 1
            call = t.cast("ServiceCall", client.call)
            self._calls.discard(call)
            client.close_payload()
            client.state = ANSWERED
            try:
                if client not in self._clients:
                    call.undelivered()
                elif not line or not client.send(bytes([exit_code]) + line) or not call.wants_receipt:
                    self._drop(client)
            finally:
                # Its guest is finished or removed by now, or the recovery has it.
                call.over.set()
            self._admit()
