# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A script for a console as checked data."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ..._pve.errors import InvalidRequest

ENTER = "\r"
# A terminal takes 4095 bytes in one line (Linux, N_TTY_BUF_SIZE); the shell's own words need some.
MAX_COMMAND_BYTES = 3900
STEP_SECONDS = 30.0
TOTAL_SECONDS = 600.0
LOGIN_SECONDS = 120.0
PROMPT = r"[#$%] ?\Z"
_KEYS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
_SENDS = ("run", "send", "send_secret")


@dataclass(frozen=True)
class GuestLogin:
    """The user who logs in on the console, and the seconds for it, the guest's boot included."""

    user: str
    password: str = field(repr=False)
    seconds: float = LOGIN_SECONDS


@dataclass(frozen=True)
class ScriptStep:
    """One step: a command for the shell, or something to type, something to wait for, or both.

    text is typed as it is. seconds limit the wait for the output. changes is False for a step that only reads.
    """

    number: int
    name: str = ""
    command: str | None = None
    text: str | None = field(default=None, repr=False)
    secret: bool = False
    expect: t.Pattern[str] | None = None
    fail_on: t.Pattern[str] | None = None
    seconds: float = STEP_SECONDS
    unless: str | None = None
    changes: bool = True

    @property
    def types(self) -> bool:
        return self.command is not None or self.text is not None

    @property
    def title(self) -> str:
        """What the step does, in short; secrets are not masked yet."""
        if self.name:
            return self.name
        if self.command is not None:
            return f"run {self.command}"
        if self.secret:
            return "send a secret"
        if self.text is not None:
            return f"send {self.text.rstrip(ENTER)!r}"
        return f"wait for {self.expect.pattern if self.expect else ''!r}"


@dataclass(frozen=True)
class Script:
    """Steps, and how to reach the prompt that the first one needs.

    unless is a command: when it succeeds, no step runs. secrets are masked in all output. seconds is the default of a
    step, total the limit of the whole script.
    """

    steps: tuple[ScriptStep, ...]
    login: GuestLogin | None = None
    unless: str | None = None
    wake: bool = True
    logout: bool = True
    prompt: t.Pattern[str] = re.compile(PROMPT)
    seconds: float = STEP_SECONDS
    total: float = TOTAL_SECONDS
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def needs_shell(self) -> bool:
        commands = (text for step in self.steps for text in (step.command, step.unless))
        return self.login is not None or self.unless is not None or any(text is not None for text in commands)

    def all_secrets(self) -> list[str]:
        """The texts to mask everywhere."""
        typed = (step.text.rstrip(ENTER) for step in self.steps if step.secret and step.text)
        return [*self.secrets, *typed, *([self.login.password] if self.login else [])]


_SCRIPT_KEYS = {"steps", "login", "unless", "wake", "logout", "prompt", "step_timeout", "timeout", "secrets"}
_LOGIN_KEYS = {"user", "password", "timeout"}
_STEP_KEYS = {"name", *_SENDS, "end", "expect", "fail_on", "timeout", "unless", "changes"}


def script_from(parameters: t.Mapping[str, t.Any], strict: bool = False) -> Script:
    """Check a script, as a module's options or a file's content; raises InvalidRequest, naming the step.

    strict refuses unknown keys.
    """
    if strict:
        _check_keys("the script", parameters, _SCRIPT_KEYS)
    seconds = _seconds("step_timeout", parameters.get("step_timeout"), STEP_SECONDS)
    steps = parameters.get("steps")
    if not isinstance(steps, list) or not steps:
        raise InvalidRequest("steps is required: a list of what to run, to send and to wait for")
    return Script(
        steps=tuple(_step(number, entry, seconds) for number, entry in enumerate(steps, 1)),
        login=_login(parameters.get("login")),
        unless=_command("unless", parameters.get("unless")),
        wake=_truth("wake", parameters.get("wake"), True),
        logout=_truth("logout", parameters.get("logout"), True),
        prompt=_pattern("prompt", parameters.get("prompt")) or re.compile(PROMPT),
        seconds=seconds,
        total=_seconds("timeout", parameters.get("timeout"), TOTAL_SECONDS),
        secrets=tuple(_text("secrets", entry) or "" for entry in parameters.get("secrets") or ()),
    )


