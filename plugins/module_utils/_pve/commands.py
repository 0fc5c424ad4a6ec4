# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sending one change and seeing it through: lost answers, busy locks, moved guests."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .client import PATIENCE_SECONDS, PveClient
from .deadline import Tries
from .errors import (
    NODE_UNREACHABLE,
    NOT_IMPLEMENTED,
    AnswerLost,
    ErrorReason,
    Locked,
    PveError,
    TimedOut,
    TransportError,
    Unreachable,
)
from .guests import KIND_NAMES, GuestHandle, is_absent
from .locks import HIBERNATED_LOCK, held_by, lock_in, wait_until_unlocked
from .numbers import in_full
from .tasks import Task, Upid, find_own_task, parse_upid, wait_for_task
from .turns import Places
from .vm_config import VOLUME_KEY

# A request that pveproxy gave up after 30 s (596), or the caller before, still waits for a worker of pvedaemon.
LATE_SECONDS = 35.0
LOOK_SECONDS = 3.0
# PVE's clean-up after a stop or a rollback holds the guest's lock for up to 30 s; each try waits 10 s itself.
LOCK_PATIENCE_SECONDS = 90.0


def _never() -> bool:
    return False


def no_check() -> None:
    """Nothing has to be looked at before a command is sent."""


@dataclass(frozen=True)
class Command:
    """One change as data: what is sent, and how to see whether it has been done.

    tail is the path below the node (or the whole path, without a node); done says whether the effect is there,
    which is asked before anything is sent twice; accepts names the refusals that mean that it is there already.
    names_task is false for a command that PVE answers while its task runs, without the name of it.
    once says that doing it twice does harm, so that it is only sent again when PVE surely did not get it.
    instead are the commands for a release of PVE that does not have this one.
    check looks right before each time that it is sent whether it still is to be, and raises a PveError when not.
    waits_for_locks is false for a command that is not to be carried out on what another has worked on meanwhile.
    """

    method: str
    tail: tuple[str | int, ...]
    form: t.Mapping[str, t.Any] = field(default_factory=dict)
    node: str | None = None
    task_type: str = ""
    task_id: str = ""
    done: t.Callable[[], bool] = _never
    accepts: frozenset[ErrorReason] = frozenset()
    names_task: bool = True
    once: bool = False
    instead: tuple[Command, ...] = ()
    check: t.Callable[[], None] = no_check
    waits_for_locks: bool = True

    def path(self, node: str | None) -> tuple[str | int, ...]:
        """The path in the API, for the node that the guest is on now."""
        return self.tail if node is None else ("nodes", node, *self.tail)

    def places(self, node: str | None) -> Places:
        """What it puts load on: the node, and the storages that it names."""
        drives = {str(value).partition(":")[0] for key, value in self.form.items() if _is_volume(key, value)}
        named = {str(self.form["storage"])} if self.form.get("storage") else set()
        return Places(node, frozenset(drives | named))


def _is_volume(key: str, value: t.Any) -> bool:
    return bool(VOLUME_KEY.fullmatch(key)) and ":" in str(value).partition(",")[0]


def run_command(client: PveClient, command: Command, handle: GuestHandle | None = None) -> Task | None:
    """Send a change, wait for its task, and return the task; None when PVE made none.

    Raises TaskFailed with the log's tail, TimedOut at the deadline, AnswerLost when it stays unknown what PVE did.
    """
    try:
        run = _Run(client, command, handle)
        with client.turns.taken(command.places(run.node), client.deadline):
            return run.run()
    except PveError as error:
        if error.cause.status != NOT_IMPLEMENTED or not command.instead:
            raise
    return [run_command(client, older, handle) for older in command.instead][-1]


def repeat_on_conflict(client: PveClient, change: t.Callable[[], Task | None]) -> Task | None:
    """Make a change that reads what there is and writes with its digest, anew as often as others were faster.

    Raises Conflict at the deadline, or another PveError.
    """
    tries = client.deadline.tries(client.deadline.remaining)
    while True:
        try:
            return change()
        except PveError as error:
            if error.pve_reason is not ErrorReason.CONFLICT or not tries.again():
                raise


