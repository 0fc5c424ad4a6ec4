# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The calls of one guest's agent: follow the guest, sit out what passes, and say clearly what does not."""

from __future__ import annotations

import base64
import time
import typing as t

from ..._pve.client import PATIENCE_SECONDS
from ..._pve.deadline import Tries
from ..._pve.errors import (
    HTTP_BAD_REQUEST,
    AgentUnavailable,
    Ambiguous,
    AnswerLost,
    ErrorReason,
    NotFound,
    PveError,
    Refused,
    TimedOut,
    Unreachable,
    brief,
)
from ..._pve.guests import LXC, Guest, GuestHandle, is_absent
from ..._pve.numbers import in_full
from ..facts import read_status
from .answers import file_content, part_of_file, process_id
from .pace import Pace
from .worker_slots import taken_slot

# maxLength of input-data, whose characters up to U+00FF are one byte each (75-agent.json: "input-data with latin-1").
MOST_INPUT = 64 * 1024
# maxLength of content, which is base64: a form takes three times as long to read where it is not plain text.
MOST_WRITTEN = 60 * 1024 // 4 * 3
# PVE reads that much at once; slow guests hand over 60 KB/s, and each answer of the agent has 5 s.
READ_PIECE = 1024 * 1024
_SMALLEST_PIECE = 64 * 1024
# A guest that has answered is not given up at once: it may be on its way to another node.
SILENCE_SECONDS = 30.0

_Answer = t.TypeVar("_Answer")


