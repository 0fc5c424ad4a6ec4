# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The environment variables that stand for options: one that is empty is not set, and what is wrong in one names it."""

from __future__ import annotations

import contextlib
import os
import re
import typing as t

# What the value for an option of this type must be.
_IN_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}
Fallback = tuple[t.Callable[..., str], list[str]]


def fallback(name: str, kind: str = "str") -> Fallback:
    """What an argument spec says of an option of this type that the variable stands for."""
    return (from_environment, [name, kind])


def from_environment(name: str, kind: str) -> str:
    """The value of a variable; raises what Ansible expects where there is none, or none of this type."""
    from ansible.module_utils.common.parameters import AnsibleFallbackNotFound

    text = os.environ.get(name)
    if not text or _is_wrong(text, kind):
        raise AnsibleFallbackNotFound
    return text


def wrong_variable(spec: t.Mapping[str, t.Any], given: t.Mapping[str, t.Any]) -> str:
    """Say which variable of an option that was not given has no value of its type; empty when none is wrong."""
    for option, name, kind in _variables(spec):
        text = os.environ.get(name)
        if option not in given and text and _is_wrong(text, kind):
            return f"the environment variable {name}, for {option}, is {text!r}, and must be {_IN_WORDS[kind]}"
    return ""


def with_variables(text: str, spec: t.Mapping[str, t.Any], values: t.Mapping[str, t.Any]) -> str:
    """A message with the variables that the values of the options in it come from."""
    named = [
        name
        for option, name, _kind in _variables(spec)
        if re.search(rf"\b{option}\b", text) and values.get(option) and str(values[option]) == os.environ.get(name)
    ]
    return f"{text} (from the environment variable {' and '.join(named)})" if named else text


@contextlib.contextmanager
def without_empty_variables(spec: t.Mapping[str, t.Any]) -> t.Iterator[None]:
    """Have no variables that are empty, for Ansible's own look-up, which takes them for values."""
    empty = {name: "" for _option, name, _kind in _variables(spec) if os.environ.get(name) == ""}
    for name in empty:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(empty)


def _variables(spec: t.Mapping[str, t.Any]) -> t.Iterator[tuple[str, str, str]]:
    """Each option with its variable and its type."""
    for option, row in spec.items():
        if "fallback" in row:
            _strategy, (name, kind) = row["fallback"]
            yield option, name, kind


def _is_wrong(text: str, kind: str) -> bool:
    """Whether Ansible does not take the text for a value of the type."""
    from ansible.module_utils.common import validation

    if kind not in _IN_WORDS:
        return False
    try:
        getattr(validation, f"check_type_{kind}")(text)
    except TypeError:
        return True
    return False