class _Run:
    """One command on its way; the state is what must not be done twice."""

    def __init__(self, client: PveClient, command: Command, handle: GuestHandle | None) -> None:
        self.client = client
        self.command = command
        self.handle = handle
        self.followed = False
        self.sent_again = False
        self.since = 0
        self.tries: dict[type[PveError], Tries] = {}

    @property
    def node(self) -> str | None:
        return self.handle.guest.node if self.handle and self.command.node else self.command.node

    def run(self) -> Task | None:
        while True:
            try:
                upid = self._send()
                return None if upid is None else self._wait(upid)
            except PveError as error:
                if self._is_done_all_the_same(error):
                    return None
                if not self._may_repeat(error):
                    raise
                if is_absent(error) and self.command.done():
                    # Whoever moved the guest has done it: a guest that was to be moved is where it should be.
                    return None

    def _send(self) -> Upid | None:
        """Send the change and return its task; None when it is done without one."""
        self.command.check()
        if not self.sent_again:
            self.since = self.client.server_time
        try:
            answer = self.client.write(self.command.method, *self.command.path(self.node), **self.command.form)
        except AnswerLost as error:
            self.client.lost_answers += 1
            return self._look(error)
        if isinstance(answer, str) and answer.startswith("UPID:"):
            return parse_upid(answer)
        return None if self.command.names_task else self._look(AnswerLost("PVE began a task and did not name it"))

    def _wait(self, upid: Upid) -> Task:
        self.client.own_upids.add(upid.text)
        return wait_for_task(self.client, upid)

    def _look(self, lost: AnswerLost) -> Upid | None:
        """Look whether the change was made after all: return its task, or None when it is done without one.

        Raises AnswerLost when neither shows, and TransportError when nobody can tell.
        """
        seconds = LATE_SECONDS if lost.late else LOOK_SECONDS
        tries = self.client.deadline.tries(seconds)
        try:
            while True:
                upid = self._own_task()
                if upid is not None or self.command.done():
                    return upid
                if not tries.again():
                    break
        except (TransportError, TimedOut) as error:
            raise TransportError(f"{lost}; whether PVE did it could not be found out: {error}", lost.cause) from error
        raise AnswerLost(
            f"{lost}; PVE does not show within {tries.deadline.seconds:.0f} s that it did it: "
            f"look at it before running this again",
            lost.cause,
        )

    def _own_task(self) -> Upid | None:
        # Before the server's first answer nobody knows since when a task can be one's own.
        if not self.command.task_type or not self.node or not self.since:
            return None
        return find_own_task(self.client, self.node, self.command.task_type, self.command.task_id, self.since)

    def _is_done_all_the_same(self, error: PveError) -> bool:
        """A refusal that says that the effect is there: by somebody else, or by what was sent before."""
        refused = not isinstance(error, (TransportError, TimedOut))
        return refused and (self.sent_again or error.pve_reason in self.command.accepts) and self.command.done()

    def _may_repeat(self, error: PveError) -> bool:
        """PVE surely did nothing, or does no harm when it does it again; pauses before that."""
        if error.pve_reason in (ErrorReason.LOCK_TIMEOUT, ErrorReason.LOCKED) and not self.command.waits_for_locks:
            return False
        if error.pve_reason is ErrorReason.LOCK_TIMEOUT:
            return self._again(Locked, LOCK_PATIENCE_SECONDS)
        if error.pve_reason is ErrorReason.LOCKED:
            return self._is_unlocked(error)
        if isinstance(error, Unreachable):
            if error.cause.status == NODE_UNREACHABLE and Unreachable not in self.tries and self.node:
                self.client.check_node(self.node, error)
            return self._again(Unreachable, PATIENCE_SECONDS)
        if isinstance(error, AnswerLost):
            first, self.sent_again = not self.sent_again, True
            return first and not self.command.once
        if is_absent(error) and self.handle and not self.followed:
            self.followed = True
            return self.handle.follow()
        return False

    def _is_unlocked(self, error: PveError) -> bool:
        """Wait as long as the caller does for the lock of something else on the guest; raises Locked when it stays."""
        seconds, guest = self.client.wait_for_lock, self._guest_path()
        if seconds is None or guest is None or f"({HIBERNATED_LOCK})" in error.cause.pve_message:
            return False
        if not seconds:
            holder = held_by(self.client, str(guest[1]), int(guest[3]), lock_in(error.cause.pve_message))
            text = f"{error}{holder}: wait for what is being done to it, or set wait_for_lock"
            raise type(error)(text, error.cause) from error

        def read_lock() -> str:
            return str(self.client.read(*guest, "status", "current").get("lock") or "")

        if Locked not in self.tries:
            self.tries[Locked] = self.client.deadline.tries(seconds)
        if wait_until_unlocked(read_lock, self.client.deadline, self.tries[Locked].deadline.remaining):
            return self.tries[Locked].again()
        holder = held_by(self.client, str(guest[1]), int(guest[3]), lock_in(error.cause.pve_message))
        raise Locked(f"{error}{holder}; it was still locked after {in_full(seconds)} s", error.cause) from error

    def _guest_path(self) -> tuple[str | int, ...] | None:
        """The path of the guest that the command is about, as far as it is about one."""
        if self.handle is not None:
            return self.handle.path
        tail = self.command.tail
        if self.node is None or len(tail) < 2 or tail[0] not in KIND_NAMES:
            return None
        return ("nodes", self.node, *tail[:2])

    def _again(self, kind: type[PveError], seconds: float) -> bool:
        """The time for each kind of trouble begins when it first comes up."""
        if kind not in self.tries:
            self.tries[kind] = self.client.deadline.tries(seconds)
        return self.tries[kind].again()