class AgentCalls:
    """What a guest's agent is asked, wherever the guest is."""

    def __init__(self, handle: GuestHandle, pace: Pace | None = None) -> None:
        self.handle = handle
        self.client = handle.client
        self.pace = pace or Pace()
        self._has_answered = False
        # PVE knows offset and count since qemu-server 9.1.5.
        self.reads_parts = True
        # How often something was sent again.
        self.repeats = 0

    def ask(self, name: str, method: str = "GET") -> t.Any:
        """The result of one of the agent's commands that take no parameters; raises Refused when it is an error."""

        def send() -> t.Any:
            path = (*self.handle.path, "agent", name)
            return self.client.read_once(*path) if method == "GET" else self.client.write(method, *path)

        answer = self._call(send)
        result = answer.get("result") if isinstance(answer, dict) else answer
        error = result.get("error") if isinstance(result, dict) else None
        if isinstance(error, dict):
            raise Refused(f"the guest agent of {self.handle.guest.label} answers {brief(error.get('desc'))}")
        return result

    def execute(self, argv: t.Sequence[str], data: bytes | None = None) -> int:
        """Start a program and return its pid. The words are ASCII, and the program exists: other ones hang the agent.

        Whoever calls it is sure that it may be sent twice.
        """
        return process_id(self.handle.guest.label, self._repeated(self._execution(argv, data)))

    def execute_once(self, argv: t.Sequence[str]) -> None:
        """Start a program that one can do without."""
        self._call(self._execution(argv, None))

    def _execution(self, argv: t.Sequence[str], data: bytes | None) -> t.Callable[[], t.Any]:
        form = {"command": list(argv), "input-data": None if data is None else data.decode("latin-1")}
        return lambda: self.client.write("POST", *self._path("exec"), **form)

    def status(self, pid: int) -> t.Any:
        """What has become of a process; of one that has ended, once."""

        def send() -> t.Any:
            began = time.monotonic()
            answer = self.client.read_once(*self._path("exec-status"), pid=pid)
            self.pace.measure(time.monotonic() - began)
            return answer

        return self._call(send)

    def write_file(self, path: str, content: bytes) -> None:
        """Make a file of at most MOST_WRITTEN bytes; the directory must be there and be nobody else's."""
        form = {"file": path, "content": base64.b64encode(content).decode("ascii"), "encode": False}
        self._repeated(lambda: self.client.write("POST", *self._path("file-write"), **form))

    def set_password(self, user: str, password: bytes, is_crypted: bool) -> None:
        """Set a user's password; PVE hands the characters of the form to the agent as bytes."""
        form = {"username": user, "password": password.decode("latin-1"), "crypted": is_crypted}
        self._repeated(lambda: self.client.write("POST", *self._path("set-user-password"), **form))

    def read_file(self, path: str, size: int) -> t.Iterator[bytes]:
        """Yield the first so many bytes of a file in pieces; fewer, when it ends before."""
        offset, piece = 0, READ_PIECE
        while offset < size:
            try:
                content = self._read_part(path, offset, min(piece, size - offset))
            except PveError as error:
                if error.pve_reason is not ErrorReason.QEMU_TIMEOUT or piece == _SMALLEST_PIECE:
                    raise
                piece = max(piece // 4, _SMALLEST_PIECE)
                continue
            if not content:
                return
            yield content
            offset += len(content)

    def read_whole(self, path: str) -> bytes:
        """The whole of a small file, as releases of PVE without offset read it."""
        answer = self._repeated(lambda: self.client.read_once(*self._path("file-read"), file=path))
        return file_content(self.handle.guest.label, answer)

    def _read_part(self, path: str, offset: int, count: int) -> bytes:
        form = {"file": path, "offset": offset, "count": count, "decode": False}
        answer = self._repeated(lambda: self.client.read_once(*self._path("file-read"), **form), slow=False)
        return part_of_file(self.handle.guest.label, answer)

    def _path(self, name: str) -> tuple[t.Any, ...]:
        return (*self.handle.path, "agent", name)

    def _repeated(self, send: t.Callable[[], _Answer], slow: bool = True) -> _Answer:
        """Send again what may be sent twice, when its answer is lost; slow: also when the agent took too long."""
        tries = self._tries(PATIENCE_SECONDS)
        while True:
            try:
                return self._call(send)
            except PveError as error:
                lost = isinstance(error, AnswerLost) or (slow and error.pve_reason is ErrorReason.QEMU_TIMEOUT)
                if not lost or not tries.again():
                    raise
                self.repeats += 1

    def _tries(self, seconds: float) -> Tries:
        return self.client.deadline.tries(seconds)

    def _call(self, send: t.Callable[[], _Answer]) -> _Answer:
        """Send one request; raises AgentUnavailable when it is of no use to send others."""
        self.client.deadline.pause(self.pace.breath())
        tries: Tries | None = None
        while True:
            try:
                answer = self._in_turn(send)
            except PveError as error:
                if is_absent(error) and self._follow():
                    continue
                seconds = self._patience(error)
                tries = tries or self._tries(seconds)
                if not seconds or not tries.again():
                    raise self._explained(error) from error
            else:
                self._has_answered = True
                return answer

    def _in_turn(self, send: t.Callable[[], _Answer]) -> _Answer:
        """Send a request when one of the workers is free that may be kept busy; raises TimedOut."""
        node, deadline = self.handle.guest.node, self.client.deadline
        with taken_slot(f"{self.client.address} {node}", self.pace.workers, deadline) as is_taken:
            if not is_taken:
                raise TimedOut(
                    f"the time of {in_full(deadline.seconds)} s was over while other calls for guest agents kept "
                    f"{self.pace.workers} of the API workers of node {node} busy"
                )
            return send()

    def _follow(self) -> bool:
        """Whether the guest has moved to another node; raises Ambiguous when that is another guest of its number."""
        before = self.handle.guest
        if not self.handle.follow():
            return False
        try:
            name = read_status(self.handle).name
            check_kind(self.handle.guest)
            if before.name and name != before.name:
                raise Ambiguous(
                    f"{before.label} has left node {before.node}, and guest {before.vmid} on node "
                    f"{self.handle.guest.node} is another one, named {name!r}: nothing is run in it; look what has "
                    "become of the guest, and read the inventory again"
                )
            self.handle.guest = self.handle.guest._replace(name=name)
        except PveError:
            # Nothing that follows, as cleaning up, is to reach the other guest.
            self.handle.guest = before
            raise
        return True

    def _patience(self, error: PveError) -> float:
        """How long such an answer is sat out."""
        if error.pve_reason is ErrorReason.AGENT_FROZEN:
            return PATIENCE_SECONDS
        if isinstance(error, Unreachable) and error.cause.status is not None:
            return PATIENCE_SECONDS
        if error.pve_reason is ErrorReason.AGENT_SILENT and self._has_answered:
            return SILENCE_SECONDS
        return 0.0

    def _explained(self, error: PveError) -> PveError:
        """The error in words that say what to do."""
        guest = self.handle.guest
        place = f"{guest.label} on node {guest.node}"
        words = _WORDS.get(error.pve_reason)
        if is_absent(error):
            return NotFound(f"{guest.label} is gone: no node has it any more", error.cause)
        if error.pve_reason is ErrorReason.FILE_ABSENT or words is None:
            return error
        if guest.template:
            words = _TEMPLATE
        return AgentUnavailable(words.format(place=place, vmid=guest.vmid, condition="stopped"), error.cause)


_TEMPLATE = "{place} is a template, in which nothing runs: use a clone of it"
_WORDS = {
    ErrorReason.AGENT_NOT_ENABLED: (
        "{place} has no guest agent in its configuration: a task cloudbridge.proxmox.pve_vm with vmid: {vmid} and "
        "agent: true enables it, and the guest has it after its next start"
    ),
    ErrorReason.AGENT_SILENT: (
        "the guest agent of {place} does not answer: the guest is starting, stopping or paused, or qemu-guest-agent is "
        "not installed or not running in it; cloudbridge.proxmox.pve_console_script can install it over the console"
    ),
    ErrorReason.NOT_RUNNING: (
        "{place} is {condition}: a task cloudbridge.proxmox.pve_vm_power with state: started starts it"
    ),
    ErrorReason.AGENT_FROZEN: (
        "the file systems of {place} are frozen for a backup or a snapshot, and its agent runs nothing until they are "
        "thawed"
    ),
    ErrorReason.AGENT_FORBIDS: (
        "the guest agent of {place} is configured not to do this: allow guest-exec, guest-exec-status, guest-file-* "
        "and guest-set-user-password in the guest (FILTER_RPC_ARGS or BLACKLIST_RPC in /etc/sysconfig/qemu-ga, "
        "block-rpcs in /etc/qemu/qemu-ga.conf), and restart qemu-guest-agent"
    ),
}


def check_kind(guest: Guest) -> None:
    """Raise AgentUnavailable when the guest is a container."""
    if guest.kind == LXC:
        raise AgentUnavailable(f"{guest.label} is a container: only virtual machines have a guest agent")


def knows_no_parts(error: PveError) -> bool:
    """PVE is older than the parameters for a part of a file."""
    return error.cause.status == HTTP_BAD_REQUEST and "offset" in error.cause.field_errors


def not_running(guest: Guest, condition: str, is_template: bool) -> AgentUnavailable:
    """Say that a guest does not run, and how it would."""
    words = _TEMPLATE if is_template else _WORDS[ErrorReason.NOT_RUNNING]
    return AgentUnavailable(words.format(place=f"{guest.label} on node {guest.node}", condition=condition))
