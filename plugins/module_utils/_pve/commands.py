# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sending one change and seeing it through: lost answers, busy locks, moved guests."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .client import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, PATIENCE_SECONDS, PveClient
from .deadline import Deadline
from .errors import AnswerLost, Cause, Meaning, PveError, TransportError, Unreachable
from .guests import GuestHandle, is_absent
from .tasks import Task, Upid, find_own_task, parse_upid, wait_for_task

# After 596 pveproxy's daemon still works on the request, which it was given 30 s for (pve-http-server).
LOOK_SECONDS_AFTER_596 = 35.0
LOOK_SECONDS = 3.0
# PVE's clean-up after a stop or a rollback holds the guest's lock for up to 30 s; each try waits 10 s itself.
LOCK_PATIENCE_SECONDS = 90.0


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Command:
    """One change as data: what is sent, and how to see whether it has been done.

    tail is the path below the node (or the whole path, without a node); done says whether the effect is there,
    which is asked before anything is sent twice; accepts names the refusals that mean that it is there already.
    """

    method: str
    tail: tuple[str | int, ...]
    form: t.Mapping[str, t.Any] = field(default_factory=dict)
    node: str | None = None
    task_type: str = ""
    task_id: str = ""
    done: t.Callable[[], bool] = _never
    accepts: frozenset[Meaning] = frozenset()

    def path(self, node: str | None) -> tuple[str | int, ...]:
        """The path in the API, for the node that the guest is on now."""
        return self.tail if node is None else ("nodes", node, *self.tail)


def run_command(client: PveClient, command: Command, handle: GuestHandle | None = None) -> Task | None:
    """Send a change, wait for its task, and return the task; None when PVE made none.

    Raises TaskFailed with the log's tail, TimedOut at the deadline, AnswerLost when it stays unknown what PVE did.
    """
    return _Run(client, command, handle).run()


class _Run:
    """One command on its way; the state is what must not be done twice."""

    def __init__(self, client: PveClient, command: Command, handle: GuestHandle | None) -> None:
        self.client = client
        self.command = command
        self.handle = handle
        self.followed = False
        self.sent_again = False
        self.patience = client.deadline.within(PATIENCE_SECONDS)
        self.lock_patience = client.deadline.within(LOCK_PATIENCE_SECONDS)
        self.pause = FIRST_PAUSE_SECONDS

    @property
    def node(self) -> str | None:
        return self.handle.guest.node if self.handle and self.command.node else self.command.node

    def run(self) -> Task | None:
        while True:
            since = self.client.server_time
            try:
                return self._send()
            except AnswerLost as error:
                found, task = self._look(since, error)
                if found:
                    return task
                if self.sent_again:
                    raise AnswerLost(
                        f"{error}; whether it was done is unknown, and it was not sent a third time", error.cause
                    ) from error
                self.sent_again = True
            except PveError as error:
                if self._is_done_by(error):
                    return None
                if not self._may_repeat(error):
                    raise

    def _send(self) -> Task | None:
        command = self.command
        answer = self.client.write(command.method, *command.path(self.node), **command.form)
        if not isinstance(answer, str) or not answer.startswith("UPID:"):
            return None
        return self._wait(parse_upid(answer))

    def _wait(self, upid: Upid) -> Task:
        self.client.own_upids.add(upid.text)
        try:
            return wait_for_task(self.client, upid)
        except TransportError as error:
            # Neither lost nor unsent: the task was started, only the news of it stays away.
            raise TransportError(
                f"{error}; the task {upid.text} was started and may still run", Cause(upid=upid.text)
            ) from error

    def _look(self, since: int, error: AnswerLost) -> tuple[bool, Task | None]:
        """Look whether the change was made after all, before anybody sends it again."""
        watch = self.client.deadline.within(LOOK_SECONDS_AFTER_596 if error.cause.status else LOOK_SECONDS)
        pause = FIRST_PAUSE_SECONDS
        while True:
            upid = self._own_task(since)
            if upid is not None:
                return True, self._wait(upid)
            if self.command.done():
                return True, None
            if watch.remaining <= pause:
                return False, None
            watch.pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _own_task(self, since: int) -> Upid | None:
        command = self.command
        if not command.task_type or not self.node:
            return None
        upid = find_own_task(self.client, self.node, command.task_type, command.task_id, since)
        return None if upid is None or upid.text in self.client.own_upids else upid

    def _is_done_by(self, error: PveError) -> bool:
        """A refusal that says that the effect is there: by somebody else, or by what was sent before."""
        return (self.sent_again or error.meaning in self.command.accepts) and self.command.done()

    def _may_repeat(self, error: PveError) -> bool:
        """PVE surely did nothing, and it can go better the next time; waits before that."""
        if error.meaning is Meaning.LOCK_TIMEOUT:
            return self._wait_within(self.lock_patience)
        if isinstance(error, Unreachable):
            return self._wait_within(self.patience)
        if is_absent(error) and self.handle and not self.followed:
            self.followed = True
            return self.handle.follow()
        return False

    def _wait_within(self, patience: Deadline) -> bool:
        if patience.remaining <= self.pause:
            return False
        patience.pause(self.pause)
        self.pause = min(2 * self.pause, LONGEST_PAUSE_SECONDS)
        return True