def _login(entry: t.Any) -> GuestLogin | None:
    if entry is None:
        return None
    _check_keys("login", entry, _LOGIN_KEYS)
    user, password = _text("login.user", entry.get("user")), _text("login.password", entry.get("password"))
    if not user or password is None:
        raise InvalidRequest("login needs a user and a password")
    if _KEYS.search(user + password) or "\n" in user + password:
        raise InvalidRequest("login.user and login.password must be without control characters, as they are typed")
    return GuestLogin(user, password, _seconds("login.timeout", entry.get("timeout"), LOGIN_SECONDS))


def _step(number: int, entry: t.Any, seconds: float) -> ScriptStep:
    where = f"steps[{number}]"
    _check_keys(where, entry, _STEP_KEYS)
    values = {key: _text(f"{where}.{key}", entry.get(key)) for key in (*_SENDS, "end", "name", "expect", "fail_on")}
    given = [key for key in _SENDS if values[key] is not None]
    if len(given) > 1:
        raise InvalidRequest(f"{where} has {' and '.join(given)}: a step has one of {', '.join(_SENDS)}")
    if not given and values["expect"] is None:
        raise InvalidRequest(f"{where} does nothing: give it one of {', '.join(_SENDS)} or expect")
    if "run" in given and (values["expect"] or values["fail_on"] or values["end"] is not None):
        raise InvalidRequest(f"{where} has run, which waits for the end of the command: the rest goes with send")
    if values["fail_on"] and not values["expect"]:
        raise InvalidRequest(f"{where} has fail_on, which is looked for while waiting for expect: give expect as well")
    text = values["send"] if values["send"] is not None else values["send_secret"]
    return ScriptStep(
        number=number,
        name=values["name"] or "",
        command=_command(f"{where}.run", values["run"]),
        text=None if text is None else _typed(text, ENTER if values["end"] is None else values["end"]),
        secret=values["send_secret"] is not None,
        expect=_pattern(f"{where}.expect", values["expect"]),
        fail_on=_pattern(f"{where}.fail_on", values["fail_on"]),
        seconds=_seconds(f"{where}.timeout", entry.get("timeout"), seconds),
        unless=_command(f"{where}.unless", entry.get("unless")),
        changes=_truth(f"{where}.changes", entry.get("changes"), True),
    )


def _typed(text: str, end: str) -> str:
    """Line ends become the Enter key; the last one of a YAML block is dropped."""
    lines = text[:-1] if text.endswith("\n") else text
    return lines.replace("\n", ENTER) + end


def _command(where: str, command: t.Any) -> str | None:
    text = _text(where, command)
    if text is None:
        return None
    text = text.strip("\n")
    if not text.strip():
        raise InvalidRequest(f"{where} is empty: give a command")
    if _KEYS.search(text):
        raise InvalidRequest(f"{where} must be without tabs and control characters, which the shell takes for keys")
    if max(len(line.encode()) for line in text.split("\n")) > MAX_COMMAND_BYTES:
        raise InvalidRequest(f"{where} has a line of more than {MAX_COMMAND_BYTES} bytes, which a terminal cuts off")
    return text


def _pattern(where: str, pattern: t.Any) -> t.Pattern[str] | None:
    text = _text(where, pattern)
    if text is None:
        return None
    try:
        return re.compile(text, re.MULTILINE)
    except re.error as error:
        raise InvalidRequest(f"{where} is not a regular expression: {error} in {text!r}") from error


def _seconds(where: str, value: t.Any, default: float) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise InvalidRequest(f"{where} must be more than 0 seconds, not {value!r}")
    return float(value)


def _truth(where: str, value: t.Any, default: bool) -> bool:
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidRequest(f"{where} must be true or false, not {value!r}")
    return value


def _text(where: str, value: t.Any) -> str | None:
    if value is not None and not isinstance(value, str):
        # Without the value, which may be a password.
        raise InvalidRequest(f"{where} must be text, not {type(value).__name__}: put it in quotes")
    return value


def _check_keys(where: str, entry: t.Any, known: set[str]) -> None:
    if not isinstance(entry, t.Mapping):
        raise InvalidRequest(f"{where} must be names with values, not {type(entry).__name__}")
    unknown = sorted(str(key) for key in entry if key not in known)
    if unknown:
        raise InvalidRequest(
            f"{where} has {', '.join(unknown)}, which is not known: known are {', '.join(sorted(known))}"
        )
