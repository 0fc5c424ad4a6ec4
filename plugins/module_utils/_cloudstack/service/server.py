# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The loop of the service: who may connect, what they say, and which action runs when.

One thread talks to all clients and never waits for any of them; the actions run in threads of their own.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import json
import os
import selectors
import socket
import struct
import threading
import time
import traceback
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ..entry import carry_out, finish, seconds_alive
from ..run import LAST_WORDS_SHARE, margin_of, parse_wait
from . import messages
from .call import Call
from .counters import prometheus
from .messages import BadMessage, Order
from .recovery import Recovery
from .resources import Resources
from .say import say

MOST_CLIENTS = 1024
HANDSHAKE_SECONDS = 2.0
TICK_SECONDS = 1.0
SCAN_SECONDS = 30.0
# Of the margin, the part that the executable keeps for its own last words; the action's own are a bigger part.
CLIENT_SHARE = LAST_WORDS_SHARE / 2
WORKERS_FOR_RECOVERY = 8
# At a stop, how long what was broken off may take to be taken back.
TAKE_BACK_SECONDS = 20.0
MAX_SCRAPE_BYTES = 8192
_CREDENTIALS = struct.Struct("3i")

# What a client is at.
NEW, QUEUED, READY, RUNNING, ANSWERED, SCRAPE = "new", "queued", "ready", "running", "answered", "scrape"


class _Client:
    """One connection. until is when it has to have come further, on the monotonic clock."""

    def __init__(self, channel: socket.socket, state: str, pid: int = 0) -> None:
        self.channel = channel
        self.state = state
        self.pid = pid
        self.until: float | None = time.monotonic() + HANDSHAKE_SECONDS
        self.order: Order | None = None
        self.stream = -1
        self.call: Call | None = None
        self.received = b""


