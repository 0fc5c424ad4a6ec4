# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a command in a guest over its agent, once, and bring back all of its output.

The agent says how a process ended once only, loses output that is large, and never answers when a program is missing.
So what it runs is a short program that keeps everything in files: it is safe to send it again when an answer is lost,
and to read the files instead of asking about the process.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
import typing as t
from dataclasses import dataclass

from ..._pve.client import PATIENCE_SECONDS
from ..._pve.deadline import Deadline
from ..._pve.errors import AgentUnavailable, AnswerLost, ErrorReason, PveError, TimedOut, brief
from ..._pve.numbers import in_full
from .answers import ProcessState, SenselessAnswer, process_state
from .calls import MOST_INPUT, MOST_WRITTEN, AgentCalls, knows_no_parts
from .guest_shell import WAIT, GuestShell
from .pace import FIRST_PAUSE_SECONDS

# What comes along with the answer about the process; slow guests lose more (75-agent.json: "exec, 2 MB of output").
MOST_INLINE = 64 * 1024
_HEADER = re.compile(rb"(\d{1,10}) (\d{1,18}) (\d{1,18})\r?\n")
_AGAIN = re.compile(rb"again (\d{1,10})(?!\d)")
_LONGEST_HEADER = 100
# How the program around a command ends that does not begin it.
_REFUSED = 125
# An agent that is started anew forgets the program that makes the directory.
_MOST_PREPARATIONS = 3
# How often the guest is told meanwhile to keep the files of a job longer.
KEEP_SECONDS = 20.0
# A module of Ansible takes longer than other commands, and comes in several pieces.
_FIRST_PAUSE_AFTER_PIECES = 0.06
# What PVE reads at once where it reads whole files only, so that a slow guest hands it over before pveproxy gives up.
_COPIED = 4 * 1024 * 1024


class CommandResult(t.NamedTuple):
    """How a command ended, and all that it put out."""

    status: int
    stdout: bytes
    stderr: bytes


@dataclass
class _Job:
    """A command that has been sent."""

    directory: str
    pid: int
    # How often something had been sent again before.
    repeats: int
    first_pause: float = FIRST_PAUSE_SECONDS


