# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A script in a file: the options of pve_console_script as JSON, or as YAML where PyYAML is installed."""

from __future__ import annotations

import json
import traceback
import typing as t
from pathlib import Path

from ..._pve.errors import InvalidRequest, MissingLibrary
from .steps import Script, script_from


def read_script(path: str, environment: t.Mapping[str, str]) -> Script:
    """Read and check a script; raises InvalidRequest or MissingLibrary.

    Where the file should not hold a secret, it says C({env: NAME}) or C({file: PATH}) in its place.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the script {path} cannot be read: {error}") from error
    content = _parsed(path, text)
    if not isinstance(content, dict):
        raise InvalidRequest(f"the script {path} must be names with values, as steps with a list")
    try:
        return script_from(_with_secrets(content, environment), strict=True)
    except InvalidRequest as error:
        raise InvalidRequest(f"the script {path}: {error}", error.cause) from error


def _parsed(path: str, text: str) -> t.Any:
    try:
        return json.loads(text)
    except ValueError as error:
        if path.endswith(".json"):
            raise InvalidRequest(f"the script {path} is not JSON: {error}") from error
    try:
        import yaml
    except ImportError as error:
        raise MissingLibrary(
            f"the script {path} is not JSON, and to read YAML the Python library PyYAML is required",
            "PyYAML",
            traceback.format_exc(),
        ) from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        # Without the lines around it, which may hold a secret.
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise InvalidRequest(f"the script {path} is not YAML{where}: {getattr(error, 'problem', '')}") from error


def _with_secrets(content: dict[str, t.Any], environment: t.Mapping[str, str]) -> dict[str, t.Any]:
    """Fill in what the file only points to, in the places where secrets are."""
    filled = dict(content)
    login = content.get("login")
    if isinstance(login, dict) and "password" in login:
        filled["login"] = {**login, "password": _value("login.password", login["password"], environment)}
    if isinstance(content.get("secrets"), list):
        filled["secrets"] = [_value("secrets", entry, environment) for entry in content["secrets"]]
    if isinstance(content.get("steps"), list):
        filled["steps"] = [
            {**step, "send_secret": _value(f"steps[{number}].send_secret", step["send_secret"], environment)}
            if isinstance(step, dict) and "send_secret" in step
            else step
            for number, step in enumerate(content["steps"], 1)
        ]
    return filled


def _value(where: str, entry: t.Any, environment: t.Mapping[str, str]) -> t.Any:
    if not isinstance(entry, dict):
        return entry
    if set(entry) == {"env"}:
        name = str(entry["env"])
        if name not in environment:
            raise InvalidRequest(f"{where} is to come from the environment variable {name}, which is not set")
        return environment[name]
    if set(entry) == {"file"}:
        try:
            return Path(str(entry["file"])).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"{where} cannot be read: {error}") from error
    raise InvalidRequest(f"{where} must be text, or env or file with where it is")
