# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The secrets that tests work with, and the search for them in all that comes out of what tests run.

The embedded PVE tells which secrets there are: whatever it is sent to log in or to keep, and whatever it answers that
opens something. Each process whose output a test reads, the files below `tmp_path` and pytest's report are looked
through when a test ends (tests/integration/conftest.py). A test that makes a process whose output communicate() does
not read shows it to `see`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

TOKEN, PASSWORD, LOGIN, CONSOLE = "token", "password", "login", "console"
# Shorter words are found in many a text by accident.
SHORTEST = 8
MOST_BYTES = 4 * 1024 * 1024
SECRET_FIELDS = {"password": PASSWORD, "cipassword": PASSWORD, "otp": PASSWORD}
OPENING = re.compile(r"/(vncproxy|termproxy|spiceproxy|vncshell|spiceshell)$")
# What the tests write themselves, as users and CloudStack do: payloads, policies, inventories, playbooks, credentials;
# and the file for a viewer, which is all secret.
WRITTEN_BY_TESTS = re.compile(
    r"(^|/)(payloads/[^/]+|policy\.json|secret|pve-console/credentials|[^/]+\.(yml|yaml|ini|vv))$"
)
# ansible-core 2.22 lists the secrets of a module for its controller, which masks them and takes the list out.
FOR_THE_CONTROLLER = re.compile(r'"_ansible_new_secrets": \[[^\]]*\]')
SKIPPED_DIRECTORIES = {"site-packages", "__pycache__"}

_kinds: dict[str, str] = {}
_seen: list[tuple[str, str, frozenset[str]]] = []


def learn(text: str, kind: str) -> None:
    """This is a secret from here on, in each form that it may be written in."""
    if len(text) >= SHORTEST:
        for form in (text, urllib.parse.quote(text, safe=""), json.dumps(text)[1:-1]):
            _kinds[form] = kind


def learn_request(headers: Mapping[str, str], form: Mapping[str, Any]) -> None:
    """What a client proves with who it is, and what it has PVE keep."""
    _token, _equals, secret = headers.get("Authorization", "").removeprefix("PVEAPIToken=").partition("=")
    learn(secret, TOKEN)
    for name, kind in SECRET_FIELDS.items():
        if isinstance(form.get(name), str):
            learn(form[name], kind)


def learn_answer(path: str, body: object) -> None:
    """What PVE hands out."""
    login, console = path.endswith("/access/ticket"), OPENING.search(path)
    if not (login or console) or not isinstance(body, bytes):
        return
    try:
        data = json.loads(body)["data"] or {}
    except ValueError:
        return  # An answer of something that stands before PVE.
    for name in ("ticket", "password", "CSRFPreventionToken"):
        learn(str(data.get(name, "")), LOGIN if login else CONSOLE)


def see(where: str, text: str | bytes | None, wanted: Iterable[str] = ()) -> None:
    """Something has been put out; wanted are the kinds of secrets that it was asked for."""
    if text:
        shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        _seen.append((where, FOR_THE_CONTROLLER.sub("", shown), frozenset(wanted)))


def see_files(root: Path) -> None:
    """Everything that was left below a directory, but what tests write there as users do."""
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if name not in SKIPPED_DIRECTORIES]
        for name in files:
            path = Path(directory, name)
            where = path.relative_to(root).as_posix()
            if not WRITTEN_BY_TESTS.search(where) and path.is_file() and path.stat().st_size <= MOST_BYTES:
                see(where, path.read_bytes())


def found(allowed: Iterable[str] = ()) -> list[str]:
    """Where secrets were seen that had not been asked for, without the secrets; and forget them and what was seen.

    allowed are the kinds that may be anywhere.
    """
    places = [
        f"a secret ({kind}) in {where}: ...{_surroundings(text, secret)}..."
        for where, text, wanted in _seen
        for secret, kind in list(_kinds.items())
        if kind not in wanted and kind not in allowed and secret in text
    ]
    # What the next test works with is learnt again when it is sent.
    _seen.clear()
    _kinds.clear()
    return places


def _surroundings(text: str, secret: str) -> str:
    begin = text.index(secret)
    return text[max(0, begin - 60) : begin].replace("\n", " ") + "[here]"


def watched(communicate: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
    """subprocess.Popen.communicate, which run() and check_output() use, with all that it reads shown to `see`."""

    def communicate_and_see(process: subprocess.Popen[Any], *arguments: Any, **options: Any) -> tuple[Any, Any]:
        streams = communicate(process, *arguments, **options)
        for name, text in zip(("output", "errors"), streams, strict=True):
            see(f"{name} of {_name_of(process.args)}", text)
        return streams

    return communicate_and_see


def _name_of(command: Any) -> str:
    words = [str(word) for word in command] if isinstance(command, list | tuple) else [str(command)]
    return " ".join(Path(word).name for word in words[:2])