class GuestRunner:
    """Runs one command after the other in one guest."""

    def __init__(self, calls: AgentCalls, shell: GuestShell) -> None:
        self.calls = calls
        self.shell = shell
        # The process that runs now; whoever is interrupted says which one it is.
        self.pid: int | None = None
        # Whether the guest has got the last command, or nobody knows.
        self.may_have_begun = False
        self._leftover: tuple[str, ...] = ()

    def run(
        self, script: str, stdin: bytes | None = None, watch: Deadline | None = None, is_secret: bool = False
    ) -> CommandResult:
        """Run a script of the guest's shell to its end; one that is secret is not an argument of any program.

        Raises TimedOut when watch expires, and names the process that goes on, AgentUnavailable when the agent cannot
        do it or nobody knows what came of it, or another PveError.
        """
        self.may_have_begun = False
        with self._within(watch):
            return self._run(script, stdin, is_secret)

    @contextlib.contextmanager
    def _within(self, watch: Deadline | None) -> t.Iterator[None]:
        """Let everything meanwhile, also the wait for a worker and what is sent, end with watch, if that is sooner."""
        client = self.calls.client
        own = client.deadline
        if watch is not None and watch.remaining < own.remaining:
            client.deadline = watch
        try:
            yield
        finally:
            client.deadline = own

    def _run(self, script: str, stdin: bytes | None, is_secret: bool) -> CommandResult:
        directory = self.shell.directory(secrets.token_hex(16))
        job = self._begin(directory, script.encode("utf-8", "surrogateescape"), stdin, is_secret)
        if stdin is not None and len(stdin) > MOST_INPUT:
            job.first_pause = _FIRST_PAUSE_AFTER_PIECES
        try:
            self.pid = job.pid
            result = self._result_of(job, self.calls.client.deadline)
        finally:
            # What was sent twice may arrive once more, and finds the directory: the guest itself removes it later.
            if self.calls.repeats == job.repeats:
                self.leave(directory)
        self.pid = None
        return result

    def _begin(self, directory: str, script: bytes, stdin: bytes | None, is_secret: bool) -> _Job:
        try:
            argv, data = self._sent(directory, script, stdin, is_secret)
            self._leftover = ()
            repeats = self.calls.repeats
            self.may_have_begun = True
            try:
                return _Job(directory, self.calls.execute(argv, data), repeats)
            except PveError as error:
                unclear = _is_lost(error) or isinstance(error, SenselessAnswer)
                self.may_have_begun = unclear or self.calls.repeats != repeats
                raise
        except TimedOut as error:
            if self.may_have_begun:
                raise
            label = self.calls.handle.guest.label
            raise TimedOut(f"the command was not begun in {label}: {error}", error.cause) from error

    def close(self) -> None:
        """Remove what is left of the last command; the guest does it later, if this fails."""
        leftover, self._leftover = self._leftover, ()
        if leftover and self.pid is None:
            with contextlib.suppress(PveError):
                self.calls.execute_once(self.shell.remove(*leftover))

    def read(self, path: str, size: int, directory: str = "") -> t.Iterator[bytes]:
        """Yield the first so many bytes of a file in pieces; fewer, when it ends before.

        The guest keeps the files of the job in the directory meanwhile.
        """
        kept = time.monotonic()
        for piece in self._read_pieces(path, size):
            yield piece
            if directory and time.monotonic() - kept >= KEEP_SECONDS:
                with contextlib.suppress(PveError):
                    self.calls.write_file(f"{directory}/{WAIT}", b"")
                kept = time.monotonic()

    def _read_pieces(self, path: str, size: int) -> t.Iterator[bytes]:
        if self.calls.reads_parts:
            try:
                yield from self.calls.read_file(path, size)
            except PveError as error:
                if not knows_no_parts(error):
                    raise
                self.calls.reads_parts = False
        if not self.calls.reads_parts:
            yield from self._read_copies(path, size)

    def _read_copies(self, path: str, size: int) -> t.Iterator[bytes]:
        """The same where PVE reads whole files only: copies of parts are made in the guest."""
        if size <= _COPIED:
            yield self.calls.read_whole(path)[:size]
            return
        directory = self.shell.directory(secrets.token_hex(16))
        helper = GuestRunner(self.calls, self.shell)
        try:
            for number in range(-(-size // _COPIED)):
                helper.run(self.shell.cut(path, directory, number, _COPIED))
                yield self.calls.read_whole(f"{directory}/part")[: size - number * _COPIED]
        finally:
            helper.leave(directory)
            helper.close()

    def leave(self, directory: str) -> None:
        """Note a directory that nobody needs any more."""
        self._leftover = (*self._leftover, directory)

    def write_pieces(self, directory: str, pieces: t.Iterable[bytes]) -> int:
        """Write files that are read in this order, and say how many."""
        written = 0
        for piece in pieces:
            self.calls.write_file(f"{directory}/in.{written:06}", piece)
            written += 1
        return written

    def _sent(
        self, directory: str, script: bytes, stdin: bytes | None, is_secret: bool
    ) -> tuple[list[str], bytes | None]:
        """The program to run, and its input; what is too large, or no plain text, is written into files before."""
        # The empty word says that the script is a file.
        is_plain = bool(script) and not is_secret and self.shell.takes(script)
        by_file = stdin is not None and len(stdin) > self.shell.most_pieces * MOST_INPUT
        if not is_plain or by_file:
            self._prepare(directory)
        if not is_plain:
            self._write_script(directory, script)
        pieces: int | None = None
        if stdin is not None:
            cut = max(0, len(stdin) - self.shell.most_input)
            before, stdin = stdin[:cut], stdin[cut:]
            pieces = self._send_before(directory, before, by_file)
        text = script.decode("utf-8", "surrogateescape") if is_plain else ""
        return self.shell.run(directory, MOST_INLINE, pieces, text, self._leftover), stdin

    def _send_before(self, directory: str, content: bytes, by_file: bool) -> int:
        """Send what of the input does not go along with the command, and say how many pieces it was."""
        if by_file:
            return self.write_pieces(directory, pieces_of(content))
        sent = 0
        for piece in pieces_of(content, MOST_INPUT):
            self.calls.execute(self.shell.piece(directory, sent), piece)
            sent += 1
        return sent

    def _write_script(self, directory: str, script: bytes) -> None:
        if len(script) > MOST_WRITTEN:
            raise AgentUnavailable(f"a command of {len(script)} bytes is longer than PVE takes: send it as input")
        self.calls.write_file(f"{directory}/script", script)

    def _prepare(self, directory: str) -> None:
        """Make the directory: nothing is written into one that may be somebody else's."""
        for _attempt in range(_MOST_PREPARATIONS):
            state = self._end_of(self.calls.execute(self.shell.prepare(directory)))
            if state is not None:
                break
        if state is None or state.signal or state.exit_code:
            raise self._not_begun(state)

    def _end_of(self, pid: int) -> ProcessState | None:
        """Wait until a small program has ended, and say how; None when the agent does not know that any more."""
        for pause in self.calls.pace.pauses():
            self.calls.client.deadline.pause(pause)
            try:
                state = self._state(pid)
                if state.has_ended:
                    return state
            except PveError as error:
                if error.pve_reason is ErrorReason.PROCESS_ABSENT:
                    return None
                if not _is_lost(error):
                    raise
        return None

    def _result_of(self, job: _Job, watch: Deadline) -> CommandResult:
        """Wait until the command has ended, and read its output."""
        try:
            for pause in self.calls.pace.pauses(job.first_pause):
                watch.pause(pause)
                if watch.expired:
                    break
                result = self._look(job)
                if result is not None:
                    return result
        except TimedOut:
            pass  # The time of the operation ended in the middle of a request; the sentence below says more.
        raise TimedOut(
            f"the command did not end within {in_full(watch.seconds)} s: its process {job.pid} goes on in "
            f"{self.calls.handle.guest.label}"
        )

    def _look(self, job: _Job) -> CommandResult | None:
        try:
            state = self._state(job.pid)
        except PveError as error:
            if error.pve_reason is ErrorReason.PROCESS_ABSENT:
                return self._without_the_process(job)
            if _is_lost(error):
                # Either it still runs, or the answer that would have said how it ended is lost.
                return self._from_files(job)
            raise
        if not state.has_ended:
            return None
        output = state.stdout
        again = _AGAIN.match(output)
        if again:
            job.pid = self.pid = int(again[1])
            return None
        header = _HEADER.match(output)
        if header is None:
            return self._broken_off(job, state)
        return self._with_output(job, header, output[header.end() :])

    def _state(self, pid: int) -> ProcessState:
        return process_state(self.calls.handle.guest.label, self.calls.status(pid))

    def _with_output(self, job: _Job, header: re.Match[bytes], inline: bytes) -> CommandResult:
        code, out, err = (int(text) for text in header.groups())
        if out + err <= MOST_INLINE and len(inline) == out + err:
            return CommandResult(code, inline[:out], inline[out:])
        stdout, stderr = (self._read(job.directory, name, size) for name, size in (("out", out), ("err", err)))
        return CommandResult(code, stdout, stderr)

    def _read(self, directory: str, name: str, size: int) -> bytes:
        path = f"{directory}/{name}"
        content = b"".join(self.read(path, size, directory))
        if len(content) != size:
            raise AgentUnavailable(
                f"{path} in {self.calls.handle.guest.label} has {len(content)} bytes instead of {size}"
            )
        return content

    def _from_files(self, job: _Job) -> CommandResult | None:
        """The result, if the command has ended, from its files alone."""
        try:
            header = _HEADER.match(b"".join(self.read(f"{job.directory}/done", _LONGEST_HEADER)))
        except PveError as error:
            if error.pve_reason is ErrorReason.FILE_ABSENT or _is_lost(error):
                return None
            raise
        return None if header is None else self._with_output(job, header, b"")

    def _without_the_process(self, job: _Job) -> CommandResult | None:
        """The agent knows the process no more: it was told how it ended, or was started anew meanwhile."""
        result = self._from_files(job)
        if result is None and not self._is_alive(job):
            result = self._from_files(job)
            if result is None:
                raise self._unknown(job, "the agent does not know it any more")
        return result

    def _is_alive(self, job: _Job) -> bool:
        runner = GuestRunner(self.calls, self.shell)
        try:
            deadline = self.calls.client.deadline.within(PATIENCE_SECONDS)
            return runner.run(self.shell.is_alive(job.directory), watch=deadline).status == 0
        finally:
            runner.close()

    def _broken_off(self, job: _Job, state: ProcessState) -> CommandResult:
        """The program around the command has failed, or was killed."""
        # What was refused has no files: what is there may be somebody else's.
        result = None if state.exit_code == _REFUSED else self._from_files(job)
        if result is not None:
            return result
        if state.signal:
            raise self._unknown(job, f"it was ended by the signal {state.signal}")
        raise self._not_begun(state)

    def _not_begun(self, state: ProcessState | None) -> AgentUnavailable:
        words = brief(state.stderr) if state else ""
        return AgentUnavailable(
            f"{self.calls.handle.guest.label} could not begin the command: {words or 'it says nothing'}"
        )

    def _unknown(self, job: _Job, why: str) -> AgentUnavailable:
        label = self.calls.handle.guest.label
        return AgentUnavailable(
            f"nobody knows how the command ended, process {job.pid} in {label}: {why}, as after a start of the guest "
            f"or of its agent"
        )


def pieces_of(content: bytes, size: int = MOST_WRITTEN) -> t.Iterator[bytes]:
    """Content in pieces of at most this size."""
    return (content[start : start + size] for start in range(0, len(content), size))


def _is_lost(error: PveError) -> bool:
    """PVE or the agent may have done it, and nobody has heard of it."""
    return isinstance(error, AnswerLost) or error.pve_reason is ErrorReason.QEMU_TIMEOUT
