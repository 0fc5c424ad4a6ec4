# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The context of an action that the service carries out for an executable."""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t

from ..._pve.deadline import Deadline
from ..call_context import CallContext, CallInterrupted
from ..registry import DROP, GO_ON, find_action
from .journal import ANSWERED, Entry, NotedUpids

if t.TYPE_CHECKING:
    from ..._operations.vm.deployment import Deployment
    from ..._pve.connection import ConnectionOptions
    from ..._pve.transport import Transport
    from ..call_request import CallRequest
    from ..ownership import Mark
    from .messages import CallMessage
    from .recovery import Recovery
    from .resources import Resources

# How long the cleanup may take when CloudStack does not wait any more.
TAKE_BACK_SECONDS = 600.0
# The kind of an error that has no other.
INTERNAL = "internal"
# These wait until nothing is left of an earlier attempt.
FRESH_STARTS = ("prepare", "create")


class ServiceContext(CallContext):
    """The context of whatever the service does with PVE for an action: its connections are shared."""

    def __init__(self, resources: Resources, environment: t.Mapping[str, str]) -> None:
        super().__init__(environment, resources.settings.socket, resources.settings.relay is not None)
        self.options: ConnectionOptions | None = None
        self._resources = resources

    def connect(self, options: ConnectionOptions) -> Transport:
        self.options = options
        return self._resources.sessions.borrow(options)

    def disconnect(self, transport: Transport) -> None:
        self._resources.sessions.give_back(transport)

    def turn(self, deadline: Deadline) -> t.ContextManager[None]:
        self._check()
        return self._resources.turns.turn(self.options.endpoints if self.options else (), deadline, self._check)

    def follow_up(self) -> CallContext:
        return ServiceContext(self._resources, self.environment)

    def _check(self) -> None:
        """Raise CallInterrupted when the action has to end."""


class ServiceCall(ServiceContext):
    """The context of an action of the service."""

    def __init__(
        self, message: CallMessage, stream: int, resources: Resources, recovery: Recovery, started: float
    ) -> None:
        super().__init__(resources, message.environment or {})
        self.message = message
        self.payload_stream = stream
        self.started = started
        action = find_action(message.arguments[0]) if message.arguments else None
        self.name = action.name if action else "unknown"
        self._orphaned = action.orphaned if action else DROP
        self.is_orphan = False
        self.entry: Entry | None = None
        # Set when the action has ended, and the recovery has what it has left.
        self.over = threading.Event()
        self._recovery = recovery
        self.relay, self.no_relay = resources.relay, resources.no_relay
        # Why the action has to end; empty if it goes on.
        self._interruption = ""
        # CallInterrupted was raised: a second interruption would disturb the cleanup.
        self._was_interrupted = False
        self._interrupted = threading.Event()
        # Guards these, and the transport: after it is given back, another action may have it.
        self._lock = threading.Lock()
        self._transport: Transport | None = None

    # ---- called by the loop of the service

    def interrupt(self, why: str) -> None:
        """End the action, from another thread; it removes what it has created. Only the first call counts."""
        with self._lock:
            if self._was_interrupted:
                return
            self._interruption = self._interruption or why
            self._interrupted.set()
            if self._transport is not None:
                self._transport.cut_off()

    def orphan(self) -> None:
        """The executable is gone, so the answer has no reader."""
        if self.is_orphan:
            return
        self.is_orphan = True
        if self.entry is not None:
            self._recovery.break_off(self.entry.facts["instance"], self.over)
        if self._orphaned != GO_ON:
            self.interrupt("the executable was killed")

    # ---- called by the action

    def deadline(self, seconds: float) -> Deadline:
        return Deadline(seconds, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self._interrupted.wait(seconds)
        self._check()

    def _check(self) -> None:
        """Raise CallInterrupted, once, if the action has to end."""
        if self._interrupted.is_set():
            self._stop_listening()
            raise CallInterrupted(self._interruption)

    def _stop_listening(self) -> None:
        with self._lock:
            self._was_interrupted = True
            self._interrupted = threading.Event()

    def cleanup_seconds(self, left: float) -> float:
        # The cleanup is not interrupted, neither by an earlier signal nor by a later one.
        self._stop_listening()
        return max(left, TAKE_BACK_SECONDS) if self.is_orphan else left

    def on_open(self, request: CallRequest, deadline: Deadline) -> None:
        self._recovery.offer(request, deadline, wait=self.name in FRESH_STARTS)

    def connect(self, options: ConnectionOptions) -> Transport:
        transport = super().connect(options)
        with self._lock:
            self._transport = transport
        return transport

    def disconnect(self, transport: Transport) -> None:
        with self._lock:
            self._transport = None
        super().disconnect(transport)

    def own_upids(self) -> set[str]:
        return NotedUpids(self._note_task)

    def _note_task(self, upid: str) -> None:
        if self.entry is not None:
            self.entry.note_task(upid)

    def on_create(self, request: CallRequest, deployment: Deployment) -> None:
        options, template = request.connection(), deployment.template
        self.entry = self._resources.journal.begin(
            instance=request.instance.uuid,
            name=request.instance.name,
            vmid=deployment.vmid,
            node=deployment.node,
            deployment=deployment.deployment,
            template=[template.vmid, template.node] if template else None,
            identity=options.identity,
            endpoints=[end.url for end in options.endpoints],
            payload=self.message.arguments[1],
        )

    def cached_mark(self, request: CallRequest, guest: t.Mapping[str, t.Any], read: t.Callable[[], Mark]) -> Mark:
        # The list has no digest of a configuration, so a mark is read again after some time.
        seen = tuple(str(guest.get(name) or "") for name in ("vmid", "name", "tags"))
        return self._resources.marks.get((request.connection(), request.node, seen), read)

    # ---- its end

    def ended(self, document: t.Mapping[str, t.Any]) -> None:
        """The action has ended; its answer goes to the executable next."""
        kind = "" if document.get("status") == "success" else str(document.get("kind") or INTERNAL)
        self._resources.counters.action(self.name, time.monotonic() - self.started, kind)
        if self.entry is None:
            return
        if not kind:
            self.entry.settle()
        elif kind == INTERNAL or self.left_behind:
            self._recovery.add(self.entry, self.options)
            self.entry = None
        else:
            self.entry.remove()
            self.entry = None

    @property
    def wants_receipt(self) -> bool:
        """Whether it matters that the executable has printed the answer."""
        return self.entry is not None

    def delivered(self) -> None:
        """The executable has printed the answer."""
        if self.entry is not None:
            self.entry.remove()
            self.entry = None

    def undelivered(self) -> None:
        """The executable was killed before it printed a success, so CloudStack has a failure."""
        entry, options, self.entry = self.entry, self.options, None
        if entry is None:
            return
        with contextlib.suppress(OSError):
            entry.note(**{ANSWERED: False})
        self._recovery.add(entry, options)