class Server:
    """Carries out what executables order; lives until it is told to stop and nothing is left to do."""

    def __init__(self, resources: Resources, users: t.Collection[int]) -> None:
        self.resources = resources
        self.settings = resources.settings
        self.users = frozenset(users)
        self.stopping = False
        # When what still runs is broken off; None is never.
        self.stop_at: float | None = None
        self.on_tick: t.Callable[[], None] = lambda: None
        self._executor = ThreadPoolExecutor(self.settings.most_actions + WORKERS_FOR_RECOVERY, "action")
        self.recovery = Recovery(resources, self._executor)
        self._selector = selectors.DefaultSelector()
        self._clients: set[_Client] = set()
        self._queue: collections.deque[_Client] = collections.deque()
        self._slots = 0
        self._calls: set[Call] = set()
        self._ended: collections.deque[tuple[_Client, bytes, int]] = collections.deque()
        self._bell, self._ring = socket.socketpair()
        self._bell.setblocking(False)
        self._ring.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ, self._hear)
        self._listeners: list[socket.socket] = []
        self._next_tick = self._next_scan = 0.0

    # ---- from outside

    def listen(self, listener: socket.socket, scrape: bool = False) -> None:
        """Accept clients there: executables, or those who want to read the counters."""
        listener.setblocking(False)
        self._listeners.append(listener)
        accept = self._accept_scrape if scrape else self._accept
        self._selector.register(listener, selectors.EVENT_READ, lambda: accept(listener))

    def watch(self, stream: int, heard: t.Callable[[], None]) -> None:
        """Call a function when there is something to read."""
        self._selector.register(stream, selectors.EVENT_READ, heard)

    def unwatch(self, stream: int) -> None:
        self._selector.unregister(stream)

    def wake(self) -> None:
        """Let the loop look around; from any thread, or from a signal handler."""
        with contextlib.suppress(OSError):
            self._ring.send(b"!")

    def drain(self, seconds: float | None) -> None:
        """Accept nobody any more, and end when all is done; after so many seconds break off what still runs."""
        self.stopping = True
        for listener in self._listeners:
            self._selector.unregister(listener)
            listener.close()
        self._listeners.clear()
        for client in [item for item in self._clients if item.state in (NEW, QUEUED, READY, SCRAPE)]:
            self._drop(client)
        if seconds is not None:
            self.stop_at = time.monotonic() + seconds
            self.resources.keeper.close()
        else:
            self.resources.keeper.refuse()

    def serve(self) -> None:
        """Run until drained."""
        while not self._is_done():
            for key, dummy in self._selector.select(self._patience()):
                self._guarded(key.data)
            self._guarded(self._send_answers)
            if time.monotonic() >= self._next_tick:
                self._guarded(self._tick)
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
            "open": {"console": 0, **resources.keeper.counts()},
        }
        snapshot = resources.counters.snapshot()
        snapshot["counters"]["connections"] = resources.sessions.opened
        snapshot["counters"]["joined"] = resources.storms.joined
        return {
            "extension": self.settings.extension,
            "release": self.settings.release,
            "pid": os.getpid(),
            "stopping": self.stopping,
            "now": now,
            "half_made": self.recovery.describe(),
            **snapshot,
        }

    # ---- the loop

    def _guarded(self, act: t.Callable[[], None]) -> None:
        """What goes wrong with one client is no reason to forsake all others."""
        try:
            act()
        except Exception as error:  # noqa: BLE001
            place = traceback.extract_tb(error.__traceback__)[-1]
            say(f"internal error, please report it: {type(error).__name__} at {place.name}:{place.lineno}")
            self.resources.counters.add("errors", "internal")

    def _patience(self) -> float:
        return max(0.0, self._next_tick - time.monotonic())

    def _is_done(self) -> bool:
        if not self.stopping:
            return False
        busy = self._slots or self._clients or self._ended or self.recovery.busy or self.resources.keeper.counts()
        return not busy or (self.stop_at is not None and time.monotonic() > self.stop_at + TAKE_BACK_SECONDS)

    def _tick(self) -> None:
        now = time.monotonic()
        self._next_tick = now + TICK_SECONDS
        for client in [item for item in self._clients if item.until is not None and item.until < now]:
            self._count("slow client")
            self._drop(client)
        self.resources.sessions.tidy()
        if not self.stopping and now >= self._next_scan:
            self._next_scan = now + SCAN_SECONDS
            self.recovery.scan()
        if self.stop_at is not None and now > self.stop_at:
            for call in self._calls:
                call.interrupt("the service was stopped")
        self.on_tick()

    def _hear(self) -> None:
        with contextlib.suppress(OSError):
            self._bell.recv(4096)

    def _count(self, why: str) -> None:
        self.resources.counters.add("refused", why)

    # ---- clients come and go

    def _accept(self, listener: socket.socket) -> None:
        channel = self._accepted(listener)
        if channel is None:
            return
        pid, user, _group = _CREDENTIALS.unpack(
            channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        if user not in self.users:
            self._count("foreign user")
            channel.close()
            return
        self._add(_Client(channel, NEW, pid), self._read)

    def _accept_scrape(self, listener: socket.socket) -> None:
        channel = self._accepted(listener)
        if channel is not None:
            self._add(_Client(channel, SCRAPE), self._read_scrape)

    def _accepted(self, listener: socket.socket) -> socket.socket | None:
        try:
            channel, _address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                time.sleep(0.05)  # Whoever waits helps himself.
            return None
        if len(self._clients) >= MOST_CLIENTS:
            self._count("too many clients")
            channel.close()
            return None
        channel.setblocking(False)
        return channel

    def _add(self, client: _Client, read: t.Callable[[_Client], None]) -> None:
        self._clients.add(client)
        self._selector.register(client.channel, selectors.EVENT_READ, lambda: read(client))

    def _drop(self, client: _Client) -> None:
        """Close the connection; a call that runs goes on as that of nobody."""
        if client not in self._clients:
            return
        self._clients.discard(client)
        self._selector.unregister(client.channel)
        client.channel.close()
        if client.state in (QUEUED, READY):
            if client.state == READY:
                self._slots -= 1
            else:
                self._queue.remove(client)
            self._admit()
        if client.state == RUNNING and client.call is not None:
            client.call.orphan()
            return
        if client.stream >= 0:
            os.close(client.stream)
            client.stream = -1
        if client.state == ANSWERED and client.call is not None:
            client.call.undelivered()

    # ---- what they say

    def _read(self, client: _Client) -> None:
        streams: list[int] = []
        try:
            message, flags = self._receive(client, streams)
            self._understand(client, message, streams, flags)
        except BlockingIOError:
            return
        except BadMessage:
            self._count("bad message")
            self._drop(client)
        except OSError:
            self._drop(client)
        finally:
            # Those that nobody has taken.
            for stream in streams:
                os.close(stream)

    def _receive(self, client: _Client, streams: list[int]) -> tuple[bytes, int]:
        """The next message and its flags; the files that came with it are added to streams."""
        size = messages.MAX_ORDER_BYTES + 1 if client.state == NEW else 256
        message, ancillary, flags, _address = client.channel.recvmsg(
            size, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                streams += struct.unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4])
        return message, flags

    def _understand(self, client: _Client, message: bytes, streams: list[int], flags: int) -> None:
        if not message or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            self._drop(client)
        elif client.state == NEW:
            self._take_order(client, messages.parse_order(message), streams)
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

    def _take_order(self, client: _Client, order: Order, streams: list[int]) -> None:
        if order.kind == messages.STATUS:
            client.channel.send(json.dumps(self.status()).encode())
            self._drop(client)
            return
        if len(streams) != 1:
            raise BadMessage("it brings no payload")
        if order.release != self.settings.release:
            self._count("other release")
            client.channel.send(b"no: the service runs another release")
            self._drop(client)
            return
        client.order, client.stream, client.state = order, streams.pop(), QUEUED
        self._queue.append(client)
        self._admit()

    def _admit(self) -> None:
        """Tell those who have waited longest that it is their turn."""
        while self._queue and self._slots < self.settings.most_actions:
            client = self._queue.popleft()
            self._slots += 1
            client.state = READY
            client.until = time.monotonic() + HANDSHAKE_SECONDS
            order = t.cast("Order", client.order)
            started = time.monotonic() - seconds_alive(client.pid)
            client.call = Call(order, client.stream, self.resources, self.recovery, started)
            wait = parse_wait(order.arguments[2] if len(order.arguments) > 2 else "")
            left = wait - (time.monotonic() - started) - margin_of(wait) * CLIENT_SHARE
            try:
                client.channel.send(b"ready %.1f" % max(0.1, left))
            except OSError:
                self._drop(client)

    # ---- actions

    def _start(self, client: _Client) -> None:
        call = t.cast("Call", client.call)
        client.state, client.until = RUNNING, None
        self._calls.add(call)
        self._executor.submit(self._work, client, call)

    def _work(self, client: _Client, call: Call) -> None:
        """Carry the action out; in a thread of its own."""
        arguments = ["cloudbridge-proxmoxd", *call.order.arguments]
        line, exit_code = b"", 1
        try:
            document = carry_out(arguments, self.settings.policy_file, self.settings.log_file, call.started, call)
            line, exit_code = finish(document)
            call.ended(document)
        except BaseException as error:  # noqa: BLE001 - whoever waits gets an answer, and the slot must be freed
            say(f"{call.name}: {type(error).__name__} while the action was finished")
        self._ended.append((client, line, exit_code))
        self.wake()

    def _send_answers(self) -> None:
        while self._ended:
            client, line, exit_code = self._ended.popleft()
            self._slots -= 1
            call = t.cast("Call", client.call)
            self._calls.discard(call)
            if client.stream >= 0:
                os.close(client.stream)
                client.stream = -1
            client.state = ANSWERED
            sent = False
            if client in self._clients and line:
                with contextlib.suppress(OSError):
                    sent = bool(client.channel.send(bytes([exit_code]) + line))
            if client not in self._clients:
                call.undelivered()
            elif not sent or not call.wants_receipt:
                self._drop(client)
            self._admit()

    # ---- counters for others

    def _read_scrape(self, client: _Client) -> None:
        """Answer whatever is asked over HTTP with the counters."""
        try:
            data = client.channel.recv(MAX_SCRAPE_BYTES)
            client.received += data
            if data and b"\r\n\r\n" not in client.received and len(client.received) < MAX_SCRAPE_BYTES:
                return
            body = prometheus(self.status()).encode()
            head = f"HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(body)}\r\n\r\n"
            client.channel.send(head.encode() + body)
            client.channel.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return
        except OSError:
            pass  # Whoever asked is gone.
        self._drop(client)
