# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run one command in a guest, as ansible.builtin.command does on a host."""

from __future__ import annotations

import datetime
import typing as t
from dataclasses import dataclass

from ..._pve.errors import CommandFailed, InvalidRequest
from ..._pve.guests import Selector
from ..plan import Applier, Outcome, outcome
from .access import DEFAULT_SHELL, agent_selector, guest_access
from .running import CommandResult, GuestRunner

FORESEEN = "Command would have run if not in check mode"


@dataclass(frozen=True)
class ExecRequest:
    """A command in a guest: words, or a line of the guest's shell."""

    selector: Selector
    argv: tuple[str, ...] = ()
    line: str = ""
    stdin: str | None = None
    chdir: str | None = None
    creates: str | None = None
    removes: str | None = None
    strips: bool = True
    shell: str = DEFAULT_SHELL

    @property
    def command(self) -> list[str] | str:
        """The command as results name it."""
        return list(self.argv) or self.line


def exec_request(parameters: t.Mapping[str, t.Any]) -> ExecRequest:
    """Check the options of a command; raises InvalidRequest."""
    argv, line = tuple(parameters.get("argv") or ()), parameters.get("command") or ""
    if bool(argv) == bool(line.strip()):
        raise InvalidRequest("say what is to run by one of argv and command")
    if argv and not argv[0]:
        raise InvalidRequest("argv begins with an empty word, which is no program")
    if any("\0" in word for word in (*argv, line)):
        raise InvalidRequest(f"{'argv' if argv else 'command'} holds a NUL character, which no command can have")
    stdin = parameters.get("stdin")
    if stdin is not None and parameters.get("stdin_add_newline", True):
        stdin += "\n"
    return ExecRequest(
        selector=agent_selector(parameters),
        argv=argv,
        line=line,
        stdin=stdin,
        chdir=parameters.get("chdir"),
        creates=parameters.get("creates"),
        removes=parameters.get("removes"),
        strips=bool(parameters.get("strip_empty_ends", True)),
        shell=parameters.get("shell") or DEFAULT_SHELL,
    )


def execute(applier: Applier, request: ExecRequest) -> Outcome:
    """Run the command unless creates or removes say that nothing is to do; raises CommandFailed when it fails."""
    with guest_access(applier, request.selector, request.shell) as access:
        script = _script(access.runner, request)
        reason = _reason_to_skip(access.runner, request)
        if reason:
            facts = _facts(request, CommandResult(0, f"skipped, since {reason}".encode(), b""))
            return outcome(applier, access.guest, msg=f"Did not run command since {reason}", **facts)
        if applier.check_mode:
            applier.note(_title(request))
            return outcome(applier, access.guest, msg=FORESEEN, **_facts(request, CommandResult(0, b"", b"")))
        begin = _now()
        stdin = None if request.stdin is None else request.stdin.encode("utf-8", "surrogateescape")
        try:
            result = access.runner.run(script, stdin)
        finally:
            if access.runner.may_have_begun:
                applier.note(_title(request))
        end = _now()
    facts = {**_facts(request, result), "start": str(begin), "end": str(end), "delta": str(end - begin)}
    if result.status:
        place = f"{access.handle.guest.label} on node {access.handle.guest.node}"
        raise CommandFailed(f"non-zero return code: the command in {place} ended with {result.status}", facts)
    return outcome(applier, access.guest, msg="", **facts)


def _script(runner: GuestRunner, request: ExecRequest) -> str:
    script = runner.shell.line(request.argv) if request.argv else request.line
    return script if request.chdir is None else runner.shell.within(request.chdir, script)


def _reason_to_skip(runner: GuestRunner, request: ExecRequest) -> str:
    """Why nothing is to do; empty when there is no such reason."""
    for pattern, skipped_if, words in ((request.creates, True, "exists"), (request.removes, False, "does not exist")):
        if pattern is not None:
            script = runner.shell.exists(pattern, request.chdir or "")
            if (runner.run(script).status == 0) is skipped_if:
                return f"'{pattern}' {words}"
    return ""


def _title(request: ExecRequest) -> str:
    return f"run {request.argv[0] if request.argv else request.line.split()[0]}"


def _facts(request: ExecRequest, result: CommandResult) -> dict[str, t.Any]:
    stdout, stderr = (_text(data, request.strips) for data in (result.stdout, result.stderr))
    return {
        "cmd": request.command,
        "rc": result.status,
        "stdout": stdout,
        "stdout_lines": stdout.splitlines(),
        "stderr": stderr,
        "stderr_lines": stderr.splitlines(),
    }


def _text(data: bytes, strips: bool) -> str:
    text = data.decode("utf-8", "replace")
    return text.rstrip("\r\n") if strips else text


def _now() -> datetime.datetime:
    return datetime.datetime.now()  # noqa: DTZ005 - as ansible.builtin.command has it
