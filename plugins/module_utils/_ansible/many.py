# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the description of a module for one guest to that of the module for many."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .._operations.info import STATUSES
from .._operations.many.many_request import ON_FAILURE, Entry, ManyRequest, check_distinct, selection_from
from .._operations.many.running import ensure_many
from .._pve.errors import InvalidRequest
from .._pve.guests import Guest
from .argument_spec import ArgumentSpec, check_lock_option, connection_spec, guest_spec, guest_type_spec, timeout_spec
from .description import ModuleDescription, Parameters

TASK_SECONDS = 7200
LIMITS = ("parallel", "per_node", "per_storage")


def loosened(options: t.Mapping[str, t.Any], deeper: str) -> dict[str, t.Any]:
    """Options without defaults and without duties, which come when an entry has been laid over the defaults of all.

    What is in a list stays as it is, since an entry replaces a list as a whole. deeper is where suboptions are:
    options in an argument spec, suboptions in documentation.
    """
    found = {}
    for name, row in options.items():
        found[name] = {key: value for key, value in row.items() if key not in ("default", "required")}
        if row["type"] == "dict" and row.get(deeper):
            found[name][deeper] = loosened(row[deeper], deeper)
    return found


def many_of(one: ModuleDescription, *, selects: bool) -> ModuleDescription:
    """Describe the module that does for many guests what this one does for one."""
    guest = {name: row for name, row in one.argument_spec.items() if name not in connection_spec()}
    loose = loosened(guest, "options")
    defaults = {name: row for name, row in loose.items() if name not in guest_spec()}
    several = {"select": {"type": "dict", "options": _select_spec()}} if selects else {}
    storages = {} if selects else {"per_storage": {"type": "int"}}

    def request_from(parameters: Parameters) -> ManyRequest:
        return _request(one, guest, parameters)

    return ModuleDescription(
        argument_spec={
            **connection_spec(),
            **timeout_spec(TASK_SECONDS),
            "defaults": {"type": "dict", "options": defaults},
            "guests": {"type": "list", "elements": "dict", "options": loose, "required": not selects},
            **several,
            "parallel": {"type": "int", "default": 8},
            "per_node": {"type": "int"},
            **storages,
            "on_failure": {"type": "str", "choices": list(ON_FAILURE), "default": "continue"},
        },
        request_from=request_from,
        operation=ensure_many,
    )


def _select_spec() -> ArgumentSpec:
    return {
        **guest_type_spec(),
        "names": {"type": "list", "elements": "str"},
        "node": {"type": "str"},
        "pool": {"type": "str"},
        "tags": {"type": "list", "elements": "str"},
        "status": {"type": "str", "choices": list(STATUSES)},
    }


def _request(one: ModuleDescription, spec: ArgumentSpec, parameters: Parameters) -> ManyRequest:
    for option in LIMITS:
        if parameters.get(option) is not None and parameters[option] < 1:
            raise InvalidRequest(f"{option} must be at least 1, not {parameters[option]}")
    if "select" in parameters and (parameters["guests"] is None) == (parameters["select"] is None):
        raise InvalidRequest("give one of guests and select")
    validator, defaults = ArgumentSpecValidator(spec), _given(parameters["defaults"] or {}, spec)

    def entry_of(place: str, options: Parameters) -> Entry:
        try:
            return _entry(one, validator, place, _laid_over(defaults, options))
        except InvalidRequest as error:
            raise InvalidRequest(f"{place}: {error}", error.cause) from error

    def entry_of_guest(guest: Guest) -> Entry:
        entry = entry_of("select", {"vmid": guest.vmid})
        return replace(entry, selector=entry.selector._replace(name=guest.name or None))

    given = enumerate(parameters["guests"] or ())
    entries = tuple(entry_of(f"guests[{number}]", _given(options, spec)) for number, options in given)
    check_distinct(entries)
    selection = selection_from(parameters["select"]) if parameters.get("select") is not None else None
    if selection is not None:
        # What is wrong in the defaults is said whether or not a guest is found.
        entry_of("defaults", {"vmid": 100})
    return ManyRequest(
        entries=entries,
        operation=one.operation,
        selection=selection,
        entry_of=entry_of_guest,
        parallel=parameters["parallel"],
        per_node=parameters["per_node"],
        per_storage=parameters.get("per_storage"),
        on_failure=parameters["on_failure"],
    )


def _entry(one: ModuleDescription, validator: t.Any, place: str, options: Parameters) -> Entry:
    checked = validator.validate(dict(options))
    if checked.error_messages:
        raise InvalidRequest("; ".join(checked.error_messages))
    options = checked.validated_parameters
    if options["timeout"] <= 0:
        raise InvalidRequest(f"timeout must be more than 0 seconds, not {options['timeout']}")
    check_lock_option(options)
    request = one.request_from(options)
    return Entry(place, request.selector, request, options["timeout"], options.get("wait_for_lock"))


def _given(options: Parameters, spec: ArgumentSpec) -> dict[str, t.Any]:
    """The options that were given; Ansible puts None in the place of all others, in lists of options too.

    Each is under its own name: beside it Ansible leaves its alias, which would win over what is laid over it.
    """
    given = ((name, value) for name, value in options.items() if value is not None and name in spec)
    return {name: _given_in(value, spec[name]) for name, value in given}


def _given_in(value: t.Any, row: t.Mapping[str, t.Any]) -> t.Any:
    if isinstance(value, list):
        return [_given_in(item, row) for item in value]
    return _given(value, row["options"]) if isinstance(value, dict) and "options" in row else value


def _laid_over(below: Parameters, above: Parameters) -> dict[str, t.Any]:
    """The options of above, and those of below that above leaves open, in dictionaries too."""
    both = {**below, **above}
    for name in below.keys() & above.keys():
        if isinstance(below[name], dict) and isinstance(above[name], dict):
            both[name] = _laid_over(below[name], above[name])
    return both
